//! Strings that many records share.

use std::sync::Arc;

/// Lets records share equal strings: assets and types are few, records many. A fixed number of places, so that many
/// distinct strings cost a copy each and no memory.
pub(crate) struct Interner {
    places: Vec<Option<Arc<str>>>,
}

impl std::fmt::Debug for Interner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Interner").finish_non_exhaustive()
    }
}

impl Interner {
    const PLACES: usize = 4096;

    pub(crate) fn new() -> Self {
        Interner { places: vec![None; Self::PLACES] }
    }

    pub(crate) fn share(&mut self, text: &str) -> Arc<str> {
        let place = &mut self.places[xxhash_rust::xxh3::xxh3_64(text.as_bytes()) as usize % Self::PLACES];
        match place {
            Some(shared) if **shared == *text => shared.clone(),
            _ => place.insert(text.into()).clone(),
        }
    }
}
