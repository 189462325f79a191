//! The forms that are compared. Each makes bytes of all rows, and rows that operators can use of the bytes.

use columnar::bytes::stash::Stash;
use columnar::{Columnar, ContainerOf, Index, Len, Push};
use flowstone::record::Record;
use flowstone::record::codec::Decoder;
use flowstone_journal::{BuiltPart, Journal, KEY_GROUPS, PartBuilder, PartRef};

use crate::rows::{EPOCH, Nested, Row, spec};

/// A form of rows.
pub struct Form {
    /// Its name, for people.
    pub name: &'static str,
    /// Whether its bytes are compressed already.
    pub is_compressed: bool,
    /// All rows as bytes.
    pub encode: Box<dyn Fn() -> Vec<u8>>,
    /// All rows of the bytes; says how many bytes of payload they have.
    pub decode: Box<dyn Fn(&[u8]) -> u64>,
}

impl Form {
    fn new(
        name: &'static str,
        encode: impl Fn() -> Vec<u8> + 'static,
        decode: impl Fn(&[u8]) -> u64 + 'static,
    ) -> Self {
        Form { name, is_compressed: false, encode: Box::new(encode), decode: Box::new(decode) }
    }
}

/// All of them, of the same rows.
pub fn all(records: &[Record], rows: &[Row]) -> Vec<Form> {
    vec![
        part(records.to_vec()),
        record(records.to_vec()),
        bincode(rows.to_vec()),
        columnar(rows),
        columns(rows),
        abomonation(rows),
    ]
}

fn payload_bytes(records: &[Record]) -> u64 {
    records.iter().map(|record| record.payload().map_or(0, <[u8]>::len) as u64).sum()
}

/// Parts of the journal: sorted, in blocks, with checksums and an index; every byte is checked before a row is seen.
fn part(records: Vec<Record>) -> Form {
    let build = move || {
        let mut part = PartBuilder::with_capacity(records.len());
        for record in &records {
            part.add(0, record.route(), EPOCH, record.key_bytes(), Some(record.value_bytes()));
        }
        part.finish()
    };
    let BuiltPart { rows, removals, raw_bytes, digest, bytes } = build();
    let (object, bytes) = ("parts/0-0-0".to_owned(), bytes.len() as u64);
    let part = PartRef { object, first: EPOCH, last: EPOCH, offset: 0, bytes, rows, removals, raw_bytes, digest };
    let decode = move |bytes: &[u8]| {
        let journal = Journal::in_memory();
        journal.put_part("0-0-0", bytes.to_vec().into()).expect("memory takes everything");
        let mut decoder = Decoder::new(&spec());
        let mut records = Vec::new();
        for block in journal.open_part(&part).expect("it was just stored").blocks(0..KEY_GROUPS) {
            for change in block.expect("nothing has damaged it").changes() {
                let value = change.value.expect("nothing was removed");
                records.push(decoder.record(change.key, change.route, value).expect("a record"));
            }
        }
        payload_bytes(&records)
    };
    Form { is_compressed: true, ..Form::new("part of the journal", move || build().bytes.to_vec(), decode) }
}

/// The form of records alone, one after another: what a part has in its blocks.
fn record(records: Vec<Record>) -> Form {
    let encode = move || {
        let mut out = Vec::new();
        for record in &records {
            for bytes in [record.key_bytes(), record.value_bytes()] {
                out.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
                out.extend_from_slice(bytes);
            }
            out.extend_from_slice(&record.route().to_le_bytes());
        }
        out
    };
    let decode = |mut bytes: &[u8]| {
        let mut decoder = Decoder::new(&spec());
        let mut records = Vec::new();
        while !bytes.is_empty() {
            let (key, value) = (counted(&mut bytes), counted(&mut bytes));
            let (route, rest) = bytes.split_first_chunk().expect("a route");
            bytes = rest;
            records.push(decoder.record(key, u64::from_le_bytes(*route), value).expect("a record"));
        }
        payload_bytes(&records)
    };
    Form::new("form of records", encode, decode)
}

fn counted<'a>(bytes: &mut &'a [u8]) -> &'a [u8] {
    let (length, rest) = bytes.split_first_chunk().expect("a length");
    let (found, rest) = rest.split_at(u32::from_le_bytes(*length) as usize);
    *bytes = rest;
    found
}

fn bincode(rows: Vec<Row>) -> Form {
    let decode = |bytes: &[u8]| {
        let rows: Vec<Row> = bincode::deserialize(bytes).expect("it was just written");
        rows.iter().map(|row| row.payload.len() as u64).sum()
    };
    Form::new("bincode", move || bincode::serialize(&rows).expect("rows can be written"), decode)
}

type Columns = Stash<ContainerOf<Row>, Vec<u8>>;

fn write(rows: &[Row]) -> Vec<u8> {
    let mut columns = ContainerOf::<Row>::default();
    rows.iter().for_each(|row| columns.push(row));
    let mut out = Vec::new();
    let columns: Columns = Stash::Typed(columns);
    columns.write_bytes(&mut out).expect("memory takes everything");
    out
}

fn columnar(rows: &[Row]) -> Form {
    let rows = rows.to_vec();
    let decode = |bytes: &[u8]| {
        let columns = Columns::try_from_bytes(bytes.to_vec()).expect("it was just written");
        let columns = columns.borrow();
        let rows: Vec<Row> = (0..columns.len()).map(|at| Row::into_owned(columns.get(at))).collect();
        rows.iter().map(|row| row.payload.len() as u64).sum()
    };
    Form::new("columnar, to rows", move || write(&rows), decode)
}

/// As it stands, without rows: what an operator would do that works on columns.
fn columns(rows: &[Row]) -> Form {
    let rows = rows.to_vec();
    let decode = |bytes: &[u8]| {
        let columns = Columns::try_from_bytes(bytes.to_vec()).expect("it was just written");
        let columns = columns.borrow();
        (0..columns.len()).map(|at| columns.get(at).payload.len() as u64).sum()
    };
    Form::new("columnar, as it stands", move || write(&rows), decode)
}

fn abomonation(rows: &[Row]) -> Form {
    let rows: Vec<Nested> = rows.iter().map(Row::nested).collect();
    let encode = move || {
        let mut out = Vec::new();
        // Safety: the bytes are read by this program only, with the same types.
        unsafe { abomonation::encode(&rows, &mut out) }.expect("memory takes everything");
        out
    };
    let decode = |bytes: &[u8]| {
        let mut bytes = bytes.to_vec();
        // Safety: they were written from this type by this program.
        let found = unsafe { abomonation::decode::<Vec<Nested>>(&mut bytes) };
        let rows: Vec<Nested> = found.expect("it was just written").0.clone();
        rows.iter().map(|row| row.2.len() as u64).sum()
    };
    Form::new("abomonation", encode, decode)
}
