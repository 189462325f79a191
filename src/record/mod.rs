//! Records and rows: payload bytes, the fields taken from them, and the documents made of them.

pub mod codec;
mod decode;
mod extract;
mod interner;
mod packed;
mod path;
mod render;
mod row;
mod scalar;
mod select;
mod versioned;

pub use decode::{DecodeSpec, Decoder, FacetSpec, OperationDecoder, OperationSpec, OperationsSpec};
pub(crate) use interner::Interner;
pub use packed::{Facets, Record};
pub use path::{FieldPath, Segment};
pub use render::Renderer;
pub use row::{Child, ChildPiece, DeadLetter, Fused, Lead, Position, Rejected, Row, RowDiff, Slice};
pub use scalar::{Key, Scalar, ScalarRef, write_integer, write_key, write_string};
pub use select::{select, unescape};
