//! What a group is known by.

use std::num::NonZeroU64;

use flowstone_operators::route::Route;
use serde::{Deserialize, Serialize};

use crate::record::scalar::{Key, Scalar, ScalarRef, write_key};

/// What a group is known by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct GroupKey {
    /// The values of the fields of `by`, in their order.
    pub by: Key,
    /// The window, if there are any.
    pub window: Option<Window>,
}

impl GroupKey {
    /// As the key of a row.
    pub fn to_key(&self) -> Key {
        match self.window {
            None => self.by.clone(),
            Some(window) => {
                let bounds = window.bounds_ns().map(Scalar::Int);
                Key::Composite(self.by.parts().iter().cloned().chain(bounds).collect())
            }
        }
    }

    /// Appends it as the row key: a compact JSON array.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        let bounds = self.window.map(|window| window.bounds_ns().map(ScalarRef::Int));
        write_key(self.by.parts().iter().map(Scalar::as_ref).chain(bounds.into_iter().flatten()), out);
    }
}

/// All windows of a group are on one worker: larger ones are made of smaller ones.
impl Route for GroupKey {
    fn route(&self) -> u64 {
        self.by.route()
    }
}

/// A window of event time, half-open. Never empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Window {
    start_ns: i64,
    /// Tells no window from one in the key of a group, which has no room to spare.
    length_ns: NonZeroU64,
}

impl Window {
    /// From a time in nanoseconds since 1970 up to a later one, which is no part of it.
    ///
    /// # Panics
    /// If it is not later.
    pub fn new(start_ns: i64, end_ns: i64) -> Self {
        let length_ns = u64::try_from(i128::from(end_ns) - i128::from(start_ns)).ok().and_then(NonZeroU64::new);
        Window { start_ns, length_ns: length_ns.expect("a window ends after its start") }
    }

    /// That of this length in which a time is. They are counted from 1970 on, so that days are those of UTC.
    pub(super) fn at(time_ns: i64, length_ns: i64) -> Self {
        let start_ns = time_ns.div_euclid(length_ns) * length_ns;
        Window::new(start_ns, start_ns + length_ns)
    }

    /// Its start, in nanoseconds since 1970.
    pub fn start_ns(self) -> i64 {
        self.start_ns
    }

    /// Its end.
    pub fn end_ns(self) -> i64 {
        self.start_ns.wrapping_add_unsigned(self.length_ns.get())
    }

    /// Both.
    pub fn bounds_ns(self) -> [i64; 2] {
        [self.start_ns(), self.end_ns()]
    }

    pub(super) fn length_ns(self) -> i64 {
        self.length_ns.get().cast_signed()
    }
}
