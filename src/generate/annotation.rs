//! One annotation, and how it is written.

use xxhash_rust::xxh3::xxh3_128_with_seed;

use super::catalogue::Asset;
use super::modality::MODALITIES;
use super::vectors::Vectors;

/// One annotation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Annotation {
    /// A version 4 UUID.
    pub(super) id: u128,
    /// The position of its type in [`MODALITIES`].
    pub(super) modality: usize,
    pub(super) label: &'static str,
    /// What is said, in dialogue.
    pub(super) text: Option<Box<str>>,
    /// The position of its asset in the catalogue.
    pub(super) asset: usize,
    /// Below 1,000.
    pub(super) confidence_thousandths: u16,
    pub(super) start_ns: i64,
    /// After the start.
    pub(super) end_ns: i64,
    /// How often it was corrected; part of the model's version.
    pub(super) revision: u8,
}

/// The id of the `index`-th annotation of a seed.
pub(super) fn id(seed: u64, index: u64) -> u128 {
    const VERSION_4: u128 = 0x4 << 76;
    const VARIANT: u128 = 0b10 << 62;
    let bits = xxh3_128_with_seed(&index.to_le_bytes(), seed);
    bits & !(0xf << 76) & !(0b11 << 62) | VERSION_4 | VARIANT
}

impl Annotation {
    /// Appends it as a line.
    pub(super) fn write(&self, assets: &[Asset], vectors: Option<&mut Vectors>, line: &mut Vec<u8>) {
        let modality = &MODALITIES[self.modality];
        write_id(self.id, line);
        put(line, &[r#"","type":""#, modality.name, r#"","label":""#, self.label]);
        if let Some(text) = &self.text {
            put(line, &[r#"","text":""#, text]);
        }
        put(line, &[r#"","associated_ids":"#, &assets[self.asset].context, r#","confidence_score":0."#]);
        write_thousandths(self.confidence_thousandths, line);
        let mut integer = itoa::Buffer::new();
        put(line, &[r#","time_range":{"start_time_ns":"#, integer.format(self.start_ns)]);
        put(line, &[r#","end_time_ns":"#, integer.format(self.end_ns), "}"]);
        if let Some(vectors) = vectors {
            put(line, &[r#","embedding_vector":"#]);
            vectors.write(modality.name, self.label, line);
        }
        put(line, &[r#","model_version":""#, modality.model, "-1.", integer.format(self.revision), "\"}\n"]);
    }
}

/// Appends the line that deletes an id.
pub(super) fn write_deletion(id: u128, line: &mut Vec<u8>) {
    write_id(id, line);
    put(line, &["\",\"deleted\":true}\n"]);
}

/// Appends the beginning of every line; the id's closing quote is left to what follows.
pub(super) fn write_id(id: u128, line: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    put(line, &[r#"{"annotation_id":""#]);
    let mut text = [b'-'; 36];
    let mut at = 0;
    for (index, byte) in id.to_be_bytes().into_iter().enumerate() {
        at += usize::from(matches!(index, 4 | 6 | 8 | 10));
        text[at] = DIGITS[usize::from(byte >> 4)];
        text[at + 1] = DIGITS[usize::from(byte & 15)];
        at += 2;
    }
    line.extend_from_slice(&text);
}

/// The digits after the point, without trailing zeros.
fn write_thousandths(value: u16, line: &mut Vec<u8>) {
    let digits = [value / 100 % 10, value / 10 % 10, value % 10].map(|digit| b'0' + digit as u8);
    let length = digits.iter().rposition(|digit| *digit != b'0').map_or(1, |last| last + 1);
    line.extend_from_slice(&digits[..length]);
}

pub(super) fn put(line: &mut Vec<u8>, pieces: &[&str]) {
    for piece in pieces {
        line.extend_from_slice(piece.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_its_fields_in_order() {
        let assets = [Asset { title: 0, context: r#"{"MOVIE_ID":"1","ASSET_ID":"a"}"#.into() }];
        let mut annotation = Annotation {
            id: 0x7f5959b4_0000_4000_8000_00000000000a,
            modality: 2,
            label: "Joey",
            text: Some("Hey.".into()),
            asset: 0,
            confidence_thousandths: 720,
            start_ns: 4_000_000_000,
            end_ns: 9_007_199_254_740_993,
            revision: 0,
        };
        let mut line = Vec::new();
        annotation.write(&assets, None, &mut line);
        let expected = concat!(
            r#"{"annotation_id":"7f5959b4-0000-4000-8000-00000000000a","type":"DIALOGUE_SEARCH","label":"Joey","#,
            r#""text":"Hey.","associated_ids":{"MOVIE_ID":"1","ASSET_ID":"a"},"confidence_score":0.72,"#,
            r#""time_range":{"start_time_ns":4000000000,"end_time_ns":9007199254740993},"model_version":"speech-1.0"}"#,
            "\n"
        );
        assert_eq!(String::from_utf8(line.clone()).unwrap(), expected);
        for (thousandths, digits) in [(0, "0.0,"), (5, "0.005,"), (50, "0.05,"), (999, "0.999,")] {
            annotation.confidence_thousandths = thousandths;
            line.clear();
            annotation.write(&assets, None, &mut line);
            assert!(String::from_utf8(line.clone()).unwrap().contains(&format!(r#""confidence_score":{digits}"#)));
        }
    }

    #[test]
    fn ids_are_version_4_and_depend_on_seed_and_index() {
        let all: std::collections::HashSet<u128> =
            (0..100_000).flat_map(|index| [id(1, index), id(2, index)]).collect();
        assert_eq!(all.len(), 200_000);
        assert!(all.iter().all(|id| id >> 76 & 0xf == 4 && id >> 62 & 0b11 == 0b10));
    }
}
