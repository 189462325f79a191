//! Reading the primitives; nothing here trusts the bytes.

use super::{CodecError, FORMAT, INT, STR, UINT};
use crate::record::scalar::ScalarRef;

/// What is left to read.
#[derive(Clone)]
pub(in crate::record) struct Input<'a> {
    bytes: &'a [u8],
}

impl<'a> Input<'a> {
    pub(in crate::record) fn new(bytes: &'a [u8]) -> Self {
        Input { bytes }
    }

    /// What is left.
    pub(in crate::record) fn rest(&self) -> &'a [u8] {
        self.bytes
    }

    #[inline]
    pub(in crate::record) fn byte(&mut self) -> Result<u8, CodecError> {
        let (first, rest) = self.bytes.split_first().ok_or(CodecError::Truncated)?;
        self.bytes = rest;
        Ok(*first)
    }

    pub(in crate::record) fn format(&mut self) -> Result<(), CodecError> {
        match self.byte()? {
            FORMAT => Ok(()),
            other => Err(CodecError::Format(other)),
        }
    }

    /// How much was read of `whole`, which it began with.
    pub(in crate::record) fn position_in(&self, whole: &[u8]) -> u32 {
        (whole.len() - self.bytes.len()) as u32
    }

    /// Nothing may be left.
    pub(in crate::record) fn end(&self) -> Result<(), CodecError> {
        if self.bytes.is_empty() { Ok(()) } else { Err(CodecError::Invalid("end: something follows")) }
    }

    /// LEB128, in its shortest form only: so that equal keys are equal bytes.
    #[inline]
    pub(in crate::record) fn number(&mut self) -> Result<u64, CodecError> {
        let first = self.byte()?;
        if first < 0x80 {
            return Ok(u64::from(first));
        }
        let mut value = u64::from(first & 0x7f);
        for shift in (7..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if bits << shift >> shift != bits {
                break;
            }
            value |= bits << shift;
            if byte < 0x80 {
                return if byte == 0 { Err(CodecError::Invalid("number")) } else { Ok(value) };
            }
        }
        Err(CodecError::Invalid("number"))
    }

    pub(in crate::record) fn signed(&mut self) -> Result<i64, CodecError> {
        let zigzag = self.number()?;
        Ok((zigzag >> 1) as i64 ^ -((zigzag & 1) as i64))
    }

    #[inline]
    pub(in crate::record) fn int(&mut self) -> Result<u64, CodecError> {
        let (bytes, rest) = self.bytes.split_first_chunk().ok_or(CodecError::Truncated)?;
        self.bytes = rest;
        Ok(u64::from_le_bytes(*bytes))
    }

    /// How many things follow, each of at least one byte: no more than there are bytes, whatever was written.
    #[inline]
    pub(in crate::record) fn count(&mut self) -> Result<usize, CodecError> {
        let count = self.number()?;
        if count > self.bytes.len() as u64 { Err(CodecError::Truncated) } else { Ok(count as usize) }
    }

    #[inline]
    pub(in crate::record) fn bytes(&mut self) -> Result<&'a [u8], CodecError> {
        let length = self.count()?;
        let (bytes, rest) = self.bytes.split_at(length);
        self.bytes = rest;
        Ok(bytes)
    }

    /// Text whose length was read before.
    #[inline]
    pub(in crate::record) fn text_of(&mut self, length: usize) -> Result<&'a str, CodecError> {
        let (bytes, rest) = self.bytes.split_at_checked(length).ok_or(CodecError::Truncated)?;
        self.bytes = rest;
        std::str::from_utf8(bytes).map_err(|_| CodecError::Invalid("text: it is not UTF-8"))
    }

    #[inline]
    pub(in crate::record) fn text(&mut self) -> Result<&'a str, CodecError> {
        std::str::from_utf8(self.bytes()?).map_err(|_| CodecError::Invalid("text: it is not UTF-8"))
    }

    /// Passes a scalar that was read before.
    #[inline]
    pub(in crate::record) fn skip_scalar(&mut self) -> Result<(), CodecError> {
        match self.byte()? {
            STR => self.bytes().map(drop),
            _ => self.int().map(drop),
        }
    }

    #[inline]
    pub(in crate::record) fn scalar(&mut self) -> Result<ScalarRef<'a>, CodecError> {
        match self.byte()? {
            INT => Ok(ScalarRef::Int(self.int()? as i64)),
            UINT => match self.int()? {
                value if value > i64::MAX as u64 => Ok(ScalarRef::UInt(value)),
                _ => Err(CodecError::Invalid("integer")),
            },
            STR => Ok(ScalarRef::Str(self.text()?)),
            _ => Err(CodecError::Invalid("kind of value")),
        }
    }
}
