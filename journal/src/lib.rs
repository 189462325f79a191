//! The durable side of Flowstone's spine: what was sealed, kept so that nothing can be read wrong.
//!
//! A *run* ingests records in *epochs*. When an epoch is complete, each worker stores its table changes as a *part*, and the
//! run appends one *entry* to the *manifest*: these epochs are sealed, these are their parts, that is how far they go in each
//! partition, and so far are the sinks. Whatever an append has promised is found again by the next run; whatever it has not
//! promised is found in whole or not at all.
//!
//! ```text
//! journal/
//! ├── manifest/
//! │   ├── 000000000000        opening entry of run 0: kept, so that a zombie finds its number taken
//! │   ├── 000000000093        opening entry of run 93
//! │   ├── 000000000128        every 64th entry also carries the whole state: a snapshot
//! │   ├── 000000000129        seals, bindings, sinks, small parts ...
//! │   └── 000000000130        the last entry: who creates the next one owns the journal
//! └── parts/
//!     ├── 0-merged-2          one of several: what is settled, one version of each row
//!     ├── 93-0-17             run 93, worker 0, its part number 17
//!     └── 93-1-17
//! ```
//!
//! # Entries
//! Created conditionally, never overwritten: of two runs that want a number one gets it, and the other one is
//! [fenced](JournalError::Fenced). Each is a frame with a checksum around JSON that people can read, and names the checksum of
//! the one before it. A run begins with an entry of its own, which fences all earlier runs at once. Reading starts at the
//! newest snapshot; what is older is removed, once the snapshot is durable, except openings: a run that stood still for an hour
//! wants the very number that its successor opened with. They go after 30 days.
//!
//! Storing an object is atomic in every store that is used here: a directory stages the file, syncs it, links it under its
//! name and syncs the directory. So an entry that cannot be read is damage, not a torn write, and is reported as such.
//!
//! # Parts
//! Rows sorted by (table, route, key, epoch) in compressed blocks with checksums, and an index of them. The top byte of the
//! route is the [key group](key_group): a worker reads the ranges of groups that it owns, whatever the number of workers was
//! when the part was written. Small parts travel [inside the entry](NewPart::Inline), and are rolled up into one with each
//! snapshot, so that 100,000 short epochs leave a hundred objects.
//!
//! # Merging
//! In the background, one merge at a time. At or below the [floor](State::floor) only the newest version of a row is kept, and
//! none of a row that is gone; above it all are kept, since a restart replays them at their own epochs. Rows of streams go
//! once every sink has them. See `merge/`: every view that a restart may choose stays the same.
//!
//! # A run
//! ```
//! use flowstone_journal::{Entry, Journal, Keeper, PartBuilder, Seal, TableInfo};
//! # fn main() -> Result<(), flowstone_journal::JournalError> {
//! let journal = Journal::in_memory();
//! let mut keeper = Keeper::open(journal.clone())?;
//! keeper.hydrated(); // workers have read `keeper.state().parts`: from here on they may be merged and removed
//! let table = TableInfo { name: "annotations".into(), tail: false, awaits_reveal: false };
//! keeper.append(Entry { new_tables: vec![(0, table)], ..Entry::default() })?;
//!
//! let mut builder = PartBuilder::new();
//! builder.add(0, 7 << 56, 1000, b"key", Some(b"value"));
//! let part = builder.finish();
//! let name = format!("{}-0-0", keeper.state().run); // run, worker, number
//! journal.put_part(&name, part.bytes.clone())?;
//! let seals = vec![Seal { epoch: 1000, bindings: Vec::new() }];
//! keeper.append(Entry { seals, parts: vec![(part.stored(&name), 1000, 1000)], ..Entry::default() })?;
//!
//! let state = journal.read()?.expect("there is an entry");
//! let reader = journal.open_part(&state.parts[0])?;
//! for block in reader.blocks(0..128) {
//!     for change in block?.changes() {
//!         assert_eq!((change.key, change.value), (&b"key"[..], Some(&b"value"[..])));
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! | module | what it owns |
//! |---|---|
//! | `journal` | opening, reading the state, storing and opening parts |
//! | `keeper/` | appends, fencing, snapshots, removal: one thread's |
//! | `manifest/` | entries, their bytes, and the state that they add up to; which entries contradict it |
//! | `part/` | the bytes of parts |
//! | `merge/` | which versions stay, which parts are merged when, the merge itself |
//! | `store`, `location` | blocking calls to an object store; how a location becomes one |
//! | `verify` | reading everything, to find damage before a restart does |
#![forbid(unsafe_code)]

mod error;
#[doc(hidden)]
pub mod fuzzing;
mod journal;
mod keeper;
mod location;
mod manifest;
mod merge;
mod output;
mod part;
mod store;
mod verify;

pub use error::JournalError;
pub use journal::Journal;
pub use keeper::Keeper;
pub use manifest::{
    Binding, Collapse, Entry, NewPart, PartRef, PartitionState, Seal, SinkState, SourceState, Standing, State,
    TableInfo,
};
pub use part::{Block, Blocks, BuiltPart, Change, KEY_GROUPS, PartBuilder, PartReader, key_group};
pub use verify::{Problem, Report, verify, verify_with};

/// The dataflow's time: milliseconds since the Unix epoch at which it opened; strictly growing, 0 is before all.
pub type Epoch = u64;

/// A number that no other call gives, in this process or another.
pub(crate) fn random() -> u64 {
    use std::hash::{BuildHasher, Hasher, RandomState};
    let mut hasher = RandomState::new().build_hasher();
    hasher.write_u32(std::process::id());
    hasher.write_u64(unix_ms());
    hasher.finish()
}

pub(crate) fn unix_ms() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    now.as_millis() as u64
}
