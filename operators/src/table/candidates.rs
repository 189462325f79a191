//! The newest record of each key of an epoch.

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use super::outcome::Found;
use super::versioned::Versioned;

/// The newest record of each key that an epoch has seen so far, in the order in which keys were first seen.
///
/// Order matters for speed alone: records that came together stand together in memory, and what follows visits them so.
#[derive(Debug)]
pub(crate) struct Candidates<R> {
    newest: Vec<R>,
    /// With half of the hash beside it, growing and probing touch no record.
    places: HashTable<Place>,
    found: Found,
}

#[derive(Debug)]
struct Place {
    half_hash: u32,
    /// In `newest`.
    at: u32,
}

/// The table takes some bits from each end of a hash.
fn spread(half_hash: u32) -> u64 {
    u64::from(half_hash) << 32 | u64::from(half_hash)
}

impl<R> Default for Candidates<R> {
    fn default() -> Self {
        Candidates { newest: Vec::new(), places: HashTable::new(), found: Found::default() }
    }
}

impl<R: Versioned> Candidates<R> {
    /// Takes a record in. Memory: one record a key, whatever the number of its versions.
    pub(crate) fn offer(&mut self, record: R) {
        // Not the upper half, by which keys are spread over workers.
        let half_hash = record.key_hash() as u32;
        let same = |place: &Place| place.half_hash == half_hash && self.newest[place.at as usize].same_key(&record);
        match self.places.entry(spread(half_hash), same, |place| spread(place.half_hash)) {
            Entry::Vacant(vacant) => {
                let at = u32::try_from(self.newest.len()).expect("fewer than 2^32 keys an epoch and worker");
                vacant.insert(Place { half_hash, at });
                self.newest.push(record);
            }
            Entry::Occupied(occupied) => {
                let newest = &mut self.newest[occupied.get().at as usize];
                self.found.superseded += 1;
                self.found.ambiguous += u64::from(record.is_ambiguous_with(newest));
                if record.is_after(newest) {
                    *newest = record;
                }
            }
        }
    }

    /// The newest records, in the order in which their keys were first seen; and what was found on the way.
    pub(crate) fn finish(self) -> (Vec<R>, Found) {
        (self.newest, self.found)
    }
}
