//! Parts: sorted changes of tables, in compressed blocks with checksums.
//!
//! ```text
//! header   "FLJP" · version u16 · 0 u16
//! blocks   each of one table: rows sorted by (route, key, epoch), about 128 KiB, lz4
//! index    per block: stored bytes · raw bytes · rows · crc32 · table u16 · first and last key group u8
//!                     · first and last epoch u64
//! footer   blocks u32 · rows u64 · removals u64 · raw bytes u64 · bytes u64 · version u16 · 0 u16
//!          · crc32 of header, index and footer · "PJLF"
//! block    epoch of the first row u64, then rows
//! row      route u64 · epoch (zigzag varint, less the first row's) · key length varint
//!          · 0 = gone, else value length + 1, varint · key · value
//! ```
//! All integers are little-endian. The checksum in the footer is the part's *digest*: it depends on every byte, since the
//! index has the checksums of the blocks. The manifest remembers it, so that a part of another journal is noticed.

mod block;
mod build;
mod frame;
mod read;

pub(crate) use block::{BASE_BYTES, RowAt};
pub use block::{Block, Change};
pub(crate) use build::PartEncoder;
pub use build::{BuiltPart, PartBuilder};
pub use read::{Blocks, PartReader};

/// Parts are sorted by key groups, and read by ranges of them, so that each worker reads its own.
pub const KEY_GROUPS: u16 = 256;

/// The key group of a route: its top byte, so that sorting by route sorts by key group.
///
/// ```
/// assert_eq!(flowstone_journal::key_group(0xab00_0000_0000_0000), 0xab);
/// ```
pub fn key_group(route: u64) -> u16 {
    (route >> 56) as u16
}
