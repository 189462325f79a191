//! Made-up annotations, and what happens to them, epoch by epoch.

use std::ops::Range;
use std::sync::Arc;

use flowstone_operators::interval::Interval;
use serde::{Deserialize, Serialize};

use super::settings::Workload;
use crate::generate::draw::{Draw, Shares, Stream};

/// What fusion needs of an annotation. Shared, as rows of pipelines are: children of documents point to it.
///
/// The order of the fields is that of children.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Annotation {
    pub kind: u8,
    pub interval: Interval,
    /// The line that brought it.
    pub id: u64,
}

/// An annotation of an asset that comes (+1) or goes (-1).
#[derive(Clone, Debug)]
pub(super) struct Change {
    pub asset: u32,
    pub annotation: Arc<Annotation>,
    pub diff: isize,
}

/// The changes of one epoch, by their places, and the lines that they are made from: a correction is two changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Epoch {
    pub lines: u64,
    pub changes: Range<usize>,
}

/// Everything that happens.
pub(super) struct History {
    pub changes: Vec<Change>,
    pub epochs: Vec<Epoch>,
    /// What is there in the end.
    pub left: Vec<(u32, Arc<Annotation>)>,
}

impl History {
    /// Makes it up. The settings must have been checked.
    pub(super) fn new(settings: &Workload) -> Self {
        let mut maker = Maker::new(settings);
        let mut epochs = Vec::new();
        let mut done = 0;
        while done < settings.annotations {
            let left = settings.annotations - done;
            let is_bulk = done == 0 && settings.bulk > 0;
            let lines = if is_bulk { settings.bulk } else { settings.batch.map_or(left, |batch| batch.min(left)) };
            let first = maker.changes.len();
            (0..lines).for_each(|_| maker.line(is_bulk));
            epochs.push(Epoch { lines, changes: first..maker.changes.len() });
            done += lines;
        }
        History { changes: maker.changes, epochs, left: maker.living }
    }

    /// What it holds in memory, about: its lists, and a block for each annotation, whose size allocators round up.
    pub(super) fn bytes(&self) -> u64 {
        const COUNTS: usize = 2 * size_of::<usize>();
        let block = (COUNTS + size_of::<Annotation>()).next_multiple_of(16);
        let annotations = self.changes.iter().filter(|change| change.diff > 0).count();
        let lists =
            self.changes.capacity() * size_of::<Change>() + self.left.capacity() * size_of::<(u32, Arc<Annotation>)>();
        (lists + annotations * block) as u64
    }
}

struct Maker<'a> {
    settings: &'a Workload,
    draw: Draw,
    shares: Option<Shares>,
    /// The starts of new annotations in the order in which they come, if they have one.
    starts: std::vec::IntoIter<i64>,
    lines: u64,
    living: Vec<(u32, Arc<Annotation>)>,
    changes: Vec<Change>,
}

impl<'a> Maker<'a> {
    fn new(settings: &'a Workload) -> Self {
        let mut draw = Draw::new(settings.seed, Stream::Uniform);
        let starts = if settings.disorder < 1.0 { ordered_starts(settings, &mut draw) } else { Vec::new() };
        let shares = (settings.skew > 0.0).then(|| Shares::zipf(settings.assets.into(), settings.skew));
        // As large as they will be: what growing lists leave behind would be taken for state.
        let later = settings.annotations - settings.bulk;
        let most = settings.annotations + (later as f64 * settings.corrections * 1.1) as u64;
        let (changes, living) = (Vec::with_capacity(most as usize), Vec::with_capacity(settings.annotations as usize));
        Maker { settings, draw, shares, starts: starts.into_iter(), lines: 0, living, changes }
    }

    /// One line: a new annotation, or what happens to one that is there.
    fn line(&mut self, only_new: bool) {
        let what = self.draw.unit();
        let Workload { corrections, deletions, .. } = *self.settings;
        if only_new || self.living.is_empty() || what >= corrections + deletions {
            self.add();
        } else if what < deletions {
            let at = self.draw.index(self.living.len());
            let (asset, annotation) = self.living.swap_remove(at);
            self.changes.push(Change { asset, annotation, diff: -1 });
        } else {
            self.correct();
        }
        self.lines += 1;
    }

    fn add(&mut self) {
        let asset = match &self.shares {
            Some(shares) => shares.draw(&mut self.draw) as u32,
            None => self.draw.index(self.settings.assets as usize) as u32,
        };
        let start_ns = match self.starts.next() {
            Some(start_ns) => start_ns,
            None => self.draw.below_ns(self.settings.span.nanos()),
        };
        let kind = self.draw.index(self.settings.modalities.into()) as u8;
        let annotation = self.annotation(kind, start_ns);
        self.living.push((asset, annotation.clone()));
        self.changes.push(Change { asset, annotation, diff: 1 });
    }

    /// Moves an annotation by up to its mean length, and gives it another end.
    fn correct(&mut self) {
        let at = self.draw.index(self.living.len());
        let (asset, before) = self.living[at].clone();
        let mean_ns = self.settings.mean_length.nanos();
        let moved_ns = self.draw.below_ns(2 * mean_ns) - mean_ns;
        let start_ns = before.interval.start_ns().saturating_add(moved_ns).max(0);
        let after = self.annotation(before.kind, start_ns);
        self.living[at].1 = after.clone();
        self.changes.push(Change { asset, annotation: before, diff: -1 });
        self.changes.push(Change { asset, annotation: after, diff: 1 });
    }

    fn annotation(&mut self, kind: u8, start_ns: i64) -> Arc<Annotation> {
        let length_ns = 1 + self.draw.below_ns(2 * self.settings.mean_length.nanos());
        let interval = Interval::new(start_ns, start_ns + length_ns);
        Arc::new(Annotation { kind, interval, id: self.lines })
    }
}

/// Starts in the order in which they come: each up to a share of the span later than its place.
fn ordered_starts(settings: &Workload, draw: &mut Draw) -> Vec<i64> {
    let span_ns = settings.span.nanos();
    let late_ns = (span_ns as f64 * settings.disorder) as i64;
    let mut starts: Vec<(i64, i64)> = (0..settings.annotations)
        .map(|_| {
            let start_ns = draw.below_ns(span_ns);
            (start_ns + draw.below_ns(late_ns + 1), start_ns)
        })
        .collect();
    starts.sort_unstable();
    starts.into_iter().map(|(_, start_ns)| start_ns).collect()
}
