//! Records and rows: payload bytes, the fields taken from them, and the documents made of them.

mod aggregate;
pub mod codec;
pub mod decimal;
mod decode;
mod expression;
mod extract;
mod fused;
mod interner;
pub mod packed;
mod path;
mod pieces;
mod render;
mod reshape;
mod row;
mod scalar;
mod select;
mod versioned;

pub use aggregate::{
    AggregateSpec, Computed, Condition, Function, GroupKey, Grouped, Ids, Lateness, Test, Window, WindowSpec, Windows,
};
pub(crate) use aggregate::{
    Contributor, Fields, IdRecords, Kept, Origin, Piece, Results, Usable, is_progress, progress_of, progress_record,
};
pub use decode::{DecodeSpec, Decoder, FacetSpec, OperationDecoder, OperationSpec, OperationsSpec};
pub use expression::Expression;
pub(crate) use fused::CHILDREN;
pub use fused::{Fused, Fuser};
pub(crate) use interner::Interner;
pub use packed::{Position, Record};
pub use path::{FieldPath, Segment};
pub use pieces::{ChildPiece, Lead, Slice};
pub use render::Renderer;
pub(crate) use reshape::{Finder, Found, Meeting, Pairing, Reshaper};
pub use reshape::{JoinSpec, ReshapeSpec};
pub use row::{Child, DeadLetter, Rejected, Row, RowDiff};
pub use scalar::{Key, Scalar, ScalarRef, write_integer, write_key, write_string};
pub use select::{select, unescape};
