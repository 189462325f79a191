//! What a reader of both stores may see while they are written: never a document in the index that the table has not, in
//! that version or a later one.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use crate::support::Change;
use crate::table::Reader;
use crate::world::World;

/// The servers have other things to do, too.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// What was seen.
#[derive(Default)]
pub struct Seen {
    /// How often a document was found in the index that the table had.
    pub checked: usize,
    /// How often there was something in the index.
    pub polls: usize,
    /// The newest epoch of each key that the table was seen to have.
    newest: BTreeMap<String, u64>,
    /// What the index had, in a version that the table was not seen to have: only what was written and deleted between two
    /// looks at the table may be among these.
    unseen: Vec<(String, u64)>,
}

/// Does some work, and looks at both stores all the time.
pub fn watched<T>(world: &World, work: impl FnOnce() -> T) -> (T, Seen) {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        // Also if the work panics.
        let end = End(&over);
        let watcher = scope.spawn(|| {
            let (mut seen, mut reader) = (Seen::default(), None);
            while !over.load(Relaxed) {
                if reader.is_none() {
                    reader = world.keyspace.reader();
                }
                reader.as_ref().and_then(|reader| seen.look(world, reader));
                std::thread::sleep(LOOK_EVERY);
            }
            seen
        });
        let done = work();
        drop(end);
        (done, watcher.join().unwrap())
    })
}

struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

impl Seen {
    /// Looks at the table, the index, and the table again.
    fn look(&mut self, world: &World, reader: &Reader) -> Option<()> {
        let before = reader.stored()?;
        let found = world.index.try_versions()?;
        let after = reader.stored()?;
        for (key, (epoch, _)) in before.iter().chain(&after) {
            let newest = self.newest.entry(key.clone()).or_default();
            *newest = (*newest).max(*epoch);
        }
        self.polls += usize::from(!found.is_empty());
        for (key, (version, document)) in found {
            match self.newest.get(&key) {
                Some(epoch) if *epoch >= version => self.checked += 1,
                _ => self.unseen.push((key.clone(), version)),
            }
            if let Some((_, stored)) = after.get(&key).filter(|(epoch, _)| *epoch == version) {
                assert_eq!(document.to_string(), *stored, "{key} in epoch {version}");
            }
        }
        Some(())
    }

    /// Judges by all changes that there were.
    #[track_caller]
    pub fn judge(&self, changes: &[Change]) {
        for (key, version) in &self.unseen {
            let was_deleted =
                |change: &Change| change.key == *key && change.epoch > *version && change.document.is_none();
            assert!(
                changes.iter().any(was_deleted),
                "the index had {key} in version {version}, the table at most {:?}",
                self.newest.get(key)
            );
        }
        assert!(self.polls > 2 && self.checked > 500, "{} looks, {} documents", self.polls, self.checked);
    }
}
