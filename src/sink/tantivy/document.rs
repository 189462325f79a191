//! A moment as an index document, and the bound on how many of them wait for the indexing thread.

use std::fmt;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use tantivy::schema::document::{ReferenceValue, ReferenceValueLeaf};
use tantivy::schema::{Document, Field, Value};

use super::annotation::Annotation;
use super::schema::{self, Fields};

/// Longer values do not go into a column, which would cut them.
const MAX_COLUMN_BYTES: usize = 60_000;

/// One child, ready for the index; moments that share an annotation share it.
#[derive(Debug)]
pub(super) struct PreparedChild {
    kind: String,
    labels: Vec<String>,
    /// Each as the analyzer takes it.
    texts: Vec<String>,
    /// [`Annotation::write`]
    value: Vec<u8>,
}

impl PreparedChild {
    pub fn of(annotation: &Annotation) -> Self {
        let mut value = Vec::new();
        annotation.write(&mut value);
        let texts = annotation.labels.iter().chain(&annotation.texts);
        PreparedChild {
            kind: schema::kind_text(&annotation.kind).into_owned(),
            labels: annotation.labels.iter().map(|label| schema::label_text(&annotation.kind, label)).collect(),
            texts: texts.map(|text| schema::words_text(&annotation.kind, text)).collect(),
            value,
        }
    }
}

/// One moment, as the index takes it.
pub(super) struct MomentDocument {
    pub fields: Fields,
    pub key: String,
    /// The key's term, [`schema::bounded`].
    pub id: String,
    pub document: Vec<u8>,
    /// The asset as JSON, [`schema::bounded`].
    pub asset: String,
    pub start_ns: i64,
    pub end_ns: i64,
    pub epoch: u64,
    pub children: Vec<Arc<PreparedChild>>,
    /// Given back when the indexing thread has dealt with the document.
    pub _permit: Permit,
}

impl MomentDocument {
    /// About how much memory the document holds, in bytes.
    pub fn bytes(document: &[u8], children: &[Arc<PreparedChild>]) -> u64 {
        (document.len() + children.iter().map(|child| child.value.len()).sum::<usize>()) as u64
    }
}

/// A value of a [`MomentDocument`].
#[derive(Clone, Copy, Debug)]
pub(super) enum FieldValue<'a> {
    Text(&'a str),
    Bytes(&'a [u8]),
    Signed(i64),
    Unsigned(u64),
}

impl<'a> Value<'a> for FieldValue<'a> {
    type ArrayIter = std::iter::Empty<Self>;
    type ObjectIter = std::iter::Empty<(&'a str, Self)>;

    fn as_value(&self) -> ReferenceValue<'a, Self> {
        ReferenceValue::Leaf(match *self {
            FieldValue::Text(text) => ReferenceValueLeaf::Str(text),
            FieldValue::Bytes(bytes) => ReferenceValueLeaf::Bytes(bytes),
            FieldValue::Signed(number) => ReferenceValueLeaf::I64(number),
            FieldValue::Unsigned(number) => ReferenceValueLeaf::U64(number),
        })
    }
}

impl Document for MomentDocument {
    type Value<'a> = FieldValue<'a>;
    type FieldsValuesIter<'a> = std::vec::IntoIter<(Field, FieldValue<'a>)>;

    fn iter_fields_and_values(&self) -> Self::FieldsValuesIter<'_> {
        let fields = &self.fields;
        let mut values = vec![
            (fields.key, FieldValue::Text(&self.key)),
            (fields.id, FieldValue::Text(&self.id)),
            (fields.document, FieldValue::Bytes(&self.document)),
            (fields.asset, FieldValue::Text(&self.asset)),
            (fields.start, FieldValue::Signed(self.start_ns)),
            (fields.end, FieldValue::Signed(self.end_ns)),
            (fields.epoch, FieldValue::Unsigned(self.epoch)),
        ];
        let mut large = 0;
        for (n, child) in self.children.iter().enumerate() {
            // Children are ordered by type.
            if n == 0 || self.children[n - 1].kind != child.kind {
                values.push((fields.kind, FieldValue::Text(&child.kind)));
            }
            values.extend(child.labels.iter().map(|label| (fields.label, FieldValue::Text(label))));
            values.extend(child.texts.iter().map(|text| (fields.words, FieldValue::Text(text))));
            if child.value.len() <= MAX_COLUMN_BYTES {
                values.push((fields.annotations, FieldValue::Bytes(&child.value)));
            } else {
                values.push((fields.large, FieldValue::Bytes(&child.value)));
                large += 1;
            }
        }
        if large > 0 {
            values.push((fields.annotations, FieldValue::Bytes(LARGE)));
        }
        values.into_iter()
    }
}

/// In the column: the document has more annotations, in the field `large`.
pub(crate) const LARGE: &[u8] = b"large";

/// How many bytes of documents wait for the indexing thread; tantivy itself bounds only their number.
#[derive(Default)]
pub(super) struct Waiting {
    bytes: Mutex<u64>,
    freed: Condvar,
}

/// A share of [`Waiting`], given back when dropped.
pub(super) struct Permit {
    waiting: Arc<Waiting>,
    bytes: u64,
}

const MAX_WAITING_BYTES: u64 = 32 << 20;

impl Waiting {
    /// Waits until fewer than 32 MiB wait, and counts `bytes` in.
    ///
    /// Goes on after a second in any case: if the indexing thread has died, adding the document reports it.
    pub fn admit(self: &Arc<Self>, bytes: u64) -> Permit {
        let held = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        let full = |held: &mut u64| *held >= MAX_WAITING_BYTES;
        let waited = self.freed.wait_timeout_while(held, Duration::from_secs(1), full);
        let (mut held, _) = waited.unwrap_or_else(PoisonError::into_inner);
        *held += bytes;
        Permit { waiting: Arc::clone(self), bytes }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut held = self.waiting.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        *held -= self.bytes;
        drop(held);
        self.waiting.freed.notify_one();
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Permit({} bytes)", self.bytes)
    }
}
