//! Stream-processing operators that fuse overlapping annotations into searchable moments.
//!
//! A *pipeline* reads records from sources, folds them into *tables* (at most one row a key), computes *moments* from the
//! rows of tables (what overlaps in time, per asset), and keeps sinks equal to the result. It is written as one YAML file,
//! which the program runs (`flowstone backfill`, `flowstone run`) and this library runs inside other programs.
//!
//! # Model
//!
//! Everything between sources and sinks is a collection of rows that changes at *epochs*, numbers that only grow:
//! `(row, epoch, +1 or -1)`. Operators are functions of whole collections and incremental: they put out what changes. The
//! first epoch of a run is everything that is present at its start; later ones open at regular times.
//!
//! ```text
//! source ──batches──▶ decode ──records──▶ upsert ──rows──▶ fuse ──moments──▶ gate ──whole epochs──▶ writer ──▶ store
//! ```
//!
//! # Guarantees
//!
//! - After a run, each sink holds exactly what all that was ever read gives: also if it held something else before its first
//!   fill, whatever the number of workers and the order of the lines of different keys.
//! - With a journal (`state:`) this holds across crashes, restarts with other numbers of workers, and backfills. With `state:
//!   none` each run reads everything again, and the sinks hold what is there then.
//! - A sink shows whole epochs, in order. With `after:` it shows none that the other sink does not have.
//! - A run that is stopped before it has read everything that was present leaves the sinks as they were.
//! - A record that can not be processed goes to the dead letters, with its place and the reason, and is counted.
//! - Times are integer nanoseconds; integers are exact; fields that the pipeline does not name are kept as they came.
//!
//! All rows are held in memory. `README.md` names a test for each of these, and what does not hold yet.
//!
//! # Example
//!
//! ```
//! use flowstone::pipeline;
//! use flowstone::runtime::{Job, Mode, Outcome};
//! use flowstone::source::memory::MemoryInput;
//!
//! let folder = tempfile::tempdir()?;
//! let text = "
//!     name: example
//!     sources:
//!       annotations: { memory: {}, key: /id, delete: /deleted }
//!     operators:
//!       moments:
//!         fuse: { from: annotations, by: /asset, type: /type, range: { start: /from, end: /to }, emit: segments }
//!     sinks:
//!       found: { from: moments, file: { path: found } }
//! ";
//! let loaded = pipeline::parse(text, folder.path(), &|name| std::env::var(name).ok())?;
//!
//! let annotations = MemoryInput::new(1);
//! for line in [
//!     r#"{"id":1,"asset":"a7","type":"character","label":"Joey","from":2000000000,"to":8000000000}"#,
//!     r#"{"id":2,"asset":"a7","type":"scene","label":"kitchen","from":4000000000,"to":9000000000}"#,
//!     r#"{"id":3,"asset":"a7","type":"scene","label":"cellar","from":2000000000,"to":3000000000}"#,
//!     r#"{"id":3,"deleted":true}"#,
//! ] {
//!     annotations.push(0, line);
//! }
//! annotations.close();
//!
//! let job = Job::new(loaded.pipeline, &loaded.base, Mode::Backfill).with_workers(2);
//! assert_eq!(job.with_memory("annotations", annotations).run()?, Outcome::Complete);
//!
//! // A fill is one file with the whole content, a line a document.
//! let mut files = std::fs::read_dir(folder.path().join("found"))?.map_while(Result::ok);
//! let fill = files.find(|file| file.file_name().to_string_lossy().ends_with(".fill.ndjson")).expect("the fill");
//! let line: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(fill.path())?)?;
//! assert_eq!(line["key"], serde_json::json!(["a7", 4_000_000_000_u64]));
//! assert_eq!(line["document"]["time_bucket_end_ns"], 8_000_000_000_u64);
//! assert_eq!(line["document"]["source_annotations"][0]["label"], "Joey");
//! assert_eq!(line["document"]["source_annotations"][1]["label"], "kitchen");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A program whose threads may panic calls [`runtime::abort_on_panic`] first: a dataflow with a dead worker waits for ever.
//!
//! # Modules, in reading order
//!
//! | module | what it owns |
//! |---|---|
//! | [`pipeline`] | the YAML file: its model, its checks, its compilation into a plan |
//! | [`record`] | payloads, field paths, keys, decoding, rendering |
//! | [`source`] | where records come from |
//! | [`flowstone_operators`] | the operators themselves, in a crate of their own |
//! | [`runtime`] | a run: workers, epochs, which operator feeds which, how it ends |
//! | [`sink`] | where results go |
//! | `query` | search in an index of moments (with the feature `tantivy`; with `elasticsearch`, too, in one of a server) |
//! | [`generate`] | synthetic archives |
//! | [`mod@bench`] | benchmarks to run anywhere |
//! | `kafka` | what Kafka's source and sink share (with the feature `kafka`) |
//! | [`cli`] | the commands of the program |
//!
//! Features, on by default, one for each kind of server or store: `kafka`, `sqlite`, `tantivy`, `elasticsearch`, `cassandra`.

pub mod bench;
pub mod cli;
pub mod generate;
#[cfg(feature = "kafka")]
pub mod kafka;
pub mod pipeline;
#[cfg(feature = "tantivy")]
pub mod query;
pub mod record;
pub mod runtime;
pub mod sink;
pub mod source;
pub mod spine;

/// The example of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeExample;
