//! A Cassandra that takes all rows and keeps none: inserts into a table `moments`, alone or in batches, are answered here; all
//! else by a real one.

use std::collections::HashSet;
use std::io::{self, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use crate::{Failure, relay};

/// Of the protocol's frames, version 4: version, flags, stream (2), operation, length (4).
const HEAD_BYTES: usize = 9;
const RESULT: u8 = 0x08;
const PREPARE: u8 = 0x09;
const EXECUTE: u8 = 0x0a;
const BATCH: u8 = 0x0d;
/// The kind of a result that has nothing, and of one that names a prepared statement.
const VOID: [u8; 4] = [0, 0, 0, 1];
const PREPARED: [u8; 4] = [0, 0, 0, 4];

/// Which statements are inserts; the ids are the same on all connections.
#[derive(Clone, Default)]
struct Inserts(Arc<Mutex<HashSet<Vec<u8>>>>);

/// The streams on which one is being prepared.
type Preparing = Arc<Mutex<HashSet<[u8; 2]>>>;

pub fn main(upstream: String) -> Result<(), Failure> {
    let inserts = Inserts::default();
    relay::serve(move |stream| connection(&stream, &upstream, &inserts))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn connection(client: &TcpStream, upstream: &str, inserts: &Inserts) -> io::Result<()> {
    let server = TcpStream::connect(upstream)?;
    server.set_nodelay(true)?;
    let preparing = Preparing::default();
    let to_client = Arc::new(Mutex::new(client.try_clone()?));
    let answers = {
        let (server, to_client) = (server.try_clone()?, to_client.clone());
        let (preparing, inserts) = (preparing.clone(), inserts.clone());
        thread::spawn(move || answers(server, &to_client, &preparing, &inserts))
    };
    let result = requests(client.try_clone()?, &server, &to_client, &preparing, inserts);
    server.shutdown(std::net::Shutdown::Both)?;
    let _ = answers.join();
    result
}

fn requests(
    client: TcpStream,
    mut server: &TcpStream,
    to_client: &Mutex<TcpStream>,
    preparing: &Preparing,
    inserts: &Inserts,
) -> io::Result<()> {
    let mut reader = BufReader::with_capacity(256 << 10, client);
    let (mut frame, mut out) = (Vec::new(), Vec::new());
    while read(&mut reader, &mut frame)? {
        let (head, body) = frame.split_at(HEAD_BYTES);
        let stream = [head[2], head[3]];
        if head[4] == BATCH || (head[4] == EXECUTE && lock(&inserts.0).contains(short_bytes(body))) {
            out.extend_from_slice(&[0x84, 0, stream[0], stream[1], RESULT, 0, 0, 0, 4]);
            out.extend_from_slice(&VOID);
        } else {
            if head[4] == PREPARE && is_insert(body) {
                lock(preparing).insert(stream);
            }
            server.write_all(&frame)?;
        }
        // What came together is answered together.
        if !out.is_empty() && reader.buffer().is_empty() {
            lock(to_client).write_all(&out)?;
            out.clear();
        }
    }
    Ok(())
}

fn answers(server: TcpStream, client: &Mutex<TcpStream>, preparing: &Preparing, inserts: &Inserts) -> io::Result<()> {
    let mut reader = BufReader::new(server);
    let mut frame = Vec::new();
    while read(&mut reader, &mut frame)? {
        let (head, body) = frame.split_at(HEAD_BYTES);
        if lock(preparing).remove(&[head[2], head[3]]) && head[4] == RESULT && body.starts_with(&PREPARED) {
            lock(&inserts.0).insert(short_bytes(&body[4..]).to_vec());
        }
        lock(client).write_all(&frame)?;
    }
    Ok(())
}

/// Reads a frame; false if there is none any more.
fn read(reader: &mut impl Read, frame: &mut Vec<u8>) -> io::Result<bool> {
    frame.resize(HEAD_BYTES, 0);
    match reader.read_exact(frame) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
        read => read?,
    }
    let length = u32::from_be_bytes([frame[5], frame[6], frame[7], frame[8]]) as usize;
    frame.resize(HEAD_BYTES + length, 0);
    reader.read_exact(&mut frame[HEAD_BYTES..])?;
    Ok(true)
}

/// Bytes after their length.
fn short_bytes(body: &[u8]) -> &[u8] {
    let Some(([high, low], rest)) = body.split_first_chunk() else { return &[] };
    rest.get(..usize::from(u16::from_be_bytes([*high, *low]))).unwrap_or_default()
}

/// Whether a statement that is to be prepared, after its length, inserts into a table `moments`.
fn is_insert(body: &[u8]) -> bool {
    let text = String::from_utf8_lossy(body.get(4..).unwrap_or_default()).replace('"', "");
    text.starts_with("INSERT INTO ") && text.split(['(', ' ']).nth(2).is_some_and(|table| table.ends_with(".moments"))
}
