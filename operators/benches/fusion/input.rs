//! Made-up annotations and what happens to them.

use flowstone_operators::interval::Interval;
use serde::{Deserialize, Serialize};

use super::common::{Args, Random};

/// A second, which is also the width of a bucket.
pub const SECOND_NS: i64 = 1_000_000_000;

/// What there is to be fused.
#[derive(Clone, Debug)]
pub struct Settings {
    pub annotations: u64,
    pub assets: u64,
    pub types: u64,
    pub span_s: u64,
    pub updates: u64,
    pub batch: u64,
    /// As many epochs of so few updates follow, for the time of a small one.
    pub small_batch: u64,
    pub small_epochs: u64,
    /// Shares of the updates; the rest are new annotations.
    pub corrections: f64,
    pub deletions: f64,
    pub seed: u64,
}

impl Settings {
    /// Small ones with the density of the full ones, or those of `--full`; each may be set.
    pub fn of(args: &Args) -> Self {
        let full = args.flag("--full");
        let number = |name, small, large| args.number(name, if full { large } else { small });
        let percent = |name, default| args.number(name, default) as f64 / 100.0;
        Settings {
            annotations: number("--annotations", 50_000, 1_000_000),
            assets: number("--assets", 20, 200).max(1),
            types: args.number("--types", 4).clamp(1, 16),
            span_s: number("--span", 3_600, 7_200).max(1),
            updates: number("--updates", 10_000, 100_000),
            batch: args.number("--batch", 1_000).max(1),
            small_batch: args.number("--small-batch", 100).max(1),
            small_epochs: args.number("--small-epochs", 200),
            corrections: percent("--corrections", 30),
            deletions: percent("--deletions", 10),
            seed: args.number("--seed", 1),
        }
    }
}

/// An annotation as fusion takes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Annotation {
    pub kind: u8,
    pub interval: Interval,
    pub child: Child,
}

/// The type in the upper bits, and in the lower ones a number in the order of start and end: as numbers, children are in the
/// order in which they stand in documents. So the kernels that are not ours carry four bytes for a child, and compare them at
/// once; nothing smaller would do.
pub type Child = u32;

const TYPE_BITS: u32 = 28;

/// Whether children, in their order, are of two types.
pub fn are_of_two_types(first: Child, last: Child) -> bool {
    (first ^ last) >> TYPE_BITS != 0
}

/// A child that has this place among all of them; of an annotation of this type.
pub fn placed(kind: u8, place: u32) -> Child {
    u32::from(kind) << TYPE_BITS | place
}

/// The place of a child.
pub fn place(child: Child) -> usize {
    (child & ((1 << TYPE_BITS) - 1)) as usize
}

/// The buckets that an interval covers.
pub fn buckets(interval: &Interval) -> (u32, u32) {
    let bucket = |ns: i64| u32::try_from(ns / SECOND_NS).expect("the span has fewer than 2^32 seconds");
    (bucket(interval.start_ns()), bucket(interval.end_ns() - 1) + 1)
}

/// A part of the history: its epochs one after the other, each up to a place in the changes; and what is there afterwards.
pub struct Phase {
    pub title: String,
    pub epochs: Vec<usize>,
    pub living: Vec<u32>,
}

/// Everything that happens.
pub struct History {
    /// Every version of every annotation, with its asset.
    pub rows: Vec<(u32, Annotation)>,
    /// Versions that come (+1) and go (-1).
    pub changes: Vec<(u32, isize)>,
    pub phases: Vec<Phase>,
}

impl History {
    pub fn new(settings: &Settings, mean_s: u64) -> Self {
        let mut maker = Maker::new(settings, mean_s);
        (0..settings.annotations).for_each(|_| maker.add());
        let mut phases =
            vec![Phase { title: "bulk".to_owned(), epochs: vec![maker.changes.len()], living: maker.living.clone() }];
        let small = settings.small_batch * settings.small_epochs;
        for (updates, batch) in [(settings.updates, settings.batch), (small, settings.small_batch)] {
            let mut epochs = Vec::new();
            for update in 1..=updates {
                maker.update();
                if update % batch == 0 || update == updates {
                    epochs.push(maker.changes.len());
                }
            }
            if !epochs.is_empty() {
                let title = format!("then {updates} updates in epochs of {batch}");
                phases.push(Phase { title, epochs, living: maker.living.clone() });
            }
        }
        number(&mut maker.rows);
        History { rows: maker.rows, changes: maker.changes, phases }
    }
}

/// Makes children of all annotations.
fn number(rows: &mut [(u32, Annotation)]) {
    assert!(rows.len() < 1 << TYPE_BITS, "at most 2^{TYPE_BITS} annotations");
    let mut order: Vec<usize> = (0..rows.len()).collect();
    order.sort_unstable_by_key(|at| (rows[*at].1.interval, *at));
    for (rank, at) in (0..).zip(order) {
        let annotation = &mut rows[at].1;
        annotation.child = placed(annotation.kind, rank);
    }
}

struct Maker<'a> {
    settings: &'a Settings,
    mean_ns: u64,
    random: Random,
    rows: Vec<(u32, Annotation)>,
    changes: Vec<(u32, isize)>,
    living: Vec<u32>,
}

impl<'a> Maker<'a> {
    fn new(settings: &'a Settings, mean_s: u64) -> Self {
        let (random, mean_ns) = (Random::new(settings.seed), mean_s * SECOND_NS as u64);
        Maker { settings, mean_ns, random, rows: Vec::new(), changes: Vec::new(), living: Vec::new() }
    }

    fn add(&mut self) {
        let asset = self.random.below(self.settings.assets) as u32;
        let kind = self.random.below(self.settings.types) as u8;
        let start_ns = self.random.below(self.settings.span_s * SECOND_NS as u64) as i64;
        let version = self.version(asset, kind, start_ns);
        self.living.push(version);
    }

    fn update(&mut self) {
        let share = self.random.below(1_000_000) as f64 / 1e6;
        let Settings { corrections, deletions, .. } = *self.settings;
        if self.living.is_empty() || share >= corrections + deletions {
            return self.add();
        }
        let at = self.random.below(self.living.len() as u64) as usize;
        let old = self.living[at];
        self.changes.push((old, -1));
        if share < deletions {
            self.living.swap_remove(at);
            return;
        }
        // Moved by up to its mean length, with another end.
        let (asset, Annotation { kind, interval, .. }) = self.rows[old as usize];
        let moved_ns = self.random.below(2 * self.mean_ns) as i64 - self.mean_ns as i64;
        self.living[at] = self.version(asset, kind, (interval.start_ns() + moved_ns).max(0));
    }

    fn version(&mut self, asset: u32, kind: u8, start_ns: i64) -> u32 {
        let end_ns = start_ns + 1 + self.random.below(2 * self.mean_ns) as i64;
        let version = u32::try_from(self.rows.len()).expect("fewer than 2^32 annotations");
        self.rows.push((asset, Annotation { kind, interval: Interval::new(start_ns, end_ns), child: 0 }));
        self.changes.push((version, 1));
        version
    }
}
