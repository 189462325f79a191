//! Random names: of stores, and of the runs that own them.

use std::hash::{BuildHasher, RandomState};
use std::time::SystemTime;

/// 64 random bits as hexadecimal digits: the standard library's hash keys come from the system's random numbers.
pub(super) fn random_id() -> String {
    format!("{:016x}", random())
}

/// 64 random bits.
pub(super) fn random() -> u64 {
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    RandomState::new().hash_one((since_epoch.as_nanos(), std::process::id()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_are_equal() {
        let (a, b) = (random_id(), random_id());
        assert_ne!(a, b);
        assert_eq!((a.len(), b.len()), (16, 16));
    }
}
