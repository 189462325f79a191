//! Synthetic archives of annotations.
//!
//! ```text
//!  settings ─▶ catalogue ─▶ archive ──────────────▶ recorder ──▶ output
//!              titles,      which record comes      lines,       files,
//!              assets       when (corrections,      counts       or a topic
//!                           deletions, disorder)
//!                             │
//!                             └─▶ episode ─▶ modality, dialogue, vocabulary
//!                                 what is in an asset
//! ```
//!
//! The same settings give the same bytes on every machine (see `draw`).

use std::io;
use std::path::{Path, PathBuf};

mod annotation;
mod archive;
mod catalogue;
mod dialogue;
pub(crate) mod draw;
mod episode;
mod fixture;
mod modality;
mod output;
mod recorder;
mod revision;
mod settings;
mod summary;
#[cfg(test)]
mod tests;
#[cfg(feature = "kafka")]
mod topic;
mod vectors;
mod vocabulary;

pub use settings::{Compression, Settings, Style};
pub use summary::{FileSummary, Summary, TypeSummary};
#[cfg(feature = "kafka")]
pub use topic::Topic;

/// Writes an archive into `directory`, which is made if it does not exist: files `part-000.ndjson` and so on.
///
/// With `overwrite`, files of an earlier archive there are removed first; other files always stay. `progress` is told
/// now and then how many lines there are.
///
/// # Errors
/// If the settings make no sense, the directory is not empty (without `overwrite`), or a file can not be written.
pub fn generate(
    settings: &Settings,
    directory: &Path,
    overwrite: bool,
    progress: &mut dyn FnMut(u64),
) -> Result<Summary, GenerateError> {
    settings.check()?;
    write(settings, output::Output::create(directory, settings, overwrite)?, progress)
}

/// Sends an archive to a topic of Kafka: a record a line, in the order of the lines, with the annotation's id as its key.
///
/// `progress` is told now and then how many lines were handed over.
///
/// # Errors
/// If the settings make no sense, the topic is missing and is not to be made, or brokers do not take a record.
#[cfg(feature = "kafka")]
pub fn produce(settings: &Settings, topic: &Topic, progress: &mut dyn FnMut(u64)) -> Result<Summary, GenerateError> {
    settings.check()?;
    write(settings, output::Output::topic(topic::TopicWriter::open(topic)?), progress)
}

fn write(settings: &Settings, output: output::Output, progress: &mut dyn FnMut(u64)) -> Result<Summary, GenerateError> {
    let mut draw = draw::Draw::new(settings.seed, draw::Stream::Catalogue);
    let catalogue = catalogue::Catalogue::new(settings, &mut draw);
    let mut recorder = recorder::Recorder::new(settings, &catalogue.assets, output, progress);
    if settings.fixture {
        for annotation in fixture::annotations(catalogue.assets.len() - 1) {
            recorder.annotation(recorder::Kind::New, &annotation)?;
        }
    }
    match settings.style {
        Style::Episodes => archive::episodes(settings, &catalogue, &mut recorder)?,
        Style::Uniform => archive::uniform(settings, &catalogue, &mut recorder)?,
    }
    recorder.finish()
}

/// An archive that could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GenerateError {
    /// A setting that makes no sense, alone or with the others.
    #[error("could not use the setting {setting}: it must be {expected}")]
    Setting {
        /// Its name on the command line.
        setting: &'static str,
        /// What it must be.
        expected: String,
    },
    /// Something is in the directory, and may be of worth.
    #[error("the directory {path:?} is not empty; choose another, or overwrite the archive in it with --force")]
    NotEmpty {
        /// The directory.
        path: PathBuf,
    },
    /// A file or directory that can not be used.
    #[error("could not {action} {path:?}")]
    Io {
        /// What was attempted: "create", "list", "remove", "write".
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A topic that can not be used.
    #[error("could not {action} the topic {topic:?} of Kafka at {brokers}")]
    Topic {
        /// What was attempted: "find", "make", "write to".
        action: &'static str,
        /// The topic.
        topic: String,
        /// Where it was looked for.
        brokers: String,
        /// What brokers or librdkafka said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl GenerateError {
    fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        GenerateError::Io { action, path: path.to_owned(), source }
    }
}
