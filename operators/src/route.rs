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

/// So many groups are keys divided into: the unit in which workers own state.
pub const KEY_GROUPS: u64 = 256;

/// The worker, of so many, that owns the keys with this route: workers own contiguous ranges of key groups.
///
/// The key group is the route's top byte, so that rows sorted by route are sorted by key group, and the state of any number
/// of workers is a range of it. With more workers than groups, some own nothing.
///
/// ```
/// use flowstone_operators::route::owner;
///
/// assert_eq!([owner(0, 3), owner(u64::MAX / 2, 3), owner(u64::MAX, 3)], [0, 1, 2]);
/// ```
pub fn owner(route: u64, workers: usize) -> u64 {
    (route >> 56) * workers as u64 / KEY_GROUPS
}

/// The key groups that a worker, of so many, owns.
pub fn owned(worker: usize, workers: usize) -> std::ops::Range<u16> {
    let first = |worker: usize| (worker as u64 * KEY_GROUPS).div_ceil(workers as u64) as u16;
    first(worker)..first(worker + 1)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_group_has_one_owner() {
        for workers in [1, 2, 3, 7, 255, 256, 300] {
            let mut next = 0;
            for worker in 0..workers {
                let groups = owned(worker, workers);
                assert_eq!(groups.start, next);
                next = groups.end;
                for group in groups {
                    assert_eq!(owner(u64::from(group) << 56, workers), worker as u64, "group {group} of {workers}");
                }
            }
            assert_eq!(u64::from(next), KEY_GROUPS);
        }
    }
}
