//! Kernels without a dataflow: one thread, everything at once, nothing kept.

use std::collections::HashMap;

use coitrees::{COITree, Interval as Closed, IntervalTree};
use superintervals::IntervalMap;

use super::{Input, Keyed, Row, checksum};

/// Sorts both sides by key and start and runs along them.
pub fn forward_scan(input: &Input) -> (i64, u64) {
    let sorted = |side: &[Keyed]| {
        let spans = side.iter().map(|(key, (interval, id))| (*key, interval.start_ns(), interval.end_ns(), *id));
        let mut spans: Vec<(u32, i64, i64, u32)> = spans.collect();
        spans.sort_unstable_by_key(|span| (span.0, span.1));
        spans
    };
    let (left, right) = (sorted(&input.left), sorted(&input.right));
    let (mut rows, mut sum) = (0, 0_u64);
    let (mut i, mut j) = (0, 0);
    while i < left.len() && j < right.len() {
        let (l, r) = (left[i], right[j]);
        if (l.0, l.1) <= (r.0, r.1) {
            for other in right[j..].iter().take_while(|other| other.0 == l.0 && other.1 < l.2) {
                rows += 1;
                sum = sum.wrapping_add(checksum(l.3, other.3));
            }
            i += 1;
        } else {
            for other in left[i..].iter().take_while(|other| other.0 == r.0 && other.1 < r.2) {
                rows += 1;
                sum = sum.wrapping_add(checksum(other.3, r.3));
            }
            j += 1;
        }
    }
    (rows, sum)
}

/// Groups both sides by key, sorts each group and runs along it.
pub fn forward_scan_by_key(input: &Input) -> (i64, u64) {
    let grouped = |side: &[Keyed]| {
        let mut keys: hashbrown::HashMap<u32, Vec<(i64, i64, u32)>> = hashbrown::HashMap::new();
        for (key, (interval, id)) in side {
            keys.entry(*key).or_default().push((interval.start_ns(), interval.end_ns(), *id));
        }
        keys
    };
    let (left, mut right) = (grouped(&input.left), grouped(&input.right));
    let (mut rows, mut sum) = (0, 0_u64);
    for (key, mut left) in left {
        let Some(mut right) = right.remove(&key) else { continue };
        left.sort_unstable_by_key(|span| span.0);
        right.sort_unstable_by_key(|span| span.0);
        let (mut i, mut j) = (0, 0);
        while i < left.len() && j < right.len() {
            let (l, r) = (left[i], right[j]);
            if l.0 <= r.0 {
                for other in right[j..].iter().take_while(|other| other.0 < l.1) {
                    rows += 1;
                    sum = sum.wrapping_add(checksum(l.2, other.2));
                }
                i += 1;
            } else {
                for other in left[i..].iter().take_while(|other| other.0 < r.1) {
                    rows += 1;
                    sum = sum.wrapping_add(checksum(other.2, r.2));
                }
                j += 1;
            }
        }
    }
    (rows, sum)
}

fn by_key(side: &[Keyed]) -> HashMap<u32, Vec<Row>> {
    let mut keys: HashMap<u32, Vec<Row>> = HashMap::new();
    for (key, row) in side {
        keys.entry(*key).or_default().push(*row);
    }
    keys
}

/// The closed interval of 32 bits that these libraries take.
fn closed(row: &Row) -> (i32, i32) {
    let fit = |ns: i64| i32::try_from(ns).expect("the span fits 32 bits");
    (fit(row.0.start_ns()), fit(row.0.end_ns() - 1))
}

pub fn superintervals(input: &Input) -> (i64, u64) {
    let (left, right) = (by_key(&input.left), by_key(&input.right));
    let (mut rows, mut sum, mut found) = (0, 0_u64, Vec::new());
    for (key, side) in &right {
        let Some(others) = left.get(key) else { continue };
        let mut map = IntervalMap::new();
        map.reserve(side.len());
        for row in side {
            let (start, end) = closed(row);
            map.add(start, end, row.1);
        }
        map.build();
        for row in others {
            let (start, end) = closed(row);
            found.clear();
            map.search_values(start, end, &mut found);
            for other in &found {
                rows += 1;
                sum = sum.wrapping_add(checksum(row.1, *other));
            }
        }
    }
    (rows, sum)
}

pub fn coitrees(input: &Input) -> (i64, u64) {
    let (left, right) = (by_key(&input.left), by_key(&input.right));
    let (mut rows, mut sum) = (0, 0_u64);
    for (key, side) in &right {
        let Some(others) = left.get(key) else { continue };
        let closed_rows: Vec<Closed<u32>> = side
            .iter()
            .map(|row| {
                let (first, last) = closed(row);
                Closed::new(first, last, row.1)
            })
            .collect();
        let tree: COITree<u32, u32> = COITree::new(&closed_rows);
        for row in others {
            let (start, end) = closed(row);
            tree.query(start, end, |other| {
                rows += 1;
                sum = sum.wrapping_add(checksum(row.1, other.metadata.to_owned()));
            });
        }
    }
    (rows, sum)
}
