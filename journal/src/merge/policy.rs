//! Which parts to merge next.

use crate::manifest::{PartRef, State};

/// So many parts of a size are merged into one of the next.
const FAN: usize = 16;

/// [`FAN`], but for tests in which merges must be many.
fn fan() -> usize {
    fail::fail_point!("merge-soon", |_| 2);
    FAN
}

/// Inputs of one merge at most.
const MAX_INPUTS: usize = 128;
/// Everything is merged only if it is that many parts, or that many bytes beside the largest part.
const FULL_PARTS: usize = 4;
const FULL_BYTES: u64 = 16 << 20;
/// Parts up to this size are of the smallest class.
const SMALL_BYTES: u64 = 64 << 10;

/// The parts to merge next, if any.
///
/// Where versions may go (at or below the floor, or hidden and of no sink), everything is merged into one part when what
/// came since the last such merge may make up half: then the total is at most twice the live rows. What is newer is merged
/// by size, sixteen into one: each row is written once a size class, and there are few objects.
pub(crate) fn choose(state: &State) -> Option<Vec<PartRef>> {
    let stored: Vec<_> = state.parts.iter().filter(|part| !part.is_inline()).collect();
    let chosen = full(state, &stored).or_else(|| tier(&stored))?;
    Some(chosen.into_iter().cloned().collect())
}

fn full<'a>(state: &State, stored: &[&'a PartRef]) -> Option<Vec<&'a PartRef>> {
    let (floor, hidden_is_one) = (state.floor(), state.hidden_is_one());
    let settled: Vec<_> = stored.iter().copied().filter(|part| hidden_is_one || part.last <= floor).collect();
    let base = settled.iter().copied().max_by_key(|part| part.bytes)?;
    let others = || settled.iter().filter(|part| !std::ptr::eq(**part, base));
    let bytes: u64 = others().map(|part| part.bytes).sum();
    let removals: u64 = others().map(|part| part.removals).sum();
    // A removal makes a row of the base garbage, besides itself.
    let garbage = removals.saturating_mul(base.bytes / base.rows.max(1)).saturating_mul(2);
    let due = bytes.saturating_add(garbage) > base.bytes;
    let worth = settled.len() >= FULL_PARTS || (settled.len() >= 2 && bytes >= FULL_BYTES);
    (due && worth && settled.len() <= MAX_INPUTS).then_some(settled)
}

fn tier<'a>(stored: &[&'a PartRef]) -> Option<Vec<&'a PartRef>> {
    let class = |part: &PartRef| (part.bytes / SMALL_BYTES).checked_ilog(FAN as u64).map_or(0, |log| log + 1);
    let fan = fan();
    let full = |run: &&[&PartRef], limit| run.iter().filter(|part| class(part) == limit).count() >= fan;
    (0..=u64::BITS / FAN.ilog2()).find_map(|limit| {
        // What is smaller and lies between comes along.
        let mut runs = stored.split(|part| class(part) > limit);
        runs.find(|run| full(run, limit)).map(|run| run[..run.len().min(MAX_INPUTS)].to_vec())
    })
}
