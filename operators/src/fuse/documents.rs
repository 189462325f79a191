//! The documents of one key: which there are before and after an epoch, and what is put out of them.

use std::sync::Arc;

use super::children::{Children, Sheet};
use super::options::{Emit, FuseOptions};
use super::sweep::{Entry, Sweep};
use crate::interval::Interval;

/// A document that comes (+1) or goes (-1).
#[derive(Debug)]
pub(super) struct Emission<C> {
    pub interval: Interval,
    pub content: Content<C>,
    pub diff: isize,
}

/// A document's children; or how many there would be, if they are too many.
#[derive(Clone, Debug)]
pub(super) enum Content<C> {
    Children(Children<C>),
    TooMany(usize),
}

/// A sheet is full with so many places, or with the document that comes to more.
const SHEET: usize = 1 << 12;

/// What forming documents needs room for; kept, so that no key allocates it.
#[derive(Default)]
pub(super) struct Room {
    sweep: Sweep,
    diffs: Diffs,
    sides: [Runs; 2],
    draft: Draft,
}

/// Documents that are formed, and wait for their sheet to be full.
#[derive(Default)]
struct Draft {
    places: Vec<u32>,
    formed: Vec<Formed>,
}

/// Documents with one list of children: a run; or buckets, one a cell.
struct Formed {
    start: i64,
    end: i64,
    diff: i8,
    list: List,
}

#[derive(Clone, Copy)]
enum List {
    Places(u32, u32),
    TooMany(usize),
}

/// Forms the documents of one key.
pub(super) struct Documents<'a, K: ?Sized, C, E> {
    entries: &'a [Entry<'a, C>],
    options: &'a FuseOptions<K>,
    /// The numbers of the required kinds; `None` if one of them does not occur at all.
    required: Option<&'a [u32]>,
    /// What the entries stand for; made when the first document needs it.
    pool: Option<Arc<[C]>>,
    draft: &'a mut Draft,
    emit: E,
}

impl<'a, K: ?Sized, C: Clone, E: FnMut(Emission<C>)> Documents<'a, K, C, E> {
    /// Emits those documents whose content changes, those of earlier times first. `entries` are ordered as children are.
    pub(super) fn emit(
        entries: &'a [Entry<'a, C>],
        required: Option<&'a [u32]>,
        options: &'a FuseOptions<K>,
        room: &'a mut Room,
        emit: E,
    ) {
        let Room { sweep, diffs, sides, draft } = room;
        diffs.read(entries);
        let mut documents = Documents { entries, options, required, pool: None, draft, emit };
        match options.emit {
            Emit::Buckets(_) => documents.buckets(sweep, diffs),
            Emit::Runs(_) | Emit::Segments => documents.runs(sweep, diffs, sides),
        }
        documents.flush();
    }

    /// One document a cell. Cells that no changed entry covers are passed over.
    fn buckets(&mut self, sweep: &mut Sweep, diffs: &mut Diffs) {
        sweep.visit(self.entries, |start, end, ranks| {
            if diffs.find(ranks) {
                for diff in [-1i8, 1] {
                    self.form(start, end, diff, |side| diffs.side(ranks, diff, side));
                }
            }
        });
    }

    /// One document a run. Runs that are the same before and after are passed over.
    fn runs(&mut self, sweep: &mut Sweep, diffs: &mut Diffs, sides: &mut [Runs; 2]) {
        let [before, after] = sides;
        sweep.visit(self.entries, |start, end, ranks| {
            diffs.find(ranks);
            before.prolong(start, end, |side| diffs.side(ranks, -1, side));
            after.prolong(start, end, |side| diffs.side(ranks, 1, side));
        });
        let mut gone = before.runs.iter().peekable();
        for run in &after.runs {
            while let Some(old) = gone.next_if(|old| old.start < run.start) {
                self.form_run(before, old, -1);
            }
            match gone.next_if(|old| old.start == run.start) {
                Some(same) if same.end == run.end && before.ranks(same) == after.ranks(run) => continue,
                Some(old) => self.form_run(before, old, -1),
                None => (),
            }
            self.form_run(after, run, 1);
        }
        gone.for_each(|old| self.form_run(before, old, -1));
        sides.iter_mut().for_each(Runs::clear);
    }

    fn form_run(&mut self, runs: &Runs, run: &Run, diff: i8) {
        self.form(run.start, run.end, diff, |side| side.extend_from_slice(runs.ranks(run)));
    }

    /// The documents of cells `[start, end)` with the children that `side` appends, if they make one.
    fn form(&mut self, start: i64, end: i64, diff: i8, side: impl FnOnce(&mut Vec<u32>)) {
        let from = self.draft.places.len();
        side(&mut self.draft.places);
        let ranks = &self.draft.places[from..];
        if !self.accepts(ranks) {
            self.draft.places.truncate(from);
            return;
        }
        let list = if ranks.len() > self.options.max_children {
            let list = List::TooMany(ranks.len());
            self.draft.places.truncate(from);
            list
        } else {
            let place = |at: usize| u32::try_from(at).expect("fewer than 2^32 annotations in one asset");
            List::Places(place(from), place(self.draft.places.len()))
        };
        self.draft.formed.push(Formed { start, end, diff, list });
        if self.draft.places.len() >= SHEET {
            self.flush();
        }
    }

    /// Puts out what is formed.
    fn flush(&mut self) {
        let Documents { entries, options, pool, draft, emit, .. } = self;
        let sheet = (!draft.places.is_empty()).then(|| {
            let pool = pool.get_or_insert_with(|| entries.iter().map(|entry| entry.content.clone()).collect());
            Arc::new(Sheet { pool: pool.clone(), places: draft.places.as_slice().into() })
        });
        draft.places.clear();
        let grid = options.emit.grid();
        for Formed { start, end, diff, list } in draft.formed.drain(..) {
            let content = match (list, &sheet) {
                (List::Places(from, to), Some(sheet)) => Content::Children(Children::new(sheet.clone(), from, to)),
                (List::Places(..), None) => unreachable!("a document has children"),
                (List::TooMany(children), _) => Content::TooMany(children),
            };
            let cells = if matches!(options.emit, Emit::Buckets(_)) { 1 } else { end - start };
            for cell in (start..end - cells).step_by(cells as usize) {
                let interval = Interval::new(grid.start_ns(cell), grid.start_ns(cell + cells));
                emit(Emission { interval, content: content.clone(), diff: diff as isize });
            }
            let interval = Interval::new(grid.start_ns(end - cells), grid.start_ns(end));
            emit(Emission { interval, content, diff: diff as isize });
        }
    }

    /// Whether there are enough kinds, and all that are required. Kinds ascend with the ranks.
    fn accepts(&self, ranks: &[u32]) -> bool {
        let (Some(mut required), Some(first), Some(last)) = (self.required, ranks.first(), ranks.last()) else {
            return false;
        };
        // As a rule two kinds are enough, and both ends tell.
        if self.options.min_kinds <= 2 && required.is_empty() {
            return self.options.min_kinds < 2 || self.kind(*first) != self.kind(*last);
        }
        let (mut kinds, mut seen) = (0, None);
        for rank in ranks {
            let kind = self.kind(*rank);
            if seen != Some(kind) {
                (kinds, seen) = (kinds + 1, Some(kind));
                if required.first() == Some(&kind) {
                    required = &required[1..];
                }
                if kinds >= self.options.min_kinds && required.is_empty() {
                    return true;
                }
            }
        }
        false
    }

    fn kind(&self, rank: u32) -> u32 {
        self.entries[rank as usize].kind
    }
}

/// What the epoch does with each entry, by rank; apart from the entries, because it is asked for each child of each document.
#[derive(Default)]
struct Diffs {
    diffs: Vec<i8>,
    /// Whether all are added: a list is then all of one side, and nothing of the other.
    all_added: bool,
    /// Where those that change are in the list at hand, if there are others.
    changed: Vec<usize>,
}

impl Diffs {
    fn read<C>(&mut self, entries: &[Entry<'_, C>]) {
        self.diffs.clear();
        self.diffs.extend(entries.iter().map(|entry| entry.diff.signum() as i8));
        self.all_added = self.diffs.iter().all(|diff| *diff > 0);
    }

    /// Takes a list of ranks at hand; whether any of them change.
    fn find(&mut self, ranks: &[u32]) -> bool {
        self.changed.clear();
        if self.all_added {
            return true;
        }
        let changes = |(_, rank): &(usize, &u32)| self.diffs[**rank as usize] != 0;
        self.changed.extend(ranks.iter().enumerate().filter(changes).map(|(at, _)| at));
        !self.changed.is_empty()
    }

    /// Appends those of the ranks at hand that count before (`diff` -1) or after (+1) the epoch: all but the few that are changed
    /// the other way.
    fn side(&self, ranks: &[u32], diff: i8, side: &mut Vec<u32>) {
        if self.all_added && diff < 0 {
            return;
        }
        let mut from = 0;
        for at in self.changed.iter().copied().filter(|at| self.diffs[ranks[*at] as usize] == -diff) {
            side.extend_from_slice(&ranks[from..at]);
            from = at + 1;
        }
        side.extend_from_slice(&ranks[from..]);
    }
}

/// The runs of one side of an epoch, in their order.
#[derive(Default)]
struct Runs {
    runs: Vec<Run>,
    ranks: Vec<u32>,
}

/// A run: its cells, and where the ranks of its children are.
struct Run {
    start: i64,
    end: i64,
    from: usize,
    to: usize,
}

impl Runs {
    fn ranks(&self, run: &Run) -> &[u32] {
        &self.ranks[run.from..run.to]
    }

    /// Adds a stretch to the last run if that has the same children and ends where it starts; else begins a run.
    fn prolong(&mut self, start: i64, end: i64, side: impl FnOnce(&mut Vec<u32>)) {
        let from = self.ranks.len();
        side(&mut self.ranks);
        match self.runs.last_mut() {
            Some(last) if last.end == start && self.ranks[last.from..last.to] == self.ranks[from..] => {
                last.end = end;
                self.ranks.truncate(from);
            }
            _ if self.ranks.len() == from => (),
            _ => self.runs.push(Run { start, end, from, to: self.ranks.len() }),
        }
    }

    fn clear(&mut self) {
        self.runs.clear();
        self.ranks.clear();
    }
}
