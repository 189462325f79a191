//! Reading the primitives; nothing here trusts the bytes.

use super::{CodecError, FORMAT, INT, STR, Text, UINT};
use crate::record::scalar::Scalar;

/// What is left to read.
pub(super) struct Input<'a> {
    bytes: &'a [u8],
}

impl<'a> Input<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Input { bytes }
    }

    pub(super) fn byte(&mut self) -> Result<u8, CodecError> {
        let (first, rest) = self.bytes.split_first().ok_or(CodecError::Truncated)?;
        self.bytes = rest;
        Ok(*first)
    }

    pub(super) fn format(&mut self) -> Result<(), CodecError> {
        match self.byte()? {
            FORMAT => Ok(()),
            other => Err(CodecError::Format(other)),
        }
    }

    /// Nothing may be left.
    pub(super) fn end(&self) -> Result<(), CodecError> {
        if self.bytes.is_empty() { Ok(()) } else { Err(CodecError::Invalid("end: something follows")) }
    }

    /// LEB128, in its shortest form only: so that equal keys are equal bytes.
    pub(super) fn number(&mut self) -> Result<u64, CodecError> {
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

    pub(super) fn signed(&mut self) -> Result<i64, CodecError> {
        let zigzag = self.number()?;
        Ok((zigzag >> 1) as i64 ^ -((zigzag & 1) as i64))
    }

    pub(super) fn int(&mut self) -> Result<u64, CodecError> {
        let (bytes, rest) = self.bytes.split_first_chunk().ok_or(CodecError::Truncated)?;
        self.bytes = rest;
        Ok(u64::from_le_bytes(*bytes))
    }

    /// How many things follow, each of at least one byte: no more than there are bytes, whatever was written.
    pub(super) fn count(&mut self) -> Result<usize, CodecError> {
        let count = self.number()?;
        if count > self.bytes.len() as u64 { Err(CodecError::Truncated) } else { Ok(count as usize) }
    }

    pub(super) fn bytes(&mut self) -> Result<&'a [u8], CodecError> {
        let length = self.count()?;
        let (bytes, rest) = self.bytes.split_at(length);
        self.bytes = rest;
        Ok(bytes)
    }

    pub(super) fn text(&mut self) -> Result<&'a str, CodecError> {
        std::str::from_utf8(self.bytes()?).map_err(|_| CodecError::Invalid("text: it is not UTF-8"))
    }

    pub(super) fn scalar(&mut self) -> Result<Text<'a>, CodecError> {
        match self.byte()? {
            INT => Ok(Text::Number(Scalar::Int(self.int()? as i64))),
            UINT => match self.int()? {
                value if value > i64::MAX as u64 => Ok(Text::Number(Scalar::UInt(value))),
                _ => Err(CodecError::Invalid("integer")),
            },
            STR => Ok(Text::Str(self.text()?)),
            _ => Err(CodecError::Invalid("kind of value")),
        }
    }
}
