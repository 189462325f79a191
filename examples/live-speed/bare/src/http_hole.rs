//! An Elasticsearch that takes all documents and keeps none: `_bulk` is answered here, item by item; all else by a real one.

use std::io::{self, BufRead, BufReader, Error, Read, Write};
use std::net::TcpStream;

use crate::{Failure, relay};

pub fn main(upstream: String) -> Result<(), Failure> {
    relay::serve(move |stream| connection(stream, &upstream))
}

fn connection(mut stream: TcpStream, upstream: &str) -> io::Result<()> {
    let mut reader = BufReader::with_capacity(256 << 10, stream.try_clone()?);
    let (mut head, mut body) = (String::new(), Vec::new());
    while read(&mut reader, &mut head, &mut body)? {
        let target = head.split(' ').nth(1).unwrap_or_default();
        if target.split('?').next().is_some_and(|path| path.ends_with("/_bulk")) {
            let answer = outcomes(&body);
            write!(
                stream,
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
                answer.len()
            )?;
            stream.write_all(answer.as_bytes())?;
            continue;
        }
        // The other server ends the connection, and so does this one.
        let mut other = TcpStream::connect(upstream)?;
        other.write_all(head.trim_end().as_bytes())?;
        other.write_all(b"\r\nconnection: close\r\n\r\n")?;
        other.write_all(&body)?;
        io::copy(&mut other, &mut stream)?;
        return Ok(());
    }
    Ok(())
}

/// Reads a request; false if there is none any more.
fn read(reader: &mut impl BufRead, head: &mut String, body: &mut Vec<u8>) -> io::Result<bool> {
    head.clear();
    let mut length = 0;
    loop {
        let start = head.len();
        if reader.read_line(head)? == 0 {
            return Ok(false);
        }
        let line = head[start..].trim_end();
        if line.is_empty() {
            break;
        }
        if let Some((name, value)) =
            line.split_once(':').filter(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        {
            length = value.trim().parse().map_err(|_| Error::other(format!("{name} is no number")))?;
        }
    }
    body.clear();
    reader.take(length).read_to_end(body)?;
    Ok(true)
}

/// What is said of each item of a request.
fn outcomes(body: &[u8]) -> String {
    let mut answer = String::from("{\"errors\":false,\"items\":[");
    let mut lines = body.split(|byte| *byte == b'\n');
    while let Some(action) = lines.next().filter(|line| !line.is_empty()) {
        if answer.ends_with('}') {
            answer.push(',');
        }
        if action.starts_with(b"{\"delete\"") {
            answer.push_str("{\"delete\":{\"status\":200}}");
        } else {
            answer.push_str("{\"index\":{\"status\":201}}");
            lines.next();
        }
    }
    answer.push_str("]}");
    answer
}
