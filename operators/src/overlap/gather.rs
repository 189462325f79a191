//! What came in one epoch, by key.

use std::hash::Hash;

use hashbrown::HashMap;

/// So much room, in rows, is kept for what comes next: to fill what is there costs less than to make it anew.
const SPARE: usize = 1 << 17;

/// What came in an epoch for one key: rows, and how often each comes.
#[derive(Debug)]
pub(super) struct Arrived<A, B> {
    pub left: Vec<(A, isize)>,
    pub right: Vec<(B, isize)>,
}

impl<A, B> Default for Arrived<A, B> {
    fn default() -> Self {
        Arrived { left: Vec::new(), right: Vec::new() }
    }
}

/// What came in an epoch.
pub(super) struct Keys<K, A, B> {
    /// Where in `arrived` a key's rows are.
    at: HashMap<K, usize>,
    /// Of keys, and then empty ones to be filled.
    arrived: Vec<Arrived<A, B>>,
}

impl<K, A, B> Default for Keys<K, A, B> {
    fn default() -> Self {
        Keys { at: HashMap::new(), arrived: Vec::new() }
    }
}

impl<K: Ord + Hash, A, B> Keys<K, A, B> {
    /// What came for a key so far.
    #[inline]
    pub(super) fn of_key(&mut self, key: K) -> &mut Arrived<A, B> {
        let at = match self.at.get(&key) {
            Some(at) => *at,
            None => self.add(key),
        };
        &mut self.arrived[at]
    }

    #[cold]
    fn add(&mut self, key: K) -> usize {
        let at = self.at.len();
        self.at.insert(key, at);
        if self.arrived.len() == at {
            self.arrived.push(Arrived::default());
        }
        at
    }
}

/// What of an epoch is still to be done, in the order of keys.
pub(super) struct Todo<K, A, B> {
    keys: std::vec::IntoIter<(K, usize)>,
    all: Keys<K, A, B>,
}

impl<K: Ord + Hash, A, B> Todo<K, A, B> {
    /// The epoch is complete.
    pub(super) fn new(mut all: Keys<K, A, B>) -> Self {
        let mut keys: Vec<_> = all.at.drain().collect();
        keys.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        Todo { keys: keys.into_iter(), all }
    }

    /// The next key, and what came for it. After the last one what is left may be used again.
    pub(super) fn next(&mut self, spare: &mut Spare<K, A, B>) -> Option<(K, Arrived<A, B>)> {
        let Some((key, at)) = self.keys.next() else {
            let Keys { at, arrived } = std::mem::take(&mut self.all);
            arrived.into_iter().for_each(|arrived| spare.keep(arrived));
            if at.capacity() <= SPARE {
                spare.at = at;
            }
            return None;
        };
        Some((key, std::mem::take(&mut self.all.arrived[at])))
    }
}

/// Vectors and a map that are empty and will be filled again.
pub(super) struct Spare<K, A, B> {
    at: HashMap<K, usize>,
    arrived: Vec<Arrived<A, B>>,
    /// For so many rows in all of them together.
    room: usize,
}

impl<K, A, B> Default for Spare<K, A, B> {
    fn default() -> Self {
        Spare { at: HashMap::new(), arrived: Vec::new(), room: 0 }
    }
}

impl<K, A, B> Spare<K, A, B> {
    /// For what comes of a new epoch.
    pub(super) fn keys(&mut self) -> Keys<K, A, B> {
        self.room = 0;
        Keys { at: std::mem::take(&mut self.at), arrived: std::mem::take(&mut self.arrived) }
    }

    /// Keeps vectors that nobody needs any more, unless there is room enough.
    pub(super) fn keep(&mut self, mut arrived: Arrived<A, B>) {
        let room = arrived.left.capacity() + arrived.right.capacity();
        if room > 0 && self.room + room <= SPARE {
            arrived.left.clear();
            arrived.right.clear();
            self.room += room;
            self.arrived.push(arrived);
        }
    }
}
