//! Which rows come when.

use super::common::{Args, Random};

pub struct Settings {
    pub updates: usize,
    pub keys: u64,
    pub batch: usize,
    pub rows_a_second: u64,
    pub seed: u64,
    /// Whether rows are taken back.
    pub is_corrected: bool,
}

impl Settings {
    pub fn of(args: &Args) -> Self {
        Settings {
            updates: args.number("--updates", 10_000_000) as usize,
            keys: args.number("--keys", 100_000).max(1),
            batch: args.number("--batch", 10_000).max(1) as usize,
            rows_a_second: args.number("--rows-a-second", 10_000).max(1),
            seed: args.number("--seed", 5),
            is_corrected: true,
        }
    }
}

/// A row that comes, or goes.
#[derive(Clone, Copy)]
pub struct Change {
    pub key: u32,
    /// When it happened, in seconds.
    pub at_s: u32,
    pub diff: i8,
}

/// Changes in the order in which they come, and up to which one each epoch goes.
pub struct Input {
    pub changes: Vec<Change>,
    pub epochs: Vec<usize>,
}

impl Input {
    /// So many hundredths of the rows are of the first key.
    pub fn new(settings: &Settings, hot_hundredths: u64) -> Self {
        let mut random = Random::new(settings.seed);
        let mut changes: Vec<Change> = Vec::with_capacity(settings.updates);
        for n in 0..settings.updates as u64 {
            // A row that went already, or that is itself one that goes, can not go.
            let earlier = (settings.is_corrected && random.below(10) == 0 && n > 0).then(|| random.below(n) as usize);
            if let Some(row) = earlier.and_then(|n| changes.get_mut(n)).filter(|row| row.diff == 1) {
                let gone = Change { diff: -1, ..*row };
                row.diff = 2;
                changes.push(gone);
                continue;
            }
            let key = if random.below(100) < hot_hundredths { 0 } else { random.below(settings.keys) as u32 };
            changes.push(Change { key, at_s: (n / settings.rows_a_second) as u32, diff: 1 });
        }
        // What went later had come before.
        changes.iter_mut().for_each(|change| change.diff = change.diff.min(1));
        let epochs = 1..=settings.updates.div_ceil(settings.batch);
        let epochs = epochs.map(|n| (n * settings.batch).min(settings.updates)).collect();
        Input { changes, epochs }
    }
}
