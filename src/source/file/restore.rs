//! Finding the files of partitions that earlier runs knew.
//!
//! A followed file is looked for, in this order: by its identity, at any path (it may have been renamed); by its content at
//! its own path, then at any other (a restored backup, a copied directory); by its identity beside its own path, where no
//! path of the source leads (it was rotated away while nobody followed it). A file that has ended is known again only if
//! its content is still the same: it may have been cut since, and its path's next content is another partition.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::follow::Identity;
use super::mark::{Mark, Trace};
use crate::source::{Known, SourceError};

/// A followed partition to find.
pub(super) struct Wanted<'a> {
    pub(super) known: &'a Known,
    /// Where a file of this name lies.
    pub(super) path: PathBuf,
    pub(super) mark: Option<Mark>,
}

/// Where it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) path: PathBuf,
    pub(super) identity: Identity,
    /// Whether a path of the source leads to it.
    pub(super) is_reachable: bool,
}

impl Wanted<'_> {
    fn has_ended(&self) -> bool {
        self.mark.as_ref().is_some_and(|mark| mark.ended)
    }

    fn identity(&self) -> Option<Identity> {
        self.mark.as_ref().and_then(|mark| mark.id)
    }

    /// Whether the file begins with what was read of the partition.
    fn is_content_of(&self, path: &Path) -> bool {
        let offset = self.known.bookmark.offset;
        let trace = File::open(path).and_then(|mut file| Trace::of_file(&mut file, offset));
        match (trace, &self.mark) {
            (Ok(Some(trace)), Some(mark)) => mark.difference(&trace, offset).is_none(),
            (Ok(Some(_)), None) => true,
            // What can not be read is not it; if it should have been, opening it says what is wrong.
            _ => false,
        }
    }
}

/// Finds the files of followed partitions among those that the paths lead to: for each its place, if it has one.
pub(super) fn find(wanted: &[Wanted<'_>], present: &[(PathBuf, Identity)]) -> Result<Vec<Option<Found>>, SourceError> {
    let mut search = Search { wanted, free: present.iter().map(Some).collect(), found: vec![None; wanted.len()] };
    // Those that go on first: a file that was cut has the identity of the one that ended and of the one that goes on.
    for ended in [false, true] {
        search.by_identity(ended);
    }
    search.by_content(|wanted, path| wanted.path == path);
    // Without a byte that was read, every file would do.
    search.by_content(|wanted, _| wanted.known.bookmark.offset > 0);
    search.beside()?;
    Ok(search.found)
}

struct Search<'a> {
    wanted: &'a [Wanted<'a>],
    free: Vec<Option<&'a (PathBuf, Identity)>>,
    found: Vec<Option<Found>>,
}

impl Search<'_> {
    fn by_identity(&mut self, ended: bool) {
        let places: HashMap<Identity, usize> =
            self.free.iter().enumerate().filter_map(|(at, file)| Some((file.as_ref()?.1, at))).collect();
        for (number, wanted) in self.wanted.iter().enumerate().filter(|(_, wanted)| wanted.has_ended() == ended) {
            let place = wanted.identity().and_then(|identity| places.get(&identity));
            if let Some(at) = place.filter(|at| self.fits(wanted, **at, ended)) {
                self.take(number, *at);
            }
        }
    }

    fn fits(&self, wanted: &Wanted<'_>, at: usize, must_be_content: bool) -> bool {
        self.free[at].is_some_and(|(path, _)| !must_be_content || wanted.is_content_of(path))
    }

    fn by_content(&mut self, may_be: impl Fn(&Wanted<'_>, &Path) -> bool) {
        for (number, wanted) in self.wanted.iter().enumerate() {
            if self.found[number].is_some() {
                continue;
            }
            let fits = |file: &Option<&(PathBuf, Identity)>| {
                file.is_some_and(|(path, _)| may_be(wanted, path) && wanted.is_content_of(path))
            };
            if let Some(at) = self.free.iter().position(fits) {
                self.take(number, at);
            }
        }
    }

    fn take(&mut self, number: usize, at: usize) {
        if let Some((path, identity)) = self.free[at].take() {
            self.found[number] = Some(Found { path: path.clone(), identity: *identity, is_reachable: true });
        }
    }

    /// Looks beside the paths of those that go on and were not found.
    fn beside(&mut self) -> Result<(), SourceError> {
        for (number, wanted) in self.wanted.iter().enumerate() {
            let (Some(identity), None, false) = (wanted.identity(), &self.found[number], wanted.has_ended()) else {
                continue;
            };
            let Some(directory) = wanted.path.parent() else { continue };
            let found = in_directory(directory, identity);
            let found =
                found.map_err(|source| SourceError::Io { action: "read", path: directory.to_owned(), source })?;
            self.found[number] = found.map(|path| Found { path, identity, is_reachable: false });
        }
        Ok(())
    }
}

fn in_directory(directory: &Path, identity: Identity) -> io::Result<Option<PathBuf>> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e),
    };
    for entry in entries {
        let path = entry?.path();
        // What is deleted meanwhile is not it.
        if fs::metadata(&path).is_ok_and(|metadata| metadata.is_file() && Identity::of(&metadata) == identity) {
            return Ok(Some(path));
        }
    }
    Ok(None)
}
