//! Going through JSON text: every byte is checked, nothing is built.
//!
//! Why not a parser from a library: those that are lazy build a value of some kind for each member that they pass, wanted or
//! not, which took a quarter of the instructions of a backfill. What is needed here is where members begin and end.

use super::{ExtractError, MAX_DEPTH, plain};

/// A place in JSON text ([RFC 8259](https://www.rfc-editor.org/rfc/rfc8259)) that is known to be UTF-8.
pub(super) struct Scan<'a> {
    bytes: &'a [u8],
    at: usize,
    /// How many objects and arrays are open.
    depth: usize,
}

type Result<T> = std::result::Result<T, ExtractError>;

/// Eight times the same byte.
const fn all(byte: u8) -> u64 {
    u64::from_ne_bytes([byte; 8])
}

/// Marks, among others above it, the lowest zero byte of eight with its highest bit.
fn zeros(word: u64) -> u64 {
    word.wrapping_sub(all(1)) & !word & all(0x80)
}

/// Marks, among others above it, the lowest of eight bytes that does not simply go on a string: a quote, a backslash, or a
/// control character.
fn specials(word: u64) -> u64 {
    let controls = word.wrapping_sub(all(0x20)) & !word & all(0x80);
    zeros(word ^ all(b'"')) | zeros(word ^ all(b'\\')) | controls
}

impl<'a> Scan<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Scan { bytes, at: 0, depth: 0 }
    }

    pub fn at(&self) -> usize {
        self.at
    }

    #[inline]
    pub fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    #[cold]
    pub fn wrong(&self, expected: &str) -> ExtractError {
        ExtractError::Syntax(match self.bytes.get(self.at) {
            Some(_) => format!("expected {expected} at byte {}", self.at),
            None => format!("expected {expected}, found its end"),
        })
    }

    #[inline]
    pub fn space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
    }

    /// What was passed since `start`.
    pub fn since(&self, start: usize) -> &'a [u8] {
        &self.bytes[start..self.at]
    }

    /// The next bytes, and zeros behind the last one.
    #[inline]
    pub fn ahead<const N: usize>(&self) -> [u8; N] {
        let rest = &self.bytes[self.at..];
        if let Some(bytes) = rest.first_chunk() {
            return *bytes;
        }
        let mut bytes = [0; N];
        bytes[..rest.len()].copy_from_slice(rest);
        bytes
    }

    /// Passes so many bytes, which were looked at.
    #[inline]
    pub fn pass(&mut self, bytes: usize) {
        self.at += bytes;
    }

    /// Whether this byte is next; passes it then.
    #[inline]
    pub fn takes(&mut self, byte: u8) -> bool {
        let is_next = self.peek() == Some(byte);
        self.at += usize::from(is_next);
        is_next
    }

    #[inline]
    pub fn expect(&mut self, byte: u8, what: &str) -> Result<()> {
        if self.takes(byte) { Ok(()) } else { Err(self.wrong(what)) }
    }

    /// Passes the bracket that opens an object or an array, and the space behind it; whether something is in it.
    pub fn open(&mut self, close: u8) -> Result<bool> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(ExtractError::Depth);
        }
        self.at += 1;
        self.space();
        let is_empty = self.takes(close);
        self.depth -= usize::from(is_empty);
        Ok(!is_empty)
    }

    /// Behind a member or an element: whether another follows. Passes the comma or the closing bracket.
    #[inline]
    pub fn another(&mut self, close: u8) -> Result<bool> {
        self.space();
        if self.takes(b',') {
            self.space();
            return Ok(true);
        }
        if self.takes(close) {
            self.depth -= 1;
            return Ok(false);
        }
        Err(self.wrong(if close == b'}' { "\",\" or \"}\"" } else { "\",\" or \"]\"" }))
    }

    /// A member's name, its colon, and the space around that; the name as it is written, and whether there are escapes in it.
    #[inline]
    pub fn name(&mut self) -> Result<(&'a [u8], bool)> {
        let start = self.at;
        if self.peek() != Some(b'"') {
            return Err(self.wrong("a name in quotes"));
        }
        let has_escapes = self.string()?;
        let name = &self.bytes[start..self.at];
        self.space();
        self.expect(b':', "\":\"")?;
        self.space();
        Ok((name, has_escapes))
    }

    /// Passes any value.
    pub fn value(&mut self) -> Result<()> {
        match self.peek() {
            Some(b'"') => self.string().map(drop),
            Some(b'{') => {
                let mut more = self.open(b'}')?;
                while more {
                    self.name()?;
                    self.value()?;
                    more = self.another(b'}')?;
                }
                Ok(())
            }
            Some(b'[') => {
                let mut more = self.open(b']')?;
                while more {
                    self.numbers();
                    self.space();
                    self.value()?;
                    more = self.another(b']')?;
                }
                Ok(())
            }
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.literal("true"),
            Some(b'f') => self.literal("false"),
            Some(b'n') => self.literal("null"),
            _ => Err(self.wrong("a value")),
        }
    }

    /// Passes a string that begins here; whether there are escapes in it.
    pub fn string(&mut self) -> Result<bool> {
        let mut has_escapes = false;
        let mut at = self.at + 1;
        loop {
            while let Some(eight) = self.bytes[at..].first_chunk() {
                let special = specials(u64::from_le_bytes(*eight));
                if special != 0 {
                    at += special.trailing_zeros() as usize / 8;
                    break;
                }
                at += 8;
            }
            match self.bytes.get(at) {
                Some(b'"') => {
                    self.at = at + 1;
                    return Ok(has_escapes);
                }
                Some(b'\\') => {
                    has_escapes = true;
                    let hex = |digits: Option<&[u8]>| digits.is_some_and(|d| d.iter().all(u8::is_ascii_hexdigit));
                    at += match self.bytes.get(at + 1) {
                        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => 2,
                        Some(b'u') if hex(self.bytes.get(at + 2..at + 6)) => 6,
                        _ => {
                            self.at = at;
                            return Err(self.wrong("an escape that there is"));
                        }
                    };
                }
                Some(0x20..) => at += 1,
                found => {
                    self.at = at;
                    let expected =
                        if found.is_some() { "no control character in a string" } else { "the end of a string" };
                    return Err(self.wrong(expected));
                }
            }
        }
    }

    /// Passes the plain numbers that come next, each with its comma. What looks otherwise is left to [`Scan::value`].
    fn numbers(&mut self) {
        loop {
            let passed = plain::numbers(&self.ahead());
            if passed == 0 {
                return;
            }
            self.at += passed;
        }
    }

    fn digits(&mut self) -> Result<()> {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        if self.at > start { Ok(()) } else { Err(self.wrong("a digit")) }
    }

    fn number(&mut self) -> Result<()> {
        self.takes(b'-');
        if !self.takes(b'0') {
            self.digits()?;
        }
        if self.takes(b'.') {
            self.digits()?;
        }
        if self.takes(b'e') || self.takes(b'E') {
            let _ = self.takes(b'+') || self.takes(b'-');
            self.digits()?;
        }
        Ok(())
    }

    fn literal(&mut self, text: &str) -> Result<()> {
        if !self.bytes[self.at..].starts_with(text.as_bytes()) {
            return Err(self.wrong("a value"));
        }
        self.at += text.len();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde::de::IgnoredAny;

    use super::*;

    /// Of every array of up to three of these, written with and without what may follow.
    #[test]
    fn vectors_are_taken_exactly_if_another_parser_takes_them() {
        let elements = [
            "-0.25",
            "0.5",
            "12.5",
            "-7",
            "0.1234567890123",
            "0.12345678901234567",
            "1.5e-7",
            "-",
            "0.",
            ".5",
            "-0.",
            "00.5",
            "0.5x",
            "\"0.5\"",
            "[0.25]",
            "null",
            " 0.5 ",
            "",
            "0.5.5",
            "--0.5",
            "1.12345",
            "9.999999",
        ];
        let mut taken = 0;
        for first in elements {
            for second in elements {
                for third in elements {
                    for close in ["]", ",]", " ]", ""] {
                        let text = format!("[{first},{second},{third}{close}");
                        let mut scan = Scan::new(text.as_bytes());
                        let is_taken = scan.value().is_ok() && scan.at() == text.len();
                        let expected = serde_json::from_str::<IgnoredAny>(&text).is_ok();
                        assert_eq!(is_taken, expected, "{text}");
                        taken += usize::from(is_taken);
                    }
                }
            }
        }
        assert!(taken > 1_000, "{taken}");
    }
}
