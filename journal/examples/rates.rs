//! How fast parts are built, merged and read, and how long an append takes.
//!
//! ```sh
//! cargo run --release -p flowstone-journal --example rates -- DIRECTORY [ROWS]
//! ```
//! One million rows of 330 bytes (half text that repeats, half digits that do not) by default; DIRECTORY is written to.

use std::io::Write;
use std::time::{Duration, Instant};

use flowstone_journal::{Entry, Journal, JournalError, KEY_GROUPS, Keeper, PartBuilder, Seal};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let directory = args.next().ok_or("the first argument is a directory to write to")?;
    let rows = args.next().map_or(Ok(1_000_000), |rows| rows.parse())?;
    let journal = Journal::open(&directory)?;
    let mut out = std::io::stdout().lock();
    parts(&journal, rows, &mut out)?;
    appends(&journal, &mut out)?;
    Ok(())
}

fn value(out: &mut Vec<u8>, seed: u64) -> std::io::Result<()> {
    out.clear();
    let mut noise = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    write!(out, r#"{{"asset":"asset-{:05}","type":"detection","labels":["#, seed % 200)?;
    while out.len() < 330 {
        noise ^= noise << 13;
        noise ^= noise >> 7;
        noise ^= noise << 17;
        write!(out, r#"{{"label":"scene-{:03}","confidence":0.{noise}}},"#, noise % 500)?;
    }
    out.truncate(330);
    Ok(())
}

fn route(n: u64) -> u64 {
    n.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

fn parts(journal: &Journal, rows: u64, out: &mut impl Write) -> Result<(), Box<dyn std::error::Error>> {
    let mut changes = Vec::new();
    for n in 0..rows {
        let mut text = Vec::new();
        value(&mut text, n)?;
        changes.push((n, format!("annotation-{n:09}"), text));
    }
    let mut builders = [PartBuilder::new(), PartBuilder::new()];
    let started = Instant::now();
    for (n, key, text) in &changes {
        builders[(n % 2) as usize].add(0, route(*n), 1 + n % 2, key.as_bytes(), Some(text));
    }
    let add = started.elapsed();
    let mut keeper = Keeper::open(journal.clone())?;
    let mut rate = |what: &str, rows: u64, bytes: u64, took: Duration| {
        let (seconds, mb) = (took.as_secs_f64(), bytes as f64 / 1e6);
        writeln!(out, "{what:24} {seconds:6.2} s {:8.0} MB/s {:9.0} rows/s", mb / seconds, rows as f64 / seconds)
    };
    let (mut encode, mut write) = (add, Duration::ZERO);
    let (mut raw_bytes, mut stored_bytes) = (0, 0);
    for (i, builder) in builders.into_iter().enumerate() {
        let started = Instant::now();
        let part = builder.finish();
        encode += started.elapsed();
        (raw_bytes, stored_bytes) = (raw_bytes + part.raw_bytes, stored_bytes + part.bytes.len() as u64);
        let name = format!("{}-0-{i}", keeper.state().run);
        let started = Instant::now();
        journal.put_part(&name, part.bytes.clone())?;
        write += started.elapsed();
        let epoch = keeper.state().sealed + 1;
        let seals = vec![Seal { epoch, bindings: Vec::new() }];
        keeper.append(Entry { seals, parts: vec![(part.stored(&name), epoch, epoch)], ..Entry::default() })?;
    }
    rate("collect, sort, encode", rows, raw_bytes, encode)?;
    rate("store (compressed)", rows, stored_bytes, write)?;
    let started = Instant::now();
    let (mut seen, mut bytes) = (0, 0);
    for part in &keeper.state().parts {
        for block in journal.open_part(part)?.blocks(0..KEY_GROUPS) {
            for change in block?.changes() {
                seen += 1;
                bytes += (change.key.len() + change.value.map_or(0, <[u8]>::len)) as u64;
            }
        }
    }
    rate("read and decode", seen, bytes, started.elapsed())?;
    writeln!(out, "compressed to {:.0} %", 100.0 * stored_bytes as f64 / raw_bytes as f64)?;
    Ok(())
}

fn appends(journal: &Journal, out: &mut impl Write) -> Result<(), JournalError> {
    let mut keeper = Keeper::open(journal.clone())?;
    keeper.hydrated();
    let mut times = Vec::new();
    for n in 0..5000u64 {
        let epoch = keeper.state().sealed + 1;
        let value = [n as u8; 100];
        let keys: Vec<_> = (0..20u64).map(u64::to_le_bytes).collect();
        let mut builder = PartBuilder::new();
        for (row, key) in (0..).zip(&keys) {
            builder.add(0, route(row), epoch, key, Some(&value));
        }
        let parts = vec![(builder.finish().inline(), epoch, epoch)];
        let entry = Entry { seals: vec![Seal { epoch, bindings: Vec::new() }], parts, ..Entry::default() };
        let started = Instant::now();
        keeper.append(entry)?;
        times.push(started.elapsed());
    }
    times.sort_unstable();
    let total: Duration = times.iter().sum();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
    let _ = writeln!(
        out,
        "append: p50 {:.2} ms, p99 {:.2} ms, p99.9 {:.2} ms; {:.0} a second",
        at(0.5),
        at(0.99),
        at(0.999),
        times.len() as f64 / total.as_secs_f64()
    );
    Ok(())
}
