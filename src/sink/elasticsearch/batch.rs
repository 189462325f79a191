//! Requests: documents and deletions as lines of a `_bulk` body, and the parts of one that are sent again.

use bytes::Bytes;

use crate::record::write_string;

/// Longer keys do not fit an `_id`, which may have 512 bytes.
const MAX_ID_BYTES: usize = 512;

/// What a deletion leaves behind with `deletes: tombstone`.
const TOMBSTONE: &[u8] = b"{\"_deleted\":true,\"_deleted_at\":";

/// What is to be done to one document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Index,
    Delete,
}

/// One document of a request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Item {
    /// Its lines in the body.
    start: u32,
    end: u32,
    /// The version of the write.
    pub epoch: u64,
    pub action: Action,
    /// It deletes what the server has refused to replace: refused again, it is given up.
    pub amends: bool,
}

/// A request: bytes that are shared by all attempts, and what they are about.
#[derive(Clone, Debug)]
pub(super) struct Batch {
    pub body: Bytes,
    pub items: Vec<Item>,
}

impl Batch {
    /// The lines of an item.
    pub fn lines(&self, item: &Item) -> &[u8] {
        &self.body[item.start as usize..item.end as usize]
    }

    /// The `_id` of an item.
    pub fn id(&self, item: &Item) -> String {
        self.said(item, "_id").unwrap_or_default()
    }

    /// The index of an item, if it is not that of the request.
    pub fn index(&self, item: &Item) -> Option<String> {
        self.said(item, "_index")
    }

    fn said(&self, item: &Item, name: &str) -> Option<String> {
        let lines = self.lines(item);
        let action = lines.split(|byte| *byte == b'\n').next()?;
        let action: serde_json::Value = serde_json::from_slice(action).ok()?;
        action.as_object()?.values().next()?[name].as_str().map(str::to_owned)
    }

    /// The document of an item; nothing for a deletion.
    pub fn document(&self, item: &Item) -> &[u8] {
        let lines = self.lines(item);
        let after_action = lines.iter().position(|byte| *byte == b'\n').map_or(lines.len(), |at| at + 1);
        lines[after_action..].strip_suffix(b"\n").unwrap_or_default()
    }

    /// A request of these items alone.
    pub fn subset(&self, items: &[usize]) -> Batch {
        let mut body = Vec::with_capacity(items.iter().map(|n| self.lines(&self.items[*n]).len()).sum());
        let items = items.iter().map(|n| {
            let item = self.items[*n];
            let start = position(&body);
            body.extend_from_slice(self.lines(&item));
            Item { start, end: position(&body), ..item }
        });
        Batch { items: items.collect(), body: body.into() }
    }

    /// Two requests of a half each, of one that has more than one item.
    pub fn halves(&self) -> [Batch; 2] {
        let middle = self.items.len() / 2;
        let all: Vec<usize> = (0..self.items.len()).collect();
        [self.subset(&all[..middle]), self.subset(&all[middle..])]
    }
}

/// A document by its row key.
#[derive(Clone, Copy, Debug)]
pub(super) struct Target<'a> {
    /// The index that it is in, if it is not that of the request.
    pub index: Option<&'a str>,
    pub key: &'a str,
}

/// Puts requests together.
#[derive(Default)]
pub(super) struct BatchBuilder {
    body: Vec<u8>,
    items: Vec<Item>,
    keeps_tombstones: bool,
    scratch: String,
}

impl BatchBuilder {
    pub fn new(keeps_tombstones: bool) -> Self {
        BatchBuilder { keeps_tombstones, ..BatchBuilder::default() }
    }

    pub fn bytes(&self) -> usize {
        self.body.len()
    }

    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// A document that `render` appends.
    pub fn index(&mut self, target: Target<'_>, epoch: u64, render: impl FnOnce(&mut Vec<u8>)) {
        let mut scratch = std::mem::take(&mut self.scratch);
        let start = self.action("index", target.index, id(target.key, &mut scratch), epoch);
        self.scratch = scratch;
        let document = self.body.len();
        render(&mut self.body);
        // A line is a document. In JSON that came with line breaks, these are white space like any other.
        for at in memchr::memchr_iter(b'\n', &self.body[document..]).collect::<Vec<_>>() {
            self.body[document + at] = b' ';
        }
        self.body.push(b'\n');
        self.push(start, epoch, Action::Index, false);
    }

    /// Deletes the document of a key.
    pub fn delete(&mut self, target: Target<'_>, epoch: u64) {
        let mut scratch = std::mem::take(&mut self.scratch);
        self.delete_id(target.index, id(target.key, &mut scratch), epoch, false);
        self.scratch = scratch;
    }

    /// Deletes the document with this `_id`; `amends` says that it stands for one that was refused.
    pub fn delete_id(&mut self, index: Option<&str>, id: &str, epoch: u64, amends: bool) {
        if !self.keeps_tombstones {
            let start = self.action("delete", index, id, epoch);
            return self.push(start, epoch, Action::Delete, amends);
        }
        let start = self.action("index", index, id, epoch);
        self.body.extend_from_slice(TOMBSTONE);
        self.body.extend_from_slice(itoa::Buffer::new().format(epoch).as_bytes());
        self.body.extend_from_slice(b"}\n");
        self.push(start, epoch, Action::Index, amends);
    }

    fn action(&mut self, action: &str, index: Option<&str>, id: &str, epoch: u64) -> u32 {
        let start = position(&self.body);
        let body = &mut self.body;
        body.extend_from_slice(b"{\"");
        body.extend_from_slice(action.as_bytes());
        body.extend_from_slice(b"\":{");
        if let Some(index) = index {
            body.extend_from_slice(b"\"_index\":");
            write_string(index, body);
            body.push(b',');
        }
        body.extend_from_slice(b"\"_id\":");
        write_string(id, body);
        body.extend_from_slice(b",\"version\":");
        body.extend_from_slice(itoa::Buffer::new().format(epoch).as_bytes());
        body.extend_from_slice(b",\"version_type\":\"external_gte\"}}\n");
        start
    }

    fn push(&mut self, start: u32, epoch: u64, action: Action, amends: bool) {
        let end = position(&self.body);
        self.items.push(Item { start, end, epoch, action, amends });
    }

    /// What was put together.
    pub fn take(&mut self) -> Batch {
        let capacity = self.body.len();
        let body = std::mem::replace(&mut self.body, Vec::with_capacity(capacity));
        Batch { body: body.into(), items: std::mem::take(&mut self.items) }
    }
}

fn position(body: &[u8]) -> u32 {
    u32::try_from(body.len()).expect("requests are far smaller than 4 GiB")
}

/// The `_id` of a row: its key, or the beginning of it and a hash if it is too long.
pub(super) fn id<'a>(key: &'a str, scratch: &'a mut String) -> &'a str {
    if key.len() <= MAX_ID_BYTES {
        return key;
    }
    let mut end = MAX_ID_BYTES - 33;
    while !key.is_char_boundary(end) {
        end -= 1;
    }
    scratch.clear();
    scratch.push_str(&key[..end]);
    scratch.push_str(&format!("#{:032x}", xxhash_rust::xxh3::xxh3_128(key.as_bytes())));
    scratch
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(key: &str) -> Target<'_> {
        Target { index: None, key }
    }

    fn batch(keeps_tombstones: bool) -> Batch {
        let mut builder = BatchBuilder::new(keeps_tombstones);
        builder.index(target("[\"a7\",5]"), 9, |out| out.extend_from_slice(b"{\"n\":1}"));
        builder.delete(target("[\"a7\",6]"), 10);
        assert!(builder.bytes() > 0 && !builder.is_empty());
        builder.take()
    }

    fn text(batch: &Batch) -> &str {
        std::str::from_utf8(&batch.body).unwrap()
    }

    #[test]
    fn documents_and_deletions_carry_their_epoch_as_version() {
        let batch = batch(false);
        let expected = "{\"index\":{\"_id\":\"[\\\"a7\\\",5]\",\"version\":9,\"version_type\":\"external_gte\"}}\n{\"n\":1}\n\
                        {\"delete\":{\"_id\":\"[\\\"a7\\\",6]\",\"version\":10,\"version_type\":\"external_gte\"}}\n";
        assert_eq!(text(&batch), expected);
        assert_eq!(batch.id(&batch.items[0]), "[\"a7\",5]");
        assert_eq!(batch.document(&batch.items[0]), b"{\"n\":1}");
        assert_eq!((batch.items[1].action, batch.document(&batch.items[1])), (Action::Delete, &b""[..]));
    }

    #[test]
    fn an_item_may_be_of_another_index_than_the_request() {
        let mut builder = BatchBuilder::new(false);
        builder.index(Target { index: Some("m-3"), key: "[1]" }, 9, |out| out.extend_from_slice(b"{}"));
        builder.delete_id(Some("m-4"), "[2]", 9, false);
        builder.delete_id(None, "[3]", 9, false);
        let batch = builder.take();
        assert!(text(&batch).starts_with("{\"index\":{\"_index\":\"m-3\",\"_id\":\"[1]\",\"version\":9,"));
        let indexes: Vec<_> = batch.items.iter().map(|item| batch.index(item)).collect();
        assert_eq!(indexes, [Some("m-3".to_owned()), Some("m-4".to_owned()), None]);
    }

    #[test]
    fn a_tombstone_is_a_document_that_says_when_it_was_deleted() {
        let batch = batch(true);
        assert!(
            text(&batch).ends_with("\"version_type\":\"external_gte\"}}\n{\"_deleted\":true,\"_deleted_at\":10}\n")
        );
        assert_eq!(batch.items[1].action, Action::Index);
    }

    #[test]
    fn parts_of_a_request_have_the_same_lines() {
        let whole = batch(false);
        let [first, second] = whole.halves();
        assert_eq!(format!("{}{}", text(&first), text(&second)), text(&whole));
        assert_eq!(text(&whole.subset(&[1])), text(&second));
        assert_eq!(second.items[0].epoch, 10);
    }

    #[test]
    fn a_key_that_is_too_long_becomes_its_beginning_and_a_hash() {
        let mut scratch = String::new();
        let short = "x".repeat(512);
        assert_eq!(id(&short, &mut scratch), short);
        let (long, other) = ("é".repeat(600), format!("{}z", "é".repeat(599)));
        let first = id(&long, &mut scratch).to_owned();
        assert!(first.len() <= 512 && first.starts_with("éé"));
        assert_ne!(first, id(&other, &mut scratch));
    }
}
