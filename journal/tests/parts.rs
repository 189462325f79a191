//! Parts: what goes in comes out, and nothing else ever does.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use common::read_all;
use flowstone_journal::{
    BuiltPart, Change, Entry, Journal, JournalError, KEY_GROUPS, Keeper, PartBuilder, PartRef, Seal, key_group,
};
use proptest::prelude::*;

type Row = (u16, u64, u64, Vec<u8>, Option<Vec<u8>>);

fn build(rows: &[Row]) -> BuiltPart {
    let mut builder = PartBuilder::new();
    for (table, route, epoch, key, value) in rows {
        builder.add(*table, *route, *epoch, key, value.as_deref());
    }
    builder.finish()
}

fn part_ref(part: &BuiltPart, first: u64, last: u64) -> PartRef {
    PartRef {
        object: "parts/0-0-0".into(),
        first,
        last,
        offset: 0,
        bytes: part.bytes.len() as u64,
        rows: part.rows,
        removals: part.removals,
        raw_bytes: part.raw_bytes,
        digest: part.digest,
    }
}

fn stored(part: &BuiltPart) -> Journal {
    let journal = Journal::in_memory();
    journal.put_part("0-0-0", part.bytes.clone()).unwrap();
    journal
}

fn read(journal: &Journal, part: &PartRef, groups: std::ops::Range<u16>) -> Result<Vec<Row>, JournalError> {
    let mut rows = Vec::new();
    for block in journal.open_part(part)?.with_request_bytes(300_000).blocks(groups) {
        for Change { table, route, epoch, key, value } in block?.changes() {
            rows.push((table, route, epoch, key.to_vec(), value.map(<[u8]>::to_vec)));
        }
    }
    Ok(rows)
}

fn row() -> impl Strategy<Value = Row> {
    let bytes = |max| proptest::collection::vec(any::<u8>(), 0..max);
    let route = prop_oneof![any::<u64>(), 0..3u64];
    let epoch = prop_oneof![any::<u64>(), 0..9u64];
    (0..3u16, route, epoch, bytes(3), proptest::option::of(bytes(40)))
}

/// Some rows over several blocks.
fn large() -> Vec<Row> {
    let noise = |n: u64| (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32).pow(2).wrapping_mul(0xd6e8_feb8_6659_fd93) >> 40;
    let value = |i: u64| (0..900).map(|j| noise(i * 900 + j) as u8).collect::<Vec<_>>();
    (0..4000u64)
        .map(|i| (0, i.wrapping_mul(0x9e37_79b9_7f4a_7c15), 5 + i % 7, i.to_be_bytes().to_vec(), Some(value(i))))
        .collect()
}

proptest! {
    #[test]
    fn what_goes_in_comes_out(rows in proptest::collection::vec(row(), 0..200), first in 0..9u64, start in 0..256u16) {
        let part = build(&rows);
        let journal = stored(&part);
        // The last change of a key in an epoch counts.
        let newest: std::collections::BTreeMap<_, _> =
            rows.iter().map(|(table, route, epoch, key, value)| ((*table, *route, key.clone(), *epoch), value.clone())).collect();
        let expected: Vec<Row> =
            newest.into_iter().map(|((table, route, key, epoch), value)| (table, route, epoch, key, value)).collect();
        prop_assert_eq!(part.rows, expected.len() as u64);
        prop_assert_eq!(part.removals, expected.iter().filter(|row| row.4.is_none()).count() as u64);
        prop_assert_eq!(&read(&journal, &part_ref(&part, 0, u64::MAX), 0..KEY_GROUPS).unwrap(), &expected);
        let some = expected.into_iter().filter(|row| row.2 >= first && row.2 <= 8 && key_group(row.1) >= start);
        prop_assert_eq!(read(&journal, &part_ref(&part, first, 8), start..KEY_GROUPS).unwrap(), some.collect::<Vec<_>>());
    }

    /// Bytes without meaning are an error: never a panic, never rows.
    #[test]
    fn any_bytes_are_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..300), whole in any::<bool>()) {
        let mut bytes = bytes;
        if whole {
            bytes.splice(0..0, *b"FLJP\x01\0\0\0");
            bytes.extend_from_slice(b"PJLF");
        }
        let journal = Journal::in_memory();
        journal.put_part("0-0-0", bytes.clone().into()).unwrap();
        let part = PartRef { bytes: bytes.len() as u64, ..part_ref(&build(&[]), 0, u64::MAX) };
        prop_assert!(read(&journal, &part, 0..KEY_GROUPS).is_err());
    }

    /// A part with some bytes changed, and lengths or the index patched up again or not.
    #[test]
    fn a_changed_part_is_an_error(changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        let rows: Vec<Row> = (0..50u64).map(|i| (0, i << 58, i % 5, vec![i as u8], Some(vec![i as u8; 20]))).collect();
        let part = build(&rows);
        let mut bytes = part.bytes.to_vec();
        for (at, byte) in &changes {
            let at = at.index(bytes.len());
            bytes[at] = *byte;
        }
        prop_assume!(bytes != part.bytes);
        let journal = Journal::in_memory();
        journal.put_part("0-0-0", bytes.into()).unwrap();
        prop_assert!(read(&journal, &part_ref(&part, 0, u64::MAX), 0..KEY_GROUPS).is_err());
    }
}

/// Such changes take no bytes of their own, by which they could be told apart.
#[test]
fn the_last_change_counts_also_of_an_empty_key_and_value() {
    let (gone, empty) = ((0, 0, 1, vec![], None), (0, 0, 1, vec![], Some(vec![])));
    for rows in [[gone.clone(), empty.clone()], [empty, gone]] {
        // More rows than a sort takes one by one.
        let rows: Vec<_> = rows.iter().cloned().cycle().take(100).collect();
        let part = build(&rows);
        assert_eq!(read(&stored(&part), &part_ref(&part, 0, 9), 0..KEY_GROUPS).unwrap(), rows[99..]);
    }
}

#[test]
fn key_groups_of_a_large_part_are_read_apart() {
    let rows = large();
    let part = build(&rows);
    assert!(part.bytes.len() > 1 << 20 && part.raw_bytes > 3 << 20);
    let journal = stored(&part);
    let part = part_ref(&part, 0, 99);
    let mut apart = Vec::new();
    for start in (0..KEY_GROUPS).step_by(64) {
        apart.extend(read(&journal, &part, start..start + 64).unwrap());
    }
    assert_eq!(apart, read(&journal, &part, 0..KEY_GROUPS).unwrap());
    assert_eq!(apart.len(), rows.len());
    let blocks = |groups| journal.open_part(&part).unwrap().blocks(groups).count();
    assert!(blocks(0..KEY_GROUPS) > 20 && blocks(0..16) <= blocks(0..KEY_GROUPS) / 16 + 2);
}

#[test]
fn each_flipped_bit_of_a_part_is_noticed() {
    let rows: Vec<Row> = (0..40u64).map(|i| (0, i << 58, i % 5, vec![i as u8], Some(vec![i as u8; 9]))).collect();
    let part = build(&rows);
    for at in 0..part.bytes.len() {
        for bit in 0..8 {
            let mut bytes = part.bytes.to_vec();
            bytes[at] ^= 1 << bit;
            let journal = Journal::in_memory();
            journal.put_part("0-0-0", bytes.into()).unwrap();
            let error = read(&journal, &part_ref(&part, 0, u64::MAX), 0..KEY_GROUPS).expect_err("it is damaged");
            assert!(error.to_string().contains("parts/0-0-0"), "byte {at}: {error}");
        }
    }
}

#[test]
fn a_large_part_is_noticed_when_damaged_truncated_missing_or_another() {
    let part = build(&large());
    let whole = part_ref(&part, 0, u64::MAX);
    for at in [0, 9, 5000, part.bytes.len() / 2, part.bytes.len() - 1000, part.bytes.len() - 3] {
        let mut bytes = part.bytes.to_vec();
        bytes[at] ^= 4;
        let journal = Journal::in_memory();
        journal.put_part("0-0-0", bytes.into()).unwrap();
        let result = read(&journal, &whole, 0..KEY_GROUPS);
        assert!(matches!(result, Err(JournalError::Damaged { .. })), "byte {at}");
    }
    for len in [0, 1, 100, 70_000, part.bytes.len() - 1] {
        let journal = Journal::in_memory();
        journal.put_part("0-0-0", part.bytes.slice(..len)).unwrap();
        assert!(read(&journal, &whole, 0..KEY_GROUPS).is_err(), "{len} bytes");
    }
    assert!(matches!(read(&Journal::in_memory(), &whole, 0..256), Err(JournalError::Missing { .. })));
    let mut rows = large();
    rows[17].4.as_mut().unwrap()[3] ^= 1;
    let other = build(&rows);
    let named = PartRef { digest: part.digest, ..part_ref(&other, 0, u64::MAX) };
    assert!(matches!(read(&stored(&other), &named, 0..256), Err(JournalError::Foreign { .. })));
}

#[test]
fn a_part_of_a_later_format_is_refused_by_version() {
    let part = build(&[(0, 0, 1, vec![1], None)]);
    let mut bytes = part.bytes.to_vec();
    let version_at = bytes.len() - 12;
    assert_eq!(bytes[version_at], 1);
    bytes[version_at] = 2;
    let journal = Journal::in_memory();
    journal.put_part("0-0-0", bytes.into()).unwrap();
    let result = read(&journal, &part_ref(&part, 0, 1), 0..KEY_GROUPS);
    assert!(matches!(result, Err(JournalError::Version { found: 2, known: 1, .. })));
}

#[test]
fn a_carried_part_beyond_one_request_is_read_from_its_entry() {
    let journal = Journal::in_memory();
    let mut keeper = Keeper::open(journal.clone()).unwrap();
    let small = build(&[(0, 1, 1, b"k".to_vec(), Some(b"v".to_vec()))]);
    let parts = vec![(small.inline(), 1, 1), (build(&large()).inline(), 1, 11)];
    let seals = (1..=11).map(|epoch| Seal { epoch, bindings: Vec::new() }).collect();
    keeper.append(Entry { seals, parts, ..Entry::default() }).unwrap();
    assert_eq!(read_all(&journal, keeper.state()).len(), 4001);
}

/// Small parts are stored at once, large ones in pieces: it makes no difference.
#[test]
fn a_part_that_is_stored_in_pieces_is_the_same_part() {
    let many: Vec<Row> = (0..6)
        .flat_map(|table| {
            large().into_iter().map(move |(_, route, epoch, key, value)| (table, route, epoch, key, value))
        })
        .collect();
    for rows in [large(), many] {
        let (part, journal) = (build(&rows), Journal::in_memory());
        let mut builder = PartBuilder::with_capacity(rows.len());
        for (table, route, epoch, key, value) in &rows {
            builder.add(*table, *route, *epoch, key, value.as_deref());
        }
        let named = journal.store_part("0-0-0", builder).unwrap();
        assert_eq!(format!("{named:?}"), format!("{:?}", Some(part.stored("0-0-0"))));
        assert_eq!(read(&journal, &part_ref(&part, 0, 99), 0..KEY_GROUPS).unwrap().len(), rows.len());
    }
    assert!(Journal::in_memory().store_part("0-0-0", PartBuilder::new()).unwrap().is_none());
}
