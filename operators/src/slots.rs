//! Values by key, one after another in memory.

use std::hash::{BuildHasher, Hash};

use hashbrown::hash_table::Entry;
use hashbrown::{DefaultHashBuilder, HashTable};

/// So many keys are looked up together.
const CHUNK: usize = 64;

/// A map whose entries have numbers: what is found is changed later without another look-up, and what is done with all of them
/// touches no table. A look-up touches eight bytes of a table and the entry; several that follow each other wait for memory
/// together.
pub(crate) struct Slots<K, V> {
    slots: Vec<(K, V)>,
    places: HashTable<Place>,
    hashing: DefaultHashBuilder,
}

/// With a part of the hash, so that a growing table need not look at keys.
struct Place {
    hash: u32,
    slot: u32,
}

impl<K, V> Default for Slots<K, V> {
    fn default() -> Self {
        Slots { slots: Vec::new(), places: HashTable::new(), hashing: DefaultHashBuilder::default() }
    }
}

impl<K: Hash + Eq, V> Slots<K, V> {
    pub(crate) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &(K, V)> {
        self.slots.iter()
    }

    /// All entries, as many at a time as are looked up together.
    pub(crate) fn chunks(&self) -> impl Iterator<Item = &[(K, V)]> {
        self.slots.chunks(CHUNK)
    }

    pub(crate) fn get(&self, slot: usize) -> Option<&(K, V)> {
        self.slots.get(slot)
    }

    /// The entry in a slot that there is.
    pub(crate) fn at(&mut self, slot: usize) -> (&K, &mut V) {
        let (key, value) = &mut self.slots[slot];
        (key, value)
    }

    /// The slot of a key, if it has one.
    pub(crate) fn find(&self, key: &K) -> Option<usize> {
        let hash = self.hashing.hash_one(key) as u32;
        let is_it = |place: &Place| place.hash == hash && self.slots[place.slot as usize].0 == *key;
        self.places.find(spread(hash), is_it).map(|place| place.slot as usize)
    }

    /// The slot of a key; a new one has `new`.
    #[inline]
    pub(crate) fn slot(&mut self, key: K, new: impl FnOnce() -> V) -> usize {
        let hash = self.hashing.hash_one(&key) as u32;
        self.slot_of(key, hash, new)
    }

    fn slot_of(&mut self, key: K, hash: u32, new: impl FnOnce() -> V) -> usize {
        let Slots { slots, places, .. } = self;
        let is_it = |place: &Place| place.hash == hash && slots[place.slot as usize].0 == key;
        match places.entry(spread(hash), is_it, |place| spread(place.hash)) {
            Entry::Occupied(place) => place.get().slot as usize,
            Entry::Vacant(place) => {
                let slot = slots.len();
                place.insert(Place { hash, slot: number(slot) });
                slots.push((key, new()));
                slot
            }
        }
    }

    /// Looks up many keys, each with what is wanted of its value, and tells `each` the slots; new ones have `new`. `glance` reads
    /// something of a value: that is done for several values at once, which are fetched together, before any of them is used.
    pub(crate) fn slots<T>(
        &mut self,
        keys: impl Iterator<Item = (K, T)>,
        new: impl Fn() -> V,
        glance: impl Fn(&V) -> u64,
        mut each: impl FnMut(&K, &mut V, T),
    ) {
        let mut keys = keys.peekable();
        let mut chunk = Vec::with_capacity(CHUNK.min(keys.size_hint().1.unwrap_or(CHUNK)));
        while keys.peek().is_some() {
            for (key, of) in keys.by_ref().take(CHUNK) {
                let hash = self.hashing.hash_one(&key) as u32;
                let likely =
                    self.places.find(spread(hash), |place| place.hash == hash).map(|place| place.slot as usize);
                chunk.push((key, of, hash, likely));
            }
            let glances = chunk.iter().filter_map(|(.., likely)| likely.map(|slot| glance(&self.slots[slot].1)));
            std::hint::black_box(glances.fold(0, u64::wrapping_add));
            for (key, of, hash, likely) in chunk.drain(..) {
                let slot = match likely.filter(|slot| self.slots[*slot].0 == key) {
                    Some(slot) => slot,
                    None => self.slot_of(key, hash, &new),
                };
                let (key, value) = &mut self.slots[slot];
                each(key, value, of);
            }
        }
    }

    /// Takes an entry out. The last one gets its slot.
    pub(crate) fn remove(&mut self, slot: usize) -> (K, V) {
        let hash = self.hashing.hash_one(&self.slots[slot].0) as u32;
        let place = self.places.find_entry(spread(hash), |place| place.slot as usize == slot);
        place.ok().expect("each slot has a place").remove();
        let last = self.slots.len() - 1;
        let removed = self.slots.swap_remove(slot);
        if let Some((moved, _)) = self.slots.get(slot) {
            let hash = self.hashing.hash_one(moved) as u32;
            let place = self.places.find_mut(spread(hash), |place| place.slot as usize == last);
            place.expect("each slot has a place").slot = number(slot);
        }
        removed
    }

    /// Takes all entries out, in the order of their slots.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = (K, V)> {
        self.places = HashTable::new();
        std::mem::take(&mut self.slots).into_iter()
    }
}

/// The hash that the table is told: all of its bits depend on the part that is known.
fn spread(hash: u32) -> u64 {
    u64::from(hash).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

/// The number of a slot, in half the space.
pub(crate) fn number(slot: usize) -> u32 {
    u32::try_from(slot).ok().filter(|slot| *slot != u32::MAX).expect("a worker has fewer than 2^32 - 1 keys")
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_a_map(steps in prop::collection::vec((0..40u16, any::<bool>()), 0..300)) {
            let (mut slots, mut map) = (Slots::default(), HashMap::new());
            for (n, (key, goes)) in steps.into_iter().enumerate() {
                if goes {
                    let removed = slots.find(&key).map(|slot| slots.remove(slot));
                    prop_assert_eq!(removed, map.remove_entry(&key));
                } else {
                    let slot = slots.slot(key, || n);
                    prop_assert_eq!(*slots.at(slot).1, *map.entry(key).or_insert(n));
                }
                prop_assert_eq!(slots.len(), map.len());
                for (key, value) in &map {
                    prop_assert_eq!(slots.get(slots.find(key).unwrap()), Some(&(*key, *value)));
                }
            }
            prop_assert_eq!(slots.drain().collect::<HashMap<_, _>>(), map);
            prop_assert!(slots.is_empty() && slots.find(&7).is_none());
        }

        #[test]
        fn keys_that_are_looked_up_together_are_found_one_by_one(keys in prop::collection::vec(0..90u16, 0..300)) {
            let (mut slots, mut map) = (Slots::default(), HashMap::<u16, Vec<usize>>::new());
            keys.iter().enumerate().for_each(|(n, key)| map.entry(*key).or_default().push(n));
            let numbered = keys.iter().enumerate().map(|(n, key)| (*key, n));
            slots.slots(numbered, Vec::new, |ns| ns.len() as u64, |_, ns, n| ns.push(n));
            prop_assert_eq!(slots.drain().collect::<HashMap<_, _>>(), map);
        }
    }
}
