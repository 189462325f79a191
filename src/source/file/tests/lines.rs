//! What is a record, at which offset, and what of it is kept.

use std::fs::File;
use std::io::Write;

use proptest::prelude::*;

use super::*;

/// The definition of a file's records, in the plainest words.
fn oracle(content: &[u8], max_record_bytes: u64) -> Vec<Seen> {
    let mut offset = 0;
    let mut records = Vec::new();
    for line in content.split(|b| *b == b'\n') {
        let bare = if offset == 0 { line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line) } else { line };
        let bare = bare.strip_suffix(b"\r").unwrap_or(bare);
        if !bare.iter().all(|b| b" \t\r".contains(b)) {
            let bytes = bare.len() as u64;
            if bytes > max_record_bytes {
                records.push((offset, bare[..bare.len().min(4096)].to_vec(), Some(bytes)));
            } else {
                records.push((offset, bare.to_vec(), None));
            }
        }
        offset += line.len() as u64 + 1;
    }
    records
}

fn read_one(content: &[u8]) -> Vec<Seen> {
    let dir = files(&[("a.ndjson", content)]);
    read(&source(dir.path(), &["a.ndjson"], false).unwrap(), "a.ndjson", 0, 64).unwrap()
}

#[test]
fn a_record_is_a_line_at_its_byte_offset() {
    assert_eq!(read_one(b"{\"a\":1}\n{\"b\":2}\n"), [seen(0, "{\"a\":1}"), seen(8, "{\"b\":2}")]);
    assert_eq!(read_one(b""), []);
}

#[test]
fn blank_lines_are_no_records() {
    assert_eq!(read_one(b"\n  \t\r\n1\n\n \n2\n\n"), [seen(6, "1"), seen(11, "2")]);
}

#[test]
fn a_carriage_return_before_the_line_feed_is_no_part_of_the_payload() {
    assert_eq!(read_one(b"1\r\n2\r3\r\n"), [seen(0, "1"), seen(3, "2\r3")]);
}

#[test]
fn a_byte_order_mark_is_skipped_at_the_start_only() {
    assert_eq!(read_one("\u{feff}1\n\u{feff}2\n".as_bytes()), [seen(0, "1"), seen(5, "\u{feff}2")]);
    assert_eq!(read_one("\u{feff}\n1".as_bytes()), [seen(4, "1")]);
}

#[test]
fn an_unterminated_last_line_is_a_record_if_the_file_is_not_followed() {
    assert_eq!(read_one(b"1\n{\"cut"), [seen(0, "1"), seen(2, "{\"cut")]);
}

#[test]
fn binary_junk_is_delivered_as_it_is() {
    let junk = [0u8, 255, 254, b'\n', 7];
    assert_eq!(read_one(&junk), [(0, vec![0, 255, 254], None), (4, vec![7], None)]);
}

#[test]
fn a_record_at_the_limit_is_whole_and_one_beyond_is_cut() {
    let long = "x".repeat(6000);
    let content = format!("{}\r\n{long}\r\n{}\n", &long[..5000], &long[..5001]);
    let dir = files(&[("a", content.as_bytes())]);
    let mut source = open(&["a".to_owned()], dir.path(), false, 5000).unwrap();
    source.look().unwrap();
    let head = long.as_bytes()[..4096].to_vec();
    let expected = [seen(0, &long[..5000]), (5002, head.clone(), Some(6000)), (5002 + 6002, head, Some(5001))];
    assert_eq!(read(&source, "a", 0, 1 << 20).unwrap(), expected);
    assert_eq!(read(&source, "a", 0, 7).unwrap(), expected);
}

/// The buffer's largest capacity while `content`, then `tail`, is read.
fn peak_bytes(line_bytes: u64, tail: &[u8]) -> (Vec<Seen>, usize) {
    let dir = files(&[]);
    let mut file = File::create(dir.path().join("a")).unwrap();
    // A hole: zero bytes, which are no white space.
    file.set_len(line_bytes).unwrap();
    std::io::Seek::seek(&mut file, std::io::SeekFrom::End(0)).unwrap();
    file.write_all(tail).unwrap();
    let source = source(dir.path(), &["a"], false).unwrap();
    let mut reader = source.open("a", &at(0)).unwrap();
    let (mut records, mut peak) = (Vec::new(), 0);
    loop {
        let mut batch = RawBatch::default();
        let progress = reader.poll(&mut batch, 256 << 10).unwrap();
        peak = peak.max(batch.buffer.capacity());
        take(&batch, &mut records);
        if progress == Progress::End {
            return (records, peak);
        }
    }
}

#[test]
fn a_line_of_100_megabytes_takes_no_more_memory_than_the_limit() {
    let (records, peak) = peak_bytes(100_000_000, b"\n{}\n");
    assert_eq!(records, [(0, vec![0; 4096], Some(100_000_000)), seen(100_000_001, "{}")]);
    assert!(peak <= 4 << 20, "{peak}");
}

#[test]
fn a_file_of_100_megabytes_without_a_line_end_is_one_oversized_record() {
    let (records, peak) = peak_bytes(100_000_000, b"");
    assert_eq!(records, [(0, vec![0; 4096], Some(100_000_000))]);
    assert!(peak <= 4 << 20, "{peak}");
}

#[test]
fn batches_are_about_as_large_as_asked_for() {
    let dir = files(&[("a", "0123456789\n".repeat(10_000).as_bytes())]);
    let source = source(dir.path(), &["a"], false).unwrap();
    let mut reader = source.open("a", &at(0)).unwrap();
    let mut batch = RawBatch::default();
    assert_eq!(reader.poll(&mut batch, 5_000).unwrap(), Progress::More);
    assert!((4_900..=5_000).contains(&batch.buffer.len()), "{}", batch.buffer.len());
    assert_eq!(batch.next_offset, batch.buffer.len() as u64);
}

#[test]
fn truncated_compressed_data_is_an_error_that_names_the_file() {
    let content = "{\"some\":\"json\"}\n".repeat(5_000);
    for (name, bytes) in [("a.gz", gzip(content.as_bytes())), ("a.zst", zstd(content.as_bytes()))] {
        for kept in [0, 3, bytes.len() / 2, bytes.len() - 3] {
            let dir = files(&[(name, &bytes[..kept])]);
            let source = source(dir.path(), &["a.*"], false).unwrap();
            match read(&source, name, 0, 1 << 16) {
                Err(SourceError::Io { action: "decompress", path, .. }) => assert!(path.ends_with(name)),
                other => panic!("{name} cut to {kept} bytes: {other:?}"),
            }
        }
    }
}

#[test]
fn what_stands_before_the_damage_is_delivered_first() {
    let content: String = (0..200_000).map(|n| format!("{{\"n\":{n}}}\n")).collect();
    let mut bytes = gzip(content.as_bytes());
    bytes.truncate(bytes.len() / 2);
    let dir = files(&[("a.gz", &bytes)]);
    let source = source(dir.path(), &["a.gz"], false).unwrap();
    let mut reader = source.open("a.gz", &at(0)).unwrap();
    let mut records = Vec::new();
    let error = loop {
        let mut batch = RawBatch::default();
        match reader.poll(&mut batch, 1 << 20) {
            Ok(progress) => assert_eq!(progress, Progress::More),
            Err(error) => break error,
        }
        take(&batch, &mut records);
    };
    assert!(matches!(error, SourceError::Io { action: "decompress", .. }), "{error:?}");
    assert!(records.len() > 50_000, "{}", records.len());
    assert_eq!(records, oracle(content.as_bytes(), MIB)[..records.len()]);
}

#[test]
fn several_compressed_members_are_one_content() {
    let gz = [gzip(b"1\n2"), gzip(b"3\n")].concat();
    let zst = [zstd(b"1\n2"), zstd(b"3\n")].concat();
    let dir = files(&[("a.gz", &gz), ("a.ZST", &zst)]);
    let source = source(dir.path(), &["a.*"], false).unwrap();
    for name in ["a.gz", "a.ZST"] {
        assert_eq!(read(&source, name, 0, 100).unwrap(), [seen(0, "1"), seen(2, "23")], "{name}");
    }
}

#[test]
fn progress_is_told_on_the_scale_of_the_disk() {
    let content = "{\"some\":\"json\"}\n".repeat(5_000);
    let compressed = gzip(content.as_bytes());
    let dir = files(&[("a", content.as_bytes()), ("b.gz", &compressed)]);
    let source = source(dir.path(), &["*"], false).unwrap();
    for (name, bytes) in [("a", content.len()), ("b.gz", compressed.len())] {
        let mut reader = source.open(name, &at(0)).unwrap();
        assert_eq!(reader.total_bytes(), Some(bytes as u64));
        drain(reader.as_mut(), 1 << 12).unwrap();
        assert_eq!((reader.total_bytes(), reader.read_bytes()), (Some(bytes as u64), bytes as u64));
    }
}

fn piece() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => "[a-z{}\",]{0,40}".prop_map(String::into_bytes),
        2 => Just(b"\n".to_vec()),
        2 => Just(b"\r\n".to_vec()),
        1 => Just(b"\r".to_vec()),
        1 => Just(b" \t".to_vec()),
        1 => Just("\u{feff}".as_bytes().to_vec()),
        1 => (3_000usize..9_000, prop_oneof![Just(b'x'), Just(b' ')]).prop_map(|(n, byte)| vec![byte; n]),
        1 => proptest::collection::vec(any::<u8>(), 0..10),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// However the bytes are cut into reads, wherever reading starts, whatever the limit and the compression.
    #[test]
    fn lines_are_those_of_a_split(
        pieces in proptest::collection::vec(piece(), 0..60),
        max_bytes in prop_oneof![1usize..100, 100usize..20_000],
        max_record_bytes in prop_oneof![1u64..100, 3_900u64..4_200, 5_000u64..20_000],
        start in any::<prop::sample::Index>(),
    ) {
        let content = pieces.concat();
        let expected = oracle(&content, max_record_bytes);
        let dir = files(&[("a", &content), ("a.gz", &gzip(&content)), ("a.zst", &zstd(&content))]);
        let mut source = open(&["a*".to_owned()], dir.path(), false, max_record_bytes).unwrap();
        source.look().unwrap();
        for name in ["a", "a.gz", "a.zst"] {
            prop_assert_eq!(&read(&source, name, 0, max_bytes).unwrap(), &expected);
            if !expected.is_empty() {
                let start = start.index(expected.len());
                prop_assert_eq!(&read(&source, name, expected[start].0, max_bytes).unwrap(), &expected[start..]);
            }
        }
    }
}
