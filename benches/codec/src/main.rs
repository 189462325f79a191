//! The forms in which rows could be kept and sent, side by side: how long it takes to write and to read them, and how large
//! they are. The verdict is in `docs/decisions/0016-rows-in-a-form-of-our-own.md`.
//!
//! ```sh
//! cargo run --release --manifest-path benches/codec/Cargo.toml -- [ANNOTATIONS]
//! ```

mod codecs;
mod rows;

use std::time::{Duration, Instant};

/// Each is run so often, in turns; the best counts, which others on the machine have disturbed least.
const ROUNDS: usize = 5;

/// What is compressed at a time, as in parts.
const BLOCK_BYTES: usize = 128 << 10;

#[derive(Clone, Copy)]
struct Best {
    encode: Duration,
    decode: Duration,
    bytes: usize,
    compressed: (usize, Duration),
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let annotations = std::env::args().nth(1).map_or(Ok(200_000), |count| count.parse())?;
    let records = rows::records(annotations)?;
    let rows: Vec<_> = records.iter().map(rows::row).collect();
    let expected: u64 = rows.iter().map(|row| row.payload.len() as u64).sum();
    let forms = codecs::all(&records, &rows);
    let never = Duration::MAX;
    let mut best = vec![Best { encode: never, decode: never, bytes: 0, compressed: (0, never) }; forms.len()];
    for _ in 0..ROUNDS {
        for (form, best) in forms.iter().zip(&mut best) {
            let (encode, bytes) = timed(|| (form.encode)());
            let (decode, found) = timed(|| (form.decode)(&bytes));
            assert_eq!(found, expected, "{} gives other rows back", form.name);
            let (compress, compressed) = timed(|| compressed(&bytes));
            best.encode = best.encode.min(encode);
            best.decode = best.decode.min(decode);
            best.bytes = bytes.len();
            best.compressed = (compressed, best.compressed.1.min(compress));
        }
    }
    println!("{annotations} rows with {} bytes of payload each\n", expected / annotations);
    println!("| form | write ns/row | read ns/row | bytes/row | with lz4: write ns/row | bytes/row |");
    println!("|---|--:|--:|--:|--:|--:|");
    for (form, best) in forms.iter().zip(best) {
        let per_row = |took: Duration| took.as_nanos() as u64 / annotations;
        let (encode, bytes) = (per_row(best.encode), best.bytes as u64 / annotations);
        let (lz4, lz4_bytes) = match form.is_compressed {
            true => (encode, bytes),
            false => (encode + per_row(best.compressed.1), best.compressed.0 as u64 / annotations),
        };
        let (name, decode) = (form.name, per_row(best.decode));
        println!("| {name} | {encode} | {decode} | {bytes} | {lz4} | {lz4_bytes} |");
    }
    Ok(())
}

fn timed<T>(work: impl FnOnce() -> T) -> (Duration, T) {
    let began = Instant::now();
    let made = work();
    (began.elapsed(), made)
}

/// How many bytes these are in compressed blocks.
fn compressed(bytes: &[u8]) -> usize {
    bytes.chunks(BLOCK_BYTES).map(|block| lz4_flex::block::compress(block).len()).sum()
}
