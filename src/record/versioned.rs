//! Records as tables fold them.

use flowstone_operators::table::Versioned;

use super::Record;

/// By version if there is one, ties and all others by (source, partition, offset).
impl Versioned for Record {
    fn route(&self) -> u64 {
        self.route
    }

    fn same_key(&self, other: &Self) -> bool {
        self.route == other.route && self.key == other.key
    }

    fn is_after(&self, other: &Self) -> bool {
        (self.version, self.position) > (other.version, other.position)
    }

    fn is_deletion(&self) -> bool {
        self.body.is_none()
    }

    fn is_remembered(&self) -> bool {
        self.version.is_some()
    }

    fn same_row(&self, other: &Self) -> bool {
        self.payload() == other.payload()
    }

    fn is_ambiguous_with(&self, other: &Self) -> bool {
        let partition = |r: &Self| (r.position.source, r.position.partition);
        self.version.is_none() && partition(self) != partition(other)
    }
}
