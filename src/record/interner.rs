//! Strings that many records share.

use std::ops::Deref;

use smol_str::SmolStr;

/// Lets records share equal strings: assets and types are few, records many. A fixed number of places, so that many
/// distinct strings cost a copy each and no memory.
pub(crate) struct Interner<T = SmolStr> {
    places: Vec<Option<T>>,
}

impl<T> std::fmt::Debug for Interner<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Interner").finish_non_exhaustive()
    }
}

const PLACES: usize = 4096;

impl<T: Clone + Deref<Target = str> + for<'a> From<&'a str>> Interner<T> {
    pub(crate) fn new() -> Self {
        Interner { places: vec![None; PLACES] }
    }

    pub(crate) fn share(&mut self, text: &str) -> T {
        let place = &mut self.places[xxhash_rust::xxh3::xxh3_64(text.as_bytes()) as usize % PLACES];
        match place {
            Some(shared) if **shared == *text => shared.clone(),
            _ => place.insert(text.into()).clone(),
        }
    }
}

impl Interner {
    /// A short string is its own.
    pub(crate) fn text(&mut self, text: &str) -> SmolStr {
        match text.len() {
            0..=INLINE_BYTES => SmolStr::new_inline(text),
            _ => self.share(text),
        }
    }
}

/// So long may a string be that a [`SmolStr`] holds without an allocation.
const INLINE_BYTES: usize = 23;
