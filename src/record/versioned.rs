//! Records as tables fold them.

use flowstone_operators::generations::{Generational, Role, Stage};
use flowstone_operators::table::Versioned;
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use super::packed::{Position, Record, RecordWriter, State};
use super::row::DeadLetter;

/// By version if there is one, ties and all others by (source, partition, offset).
impl Versioned for Record {
    fn route(&self) -> u64 {
        self.route()
    }

    /// The rows of the operations of a series have one route.
    fn key_hash(&self) -> u64 {
        if self.key().is_plain() { self.route() } else { xxh3_64(self.key_bytes()) }
    }

    fn same_key(&self, other: &Self) -> bool {
        self.route() == other.route() && self.key() == other.key()
    }

    fn is_after(&self, other: &Self) -> bool {
        self.order() > other.order()
    }

    fn is_deletion(&self) -> bool {
        self.is_deletion()
    }

    fn is_remembered(&self) -> bool {
        self.version().is_some() || self.is_remembered()
    }

    fn same_row(&self, other: &Self) -> bool {
        self.payload() == other.payload()
    }

    fn is_ambiguous_with(&self, other: &Self) -> bool {
        let partition = |(_, position): &(_, Position)| (position.source, position.partition);
        let (this, other) = (self.order(), other.order());
        this.0.is_none() && partition(&this) != partition(&other)
    }

    /// Epochs are milliseconds since 1970: the first at or after the end of its time.
    fn expires(&self, keep_ns: u64) -> Option<u64> {
        let end_ns = i128::from(self.time_ns()?) + i128::from(keep_ns);
        Some(u64::try_from(end_ns.max(0)).map_or(u64::MAX, |end_ns| end_ns.div_ceil(1_000_000)))
    }
}

impl Generational for Record {
    fn role(&self) -> Role {
        let key = self.key();
        match key.operation() {
            None => Role::Free,
            Some(operation) if key.is_operation() => Role::Operation(operation.number, self.stage()),
            Some(operation) => Role::Row(operation.number),
        }
    }

    fn same_series(&self, other: &Self) -> bool {
        self.key().series() == other.key().series()
    }

    fn fulfilled(&self) -> Self {
        let mut writer = RecordWriter::default();
        writer.key_bytes(self.key_bytes(), self.route());
        writer.row(&State { stage: Some(Stage::Finished { awaits: 0 }), ..self.state() }, self.payload())
    }
}

/// One letter a record and source, whatever the number of tables that refuse it: the least reason wins, so that it does not
/// matter which of them came first.
impl Versioned for DeadLetter {
    /// xxh3-64 of node, origin and offset, each text followed by its length.
    fn route(&self) -> u64 {
        let mut hasher = Xxh3::new();
        for text in [&self.node, &self.origin] {
            hasher.update(text.as_bytes());
            hasher.update(&(text.len() as u64).to_le_bytes());
        }
        hasher.update(&self.offset.to_le_bytes());
        hasher.digest()
    }

    fn same_key(&self, other: &Self) -> bool {
        (&self.node, &self.origin, self.offset) == (&other.node, &other.origin, other.offset)
    }

    fn is_after(&self, other: &Self) -> bool {
        self < other
    }

    fn is_deletion(&self) -> bool {
        false
    }

    fn is_remembered(&self) -> bool {
        false
    }

    fn same_row(&self, other: &Self) -> bool {
        self == other
    }

    /// The order of reasons is as good as any.
    fn is_ambiguous_with(&self, _: &Self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::scalar::Key;

    fn letter(offset: u64, reason: &str) -> DeadLetter {
        let (node, origin) = ("annotations".into(), "a.ndjson".into());
        DeadLetter { node, origin, offset, reason: reason.to_owned(), payload: (*b"{}").into(), payload_bytes: 2 }
    }

    #[test]
    fn a_record_is_over_at_the_first_epoch_at_or_after_the_end_of_its_time() {
        let position = Position { source: 0, partition: 0, offset: 0 };
        let state = |time_ns| State { time_ns, ..State::at(position) };
        let record = |time_ns| Record::made(&Key::One("a".into()), state(time_ns), None);
        assert_eq!(record(None).expires(1), None);
        assert_eq!(record(Some(5_000_000)).expires(2_000_000), Some(7));
        assert_eq!(record(Some(5_000_001)).expires(2_000_000), Some(8));
        assert_eq!(record(Some(4_999_999)).expires(2_000_000), Some(7));
        assert_eq!(record(Some(i64::MIN)).expires(1), Some(0));
        assert_eq!(record(Some(i64::MAX)).expires(i64::MAX as u64), Some(18_446_744_073_710));
        assert_eq!(record(Some(i64::MAX)).expires(u64::MAX), Some(u64::MAX));
    }

    #[test]
    fn of_the_letters_of_one_record_the_least_reason_wins() {
        let (a, b) = (letter(7, "no field /a"), letter(7, "no field /b"));
        assert!(a.same_key(&b) && a.route() == b.route());
        assert_eq!((a.is_after(&b), b.is_after(&a), a.is_after(&a)), (true, false, false));
        assert!(!a.same_key(&letter(8, "no field /a")));
        assert_ne!(a.route(), letter(8, "no field /a").route());
    }

    #[test]
    fn routes_of_dead_letters_tell_their_texts_apart_and_are_pinned() {
        let with = |node: &str, origin: &str| DeadLetter { node: node.into(), origin: origin.into(), ..letter(7, "") };
        assert_ne!(with("ab", "c").route(), with("a", "bc").route());
        assert_eq!(with("a", "b").route(), 13597566605038622691);
    }
}
