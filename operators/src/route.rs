//! Which worker owns a key: a fixed hash, stable across processes, builds and platforms.

use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64;

/// A key with a documented routing hash: xxh3-64 of the key's bytes, little-endian for integers.
///
/// Equal keys have equal routes, for ever: state is laid out by it.
pub trait Route {
    /// The hash.
    fn route(&self) -> u64;
}

macro_rules! route_integers {
    ($($t:ty),*) => { $(impl Route for $t {
        fn route(&self) -> u64 {
            xxh3_64(&self.to_le_bytes())
        }
    })* };
}

route_integers!(u8, u16, u32, u64, i8, i16, i32, i64);

impl Route for str {
    fn route(&self) -> u64 {
        xxh3_64(self.as_bytes())
    }
}

impl Route for String {
    fn route(&self) -> u64 {
        self.as_str().route()
    }
}

impl Route for Arc<str> {
    fn route(&self) -> u64 {
        (**self).route()
    }
}

impl Route for &str {
    fn route(&self) -> u64 {
        (**self).route()
    }
}
