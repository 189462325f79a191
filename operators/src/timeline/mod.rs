//! What is there in the time of one key, indexed: the state of operators on intervals.

mod index;

use std::collections::BTreeMap;

pub(crate) use index::{Cursor, Index, Op, Place, Spanned};

/// Annotations by duration class (power of two of their length in grid cells), each class ordered by start.
///
/// Why classes: an index by start alone must look back as far as the longest annotation reaches; a class looks back less
/// than twice the least length in it, and there are at most 63 classes. Nothing is stored per bucket, so an annotation of
/// one hour costs one entry, and one among short ones does not make their look-ups slower.
#[derive(Debug)]
pub(crate) struct Timeline<C> {
    classes: Vec<Class<C>>,
    /// What was loaded at the start and never needed since; [`Timeline::settle`] puts it into its classes.
    ///
    /// Most assets of an archive are not touched by a run: to load them costs a pointer an annotation.
    loaded: Vec<C>,
}

#[derive(Debug)]
struct Class<C> {
    /// All lengths in the class are in `[2^exponent, 2^(exponent + 1))`.
    exponent: u32,
    /// `(start, content)` to end, in grid cells. The content is always there: `None` is only the bound before all of a start.
    entries: BTreeMap<Entry<C>, i64>,
}

type Entry<C> = (i64, Option<C>);

fn exponent(start: i64, end: i64) -> u32 {
    (end - start).ilog2()
}

impl<C> Default for Timeline<C> {
    fn default() -> Self {
        Timeline { classes: Vec::new(), loaded: Vec::new() }
    }
}

impl<C: Ord + Clone> Timeline<C> {
    pub(crate) fn is_empty(&self) -> bool {
        self.classes.is_empty() && self.loaded.is_empty()
    }

    /// Takes in an annotation that is not asked for yet.
    pub(crate) fn load(&mut self, content: C) {
        self.loaded.push(content);
    }

    /// Puts what was loaded where it can be found; `cover` gives the cells of an annotation.
    pub(crate) fn settle(&mut self, cover: impl Fn(&C) -> (i64, i64)) {
        let loaded = std::mem::take(&mut self.loaded);
        if !loaded.is_empty() {
            self.insert(loaded.into_iter().map(|content| {
                let (start, end) = cover(&content);
                (start, end, content)
            }));
        }
    }

    /// Adds annotations `(start, end, content)` over the cells `[start, end)`. What is there already stays.
    ///
    /// Into an empty timeline: O(n log n), by one sort a class. Else O(log n) each.
    pub(crate) fn insert(&mut self, added: impl Iterator<Item = (i64, i64, C)>) {
        if !self.is_empty() {
            for (start, end, content) in added {
                self.class(exponent(start, end)).insert((start, Some(content)), end);
            }
            return;
        }
        let mut by_class: Vec<Vec<(Entry<C>, i64)>> = Vec::new();
        for (start, end, content) in added {
            let exponent = exponent(start, end) as usize;
            if by_class.len() <= exponent {
                by_class.resize_with(exponent + 1, Vec::new);
            }
            by_class[exponent].push(((start, Some(content)), end));
        }
        let classes = (0..).zip(by_class).filter(|(_, entries)| !entries.is_empty());
        self.classes =
            classes.map(|(exponent, entries)| Class { exponent, entries: entries.into_iter().collect() }).collect();
    }

    fn class(&mut self, exponent: u32) -> &mut BTreeMap<Entry<C>, i64> {
        let at = self.classes.binary_search_by_key(&exponent, |c| c.exponent).unwrap_or_else(|at| {
            self.classes.insert(at, Class { exponent, entries: BTreeMap::new() });
            at
        });
        &mut self.classes[at].entries
    }

    /// Removes an annotation; says whether it was there.
    pub(crate) fn remove(&mut self, start: i64, end: i64, content: &C) -> bool {
        let Ok(at) = self.classes.binary_search_by_key(&exponent(start, end), |c| c.exponent) else { return false };
        let removed = self.classes[at].entries.remove(&(start, Some(content.clone()))).is_some();
        if self.classes[at].entries.is_empty() {
            self.classes.remove(at);
        }
        removed
    }

    /// Everything that overlaps the cells `[start, end)`: `(start, end, content)`, each once, in no useful order.
    ///
    /// O(classes · log n + looked at), where at most about twice as many are looked at as overlap or nearly do.
    pub(crate) fn overlapping(&self, start: i64, end: i64) -> impl Iterator<Item = (i64, i64, &C)> {
        self.classes.iter().flat_map(move |class| {
            class
                .after(start.saturating_sub(class.reach()))
                .take_while(move |((s, _), _)| *s < end)
                .filter(move |(_, e)| **e > start)
                .filter_map(|((s, content), e)| Some((*s, *e, content.as_ref()?)))
        })
    }

    /// The least start at or after cell `from`.
    pub(crate) fn next_start(&self, from: i64) -> Option<i64> {
        self.classes.iter().filter_map(|class| class.after(from).next().map(|((s, _), _)| *s)).min()
    }
}

impl<C: Ord> Class<C> {
    /// The greatest length in the class: how far before a cell something may start that covers it.
    fn reach(&self) -> i64 {
        // In u64: the greatest class reaches to 2^63 - 1.
        i64::try_from((2u64 << self.exponent) - 1).expect("lengths have 63 bits")
    }

    /// The entries that start at `from` or later, in order.
    fn after(&self, from: i64) -> impl Iterator<Item = (&Entry<C>, &i64)> {
        self.entries.range((from, None)..)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn overlapping(timeline: &Timeline<u32>, start: i64, end: i64) -> Vec<u32> {
        let mut found: Vec<u32> = timeline.overlapping(start, end).map(|(_, _, c)| *c).collect();
        found.sort_unstable();
        found
    }

    #[test]
    fn overlaps_are_found_whatever_the_lengths() {
        let mut timeline = Timeline::default();
        let all = [(0, 1, 1), (0, 3600, 2), (5, 7, 3), (6, 10, 4), (3599, 3600, 5), (0, i64::MAX, 6)];
        timeline.insert(all.into_iter());
        for (start, end) in
            [(0, 1), (i64::MAX - 9, i64::MAX), (1, 5), (6, 7), (7, 3599), (3599, 3601), (3600, i64::MAX)]
        {
            let expected: Vec<u32> = all.iter().filter(|a| a.0 < end && a.1 > start).map(|a| a.2).collect();
            assert_eq!(overlapping(&timeline, start, end), expected, "[{start}, {end})");
        }
        assert_eq!(timeline.next_start(1), Some(5));
        assert_eq!(timeline.next_start(3600), None);
    }

    #[test]
    fn a_long_annotation_costs_one_entry_and_slows_no_look_up() {
        // 1,200 short ones over an hour, in cells of one second, and one that covers the whole hour.
        let mut timeline = Timeline::default();
        timeline.insert((0..1200).map(|n| (n * 3, n * 3 + 3, n as u32)));
        timeline.insert([(0, 3600, 9999)].into_iter());
        let entries: usize = timeline.classes.iter().map(|class| class.entries.len()).sum();
        assert_eq!(entries, 1201);
        let looked_at: usize = timeline
            .classes
            .iter()
            .map(|c| c.after(1800 - c.reach()).take_while(|((s, _), _)| *s < 1803).count())
            .sum();
        assert_eq!(overlapping(&timeline, 1800, 1803), [600, 9999]);
        assert!(looked_at <= 4, "looked at {looked_at}");
    }

    #[test]
    fn what_was_loaded_is_found_once_it_is_settled() {
        let mut timeline = Timeline::default();
        timeline.load(1);
        timeline.load(2);
        assert!(!timeline.is_empty());
        timeline.settle(|content| (i64::from(*content), i64::from(*content) + 2));
        assert_eq!(overlapping(&timeline, 1, 3), [1, 2]);
        assert!(timeline.remove(1, 3, &1) && timeline.remove(2, 4, &2));
        assert!(timeline.is_empty());
    }

    #[test]
    fn removal_leaves_nothing() {
        let mut timeline = Timeline::default();
        timeline.insert([(2, 8, 1)].into_iter());
        timeline.insert([(4, 9, 2), (2, 8, 1)].into_iter());
        assert!(timeline.remove(2, 8, &1));
        assert!(!timeline.remove(2, 8, &1));
        assert_eq!(overlapping(&timeline, 0, 100), [2]);
        assert!(timeline.remove(4, 9, &2));
        assert!(timeline.is_empty());
    }
}
