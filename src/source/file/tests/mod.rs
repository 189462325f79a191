//! The rules of the file source, on real files.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use tempfile::TempDir;

use super::{FileSource, open};
use crate::source::{Bookmark, PartitionReader, Progress, RawBatch, Source, SourceError};

mod following;
mod lines;
mod paths;
mod restart;

const MIB: u64 = 1 << 20;

/// A record as a test sees it: offset, payload, and the whole length if it was cut.
type Seen = (u64, Vec<u8>, Option<u64>);

fn seen(offset: u64, payload: &str) -> Seen {
    (offset, payload.as_bytes().to_vec(), None)
}

/// A directory with these files.
fn files(contents: &[(&str, &[u8])]) -> TempDir {
    let dir = TempDir::new().unwrap();
    for (name, content) in contents {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    dir
}

/// A bookmark that checks nothing.
fn at(offset: u64) -> Bookmark {
    Bookmark { offset, mark: String::new() }
}

fn source(dir: &Path, patterns: &[&str], follow: bool) -> Result<FileSource, SourceError> {
    let patterns: Vec<String> = patterns.iter().map(|p| p.to_string()).collect();
    let mut source = open(&patterns, dir, follow, MIB)?;
    source.look()?;
    Ok(source)
}

/// Polls until the reader has nothing more, checks what every batch promises, and gives the records and the last progress.
fn drain(reader: &mut dyn PartitionReader, max_bytes: usize) -> Result<(Vec<Seen>, Progress, u64), SourceError> {
    let mut records = Vec::new();
    loop {
        let mut batch = RawBatch::default();
        let progress = reader.poll(&mut batch, max_bytes)?;
        take(&batch, &mut records);
        let idle = progress == Progress::CaughtUp && batch.records.is_empty();
        if idle || progress == Progress::End {
            return Ok((records, progress, batch.next_offset));
        }
    }
}

fn take(batch: &RawBatch, records: &mut Vec<Seen>) {
    for record in &batch.records {
        let payload = batch.payload(record).expect("files have no tombstones").to_vec();
        assert!(record.offset < batch.next_offset, "the next offset lies behind each record");
        records.push((record.offset, payload, record.oversized_bytes));
    }
}

/// All records of a partition that ends.
fn read(source: &FileSource, partition: &str, offset: u64, max_bytes: usize) -> Result<Vec<Seen>, SourceError> {
    let (records, progress, _) = drain(source.open(partition, &at(offset))?.as_mut(), max_bytes)?;
    assert_eq!(progress, Progress::End);
    Ok(records)
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

fn zstd(content: &[u8]) -> Vec<u8> {
    zstd::encode_all(content, 1).unwrap()
}

fn append(path: PathBuf, content: &str) {
    fs::OpenOptions::new().append(true).create(true).open(path).unwrap().write_all(content.as_bytes()).unwrap();
}
