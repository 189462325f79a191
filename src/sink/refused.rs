//! What a store has refused for good: rows that it will never take, as dead letters in a file of the sink's own.
//!
//! One is named by (sink, key, epoch): a replay refuses the same again, and writes it once. The file stands beside that of the
//! dead letters, which is for records that could not be processed: those are sealed before a sink sees anything, these are
//! only known afterwards.

use std::collections::{HashMap, HashSet};
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::SinkError;
use super::advice::explain;
use crate::pipeline::remote::OnRefused;

/// Of a row's document so much is kept.
const MOST_PAYLOAD_BYTES: usize = 64 << 10;

/// A row that a store has refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    /// The row key, or what the store calls it.
    pub key: String,
    pub epoch: u64,
    /// What the store said.
    pub reason: String,
    pub document: Vec<u8>,
}

/// What is to be done about a refused row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Remedy {
    /// Nothing more.
    None,
    /// What the store has of the key is to be deleted.
    Delete,
}

/// Keeps the refused rows of one sink.
pub(super) struct Refusals {
    sink: String,
    object: String,
    path: PathBuf,
    on_refused: OnRefused,
    most: u32,
    /// Those of epochs that are not finished.
    counts: HashMap<u64, u32>,
    /// Hashes of those in the file; read when the first one comes.
    known: Option<HashSet<u64>>,
}

/// The file beside `dead_letters` for what `sink` refuses.
pub(super) fn path(dead_letters: &Path, sink: &str) -> PathBuf {
    let stem = dead_letters.file_stem().unwrap_or_default().to_string_lossy();
    dead_letters.with_file_name(format!("{stem}.{sink}.ndjson"))
}

fn name(key: &str, epoch: u64) -> u64 {
    xxhash_rust::xxh3::xxh3_64_with_seed(key.as_bytes(), epoch)
}

impl Refusals {
    /// `object` is the sink in errors.
    pub fn new(sink: &str, object: &str, path: PathBuf, on_refused: OnRefused, most: u32) -> Self {
        let (sink, object) = (sink.to_owned(), object.to_owned());
        Refusals { sink, object, path, on_refused, most, counts: HashMap::new(), known: None }
    }

    /// Keeps one, durably, and says what is to be done.
    ///
    /// # Errors
    /// If the run is to end: because of the setting, of their number, or because it can not be kept.
    pub fn take(&mut self, refusal: &Refusal) -> Result<Remedy, SinkError> {
        self.keep(refusal).map_err(|error| explain("keep what was refused by", &self.object, error))?;
        let Refusal { key, epoch, reason, .. } = refusal;
        let count = self.counts.entry(*epoch).or_default();
        *count += 1;
        if *count == 1 {
            tracing::warn!("{} refuses the row {key} of epoch {epoch}: {reason}; see {:?}", self.object, self.path);
        }
        let stop = |why: String| Err(SinkError::store("write to", &self.object, why));
        if self.on_refused == OnRefused::Stop {
            return stop(format!("it refuses the row {key} of epoch {epoch}, and on_refused is stop: {reason}"));
        }
        if *count > self.most {
            return stop(format!(
                "it refuses more than {} rows (max_refused) of epoch {epoch}, the last one {key}: {reason}; do the settings of the \
                 store fit the rows? All are in {:?}",
                self.most, self.path
            ));
        }
        Ok(if self.on_refused == OnRefused::Delete { Remedy::Delete } else { Remedy::None })
    }

    /// All epochs below are finished.
    pub fn finished(&mut self, upper: u64) {
        self.counts.retain(|epoch, _| *epoch >= upper);
    }

    fn keep(&mut self, refusal: &Refusal) -> std::io::Result<()> {
        let mut known = match self.known.take() {
            Some(known) => known,
            None => self.read()?,
        };
        let is_new = known.insert(name(&refusal.key, refusal.epoch));
        self.known = Some(known);
        if !is_new {
            return Ok(());
        }
        if let Some(parent) = self.path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        let mut file = OpenOptions::new().create(true).append(true).open(&self.path)?;
        // In one call, with a line break before what a crash may have cut.
        let cut = ends_without_break(&self.path)?;
        let line = format!("{}{}\n", if cut { "\n" } else { "" }, self.letter(refusal));
        file.write_all(line.as_bytes())?;
        file.sync_data()
    }

    /// As the dead letters of operators are: `origin` is the row key, `offset` the epoch.
    fn letter(&self, refusal: &Refusal) -> Value {
        let Refusal { key, epoch, reason, document } = refusal;
        let shown = &document[..document.len().min(MOST_PAYLOAD_BYTES)];
        json!({
            "node": self.sink, "origin": key, "offset": epoch, "reason": reason,
            "payload_bytes": document.len(), "payload": String::from_utf8_lossy(shown),
        })
    }

    fn read(&self) -> std::io::Result<HashSet<u64>> {
        let file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(HashSet::new()),
            Err(error) => return Err(error),
        };
        let mut known = HashSet::new();
        for line in BufReader::new(file).split(b'\n') {
            // A line that a crash has cut is written again.
            let Ok(letter) = serde_json::from_slice::<Value>(&line?) else { continue };
            if let (Some(key), Some(epoch)) = (letter["origin"].as_str(), letter["offset"].as_u64()) {
                known.insert(name(key, epoch));
            }
        }
        Ok(known)
    }
}

fn ends_without_break(path: &Path) -> std::io::Result<bool> {
    use std::io::{Read, Seek, SeekFrom};
    let mut file = File::open(path)?;
    if file.metadata()?.len() == 0 {
        return Ok(false);
    }
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last != *b"\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(key: &str, epoch: u64) -> Refusal {
        Refusal { key: key.to_owned(), epoch, reason: "no".to_owned(), document: b"{\"n\":1}".to_vec() }
    }

    fn refusals(dir: &Path, on_refused: OnRefused, most: u32) -> Refusals {
        Refusals::new("search", "sink \"search\"", path(&dir.join("dead-letters.ndjson"), "search"), on_refused, most)
    }

    fn lines(dir: &Path) -> Vec<String> {
        let text = std::fs::read_to_string(dir.join("dead-letters.search.ndjson")).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn a_refused_row_is_kept_once_however_often_it_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        for _ in 0..2 {
            let mut refusals = refusals(dir.path(), OnRefused::Delete, 10);
            for (key, epoch) in [("a", 5), ("a", 5), ("a", 6), ("b", 5)] {
                assert_eq!(refusals.take(&refusal(key, epoch)).unwrap(), Remedy::Delete);
            }
        }
        let expected =
            r#"{"node":"search","origin":"a","offset":5,"reason":"no","payload_bytes":7,"payload":"{\"n\":1}"}"#;
        assert_eq!((lines(dir.path()).len(), lines(dir.path())[0].as_str()), (3, expected));
    }

    #[test]
    fn a_line_that_a_crash_has_cut_is_written_again() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("dead-letters.search.ndjson"), "{\"node\":\"search\",\"orig").unwrap();
        assert_eq!(refusals(dir.path(), OnRefused::Keep, 10).take(&refusal("a", 5)).unwrap(), Remedy::None);
        assert!(lines(dir.path())[1].contains("\"origin\":\"a\""));
    }

    #[test]
    fn too_many_of_one_epoch_end_the_run_and_those_of_several_do_not() {
        let dir = tempfile::tempdir().unwrap();
        let mut refusals = refusals(dir.path(), OnRefused::Keep, 2);
        for epoch in 0..4 {
            for key in ["a", "b"] {
                refusals.take(&refusal(key, epoch)).unwrap();
            }
            refusals.finished(epoch);
        }
        let error = refusals.take(&refusal("c", 3)).unwrap_err();
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(cause.contains("more than 2 rows") && cause.contains("epoch 3"), "{cause}");
    }

    #[test]
    fn one_is_enough_if_the_run_is_to_stop() {
        let dir = tempfile::tempdir().unwrap();
        assert!(refusals(dir.path(), OnRefused::Stop, 2).take(&refusal("a", 5)).is_err());
        assert_eq!(lines(dir.path()).len(), 1, "it is kept");
    }
}
