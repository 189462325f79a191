//! Changes that are not shown yet.

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use super::fold::Fold;
use super::keyed::Keyed;

/// What the rows of a table were when they were last shown, for the keys that changed since.
///
/// Epochs that are sealed while a table catches up are not shown one by one: a row that changes ten times in them would be
/// fused, rendered and written ten times. At the end their net change is shown as one epoch.
#[derive(Debug)]
pub(super) enum Held<R> {
    /// Nothing was ever shown: everything is new.
    All,
    /// `(hash, a record of the key, its row when it was last shown)`
    Changed(HashTable<(u64, R, Option<R>)>),
}

impl<R: Keyed + Clone> Held<R> {
    /// Nothing has changed since `rows` were shown.
    pub(super) fn since(rows: &impl Fold<R>) -> Self {
        if rows.is_empty() { Held::All } else { Held::Changed(HashTable::new()) }
    }

    /// Whether it makes a difference what is held back.
    pub(super) fn looks(&self) -> bool {
        matches!(self, Held::Changed(_))
    }

    /// Takes in a change of a row that is not shown. The first of a key says what was shown.
    pub(super) fn hold(&mut self, row: &R, diff: isize) {
        let Held::Changed(changed) = self else { return };
        let hash = row.key_hash();
        let same = |(other, key, _): &(u64, R, Option<R>)| *other == hash && key.same_key(row);
        if let Entry::Vacant(vacant) = changed.entry(hash, same, |(hash, _, _)| *hash) {
            vacant.insert((hash, row.clone(), (diff < 0).then(|| row.clone())));
        }
    }

    /// Shows the net change. Without `more` epochs to come, the rows are given away.
    pub(super) fn reveal(self, rows: &mut impl Fold<R>, more: bool, mut emit: impl FnMut(R, isize)) {
        match self {
            Held::All if !more => rows.drain().for_each(|row| emit(row, 1)),
            Held::All => rows.iter().for_each(|row| emit(row, 1)),
            Held::Changed(changed) => {
                for (_, key, shown) in changed {
                    let now = rows.get(&key);
                    if let (Some(shown), Some(now)) = (&shown, &now)
                        && shown.same_row(now)
                    {
                        continue;
                    }
                    if let Some(shown) = shown {
                        emit(shown, -1);
                    }
                    if let Some(now) = now {
                        emit(now, 1);
                    }
                }
            }
        }
    }
}
