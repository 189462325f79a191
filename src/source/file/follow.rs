//! Following files that grow, are rotated or are cut: which file a path leads to, and when a file has ended.
//!
//! A file is known by its identity, not by its path. The discovery looks where the paths lead; the reader looks at the file
//! that it has open. They tell each other what they saw by a [`Watch`].
//!
//! | what happens to `app.log` | what is seen | what becomes of it |
//! |---|---|---|
//! | it is appended to | it is longer | it is read on |
//! | it is renamed, and a new `app.log` appears | the path leads to another file | the old one is read until it is quiet, the new one is partition `app.log#2` |
//! | it is renamed to a name that matches too | a known file at a new path | it is read on as the partition that it was |
//! | it is emptied and written from its start | it is shorter than it was | the old content ends, the new is partition `app.log#2` |
//! | it is deleted | no path leads to it | it is read until it is quiet |

use std::collections::{HashMap, HashSet};
use std::fs::{File, Metadata};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::source::Progress;

/// A file that no path leads to any more has ended when it was quiet for so long: its writer may not know yet.
pub(super) const QUIET: Duration = Duration::from_secs(5);

/// What tells files apart, whatever they are called. The time of birth guards against inodes that are used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Identity {
    #[serde(rename = "dev")]
    device: u64,
    #[serde(rename = "ino")]
    inode: u64,
    /// Since 1970.
    born_ns: Option<u64>,
}

impl Identity {
    pub(super) fn of(metadata: &Metadata) -> Self {
        let (device, inode) = device_and_inode(metadata);
        let born = metadata.created().ok().and_then(|born| born.duration_since(UNIX_EPOCH).ok());
        Identity { device, inode, born_ns: born.and_then(|born| u64::try_from(born.as_nanos()).ok()) }
    }
}

#[cfg(unix)]
fn device_and_inode(metadata: &Metadata) -> (u64, u64) {
    use std::os::unix::fs::MetadataExt;
    (metadata.dev(), metadata.ino())
}

/// Elsewhere the time of birth alone tells files apart.
#[cfg(not(unix))]
fn device_and_inode(_: &Metadata) -> (u64, u64) {
    (0, 0)
}

#[cfg(unix)]
fn is_deleted(metadata: &Metadata) -> bool {
    std::os::unix::fs::MetadataExt::nlink(metadata) == 0
}

#[cfg(not(unix))]
fn is_deleted(_: &Metadata) -> bool {
    false
}

/// What discovery and reader of a followed file tell each other.
#[derive(Debug, Default)]
pub(super) struct Watch {
    /// The reader saw the file shorter than before: what it holds now is something else.
    cut: AtomicBool,
    /// The discovery saw that no path leads to it any more.
    abandoned: AtomicBool,
}

/// What the paths of a source lead to, as of the last look.
#[derive(Default)]
pub(super) struct Places {
    at: HashMap<PathBuf, Identity>,
    files: HashMap<Identity, Arc<Watch>>,
}

/// A path that leads to content which was not seen before.
pub(super) struct NewFile {
    pub(super) path: PathBuf,
    pub(super) identity: Identity,
    pub(super) watch: Arc<Watch>,
}

impl Places {
    /// Takes in a file that an earlier run knew. It goes on, or was rotated away if no path leads to it.
    pub(super) fn restore(&mut self, path: &Path, identity: Identity, is_reachable: bool) -> Arc<Watch> {
        let watch = Arc::new(Watch::default());
        if is_reachable {
            self.at.insert(path.to_owned(), identity);
            self.files.insert(identity, watch.clone());
        } else {
            watch.abandoned.store(true, Ordering::Release);
        }
        watch
    }

    /// Whether a path that was looked at leads to another file now.
    pub(super) fn has_moved(&self, path: &Path, identity: Identity) -> bool {
        self.at.get(path).is_some_and(|before| *before != identity)
    }

    /// Takes in where the paths lead now, in their order. Gives what is new at those that are `ours`.
    pub(super) fn look(&mut self, found: Vec<(PathBuf, Identity)>, ours: impl Fn(&Path) -> bool) -> Vec<NewFile> {
        let reachable: HashSet<Identity> = found.iter().map(|(_, identity)| *identity).collect();
        let mut new = Vec::new();
        for (path, identity) in found {
            let known = self.files.get(&identity).is_some_and(|watch| !watch.cut.load(Ordering::Acquire));
            if !known && ours(&path) {
                let watch = Arc::new(Watch::default());
                self.files.insert(identity, watch.clone());
                new.push(NewFile { path: path.clone(), identity, watch });
            }
            let before = self.at.insert(path, identity);
            if let Some(before) = before.filter(|before| !reachable.contains(before)) {
                // Forgotten, because its inode may be another file's one day.
                if let Some(watch) = self.files.remove(&before) {
                    watch.abandoned.store(true, Ordering::Release);
                }
            }
        }
        new
    }

    /// Takes back that a new file was seen: it could not be opened, and is new again at the next look.
    pub(super) fn forget(&mut self, file: &NewFile) {
        self.files.remove(&file.identity);
        self.at.remove(&file.path);
    }
}

/// The reader's side of following.
pub(super) struct Following {
    watch: Arc<Watch>,
    /// Everything up to here was there at the start.
    size_at_open_bytes: u64,
    /// The size at the last look.
    size_bytes: u64,
    quiet: Duration,
    /// Since when there was nothing to read and no path that leads to the file.
    quiet_since: Option<Instant>,
}

impl Following {
    pub(super) fn new(watch: Arc<Watch>, size_at_open_bytes: u64, quiet: Duration) -> Self {
        Following { watch, size_at_open_bytes, size_bytes: size_at_open_bytes, quiet, quiet_since: None }
    }

    /// How much of the file at `path`, now `size_bytes` long, is not read yet; `None` if the file was cut.
    pub(super) fn available_bytes(&mut self, path: &Path, size_bytes: u64, position: u64) -> Option<u64> {
        if size_bytes < self.size_bytes {
            let lost_bytes = self.size_bytes.saturating_sub(position);
            if lost_bytes > 0 {
                tracing::warn!("{path:?} was cut before its last {lost_bytes} bytes were read; they are lost");
            }
            self.watch.cut.store(true, Ordering::Release);
            return None;
        }
        self.size_bytes = size_bytes;
        Some(size_bytes.saturating_sub(position))
    }

    /// Whether a file without more to read has ended.
    pub(super) fn is_over(&mut self, file: Option<&File>, now: Instant) -> bool {
        let deleted = || file.and_then(|f| f.metadata().ok()).is_some_and(|m| is_deleted(&m));
        if !self.watch.abandoned.load(Ordering::Acquire) && !deleted() {
            self.quiet_since = None;
            return false;
        }
        now.duration_since(*self.quiet_since.get_or_insert(now)) >= self.quiet
    }

    /// What a poll that has brought the reader from `before` to `position` reports, if the file has not ended.
    pub(super) fn progress(&mut self, before: u64, position: u64) -> Progress {
        if position > before {
            self.quiet_since = None;
        }
        if position >= self.size_at_open_bytes { Progress::CaughtUp } else { Progress::More }
    }
}
