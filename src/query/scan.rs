//! From candidates to moments: each clause is checked on each annotation of a candidate, once however many moments the
//! annotation is in.

use hashbrown::HashMap;
use tantivy::columnar::{BytesColumn, Column, StrColumn};
use tantivy::query::EnableScoring;
use tantivy::schema::Value;
use tantivy::{DocId, SegmentReader, TantivyDocument, TantivyError};

use super::Query;
use super::candidates::IndexReader;
use super::found::{Found, FoundMoment, Scan, scalar};
use crate::record::Scalar;
use crate::sink::tantivy::{Annotation, LARGE};

pub(super) fn scan(index: &IndexReader, query: &Query) -> tantivy::Result<Found> {
    let candidates = index.candidates(query)?;
    let weight = candidates.weight(EnableScoring::disabled_from_searcher(&index.searcher))?;
    let mut scan = Scan::new(query);
    for segment in index.searcher.segment_readers() {
        let mut docs = Vec::new();
        let alive = segment.alive_bitset();
        weight.for_each_no_score(segment, &mut |batch| {
            docs.extend(batch.iter().filter(|doc| alive.is_none_or(|alive| alive.is_alive(**doc))));
        })?;
        if !docs.is_empty() {
            SegmentScan::open(index, segment)?.scan(&mut scan, &docs)?;
        }
    }
    Ok(scan.found)
}

/// The columns of one segment.
struct SegmentScan<'a> {
    segment: &'a SegmentReader,
    index: &'a IndexReader,
    start: Column<i64>,
    end: Column<i64>,
    asset: StrColumn,
    annotations: Option<BytesColumn>,
}

impl<'a> SegmentScan<'a> {
    fn open(index: &'a IndexReader, segment: &'a SegmentReader) -> tantivy::Result<Self> {
        let schema = segment.schema();
        let name = |field| schema.get_field_name(field);
        let columns = segment.fast_fields();
        Ok(SegmentScan {
            segment,
            index,
            start: columns.i64(name(index.fields.start))?,
            end: columns.i64(name(index.fields.end))?,
            asset: columns.str(name(index.fields.asset))?.ok_or_else(|| corrupt("no asset"))?,
            annotations: columns.bytes(name(index.fields.annotations))?,
        })
    }

    fn scan(&self, scan: &mut Scan<'_>, docs: &[DocId]) -> tantivy::Result<()> {
        let window = scan.query.window;
        let in_window = |doc: &DocId| {
            let (start, end) = self.range(*doc);
            start < window.to_ns && window.from_ns < end
        };
        let docs: Vec<DocId> = docs.iter().copied().filter(in_window).collect();
        let values = self.values(scan, &docs)?;
        let mut assets = HashMap::new();
        for doc in docs {
            let mut met = Vec::new();
            for ordinal in self.ordinals(doc) {
                match values.get(&ordinal) {
                    Some(ValueAt::Met(number)) => met.push(*number),
                    Some(ValueAt::Large) => self.check_large(scan, doc, &mut met)?,
                    None => {}
                }
            }
            if !scan.meets_all(&met) {
                continue;
            }
            let (start_ns, end_ns) = self.range(doc);
            let asset = self.asset(doc, &mut assets)?;
            scan.found.assets.entry(asset).or_default().push(FoundMoment { start_ns, end_ns, met });
        }
        Ok(())
    }

    fn range(&self, doc: DocId) -> (i64, i64) {
        // Every document has both: zero is never used.
        (self.start.first(doc).unwrap_or(0), self.end.first(doc).unwrap_or(0))
    }

    fn ordinals(&self, doc: DocId) -> impl Iterator<Item = u64> + '_ {
        self.annotations.iter().flat_map(move |column| column.term_ords(doc))
    }

    /// Reads the annotations of `docs` in the order in which they lie in the index, and keeps those that meet a clause.
    fn values(&self, scan: &mut Scan<'_>, docs: &[DocId]) -> tantivy::Result<HashMap<u64, ValueAt>> {
        let Some(column) = &self.annotations else { return Ok(HashMap::new()) };
        let mut ordinals: Vec<u64> = docs.iter().flat_map(|doc| column.term_ords(*doc)).collect();
        ordinals.sort_unstable();
        ordinals.dedup();
        let mut values = HashMap::new();
        let mut result = Ok(());
        let mut next = ordinals.iter();
        let complete = column.dictionary().sorted_ords_to_term_cb(&ordinals, |bytes| {
            let ordinal = *next.next().expect("one call an ordinal");
            if bytes == LARGE {
                values.insert(ordinal, ValueAt::Large);
            } else if result.is_ok() {
                match check(scan, bytes) {
                    Ok(Some(number)) => {
                        values.insert(ordinal, ValueAt::Met(number));
                    }
                    Ok(None) => {}
                    Err(error) => result = Err(error),
                }
            }
        })?;
        result?;
        if complete { Ok(values) } else { Err(corrupt("an annotation is missing")) }
    }

    fn check_large(&self, scan: &mut Scan<'_>, doc: DocId, met: &mut Vec<usize>) -> tantivy::Result<()> {
        for value in self.stored(doc)?.get_all(self.index.fields.large) {
            let bytes = value.as_value().as_bytes().ok_or_else(|| corrupt("a large annotation"))?;
            met.extend(check(scan, bytes)?);
        }
        Ok(())
    }

    fn stored(&self, doc: DocId) -> tantivy::Result<TantivyDocument> {
        self.segment.get_store_reader(1)?.get(doc)
    }

    /// The asset of a moment; `known` are those of the segment, by ordinal.
    fn asset(&self, doc: DocId, known: &mut HashMap<u64, Scalar>) -> tantivy::Result<Scalar> {
        let ordinal = self.asset.term_ords(doc).next().ok_or_else(|| corrupt("a moment without an asset"))?;
        if let Some(asset) = known.get(&ordinal) {
            return Ok(asset.clone());
        }
        let mut json = String::new();
        self.asset.ord_to_str(ordinal, &mut json)?;
        let asset = match serde_json::from_str(&json) {
            Ok(value) => scalar(&value),
            // Too long for a column, and cut; the key is whole, and starts with it.
            Err(_) => {
                let document = self.stored(doc)?;
                let key = document.get_first(self.index.fields.key).and_then(|key| key.as_str());
                key.and_then(|key| serde_json::from_str(key).ok()).and_then(|key: serde_json::Value| scalar(&key[0]))
            }
        };
        let asset = asset.ok_or_else(|| corrupt(&format!("an asset: {json}")))?;
        known.insert(ordinal, asset.clone());
        Ok(asset)
    }
}

/// What stands at an ordinal of the annotations' dictionary, if it matters.
enum ValueAt {
    /// An annotation that meets a clause.
    Met(usize),
    /// The moment has annotations that are too long for the column.
    Large,
}

/// The number of the annotation, if it meets a clause.
fn check(scan: &mut Scan<'_>, bytes: &[u8]) -> tantivy::Result<Option<usize>> {
    scan.check(bytes, || Annotation::read(bytes).map_err(|error| corrupt(&format!("an annotation: {error}"))))
}

fn corrupt(what: &str) -> TantivyError {
    TantivyError::InternalError(format!("the index is damaged: {what}"))
}
