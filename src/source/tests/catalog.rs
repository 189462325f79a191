//! Numbers of partitions, over restarts and processes; and the records of a memory source.

use crate::source::catalog::Catalog;
use crate::source::memory::MemoryInput;
use crate::source::{Bookmark, Progress, RawBatch, SourceError};

fn at(offset: u64) -> Bookmark {
    Bookmark { offset, mark: String::new() }
}

fn input(partitions: &[usize]) -> MemoryInput {
    let input = MemoryInput::new(partitions.len());
    for (partition, records) in partitions.iter().enumerate() {
        (0..*records).for_each(|n| input.push(partition, format!("{partition}-{n}")));
    }
    input
}

fn numbered(names: &[(u32, &str)]) -> Vec<(u32, String)> {
    names.iter().map(|(number, name)| (*number, name.to_string())).collect()
}

#[test]
fn partitions_keep_their_numbers_and_new_ones_get_the_next() {
    let known = vec![("2".to_owned(), at(1)), ("0".to_owned(), at(3))];
    let catalog = Catalog::open(input(&[3, 0, 1, 0]).source(), known, false).unwrap();
    assert_eq!(catalog.names_from(0), numbered(&[(0, "2"), (1, "0"), (2, "3")]));
    assert_eq!((catalog.known(), catalog.len(), &*catalog.name(1)), (2, 3, "0"));
    assert_eq!(catalog.names_from(catalog.known()), numbered(&[(2, "3")]));
    let (_, bookmark) = catalog.open_partition(1).unwrap();
    assert_eq!(bookmark, at(3));
}

#[test]
fn a_replica_has_what_it_is_told() {
    let replica = Catalog::replica(input(&[0, 0, 0]).source(), vec![("0".to_owned(), at(0))], false).unwrap();
    assert_eq!(replica.discover().unwrap(), 1);
    replica.adopt(1, "1").unwrap();
    replica.adopt(1, "1").unwrap();
    assert_eq!(replica.names_from(1), numbered(&[(1, "1")]));
    for (number, name) in [(1, "2"), (3, "2"), (2, "9")] {
        let error = replica.adopt(number, name).unwrap_err();
        assert!(matches!(&error, SourceError::Adopted { partition, .. } if partition == name), "{error:?}");
    }
    assert_eq!(replica.len(), 2, "what is refused is not there");
}

#[test]
fn records_in_memory_below_the_bookmark_are_passed_over() {
    let input = input(&[2]);
    let catalog = Catalog::open(input.source(), vec![("0".to_owned(), at(1))], false).unwrap();
    let (mut reader, _) = catalog.open_partition(0).unwrap();
    let mut batch = RawBatch::default();
    assert_eq!(reader.poll(&mut batch, 100).unwrap(), Progress::CaughtUp);
    assert_eq!((&*batch.buffer, batch.next_offset), (&b"0-1"[..], 2));

    let catalog = Catalog::open(input.source(), vec![("0".to_owned(), at(9))], false).unwrap();
    let (mut reader, _) = catalog.open_partition(0).unwrap();
    assert_eq!(reader.poll(&mut RawBatch::default(), 100).unwrap(), Progress::CaughtUp, "they may be handed over yet");
    input.close();
    let error = catalog.open_partition(0).err().unwrap();
    assert!(matches!(error, SourceError::Changed { offset: 9, .. }), "{error:?}");
}

#[test]
fn a_memory_partition_that_is_gone_is_refused_unless_it_may_be_skipped() {
    let known = vec![("0".to_owned(), at(0)), ("5".to_owned(), at(4))];
    let error = Catalog::open(input(&[1]).source(), known.clone(), false).err().unwrap();
    assert!(matches!(&error, SourceError::Lost { partition, offset: 4, .. } if partition == "5"), "{error:?}");
    let catalog = Catalog::open(input(&[1]).source(), known, true).unwrap();
    let (mut reader, _) = catalog.open_partition(1).unwrap();
    let mut batch = RawBatch::default();
    assert_eq!(reader.poll(&mut batch, 100).unwrap(), Progress::End);
    assert_eq!(batch.next_offset, 4);
}
