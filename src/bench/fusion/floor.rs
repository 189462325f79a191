//! What fusion can not be faster than: one sort and one sweep over annotations that are all there, without a dataflow.

use std::sync::Arc;
use std::time::Instant;

use flowstone_operators::interval::{Grid, Interval};

use super::{Form, FusionSettings};
use crate::bench::history::Annotation;
use crate::bench::report::Swept;
use crate::bench::timing::Counts;

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
/// The same lists as fusion forms: places in what the asset has, ordered, shared by consecutive buckets with the same children.
pub(in crate::bench) fn sweep(annotations: &[(u32, Arc<Annotation>)], settings: &FusionSettings) -> Swept {
    let began = Instant::now();
    let grid = settings.grid();
    let mut order: Vec<&(u32, Arc<Annotation>)> = annotations.iter().collect();
    order.sort_unstable_by_key(|(asset, _)| *asset);
    let mut counts = Counts::default();
    for of_asset in order.chunk_by(|a, b| a.0 == b.0) {
        let asset = of_asset[0].0;
        let entries = entries(of_asset, grid);
        let pool: Arc<[Arc<Annotation>]> = entries.iter().map(|entry| entry.content.clone()).collect();
        sweep_asset(&entries, settings.min_modalities, |start, end, places| {
            // Buckets are documents of their own, runs and segments are whole stretches.
            let step = if settings.emit == Form::Buckets { 1 } else { end - start };
            for cell in (start..end).step_by(step as usize) {
                let interval = Interval::new(grid.start_ns(cell), grid.start_ns(cell + step));
                let document = std::hint::black_box((asset, interval, pool.clone(), places.clone()));
                counts.add(document.3.len() as i64, 1);
            }
        });
    }
    Swept { counts, took: began.elapsed() }
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

/// Calls `form(start, end, places)` for each stretch of cells with the same children of enough types.
///
/// `entries` are in the order of children; their places in it are those of the children.
fn sweep_asset(entries: &[Entry<'_>], min_kinds: usize, mut form: impl FnMut(i64, i64, &Arc<[u32]>)) {
    let mut starting: Vec<u32> = (0..).take(entries.len()).collect();
    starting.sort_unstable_by_key(|place| entries[*place as usize].start);
    let mut starting = starting.into_iter().peekable();
    let mut active: Vec<u32> = Vec::new();
    while let Some(first) = starting.peek() {
        // Nothing is active: jump over the gap.
        let mut at = entries[*first as usize].start;
        loop {
            active.retain(|place| entries[*place as usize].end > at);
            while let Some(place) = starting.next_if(|place| entries[*place as usize].start <= at) {
                active.insert(active.partition_point(|other| *other < place), place);
            }
            let Some(first_end) = active.iter().map(|place| entries[*place as usize].end).min() else { break };
            let next = starting.peek().map_or(first_end, |place| entries[*place as usize].start.min(first_end));
            if kinds(&active, entries) >= min_kinds {
                form(at, next, &active.as_slice().into());
            }
            at = next;
        }
    }
}

/// How many types there are: children are ordered by type first.
fn kinds(active: &[u32], entries: &[Entry<'_>]) -> usize {
    active.chunk_by(|a, b| entries[*a as usize].kind == entries[*b as usize].kind).count()
}
