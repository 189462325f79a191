//! One epoch of one asset: from changes of annotations to changes of documents.

use std::cmp::Ordering;

use super::documents::{Documents, Emission, Room};
use super::options::{Emit, FuseOptions};
use super::sweep::{Entry, coalesce};
use crate::interval::{Grid, Interval};
use crate::timeline::Timeline;

/// Reads what fusion must know of an annotation.
///
/// Apart from each other, because annotations lie anywhere in memory: a loop that reads one thing alone of many has many
/// on their way at once.
pub(super) struct Facets<I, T> {
    /// Its range.
    pub interval: I,
    /// Its type (modality).
    pub kind: T,
}

/// What an epoch does with the annotations of a key. Apart from each other, so that one takes the space of a pointer.
pub(super) struct Changes<C> {
    added: Vec<C>,
    removed: Vec<C>,
}

impl<C> Default for Changes<C> {
    fn default() -> Self {
        Changes { added: Vec::new(), removed: Vec::new() }
    }
}

impl<C: Clone> Changes<C> {
    /// Takes a change in.
    pub(super) fn push(&mut self, content: C, diff: isize) {
        let side = if diff > 0 { &mut self.added } else { &mut self.removed };
        (1..diff.unsigned_abs()).for_each(|_| side.push(content.clone()));
        if diff != 0 {
            side.push(content);
        }
    }

    fn iter(&self) -> impl Iterator<Item = (&C, i32)> {
        self.added.iter().map(|content| (content, 1)).chain(self.removed.iter().map(|content| (content, -1)))
    }
}

/// Applies `changes` to the timeline and emits the documents that change, those of earlier times first.
///
/// Only the spans that changed annotations cover are swept; for runs, these and the runs that touch them. What is added
/// is kept in the timeline only if `more` changes may follow.
pub(super) fn update<K: Ord + ?Sized, C: Ord + Clone>(
    timeline: &mut Timeline<C>,
    changes: &Changes<C>,
    more: bool,
    options: &FuseOptions<K>,
    facets: &Facets<impl Fn(&C) -> Interval, impl Fn(&C) -> &K>,
    room: &mut Room,
    emit: &mut impl FnMut(Emission<C>),
) {
    let grid = options.emit.grid();
    timeline.settle(&facets.interval);
    let net = net(timeline, changes, facets, grid);
    let mut kept = Vec::new();
    if !timeline.is_empty() {
        spans(timeline, &net, options).iter().for_each(|span| add_kept(timeline, *span, grid, &mut kept));
    }
    let entries = if kept.is_empty() {
        &net
    } else {
        kept.extend_from_slice(&net);
        order(&mut kept, &facets.kind);
        &kept
    };
    let required = required(entries, options, &facets.kind);
    Documents::emit(entries, required.as_deref(), options, room, emit);
    if more {
        timeline.insert(net.iter().filter(|e| e.diff > 0).map(|e| (e.interval, e.content)).collect());
    }
}

/// What the changes come to, ordered as children are. What goes is taken out of the timeline.
fn net<'a, K: Ord + ?Sized, C: Ord + Clone>(
    timeline: &mut Timeline<C>,
    changes: &'a Changes<C>,
    facets: &Facets<impl Fn(&C) -> Interval, impl Fn(&C) -> &K>,
    grid: Grid,
) -> Vec<Entry<'a, C>> {
    let mut net: Vec<_> = changes.iter().map(|(c, diff)| entry(c, diff, (facets.interval)(c), grid)).collect();
    order(&mut net, &facets.kind);
    cancel(&mut net);
    let gone = net.iter().enumerate().filter(|(_, e)| e.diff < 0).map(|(at, e)| (e.interval, e.content, at));
    let missing = timeline.remove(gone.collect());
    if !missing.is_empty() {
        missing.into_iter().for_each(|at| net[at].diff = 0);
        net.retain(|e| e.diff != 0);
    }
    net
}

/// The spans of the changes: cells in which there may be other documents than before.
fn spans<K: Ord + ?Sized, C: Ord + Clone>(
    timeline: &Timeline<C>,
    net: &[Entry<'_, C>],
    options: &FuseOptions<K>,
) -> Vec<(i64, i64)> {
    let mut spans: Vec<(i64, i64)> = net.iter().map(|e| (e.start, e.end)).collect();
    coalesce(&mut spans);
    if !matches!(options.emit, Emit::Buckets(_)) {
        spans.iter_mut().for_each(|span| *span = extend(timeline, options.emit.grid(), *span));
        coalesce(&mut spans);
    }
    spans
}

/// Adds what stays as it is in a span. Cut to the span, so that one sweep goes over all spans of a key, and over nothing
/// between them; what reaches into two of them is there twice.
fn add_kept<'a, C: Ord + Clone>(
    timeline: &'a Timeline<C>,
    (start, end): (i64, i64),
    grid: Grid,
    entries: &mut Vec<Entry<'a, C>>,
) {
    timeline.overlapping(grid.start_ns(start), grid.start_ns(end)).for_each(|(start_ns, end_ns, content)| {
        let whole = entry(content, 0, Interval::new(start_ns, end_ns), grid);
        entries.push(Entry { start: whole.start.max(start), end: whole.end.min(end), ..whole });
    });
}

fn entry<C>(content: &C, diff: i32, interval: Interval, grid: Grid) -> Entry<'_, C> {
    let (start, end) = grid.cover(&interval);
    Entry { start, end, kind: 0, diff, interval, content }
}

/// So many entries at the end of those that are in order are put into their places one by one.
const FEW: usize = 8;

/// Numbers the kinds and sorts the entries as children stand in documents: by kind, start, end, content.
///
/// What a timeline shows is in this order within each kind, but for ties: it costs O(n), and O(n) for each of a few entries
/// after that.
fn order<K: Ord + ?Sized, C: Ord>(entries: &mut Vec<Entry<'_, C>>, kind: &impl Fn(&C) -> &K) {
    let kinds = number_kinds(entries, kind);
    // What is compared is all that is moved. Contents, which lie elsewhere, are looked at only if the rest is the same.
    let mut order: Vec<(Interval, u32)> = vec![(Interval::new(0, 1), 0); entries.len()];
    let mut counts = vec![0; kinds];
    entries.iter().for_each(|entry| counts[entry.kind as usize] += 1);
    let firsts = counts.iter().scan(0, |sum, count| Some(std::mem::replace(sum, *sum + count)));
    let mut next: Vec<usize> = firsts.collect();
    for (at, entry) in (0..).zip(entries.iter()) {
        let next = &mut next[entry.kind as usize];
        order[*next] = (entry.interval, at);
        *next += 1;
    }
    let by = |(interval, at): &(Interval, u32), (other, other_at): &(Interval, u32)| {
        interval.cmp(other).then_with(|| entries[*at as usize].content.cmp(entries[*other_at as usize].content))
    };
    let mut rest = &mut order[..];
    for count in counts {
        let (of_kind, later) = rest.split_at_mut(count);
        sort(of_kind, by);
        rest = later;
    }
    *entries = order.iter().map(|(_, at)| entries[*at as usize]).collect();
}

/// Sorts what may be sorted but for a few at its end.
fn sort<T: Copy>(all: &mut [T], by: impl Fn(&T, &T) -> Ordering) {
    let sorted = 1 + all.windows(2).take_while(|pair| by(&pair[0], &pair[1]).is_le()).count();
    if all.len() > sorted + FEW {
        return all.sort_unstable_by(by);
    }
    for at in sorted..all.len() {
        let place = all[..at].partition_point(|other| by(other, &all[at]).is_le());
        all[place..=at].rotate_right(1);
    }
}

/// Numbers kinds as they are met, then by their order: each entry's kind is looked at once. Returns how many there are.
fn number_kinds<K: Ord + ?Sized, C>(entries: &mut [Entry<'_, C>], kind: &impl Fn(&C) -> &K) -> usize {
    let mut kinds: Vec<(&K, u32)> = Vec::new();
    for entry in entries.iter_mut() {
        let kind = kind(entry.content);
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
    kinds.len()
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
fn extend<C: Ord + Clone>(timeline: &Timeline<C>, grid: Grid, (start, end): (i64, i64)) -> (i64, i64) {
    let cells = Cells { timeline, grid };
    (cells.run_start(start), cells.run_end(end))
}

/// A timeline, in cells of a grid.
struct Cells<'a, C> {
    timeline: &'a Timeline<C>,
    grid: Grid,
}

impl<C: Ord + Clone> Cells<'_, C> {
    /// The cells of what overlaps some of `[start, end)`.
    fn overlapping(&self, start: i64, end: i64) -> impl Iterator<Item = (i64, i64)> {
        let found = self.timeline.overlapping(self.grid.start_ns(start), self.grid.start_ns(end));
        found.map(|(start_ns, end_ns, _)| self.grid.cover(&Interval::new(start_ns, end_ns)))
    }

    /// The least first cell at or after cell `from`.
    fn next_start(&self, from: i64) -> Option<i64> {
        self.timeline.next_start(self.grid.start_ns(from)).map(|start_ns| start_ns / self.grid.width_ns())
    }

    /// The start of the run that ends at or crosses the border before cell `start`; `start` itself if there is none.
    fn run_start(&self, start: i64) -> i64 {
        let last = start - 1;
        let Some(least) = self.overlapping(last.max(0), start).map(|(s, _)| s).max() else { return start };
        // Between `least` and `last` the set changes only where something ends. Look back in windows of growing width.
        let mut width = 1;
        loop {
            let from = last.saturating_sub(width).max(least);
            let ended = self.overlapping(from, last).map(|(_, e)| e).filter(|e| *e <= last).max();
            match ended {
                Some(ended) => return ended.max(least),
                None if from == least => return least,
                None => width = width.saturating_mul(2),
            }
        }
    }

    /// The end of the run that starts at or crosses the border before cell `end`; `end` itself if there is none.
    fn run_end(&self, end: i64) -> i64 {
        let Some(after) = end.checked_add(1) else { return end };
        let Some(first_end) = self.overlapping(end, after).map(|(_, e)| e).min() else { return end };
        self.next_start(after).map_or(first_end, |start| start.min(first_end))
    }
}

/// The required kinds as numbers; `None` if one of them does not occur at all.
fn required<K: Ord + ?Sized, C>(
    entries: &[Entry<'_, C>],
    options: &FuseOptions<K>,
    kind: &impl Fn(&C) -> &K,
) -> Option<Vec<u32>> {
    let number = |required: &K| {
        let at = entries.partition_point(|e| kind(e.content) < required);
        entries.get(at).filter(|e| kind(e.content) == required).map(|e| e.kind)
    };
    options.require.iter().map(|required| number(required)).collect()
}
