//! The bytes of a file, decompressed if its name says so.

use std::fs::File;
use std::io::{self, BufReader, ErrorKind, Read, Seek, SeekFrom};
use std::path::Path;

use super::mark::Trace;
use flate2::bufread::MultiGzDecoder;
use zstd::stream::read::Decoder as ZstdDecoder;

/// Compressed bytes are read from disk in pieces of this size.
const COMPRESSED_READ_BYTES: usize = 256 << 10;

/// How a file's bytes are stored, told by its extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Plain,
    Gzip,
    Zstd,
}

impl Format {
    pub(super) fn of(path: &Path) -> Self {
        match path.extension() {
            Some(extension) if extension.eq_ignore_ascii_case("gz") => Format::Gzip,
            Some(extension) if extension.eq_ignore_ascii_case("zst") => Format::Zstd,
            _ => Format::Plain,
        }
    }
}

/// A file that is being read.
pub(super) enum Input {
    Plain { file: File, position: u64 },
    Gzip(Box<MultiGzDecoder<BufReader<Counted>>>),
    Zstd(Box<ZstdDecoder<'static, BufReader<Counted>>>),
}

impl Input {
    /// Starts `offset` bytes into the decompressed content; `None` if that has not so many. What stands before the offset is
    /// taken into `trace`, which of a plain file it is already: its size is not looked at.
    pub(super) fn open(mut file: File, format: Format, offset: u64, trace: &mut Trace) -> io::Result<Option<Self>> {
        let counted = |file| BufReader::with_capacity(COMPRESSED_READ_BYTES, Counted { file, bytes: 0 });
        let mut input = match format {
            Format::Plain => {
                if offset > 0 {
                    file.seek(SeekFrom::Start(offset))?;
                }
                return Ok(Some(Input::Plain { file, position: offset }));
            }
            Format::Gzip => Input::Gzip(Box::new(MultiGzDecoder::new(counted(file)))),
            Format::Zstd => {
                // An empty file is no frame: the decoder would take it for an empty content, the gzip one does not.
                if file.metadata().is_ok_and(|m| m.is_file() && m.len() == 0) {
                    return Err(io::Error::new(ErrorKind::UnexpectedEof, "it is empty, not even a zstd frame"));
                }
                Input::Zstd(Box::new(ZstdDecoder::with_buffer(counted(file))?))
            }
        };
        let mut piece = Vec::new();
        let mut left_bytes = offset;
        while left_bytes > 0 {
            piece.clear();
            let read = input.append(&mut piece, left_bytes.min(COMPRESSED_READ_BYTES as u64) as usize)?;
            if read == 0 {
                return Ok(None);
            }
            trace.skip(&piece);
            left_bytes -= read as u64;
        }
        trace.finish();
        Ok(Some(input))
    }

    /// Appends at most `max_bytes` to `buffer` by one read; 0 at the (present) end.
    pub(super) fn append(&mut self, buffer: &mut Vec<u8>, max_bytes: usize) -> io::Result<usize> {
        let start = buffer.len();
        buffer.resize(start + max_bytes, 0);
        let result = loop {
            match self.read(&mut buffer[start..]) {
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                result => break result,
            }
        };
        buffer.truncate(start + result.as_ref().map_or(0, |n| *n));
        result
    }

    /// How far the file was read, on the scale of its size on disk.
    pub(super) fn disk_position(&self) -> u64 {
        match self {
            Input::Plain { position, .. } => *position,
            Input::Gzip(decoder) => decoder.get_ref().get_ref().bytes,
            Input::Zstd(decoder) => decoder.get_ref().get_ref().bytes,
        }
    }

    /// The file, if it is read as it is.
    pub(super) fn plain(&self) -> Option<&File> {
        match self {
            Input::Plain { file, .. } => Some(file),
            _ => None,
        }
    }
}

impl Read for Input {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Input::Plain { file, position } => {
                let read = file.read(buffer)?;
                *position += read as u64;
                Ok(read)
            }
            Input::Gzip(decoder) => decoder.read(buffer),
            Input::Zstd(decoder) => decoder.read(buffer),
        }
    }
}

/// Counts what was read of a file.
pub(super) struct Counted {
    file: File,
    bytes: u64,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        self.bytes += read as u64;
        Ok(read)
    }
}
