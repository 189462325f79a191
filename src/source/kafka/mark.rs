//! What a bookmark remembers of a partition: its last record, by which a topic that was made anew is noticed.

use rdkafka::Message;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3;

use crate::source::Bookmark;

/// The last record that was read. Offsets alone do not tell a topic from one of the same name that was made later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Last {
    pub(super) offset: u64,
    hash: u64,
}

/// What stands in a bookmark; a partition that nobody has opened yet has none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mark {
    /// None if no record was read yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) last: Option<Last>,
}

impl Mark {
    /// The mark of a bookmark, if the partition was opened before.
    pub(super) fn parse(bookmark: &Bookmark) -> Result<Option<Self>, String> {
        if bookmark.mark.is_empty() {
            return Ok(None);
        }
        let parsed = serde_json::from_str(&bookmark.mark);
        parsed.map(Some).map_err(|_| format!("what is remembered of it can not be read: {:?}", bookmark.mark))
    }

    pub(super) fn to_text(self) -> String {
        serde_json::to_string(&self).expect("a mark is plain data")
    }
}

impl Last {
    pub(super) fn of(message: &impl Message) -> Self {
        let mut hash = Xxh3::new();
        for part in [message.key(), message.payload()] {
            hash.update(&part.map_or(u64::MAX, |part| part.len() as u64).to_le_bytes());
            hash.update(part.unwrap_or_default());
        }
        hash.update(&message.timestamp().to_millis().unwrap_or(-1).to_le_bytes());
        Last { offset: offset(message), hash: hash.digest() }
    }
}

/// The offset of a message.
pub(super) fn offset(message: &impl Message) -> u64 {
    u64::try_from(message.offset()).expect("a message that was read has an offset")
}

#[cfg(test)]
mod tests {
    use rdkafka::Timestamp;
    use rdkafka::message::OwnedMessage;

    use super::*;

    fn message(key: Option<&str>, payload: Option<&str>, at_ms: i64) -> OwnedMessage {
        let bytes = |text: Option<&str>| text.map(|text| text.as_bytes().to_vec());
        let at = Timestamp::CreateTime(at_ms);
        OwnedMessage::new(bytes(payload), bytes(key), "t".to_owned(), at, 0, 7, None)
    }

    #[test]
    fn a_mark_tells_records_apart_and_comes_back_from_its_text() {
        let all =
            [(Some("a"), Some("b"), 1), (Some("ab"), Some(""), 1), (Some("ab"), None, 1), (Some("a"), Some("b"), 2)];
        let marks: Vec<Last> = all.iter().map(|(key, payload, at)| Last::of(&message(*key, *payload, *at))).collect();
        for (n, mark) in marks.iter().enumerate() {
            assert!(!marks[..n].contains(mark), "{:?}", all[n]);
            let mark = Mark { last: Some(*mark) };
            let bookmark = Bookmark { offset: 8, mark: mark.to_text() };
            assert_eq!(Mark::parse(&bookmark), Ok(Some(mark)));
        }
        assert_eq!(Mark::parse(&Bookmark::default()), Ok(None));
        assert!(Mark::parse(&Bookmark { offset: 0, mark: "?".to_owned() }).is_err());
    }
}
