//! What fusion can not be faster than: one sort and one sweep over annotations that are all there, without a dataflow.

use std::sync::Arc;
use std::time::{Duration, Instant};

use flowstone_operators::fuse::Moment;
use flowstone_operators::interval::{Grid, Interval};

use super::history::Annotation;
use super::settings::{Form, FusionSettings};

/// What a sweep found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Swept {
    pub documents: u64,
    pub children: u64,
    pub took: Duration,
}

/// An annotation in the cells that it covers.
#[derive(Clone, Copy)]
struct Entry<'a> {
    kind: u8,
    interval: Interval,
    id: u64,
    start: i64,
    end: i64,
    content: &'a Arc<Annotation>,
}

/// Forms every document with its child list, one after the other, on this thread.
///
/// The same lists as fusion forms: ordered, shared by consecutive buckets with the same children.
pub(super) fn sweep(annotations: &[(u32, Arc<Annotation>)], settings: &FusionSettings) -> Swept {
    let began = Instant::now();
    let width_ns = if settings.emit == Form::Segments { 1 } else { settings.bucket.nanos() };
    let grid = Grid::new(width_ns);
    let mut order: Vec<&(u32, Arc<Annotation>)> = annotations.iter().collect();
    order.sort_unstable_by_key(|(asset, _)| *asset);
    let (mut documents, mut children) = (0, 0);
    for of_asset in order.chunk_by(|a, b| a.0 == b.0) {
        let asset = of_asset[0].0;
        sweep_asset(&entries(of_asset, grid), settings.min_modalities, |start, end, list| {
            // Buckets are documents of their own, runs and segments are whole stretches.
            let step = if settings.emit == Form::Buckets { 1 } else { end - start };
            for cell in (start..end).step_by(step as usize) {
                let interval = Interval::new(grid.start_ns(cell), grid.start_ns(cell + step));
                let moment = Moment { key: asset, interval, children: list.clone() };
                documents += 1;
                children += std::hint::black_box(moment).children.len() as u64;
            }
        });
    }
    Swept { documents, children, took: began.elapsed() }
}

/// The annotations of an asset in the order of children, by what is copied here: following a pointer for each comparison
/// would be most of the time.
fn entries<'a>(annotations: &[&'a (u32, Arc<Annotation>)], grid: Grid) -> Vec<Entry<'a>> {
    let entry = |(_, content): &&'a (u32, Arc<Annotation>)| {
        let (start, end) = grid.cover(&content.interval);
        Entry { kind: content.kind, interval: content.interval, id: content.id, start, end, content }
    };
    let mut entries: Vec<Entry<'a>> = annotations.iter().map(entry).collect();
    entries.sort_unstable_by_key(|entry| (entry.kind, entry.interval, entry.id));
    entries
}

/// Calls `form(start, end, children)` for each stretch of cells with the same children of enough types.
///
/// `entries` are in the order of children; their places in it are their ranks.
fn sweep_asset(entries: &[Entry<'_>], min_kinds: usize, mut form: impl FnMut(i64, i64, &Arc<[Arc<Annotation>]>)) {
    let mut starting: Vec<usize> = (0..entries.len()).collect();
    starting.sort_unstable_by_key(|rank| entries[*rank].start);
    let mut starting = starting.into_iter().peekable();
    let mut active: Vec<usize> = Vec::new();
    while let Some(first) = starting.peek() {
        // Nothing is active: jump over the gap.
        let mut at = entries[*first].start;
        loop {
            active.retain(|rank| entries[*rank].end > at);
            while let Some(rank) = starting.next_if(|rank| entries[*rank].start <= at) {
                active.insert(active.partition_point(|other| *other < rank), rank);
            }
            let Some(first_end) = active.iter().map(|rank| entries[*rank].end).min() else { break };
            let next = starting.peek().map_or(first_end, |rank| entries[*rank].start.min(first_end));
            if kinds(&active, entries) >= min_kinds {
                form(at, next, &active.iter().map(|rank| entries[*rank].content.clone()).collect());
            }
            at = next;
        }
    }
}

/// How many types there are: ranks are ordered by type first.
fn kinds(active: &[usize], entries: &[Entry<'_>]) -> usize {
    active.chunk_by(|a, b| entries[*a].kind == entries[*b].kind).count()
}
