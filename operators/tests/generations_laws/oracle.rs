//! What is shown, by brute force.

use std::collections::{BTreeMap, BTreeSet};

use flowstone_operators::table::Versioned;

use crate::model::{Canceled, Finished, Key, Record, Rows, Started, What};

/// What is shown of all these records, and which of them are refused; each epoch is looked at as a whole.
pub fn oracle<'a>(epochs: impl Iterator<Item = &'a Vec<Record>>) -> (Rows, Vec<(Record, bool)>) {
    let (mut newest, mut keys) = (BTreeMap::<Key, &Record>::new(), BTreeMap::<(u64, u64), BTreeSet<u64>>::new());
    let (mut ends, mut refused) = (BTreeMap::<(u64, u64), What>::new(), Vec::new());
    for records in epochs {
        let mut said: Vec<&Record> =
            records.iter().filter(|record| record.operation.is_some() && record.id.is_none()).collect();
        said.sort_by_key(|record| record.offset);
        for record in said {
            let operation = record.operation.expect("filtered");
            match (ends.get(&operation), record.what) {
                (_, Started) => (),
                (Some(Finished(_)), Canceled) => refused.push((*record, true)),
                (Some(Canceled), Finished(_)) => refused.push((*record, false)),
                (Some(Finished(known)), Finished(awaits)) if awaits >= *known => (),
                (_, what) => _ = ends.insert(operation, what),
            }
        }
        for record in records.iter().filter(|record| record.id.is_some()) {
            let known = newest.entry(record.key()).or_insert(record);
            *known = if record.is_after(known) { record } else { *known };
            record.operation.zip(record.id).into_iter().for_each(|(of, id)| _ = keys.entry(of).or_default().insert(id));
        }
    }
    let complete = ends.iter().filter(|(operation, end)| {
        matches!(end, Finished(awaits) if keys.get(operation).map_or(0, BTreeSet::len) as u64 >= *awaits)
    });
    // By series and number: the last of a series stays.
    let shown: BTreeMap<u64, u64> = complete.map(|((series, number), _)| (*series, *number)).collect();
    let is_shown =
        |record: &&Record| record.operation.is_none_or(|(series, number)| shown.get(&series) == Some(&number));
    let rows = newest.into_values().filter(is_shown).filter_map(|record| Some(((record.key(), record.value()?), 1)));
    (rows.collect(), refused)
}
