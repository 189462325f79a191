//! One epoch of one asset: from changes of annotations to changes of documents.

use std::cell::OnceCell;
use std::sync::Arc;

use super::Children;
use super::options::{Emit, FuseOptions};
use super::sweep::{Entry, coalesce, sweep};
use crate::interval::{Grid, Interval};
use crate::timeline::Timeline;

/// What fusion must know of an annotation.
#[derive(Clone, Copy, Debug)]
pub struct Facets<'a, K: ?Sized> {
    /// Its type (modality).
    pub kind: &'a K,
    /// Its range.
    pub interval: Interval,
}

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

/// Applies `changes` to the timeline and emits the documents that change, those of earlier times first.
///
/// Only the spans that changed annotations cover are swept; for runs, these and the runs that touch them. What is added
/// is kept in the timeline only if `more` changes may follow.
pub(super) fn update<K: Ord + ?Sized, C: Ord + Clone>(
    timeline: &mut Timeline<C>,
    changes: &[(C, isize)],
    more: bool,
    options: &FuseOptions<K>,
    facets: &impl Fn(&C) -> Facets<'_, K>,
    emit: &mut impl FnMut(Emission<C>),
) {
    let grid = options.emit.grid();
    timeline.settle(|content| grid.cover(&facets(content).interval));
    let mut net: Vec<Entry<'_, C>> = changes.iter().map(|(c, diff)| entry(c, *diff, facets, grid)).collect();
    order(&mut net, facets);
    cancel(&mut net);
    net.retain(|e| e.diff > 0 || timeline.remove(e.start, e.end, e.content));

    let mut spans: Vec<(i64, i64)> = net.iter().map(|e| (e.start, e.end)).collect();
    coalesce(&mut spans);
    if !matches!(options.emit, Emit::Buckets(_)) && !timeline.is_empty() {
        spans.iter_mut().for_each(|span| *span = extend(timeline, *span));
        coalesce(&mut spans);
    }
    // Stable, so that the entries of a span stay in order.
    net.sort_by_key(|e| spans.partition_point(|span| span.0 <= e.start));
    let mut rest = net.as_slice();
    for &(start, end) in &spans {
        let (here, later) = rest.split_at(rest.partition_point(|e| e.start < end));
        rest = later;
        let before = timeline.overlapping(start, end).map(|(_, _, c)| entry(c, 0, facets, grid));
        let mut entries: Vec<Entry<'_, C>> = before.collect();
        let fresh = entries.is_empty();
        entries.extend_from_slice(here);
        if !fresh {
            order(&mut entries, facets);
        }
        let required = required(&entries, options, facets);
        let documents = Documents { entries: &entries, pool: OnceCell::new(), options, required, grid };
        match options.emit {
            Emit::Buckets(_) => documents.buckets(start, end, emit),
            Emit::Runs(_) | Emit::Segments => documents.runs(start, end, emit),
        }
    }
    if !more {
        return;
    }
    let added = net.iter().filter(|e| e.diff > 0).map(|e| (e.start, e.end, e.content.clone()));
    timeline.insert(added);
}

fn entry<'a, K: ?Sized, C>(
    content: &'a C,
    diff: isize,
    facets: &impl Fn(&C) -> Facets<'_, K>,
    grid: Grid,
) -> Entry<'a, C> {
    let interval = facets(content).interval;
    let (start, end) = grid.cover(&interval);
    Entry { start, end, kind: 0, diff, interval, content }
}

/// Numbers the kinds and sorts the entries as children stand in documents: by kind, start, end, content.
fn order<K: Ord + ?Sized, C: Ord>(entries: &mut [Entry<'_, C>], facets: &impl Fn(&C) -> Facets<'_, K>) {
    // Numbered as they are met, then by their order: each entry's kind is looked at once.
    let mut kinds: Vec<(&K, u32)> = Vec::new();
    for entry in entries.iter_mut() {
        let kind = facets(entry.content).kind;
        let at = kinds.binary_search_by(|(k, _)| (*k).cmp(kind)).unwrap_or_else(|at| {
            let met = u32::try_from(kinds.len()).expect("fewer than 2^32 kinds");
            kinds.insert(at, (kind, met));
            at
        });
        entry.kind = kinds[at].1;
    }
    let mut ranks = vec![0; kinds.len()];
    for (rank, (_, met)) in (0..).zip(&kinds) {
        ranks[*met as usize] = rank;
    }
    entries.iter_mut().for_each(|entry| entry.kind = ranks[entry.kind as usize]);
    entries.sort_unstable_by(|a, b| {
        (a.kind, a.interval).cmp(&(b.kind, b.interval)).then_with(|| a.content.cmp(b.content))
    });
}

/// Joins entries of the same content, which are neighbours: additions and removals cancel out.
fn cancel<C: Ord>(entries: &mut Vec<Entry<'_, C>>) {
    entries.dedup_by(|later, kept| {
        let same = later.kind == kept.kind && later.interval == kept.interval && later.content == kept.content;
        if same {
            kept.diff += later.diff;
        }
        same
    });
    entries.retain(|e| e.diff != 0);
}

/// Widens a span by the runs that touch it: what changes inside may join or cut them.
///
/// Outside of the span the timeline is the same before and after the epoch.
fn extend<C: Ord + Clone>(timeline: &Timeline<C>, (start, end): (i64, i64)) -> (i64, i64) {
    (run_start(timeline, start), run_end(timeline, end))
}

/// The start of the run that ends at or crosses the border before cell `start`; `start` itself if there is none.
fn run_start<C: Ord + Clone>(timeline: &Timeline<C>, start: i64) -> i64 {
    let last = start - 1;
    let Some(least) = timeline.overlapping(last.max(0), start).map(|(s, _, _)| s).max() else { return start };
    // Between `least` and `last` the set changes only where something ends. Look back in windows of growing width.
    let mut width = 1;
    loop {
        let from = last.saturating_sub(width).max(least);
        let ended = timeline.overlapping(from, last).map(|(_, e, _)| e).filter(|e| *e <= last).max();
        match ended {
            Some(ended) => return ended.max(least),
            None if from == least => return least,
            None => width = width.saturating_mul(2),
        }
    }
}

/// The end of the run that starts at or crosses the border before cell `end`; `end` itself if there is none.
fn run_end<C: Ord + Clone>(timeline: &Timeline<C>, end: i64) -> i64 {
    let Some(after) = end.checked_add(1) else { return end };
    let Some(first_end) = timeline.overlapping(end, after).map(|(_, e, _)| e).min() else { return end };
    timeline.next_start(after).map_or(first_end, |start| start.min(first_end))
}

/// The required kinds as numbers; `None` if one of them does not occur at all.
fn required<K: Ord + ?Sized, C>(
    entries: &[Entry<'_, C>],
    options: &FuseOptions<K>,
    facets: &impl Fn(&C) -> Facets<'_, K>,
) -> Option<Vec<u32>> {
    let number = |kind: &K| {
        let at = entries.partition_point(|e| facets(e.content).kind < kind);
        entries.get(at).filter(|e| facets(e.content).kind == kind).map(|e| e.kind)
    };
    options.require.iter().map(|kind| number(kind)).collect()
}

/// Forms the documents of one span.
struct Documents<'a, K: ?Sized, C> {
    entries: &'a [Entry<'a, C>],
    /// What the entries stand for; made when the first document needs it.
    pool: OnceCell<Arc<[C]>>,
    options: &'a FuseOptions<K>,
    required: Option<Vec<u32>>,
    grid: Grid,
}

/// A run under way: its cells, and the ranks of its children.
#[derive(PartialEq, Eq)]
struct Run {
    start: i64,
    end: i64,
    ranks: Vec<u32>,
}

impl<K: ?Sized, C: Clone> Documents<'_, K, C> {
    /// One document a cell. Cells that no changed entry covers are passed over.
    fn buckets(&self, start: i64, end: i64, emit: &mut impl FnMut(Emission<C>)) {
        let mut side = Vec::new();
        sweep(self.entries, start, end, |start, end, ranks| {
            if ranks.iter().all(|rank| self.diff(*rank) == 0) {
                return;
            }
            for diff in [-1, 1] {
                self.side(ranks, diff, &mut side);
                let Some(content) = self.content(&side) else { continue };
                for cell in start..end {
                    emit(self.emission(cell, cell + 1, content.clone(), diff));
                }
            }
        });
    }

    /// One document a run. Runs that are the same before and after are passed over.
    fn runs(&self, start: i64, end: i64, emit: &mut impl FnMut(Emission<C>)) {
        let (mut before, mut after) = (Vec::new(), Vec::new());
        let mut side = Vec::new();
        sweep(self.entries, start, end, |start, end, ranks| {
            for (runs, diff) in [(&mut before, -1), (&mut after, 1)] {
                self.side(ranks, diff, &mut side);
                prolong(runs, start, end, &side);
            }
        });
        let mut before = before.into_iter().peekable();
        for run in after {
            while let Some(gone) = before.next_if(|old| old.start < run.start) {
                self.emit_run(&gone, -1, emit);
            }
            match before.next_if(|old| old.start == run.start) {
                Some(same) if same == run => continue,
                Some(old) => self.emit_run(&old, -1, emit),
                None => (),
            }
            self.emit_run(&run, 1, emit);
        }
        before.for_each(|gone| self.emit_run(&gone, -1, emit));
    }

    fn emit_run(&self, run: &Run, diff: isize, emit: &mut impl FnMut(Emission<C>)) {
        if let Some(content) = self.content(&run.ranks) {
            emit(self.emission(run.start, run.end, content, diff));
        }
    }

    fn diff(&self, rank: u32) -> isize {
        self.entries[rank as usize].diff
    }

    /// The ranks that count before (`diff` -1) or after (+1) the epoch.
    fn side(&self, ranks: &[u32], diff: isize, side: &mut Vec<u32>) {
        side.clear();
        side.extend(ranks.iter().filter(|rank| self.diff(**rank) * diff >= 0));
    }

    /// The children with these ranks, if they make a document.
    fn content(&self, ranks: &[u32]) -> Option<Content<C>> {
        if !self.accepts(ranks) {
            return None;
        }
        if ranks.len() > self.options.max_children {
            return Some(Content::TooMany(ranks.len()));
        }
        let pool = self.pool.get_or_init(|| self.entries.iter().map(|entry| entry.content.clone()).collect());
        Some(Content::Children(Children::new(pool.clone(), ranks.into())))
    }

    /// Whether there are enough kinds, and all that are required. Kinds ascend with the ranks.
    fn accepts(&self, ranks: &[u32]) -> bool {
        let (Some(required), false) = (&self.required, ranks.is_empty()) else { return false };
        let mut required = required.as_slice();
        let (mut kinds, mut last) = (0, None);
        for rank in ranks {
            let kind = self.entries[*rank as usize].kind;
            if last != Some(kind) {
                (kinds, last) = (kinds + 1, Some(kind));
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

    fn emission(&self, start: i64, end: i64, content: Content<C>, diff: isize) -> Emission<C> {
        let interval = Interval::new(self.grid.start_ns(start), self.grid.start_ns(end));
        Emission { interval, content, diff }
    }
}

/// Adds a stretch to the last run if that has the same children and ends where it starts; else begins a run.
fn prolong(runs: &mut Vec<Run>, start: i64, end: i64, ranks: &[u32]) {
    match runs.last_mut() {
        Some(last) if last.end == start && last.ranks == ranks => last.end = end,
        _ if ranks.is_empty() => (),
        _ => runs.push(Run { start, end, ranks: ranks.to_vec() }),
    }
}
