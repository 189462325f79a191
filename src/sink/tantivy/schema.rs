//! The fields of the index, and the terms in them.

use std::borrow::Cow;

use tantivy::Term;
use tantivy::schema::{
    BytesOptions, FAST, Field, IndexRecordOption, NumericOptions, STORED, Schema, TextFieldIndexing, TextOptions,
};

use super::words::{self, SEPARATOR};

/// Longer exact terms are cut and told apart by a hash: tantivy drops terms that are too long without a word.
const MAX_TERM_BYTES: usize = 512;

/// The fields. One index document is one moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fields {
    /// The row key; stored only.
    pub key: Field,
    /// The row key as a term, [`bounded`]: what updates and deletes find the document by.
    pub id: Field,
    /// The document, JSON text; stored only.
    pub document: Field,
    /// The asset as JSON (`"a7"` or `7`): a term, and a column.
    pub asset: Field,
    /// The moment's start and end: columns, in ns.
    pub start: Field,
    pub end: Field,
    /// The epoch that wrote the document: a column.
    pub epoch: Field,
    /// The types of the children: terms.
    pub kind: Field,
    /// The (type, label) pairs of the children: terms, so that the type and label of different children never match.
    pub label: Field,
    /// The (type, word) pairs of labels and texts: terms with positions.
    pub words: Field,
    /// One value a child, see [`super::annotation`]: a column. Equal values are held once a segment, however many
    /// moments an annotation is in.
    pub annotations: Field,
    /// The values that are too long for a column; stored.
    pub large: Field,
}

/// The schema; what it says is compared with that of an existing index.
pub(super) fn schema() -> Schema {
    let exact = || {
        let indexing = TextFieldIndexing::default()
            .set_tokenizer("raw")
            .set_fieldnorms(false)
            .set_index_option(IndexRecordOption::Basic);
        TextOptions::default().set_indexing_options(indexing)
    };
    let worded = TextFieldIndexing::default()
        .set_tokenizer(words::ANALYZER)
        .set_fieldnorms(false)
        .set_index_option(IndexRecordOption::WithFreqsAndPositions);
    let mut builder = Schema::builder();
    builder.add_text_field("key", STORED);
    builder.add_text_field("id", exact());
    builder.add_bytes_field("document", STORED);
    builder.add_text_field("asset", exact().set_fast("raw"));
    builder.add_i64_field("start_ns", NumericOptions::from(FAST));
    builder.add_i64_field("end_ns", NumericOptions::from(FAST));
    builder.add_u64_field("epoch", NumericOptions::from(FAST));
    builder.add_text_field("type", exact());
    builder.add_text_field("label", exact());
    builder.add_text_field("words", TextOptions::default().set_indexing_options(worded));
    builder.add_bytes_field("annotations", BytesOptions::from(FAST));
    builder.add_bytes_field("large", STORED);
    builder.build()
}

impl Fields {
    /// The fields of a schema that has them all.
    pub fn of(schema: &Schema) -> Self {
        let field = |name| schema.get_field(name).expect("the schema was compared with ours");
        Fields {
            key: field("key"),
            id: field("id"),
            document: field("document"),
            asset: field("asset"),
            start: field("start_ns"),
            end: field("end_ns"),
            epoch: field("epoch"),
            kind: field("type"),
            label: field("label"),
            words: field("words"),
            annotations: field("annotations"),
            large: field("large"),
        }
    }

    /// The moment with this row key.
    pub fn id_term(&self, key: &str) -> Term {
        Term::from_field_text(self.id, &bounded(key))
    }

    /// The annotations of type `kind`.
    pub fn kind_term(&self, kind: &str) -> Term {
        Term::from_field_text(self.kind, &kind_text(kind))
    }

    /// The annotations of type `kind` with this very label.
    pub fn label_term(&self, kind: &str, label: &str) -> Term {
        Term::from_field_text(self.label, &label_text(kind, label))
    }

    /// The annotations of type `kind` with this word, which must be as [`super::words::words`] gives it.
    pub fn word_term(&self, kind: &str, word: &str) -> Term {
        Term::from_field_text(self.words, &words_text(kind, word))
    }

    /// The moments of an asset, given as JSON.
    pub fn asset_term(&self, asset: &str) -> Term {
        Term::from_field_text(self.asset, &bounded(asset))
    }
}

/// What a type is indexed as.
pub(super) fn kind_text(kind: &str) -> Cow<'_, str> {
    if kind.contains(SEPARATOR) {
        Cow::Owned(bounded(&kind.replace(SEPARATOR, "\u{fffd}")).into_owned())
    } else {
        bounded(kind)
    }
}

/// What the type and label of a child are indexed as.
pub(super) fn label_text(kind: &str, label: &str) -> String {
    format!("{}{SEPARATOR}{}", kind_text(kind), bounded(label))
}

/// What a text of a child is handed to the analyzer as.
pub(super) fn words_text(kind: &str, text: &str) -> String {
    format!("{}{SEPARATOR}{text}", kind_text(kind))
}

/// `text`, or its beginning and a hash if it is too long for a term: different texts stay different terms.
pub(super) fn bounded(text: &str) -> Cow<'_, str> {
    if text.len() <= MAX_TERM_BYTES {
        return Cow::Borrowed(text);
    }
    let hash = xxhash_rust::xxh3::xxh3_128(text.as_bytes());
    Cow::Owned(format!("{}#{hash:032x}", words::cut(text, MAX_TERM_BYTES - 33)))
}

/// What differs between the schema of an index and ours, for people.
pub(super) fn difference(found: &Schema) -> Option<String> {
    let expected = schema();
    if *found == expected {
        return None;
    }
    for (_, entry) in expected.fields() {
        match found.get_field(entry.name()) {
            Err(_) => return Some(format!("its schema has no field {:?}", entry.name())),
            Ok(field) if found.get_field_entry(field) != entry => {
                return Some(format!("the field {:?} of its schema has other options or another type", entry.name()));
            }
            Ok(_) => {}
        }
    }
    let extra = found.fields().map(|(_, entry)| entry.name()).find(|name| expected.get_field(name).is_err());
    Some(match extra {
        Some(name) => format!("its schema has a field {name:?} that is not ours"),
        None => "the fields of its schema stand in another order".to_owned(),
    })
}
