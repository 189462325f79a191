//! From messages to records of a batch.

use std::io::Write as _;

use rdkafka::Message;
use rdkafka::message::Headers;
use serde_json::{Map, Value, json};

use super::mark::offset;
use crate::pipeline::MessageKey;
use crate::source::{RawBatch, RawRecord};

/// What is kept of a record that is too long.
const KEPT_BYTES: usize = 4 << 10;

/// How messages become records.
#[derive(Clone, Debug)]
pub(super) struct Copy {
    pub(super) max_record_bytes: u64,
    pub(super) message_key: MessageKey,
    /// Whether records with a payload need their message key, too.
    pub(super) is_by_message: bool,
    /// The field that says where a record comes from.
    pub(super) metadata: Option<String>,
}

impl Copy {
    /// Appends a message.
    pub(super) fn push(&self, message: &impl Message, batch: &mut RawBatch) {
        let buffer = &mut batch.buffer;
        let start = buffer.len();
        let (mut payload, mut key, mut oversized_bytes) = (None, None, None);
        match message.payload() {
            Some(bytes) if bytes.len() as u64 > self.max_record_bytes => {
                buffer.extend_from_slice(&bytes[..bytes.len().min(KEPT_BYTES)]);
                payload = Some(range(start, buffer));
                oversized_bytes = Some(bytes.len() as u64);
            }
            Some(bytes) => {
                self.payload(message, bytes, buffer);
                payload = Some(range(start, buffer));
            }
            None => {}
        }
        let needs_key = payload.is_none() || (self.is_by_message && oversized_bytes.is_none());
        if let Some(bytes) = message.key().filter(|_| needs_key) {
            let start = buffer.len();
            self.key(bytes, buffer);
            key = Some(range(start, buffer));
        }
        batch.records.push(RawRecord { offset: offset(message), payload, key, oversized_bytes });
    }

    /// The key of a row, as JSON; what is none is found out when it is decoded.
    fn key(&self, bytes: &[u8], buffer: &mut Vec<u8>) {
        match (self.message_key, std::str::from_utf8(bytes)) {
            (MessageKey::Text, Ok(text)) => json_string(text, buffer),
            _ => buffer.extend_from_slice(bytes),
        }
    }

    fn payload(&self, message: &impl Message, bytes: &[u8], buffer: &mut Vec<u8>) {
        // Only an object can have a field more; anything else is a dead letter, as it is.
        let object = self.metadata.as_deref().and_then(|name| Some((name, after_brace(bytes)?)));
        let Some((name, rest)) = object else { return buffer.extend_from_slice(bytes) };
        buffer.push(b'{');
        json_string(name, buffer);
        buffer.push(b':');
        serde_json::to_writer(&mut *buffer, &metadata(message)).expect("writing to memory");
        if rest.trim_ascii_start().first() != Some(&b'}') {
            buffer.push(b',');
        }
        buffer.extend_from_slice(rest);
    }
}

fn range(start: usize, buffer: &[u8]) -> std::ops::Range<u32> {
    let at = |place: usize| u32::try_from(place).expect("batches and records are smaller than 4 GiB");
    at(start)..at(buffer.len())
}

fn after_brace(bytes: &[u8]) -> Option<&[u8]> {
    bytes.trim_ascii_start().strip_prefix(b"{")
}

fn json_string(text: &str, buffer: &mut Vec<u8>) {
    serde_json::to_writer(&mut *buffer, text).expect("writing to memory");
    buffer.flush().expect("memory needs no flushing");
}

/// Text as it is; other bytes with what is no text replaced.
fn metadata(message: &impl Message) -> Value {
    let text = |bytes: &[u8]| Value::from(String::from_utf8_lossy(bytes));
    let mut headers = Map::new();
    if let Some(all) = message.headers() {
        for header in all.iter() {
            headers.insert(header.key.to_owned(), header.value.map_or(Value::Null, text));
        }
    }
    json!({
        "partition": message.partition(),
        "offset": message.offset(),
        "timestamp_ms": message.timestamp().to_millis(),
        "key": message.key().map_or(Value::Null, text),
        "headers": headers,
    })
}

#[cfg(test)]
mod tests {
    use rdkafka::Timestamp;
    use rdkafka::message::{Header, OwnedHeaders, OwnedMessage};

    use super::*;

    fn copied(copy: &Copy, key: Option<&[u8]>, payload: Option<&str>) -> (RawRecord, String) {
        let headers = OwnedHeaders::new().insert(Header { key: "h", value: Some("v") });
        let payload = payload.map(|payload| payload.as_bytes().to_vec());
        let at = Timestamp::CreateTime(5);
        let message = OwnedMessage::new(payload, key.map(<[u8]>::to_vec), "t".to_owned(), at, 3, 7, Some(headers));
        let mut batch = RawBatch::default();
        copy.push(&message, &mut batch);
        let record = batch.records[0].clone();
        let text = batch.payload(&record).or(batch.key(&record)).unwrap_or_default();
        let text = String::from_utf8_lossy(text).into_owned();
        (record, text)
    }

    fn plain() -> Copy {
        Copy { max_record_bytes: 10_000, message_key: MessageKey::Text, is_by_message: false, metadata: None }
    }

    #[test]
    fn payloads_stay_as_they_are_unless_metadata_are_asked_for() {
        assert_eq!(copied(&plain(), None, Some(r#" {"a": 1}"#)).1, r#" {"a": 1}"#);
        let copy = Copy { metadata: Some("_k".to_owned()), ..plain() };
        let metadata = r#""_k":{"partition":3,"offset":7,"timestamp_ms":5,"key":"x","headers":{"h":"v"}}"#;
        assert_eq!(copied(&copy, Some(b"x"), Some(r#" {"a": 1}"#)).1, format!(r#"{{{metadata},"a": 1}}"#));
        assert_eq!(copied(&copy, Some(b"x"), Some("{ }")).1, format!("{{{metadata} }}"));
        assert_eq!(copied(&copy, Some(b"x"), Some("[1]")).1, "[1]");
    }

    #[test]
    fn the_key_of_a_tombstone_is_made_json() {
        let key = |message_key, key: &[u8]| copied(&Copy { message_key, ..plain() }, Some(key), None).1;
        assert_eq!(key(MessageKey::Text, b"17"), r#""17""#);
        assert_eq!(key(MessageKey::Text, br#"a"b"#), r#""a\"b""#);
        assert_eq!(key(MessageKey::Integer, b"17"), "17");
        assert_eq!(key(MessageKey::Json, br#"["a",1]"#), r#"["a",1]"#);
        assert_eq!(copied(&plain(), None, None).0.key, None);
    }

    #[test]
    fn a_row_by_its_message_brings_the_key_beside_its_payload() {
        let of = |is_by_message| {
            let message = OwnedMessage::new(
                Some(b"{}".to_vec()),
                Some(b"a7".to_vec()),
                "t".to_owned(),
                Timestamp::NotAvailable,
                3,
                7,
                None,
            );
            let mut batch = RawBatch::default();
            Copy { is_by_message, ..plain() }.push(&message, &mut batch);
            let record = batch.records[0].clone();
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
            (batch.payload(&record).map(text), batch.key(&record).map(text))
        };
        assert_eq!(of(true), (Some("{}".to_owned()), Some("\"a7\"".to_owned())));
        assert_eq!(of(false), (Some("{}".to_owned()), None));
    }

    #[test]
    fn of_a_record_that_is_too_long_the_beginning_is_kept() {
        let (record, text) = copied(&plain(), None, Some(&"x".repeat(20_000)));
        assert_eq!((record.oversized_bytes, text.len()), (Some(20_000), KEPT_BYTES));
    }
}
