//! One append: from an entry to a durable object, exactly once.

use std::time::Duration;

use bytes::Bytes;

use crate::Epoch;
use crate::error::JournalError;
use crate::manifest::{Entry, Framed, INLINE_START, NewPart, PartRef, Record, entry_object};
use crate::store::{Created, Store};

/// How long to wait before an append is tried again, with the same bytes.
const RETRIES_AFTER: [Duration; 3] = [Duration::from_millis(50), Duration::from_millis(250), Duration::from_secs(1)];

/// The record of an entry, and the parts that it carries.
pub(super) fn record(number: u64, entry: Entry) -> (Record, Vec<Bytes>) {
    let mut inline = Vec::new();
    let mut offset = INLINE_START;
    let mut parts = Vec::with_capacity(entry.parts.len());
    for (part, first, last) in entry.parts {
        parts.push(part_ref(number, part, (first, last), &mut offset, &mut inline));
    }
    let record = Record {
        number,
        seals: entry.seals,
        parts,
        new_sources: entry.new_sources,
        new_partitions: entry.new_partitions,
        new_tables: entry.new_tables,
        dropped_tables: entry.dropped_tables,
        catching_up: entry.catching_up,
        reveal: entry.reveal,
        sinks: entry.sinks,
        nodes: entry.nodes,
        rewound_sources: entry.rewound_sources,
        ..Record::default()
    };
    (record, inline)
}

fn part_ref(
    number: u64,
    part: NewPart,
    (first, last): (Epoch, Epoch),
    offset: &mut u64,
    inline: &mut Vec<Bytes>,
) -> PartRef {
    match part {
        NewPart::Stored { name, bytes, rows, removals, raw_bytes, digest } => {
            let object = format!("parts/{name}");
            PartRef { object, first, last, offset: 0, bytes, rows, removals, raw_bytes, digest }
        }
        NewPart::Inline(part) => {
            let object = format!("{}#{}", entry_object(number), inline.len());
            let bytes = part.bytes.len() as u64;
            let at = *offset;
            *offset += bytes;
            inline.push(part.bytes);
            let (rows, removals, raw_bytes, digest) = (part.rows, part.removals, part.raw_bytes, part.digest);
            PartRef { object, first, last, offset: at, bytes, rows, removals, raw_bytes, digest }
        }
    }
}

/// Creates the entry, or finds that it is there with these very bytes: an answer may be lost, and the random number in each
/// record tells apart what two runs would otherwise write alike.
pub(super) fn create(store: &Store, number: u64, framed: &Framed) -> Result<(), JournalError> {
    fail::fail_point!("commit-before");
    let object = entry_object(number);
    let mut waits = RETRIES_AFTER.iter();
    loop {
        let found = match store.create(&object, framed.bytes.clone()) {
            Ok(Created::Yes) => break,
            Ok(Created::Exists) => store.get(&object),
            // It may exist nevertheless.
            Err(error) => store.get(&object).map_err(|_| error),
        };
        match (found, waits.next()) {
            (Ok(bytes), _) if bytes == framed.bytes => break,
            (Ok(_), _) => return Err(JournalError::Fenced { entry: number }),
            (Err(error), None) => return Err(error),
            (Err(error), Some(wait)) => {
                tracing::warn!(%error, object, "an append is tried again");
                std::thread::sleep(*wait);
            }
        }
    }
    fail::fail_point!("commit-after");
    Ok(())
}
