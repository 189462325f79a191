//! Looks at the stores while runs write them, crash and start again.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use crate::input::fingerprint;
use crate::support::{sqlite_upper, tantivy_upper};

/// What no reader may ever see is looked for here, over all runs of a case.
pub struct Watch {
    /// The numbers of lines that give a content, by its fingerprint; `None` if the order of lines is not known.
    prefixes: Option<HashMap<u64, BTreeSet<usize>>>,
    /// The store was at least so far.
    reached: usize,
    /// Whether the index waits for the store, and the files for the index.
    chained: bool,
    /// Whether the files were there from the start: a later fill of theirs has an epoch that the others have nothing in.
    files: bool,
    pub looks: usize,
    pub states: BTreeSet<usize>,
}

impl Watch {
    pub fn new(fingerprints: Option<Vec<u64>>, chained: bool, files: bool) -> Self {
        let prefixes = fingerprints.map(|fingerprints| {
            let mut prefixes: HashMap<u64, BTreeSet<usize>> = HashMap::new();
            for (lines, fingerprint) in fingerprints.into_iter().enumerate() {
                prefixes.entry(fingerprint).or_default().insert(lines);
            }
            prefixes
        });
        Watch { prefixes, reached: 0, chained, files, looks: 0, states: BTreeSet::new() }
    }

    /// Looks again and again until told to end. Panics when it sees what may not be.
    pub fn look_until(&mut self, dir: &Path, end: &AtomicBool) {
        while !end.load(Ordering::Acquire) {
            self.look(dir);
            std::thread::sleep(Duration::from_millis(3));
        }
        self.look(dir);
    }

    fn look(&mut self, dir: &Path) {
        if self.chained {
            // First those that must not be ahead: the others only grow in between.
            let files = files_upper(&dir.join("changes")).unwrap_or(0);
            let index = tantivy_upper(&dir.join("index")).unwrap_or(0);
            let store = sqlite_upper(&dir.join("moments.sqlite")).unwrap_or(0);
            assert!(!self.files || files <= index, "the files are written up to {files}, the index up to {index}");
            assert!(index <= store, "the index is written up to {index}, the store up to {store}");
        }
        let Some(prefixes) = &self.prefixes else { return };
        let Some(content) = content(&dir.join("moments.sqlite")) else { return };
        self.looks += 1;
        let lines = prefixes.get(&content).and_then(|lines| lines.range(self.reached..).next());
        let Some(lines) = lines else {
            let known = prefixes.get(&content);
            panic!(
                "a reader sees a state that is not that of any epoch, or is before {} lines: {known:?}",
                self.reached
            );
        };
        self.reached = *lines;
        self.states.insert(*lines);
    }
}

/// The fingerprint of what a reader sees; `None` while there is nothing to be seen, or it is locked.
fn content(path: &Path) -> Option<u64> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).ok()?;
    connection.busy_timeout(Duration::from_millis(200)).ok()?;
    let mut statement = connection.prepare("SELECT key, document FROM moments").ok()?;
    let mut rows = statement.query(()).ok()?;
    let mut sum = 0_u64;
    loop {
        match rows.next() {
            Ok(Some(row)) => {
                let (key, document): (String, String) = (row.get(0).ok()?, row.get(1).ok()?);
                sum = sum.wrapping_add(fingerprint([(key.as_str(), document.as_str())].into_iter()));
            }
            Ok(None) => return Some(sum),
            Err(_) => return None,
        }
    }
}

/// Up to where a file sink is written: one above the last epoch that a name tells.
fn files_upper(dir: &Path) -> Option<u64> {
    let names = std::fs::read_dir(dir).ok()?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let last = |name: String| name.strip_suffix(".ndjson")?.trim_end_matches(".fill").split_once('-')?.1.parse().ok();
    names.filter_map(last).max().map(|last: u64| last + 1)
}
