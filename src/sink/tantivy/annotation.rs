//! What the index keeps of one annotation, so that a query can check it without its document.
//!
//! One value is a JSON array: `[key, type, [label, …], [text, …], confidence, start_ns, end_ns]`, with the key as the
//! JSON array that it is in every sink, and the range half-open whatever the pipeline's `end:` says.

use flowstone_operators::interval::Interval;
use sonic_rs::{JsonValueTrait, LazyValue};

use crate::pipeline::model::TantivySink;
use crate::record::{Child, FieldPath, select, write_integer, write_string};

/// One annotation, as the index holds it.
#[derive(Clone, Debug, PartialEq)]
pub struct Annotation {
    /// The annotation's row key, a JSON array.
    pub key: String,
    /// Its type (modality).
    pub kind: String,
    /// Its labels; usually one.
    pub labels: Vec<String>,
    /// Its other texts.
    pub texts: Vec<String>,
    /// Its confidence, if it has one.
    pub confidence: Option<f64>,
    /// Its full range, half-open.
    pub interval: Interval,
}

#[derive(serde::Deserialize)]
struct Stored<'a>(#[serde(borrow)] LazyValue<'a>, String, Vec<String>, Vec<String>, Option<f64>, i64, i64);

impl Annotation {
    /// Reads a value of the index.
    ///
    /// # Errors
    /// If it is not one.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, sonic_rs::Error> {
        let Stored(key, kind, labels, texts, confidence, start_ns, end_ns) = sonic_rs::from_slice(bytes)?;
        if !(0 <= start_ns && start_ns < end_ns) {
            return Err(serde::de::Error::custom(format!("not a range: [{start_ns}, {end_ns})")));
        }
        let interval = Interval::new(start_ns, end_ns);
        Ok(Annotation { key: key.as_raw_str().to_owned(), kind, labels, texts, confidence, interval })
    }

    /// Appends the value for the index.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.push(b'[');
        out.extend_from_slice(self.key.as_bytes());
        out.push(b',');
        write_string(&self.kind, out);
        for list in [&self.labels, &self.texts] {
            out.extend_from_slice(b",[");
            for (n, text) in list.iter().enumerate() {
                if n > 0 {
                    out.push(b',');
                }
                write_string(text, out);
            }
            out.push(b']');
        }
        match self.confidence {
            // `ryu` gives the shortest text that reads back as the same number.
            Some(confidence) => {
                out.push(b',');
                out.extend_from_slice(ryu::Buffer::new().format(confidence).as_bytes());
                out.push(b',');
            }
            None => out.extend_from_slice(b",null,"),
        }
        write_integer(self.interval.start_ns(), out);
        out.push(b',');
        write_integer(self.interval.end_ns(), out);
        out.push(b']');
    }
}

/// Where an annotation's payload holds what is searched.
#[derive(Clone, Debug)]
pub(crate) struct Paths {
    /// The label.
    pub label: FieldPath,
    /// Other texts.
    pub text: Vec<FieldPath>,
    /// The confidence.
    pub confidence: FieldPath,
}

impl Paths {
    pub(super) fn of(spec: &TantivySink) -> Self {
        Paths { label: spec.label.clone(), text: spec.text.clone(), confidence: spec.confidence.clone() }
    }

    /// What is searched of a child.
    pub fn annotation(&self, child: &Child<'_>) -> Annotation {
        let mut key = Vec::new();
        child.key.write_json(&mut key);
        let payload = std::str::from_utf8(child.payload).expect("decode has checked the encoding");
        let key = String::from_utf8(key).expect("a key is JSON text");
        self.read(key, child.kind, child.interval, payload)
    }

    /// What is searched of an annotation, of which the key (JSON), the type and the range are known.
    pub fn read(&self, key: String, kind: &str, interval: Interval, payload: &str) -> Annotation {
        let mut texts = Vec::new();
        for path in &self.text {
            collect(payload, path, |value| push_texts(value, &mut texts));
        }
        let mut labels = Vec::new();
        collect(payload, &self.label, |value| push_texts(value, &mut labels));
        let mut confidence = None;
        collect(payload, &self.confidence, |value| confidence = confidence.or(value.as_f64()));
        Annotation {
            key,
            kind: kind.to_owned(),
            labels,
            texts,
            confidence: confidence.filter(|confidence| confidence.is_finite()),
            interval,
        }
    }
}

/// Calls `each` with the values at `path`; a payload without the field has none.
fn collect(payload: &str, path: &FieldPath, mut each: impl FnMut(&LazyValue<'_>)) {
    select(payload, path, |json| {
        if let Ok(value) = sonic_rs::get(json, std::iter::empty::<&str>()) {
            each(&value);
        }
    });
}

fn elements<'a>(value: &LazyValue<'a>) -> impl Iterator<Item = LazyValue<'a>> {
    value.clone().into_array_iter().into_iter().flatten().filter_map(Result::ok)
}

/// A string as it is, a number or truth value as its JSON text, an array as its elements; objects have no text.
fn push_texts(value: &LazyValue<'_>, texts: &mut Vec<String>) {
    if let Some(text) = value.as_str() {
        texts.push(text.to_owned());
    } else if value.is_number() || value.is_boolean() {
        texts.push(value.as_raw_str().to_owned());
    } else if value.is_array() {
        elements(value).for_each(|element| push_texts(&element, texts));
    }
}
