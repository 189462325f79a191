//! What a group is known by.

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
            Some(Window { start_ns, end_ns }) => {
                let bounds = [start_ns, end_ns].map(Scalar::Int);
                Key::Composite(self.by.parts().iter().cloned().chain(bounds).collect())
            }
        }
    }

    /// Appends it as the row key: a compact JSON array.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        let bounds = self.window.map(|window| [window.start_ns, window.end_ns].map(ScalarRef::Int));
        write_key(self.by.parts().iter().map(Scalar::as_ref).chain(bounds.into_iter().flatten()), out);
    }
}

/// All windows of a group are on one worker: larger ones are made of smaller ones.
impl Route for GroupKey {
    fn route(&self) -> u64 {
        self.by.route()
    }
}

/// A window of event time, half-open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Window {
    /// Its start, in nanoseconds since 1970.
    pub start_ns: i64,
    /// Its end.
    pub end_ns: i64,
}

impl Window {
    /// That of this length in which a time is. They are counted from 1970 on, so that days are those of UTC.
    pub(super) fn at(time_ns: i64, length_ns: i64) -> Self {
        let start_ns = time_ns.div_euclid(length_ns) * length_ns;
        Window { start_ns, end_ns: start_ns + length_ns }
    }

    pub(super) fn length_ns(&self) -> i64 {
        self.end_ns - self.start_ns
    }
}
