//! Dataflow operators on timely and differential dataflow: no I/O, no threads, no clock.
//!
//! Everything here moves as changes of collections, `(row, epoch, diff)`, at `u64` epochs. Each operator states a law: what
//! its accumulated output is, given its accumulated input, whatever the number of workers, the order of arrival, and the cut
//! into epochs. In reading order:
//!
//! | module | what it owns |
//! |---|---|
//! | [`interval`] | half-open intervals in integer nanoseconds, and the grid of buckets |
//! | [`route`] | which worker owns a key |
//! | [`table`] | [`upsert`](table::upsert): records folded into at most one row a key |
//! | [`mod@generations`] | [`generations`](generations::generations): of each series of operations, the rows of the newest that is finished |
//! | [`mod@fuse`] | [`fuse`](fuse::fuse): what overlaps in time, per asset, becomes moments |
//! | [`mod@aggregate`] | [`aggregate`](aggregate::aggregate): what the rows of each group come to, kept up to date |
//! | [`mod@accumulate`] | [`accumulate`](accumulate::accumulate): the same of streams of events, in a table |
//! | [`mod@join`] | [`join`](join::join): rows of two collections with a key in common; [`as_of`](join::as_of): as they were when a row came |
//! | [`mod@lateness`] | [`lateness`](lateness::lateness): which events come too late, by a watermark of event time |
//! | [`mod@once`] | [`once`](once::once): which events are delivered again, by their ids |
//! | [`pace`] | whether those who take an output can follow |
//! | `slots` | values by key, one after another in memory |
//! | `timeline` | what is there in the time of one key, indexed: the state behind operators on intervals |
//! | [`reaper`] | where state goes that nobody needs any more |
//! | `testing` | a harness for laws, at any number of workers (with the feature `testing`) |
//!
//! # Intervals
//!
//! Every range becomes half-open once, where it enters; from there on there is one rule for all modes of fusion.
//!
//! ```
//! use flowstone_operators::interval::{Boundary, Grid, Interval};
//!
//! let seconds = Grid::new(1_000_000_000);
//! let joey = Interval::from_range(2_000_000_000, 8_000_000_000, Boundary::Exclusive)?;
//! let kitchen = Interval::from_range(4_000_000_000, 9_000_000_000, Boundary::Exclusive)?;
//! assert_eq!(seconds.cover(&joey), (2, 8), "the buckets 2 to 7");
//! let both = joey.intersection(&kitchen).expect("they overlap");
//! assert_eq!((both.start_ns(), both.end_ns()), (4_000_000_000, 8_000_000_000));
//! # Ok::<(), flowstone_operators::interval::RangeError>(())
//! ```
//!
//! # Routes
//!
//! Operators bring equal keys to one worker by a hash that is part of the contract: the same in every process, build and
//! platform.
//!
//! ```
//! use flowstone_operators::route::Route;
//!
//! assert_eq!("the-one-with-the-fixture".route(), String::from("the-one-with-the-fixture").route());
//! assert_eq!("".route(), 0x2d06_8005_38d3_94c2, "xxh3-64");
//! ```
//!
//! # Tables and fusion
//!
//! A table makes a set of rows of a stream of records; fusion reads such a set. [`table::upsert`] and [`fuse::fuse`] have an
//! example each. Laws are tested by running an operator at several numbers of workers over the same epochs:
//!
//! ```
//! use differential_dataflow::AsCollection;
//! use flowstone_operators::fuse::{Emit, FuseOptions, fuse};
//! use flowstone_operators::interval::Interval;
//! use flowstone_operators::testing::run;
//!
//! // Of asset 7: a character from 2 ns to 8 ns, a scene from 4 ns to 9 ns.
//! let joey = (7_u64, ('c', 2, 8));
//! let kitchen = (7_u64, ('s', 4, 9));
//! // The scene comes an epoch after the character, and goes in the next one.
//! let epochs = vec![vec![(joey, 0, 1)], vec![(kitchen, 1, 1)], vec![(kitchen, 2, -1)]];
//! for workers in 1..=3 {
//!     let found = run(workers, epochs.clone(), |changes| {
//!         let annotations = changes.as_collection();
//!         let options = FuseOptions::new(Emit::Segments);
//!         let (moments, _rejected) = fuse(
//!             annotations,
//!             options,
//!             |(_, start_ns, end_ns)| Interval::new(*start_ns, *end_ns),
//!             |(kind, ..)| kind,
//!         );
//!         moments.map(|moment| (moment.interval.start_ns(), moment.interval.end_ns())).inner
//!     });
//!     assert_eq!(found[&1], [((4, 8), 1, 1)]);
//!     assert_eq!(found[&2], [((4, 8), 2, -1)]);
//! }
//! ```

pub mod accumulate;
pub mod aggregate;
pub mod fuse;
pub mod generations;
pub mod interval;
pub mod join;
pub mod lateness;
pub mod once;
pub mod overlap;
pub mod pace;
pub mod reaper;
pub mod route;
mod slots;
pub mod table;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod timeline;
