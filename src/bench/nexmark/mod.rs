//! Nexmark: an auction house, and what one asks about it.
//!
//! ```text
//!  generator ─▶ events ─────▶ bid.ndjson, … ─▶ run: the pipeline file of each query ─▶ report
//!      │                                        │ found
//!      └──────▶ oracle ──expected──▶ contents ◀─┘
//! ```
//!
//! Queries are pipeline files that `flowstone backfill` runs as well: sources, decoding, operators, gate and rendering are those
//! of every pipeline. Only the sink is another one when time counts, since the disk is not what is measured.
//!
//! | file | what it owns |
//! |---|---|
//! | `generator` | which events there are |
//! | `event` | what they are, and how they stand in files |
//! | `query` | the queries, and `queries/` their pipeline files |
//! | `run` | runs of them, checked and timed |
//! | `oracle` | what they must find, by other means |
//! | `contents` | whether that is what they have found |
//! | `settings`, `report` | what is asked for, and what comes of it |

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

mod contents;
mod event;
mod generator;
mod oracle;
mod query;
mod report;
mod run;
mod settings;
#[cfg(test)]
mod tests;

pub use event::Kind;
pub use query::{QUERIES, Query};
pub use report::{NexmarkReport, QueryRun};
pub use settings::{NexmarkError, NexmarkSettings};

use contents::Contents;
use generator::Generator;
use report::Took;
use run::{Place, Running};

use super::timing::Progress;

/// Makes up events, runs queries over them with each number of workers, and holds what they find against the oracle. Told how many
/// runs are done.
///
/// # Errors
/// [`NexmarkError`]: above all, if a query does not find what it must.
pub fn nexmark(settings: &NexmarkSettings, progress: &Progress) -> Result<NexmarkReport, NexmarkError> {
    let queries = settings.check()?;
    let place = Place::new(settings.directory.as_deref())?;
    write(settings, &place)?;
    let (mut runs, mut done) = (Vec::new(), 0);
    let mut step = || {
        done += 1;
        progress(done);
    };
    step();
    for query in queries {
        let expected = Contents::of(|each| ask(query, settings, each));
        step();
        for workers in settings.workers.iter().copied() {
            let running = Running { query, place: &place, workers, journal: settings.journal };
            let found = place.found(query);
            running.checked(&found)?;
            agree(query, workers, &found, &expected, settings)?;
            step();
            let took = (0..settings.repetitions).map(|_| {
                let took = running.timed(expected.len())?;
                step();
                Ok(took)
            });
            let took = took.collect::<Result<Vec<Took>, NexmarkError>>()?;
            let events = query.reads.iter().map(|kind| generator::count(*kind, settings.events)).sum();
            runs.push(QueryRun::new((query.name, query.about), workers, (events, expected.len()), took));
        }
    }
    Ok(NexmarkReport { settings: settings.clone(), runs })
}

/// How many steps [`nexmark`] tells of.
pub fn steps(settings: &NexmarkSettings) -> u64 {
    let of_query = 1 + settings.workers.len() * (1 + settings.repetitions);
    1 + (settings.queries.len() * of_query) as u64
}

fn events(settings: &NexmarkSettings) -> Generator {
    Generator::new(settings.events, settings.rate, settings.seed)
}

/// Writes a file for each kind of events, and one for each query.
fn write(settings: &NexmarkSettings, place: &Place) -> Result<(), NexmarkError> {
    write_into(settings, &place.path).map_err(|source| NexmarkError::Files { path: place.path.clone(), source })
}

fn write_into(settings: &NexmarkSettings, directory: &Path) -> std::io::Result<()> {
    let open = |kind: Kind| Ok(BufWriter::new(File::create(directory.join(kind.file_name()))?));
    let mut files = Kind::ALL.into_iter().map(open).collect::<std::io::Result<Vec<_>>>()?;
    for event in events(settings) {
        let file = &mut files[event.kind() as usize];
        event.write(file)?;
        file.write_all(b"\n")?;
    }
    files.iter_mut().try_for_each(|file| file.flush())?;
    QUERIES.iter().try_for_each(|query| std::fs::write(directory.join(format!("{}.yaml", query.name)), query.pipeline))
}

/// Asks the oracle.
fn ask(query: &Query, settings: &NexmarkSettings, each: &mut dyn FnMut(&str)) {
    let mut oracle = (query.oracle)();
    let of_interest = events(settings).filter(|event| query.reads.contains(&event.kind()));
    of_interest.for_each(|event| oracle.take(&event, each));
    oracle.finish(each);
}

fn agree(
    query: &'static Query,
    workers: usize,
    found_in: &Path,
    expected: &Contents,
    settings: &NexmarkSettings,
) -> Result<(), NexmarkError> {
    let found = Contents::of_sink(found_in)?;
    if found == *expected {
        return Ok(());
    }
    let (missing, wrong) = contents::differing(found_in, &found, expected, |each| ask(query, settings, each))?;
    let or_nothing = |row: Option<String>| row.unwrap_or_else(|| "nothing".to_owned()).into();
    Err(NexmarkError::Disagree {
        query: query.name,
        workers,
        found: found.len(),
        expected: expected.len(),
        missing: or_nothing(missing),
        wrong: or_nothing(wrong),
    })
}
