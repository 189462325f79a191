//! The files of an archive, or the topic that it goes to.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use flate2::write::GzEncoder;

use super::GenerateError;
use super::settings::{Compression, Settings};
use super::summary::FileSummary;
#[cfg(feature = "kafka")]
use super::topic::TopicWriter;

/// A file is written to in blocks of about so many bytes.
const BLOCK_BYTES: usize = 256 << 10;
/// A topic in smaller ones, so that progress shows at low rates.
#[cfg(feature = "kafka")]
const TOPIC_BLOCK_BYTES: usize = 16 << 10;

/// The files of an archive, or the topic that it goes to.
pub(super) struct Output {
    parts: Vec<Part>,
}

/// One file or topic, and what is yet to be written to it.
struct Part {
    target: Target,
    buffer: Vec<u8>,
    block_bytes: usize,
    /// Where the last lines begin in `buffer` that may be repeated.
    recent: Vec<usize>,
}

enum Target {
    File {
        name: String,
        path: PathBuf,
        encoder: Encoder,
    },
    #[cfg(feature = "kafka")]
    Topic(Box<TopicWriter>),
}

enum Encoder {
    Plain(File),
    Gz(GzEncoder<File>),
    Zst(zstd::Encoder<'static, File>),
}

impl Output {
    /// Opens the files of an archive in `directory`, which is made if it does not exist.
    pub(super) fn create(directory: &Path, settings: &Settings, overwrite: bool) -> Result<Self, GenerateError> {
        clear(directory, overwrite)?;
        let parts = (0..settings.parts).map(|part| {
            let target = Target::create(directory, part, settings.compression)?;
            Ok(Part::new(target, BLOCK_BYTES))
        });
        Ok(Output { parts: parts.collect::<Result<_, _>>()? })
    }

    /// Everything goes to a topic.
    #[cfg(feature = "kafka")]
    pub(super) fn topic(writer: TopicWriter) -> Self {
        Output { parts: vec![Part::new(Target::Topic(Box::new(writer)), TOPIC_BLOCK_BYTES)] }
    }

    /// The file that an id belongs to.
    pub(super) fn part_of(&self, id: u128) -> usize {
        (id & 0xffff_ffff) as usize % self.parts.len()
    }

    /// Lets `write` append a line to a file. Returns its length, and whether a block was written before it.
    pub(super) fn line(&mut self, part: usize, write: impl FnOnce(&mut Vec<u8>)) -> Result<(u64, bool), GenerateError> {
        let file = &mut self.parts[part];
        let full = file.buffer.len() >= file.block_bytes;
        if full {
            file.flush()?;
        }
        let start = file.buffer.len();
        file.recent.push(start);
        write(&mut file.buffer);
        Ok(((file.buffer.len() - start) as u64, full))
    }

    /// Sees to it that the last line of a file is never repeated.
    pub(super) fn seal(&mut self, part: usize) {
        self.parts[part].recent.clear();
    }

    /// Repeats the last lines of a file, at most `most` of them. Returns how many, and their bytes.
    pub(super) fn repeat(&mut self, part: usize, most: u64) -> (u64, u64) {
        let Part { buffer, recent, .. } = &mut self.parts[part];
        let count = (recent.len() as u64).min(most) as usize;
        let first = recent.len() - count;
        let Some(start) = recent.get(first).copied() else { return (0, 0) };
        let bytes = buffer.len() - start;
        buffer.extend_from_within(start..);
        recent.extend_from_within(first..);
        recent[first + count..].iter_mut().for_each(|start| *start += bytes);
        (count as u64, bytes as u64)
    }

    /// Writes what is left, and closes the files or waits for the brokers. Returns the files.
    pub(super) fn finish(self) -> Result<Vec<FileSummary>, GenerateError> {
        self.parts.into_iter().filter_map(|part| part.finish().transpose()).collect()
    }
}

impl Part {
    fn new(target: Target, block_bytes: usize) -> Self {
        Part { target, buffer: Vec::with_capacity(block_bytes + 4_096), block_bytes, recent: Vec::new() }
    }

    fn flush(&mut self) -> Result<(), GenerateError> {
        self.target.write(&self.buffer)?;
        self.buffer.clear();
        self.recent.clear();
        Ok(())
    }

    fn finish(mut self) -> Result<Option<FileSummary>, GenerateError> {
        self.flush()?;
        self.target.finish()
    }
}

impl Target {
    fn create(directory: &Path, part: usize, compression: Compression) -> Result<Self, GenerateError> {
        let extension = match compression {
            Compression::None => "",
            Compression::Gz => ".gz",
            Compression::Zst => ".zst",
        };
        let name = format!("part-{part:03}.ndjson{extension}");
        let path = directory.join(&name);
        let encoder = File::create(&path).and_then(|file| {
            Ok(match compression {
                Compression::None => Encoder::Plain(file),
                // No time and no file name are written to the header, so that the same lines give the same file.
                Compression::Gz => Encoder::Gz(GzEncoder::new(file, flate2::Compression::best())),
                Compression::Zst => Encoder::Zst(zstd::Encoder::new(file, zstd::DEFAULT_COMPRESSION_LEVEL)?),
            })
        });
        let encoder = encoder.map_err(|source| GenerateError::io("create", &path, source))?;
        Ok(Target::File { name, path, encoder })
    }

    fn write(&mut self, lines: &[u8]) -> Result<(), GenerateError> {
        let (path, written) = match self {
            Target::File { path, encoder, .. } => (path, encoder.write(lines)),
            #[cfg(feature = "kafka")]
            Target::Topic(writer) => return writer.write(lines),
        };
        written.map_err(|source| GenerateError::io("write", path, source))
    }

    fn finish(self) -> Result<Option<FileSummary>, GenerateError> {
        let (name, path, encoder) = match self {
            Target::File { name, path, encoder } => (name, path, encoder),
            #[cfg(feature = "kafka")]
            Target::Topic(writer) => return writer.finish().map(|()| None),
        };
        let bytes = encoder.finish().and_then(|file| Ok(file.metadata()?.len()));
        let bytes = bytes.map_err(|source| GenerateError::io("write", &path, source))?;
        Ok(Some(FileSummary { name, bytes }))
    }
}

impl Encoder {
    fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        match self {
            Encoder::Plain(file) => file.write_all(lines),
            Encoder::Gz(encoder) => encoder.write_all(lines),
            Encoder::Zst(encoder) => encoder.write_all(lines),
        }
    }

    fn finish(self) -> io::Result<File> {
        match self {
            Encoder::Plain(file) => Ok(file),
            Encoder::Gz(encoder) => encoder.finish(),
            Encoder::Zst(encoder) => encoder.finish(),
        }
    }
}

/// Makes sure that `directory` exists and holds no archive: what is in it stays unless `overwrite`, and then only files
/// named like ours go.
fn clear(directory: &Path, overwrite: bool) -> Result<(), GenerateError> {
    fs::create_dir_all(directory).map_err(|source| GenerateError::io("create", directory, source))?;
    let entries = fs::read_dir(directory).and_then(Iterator::collect::<io::Result<Vec<_>>>);
    let entries = entries.map_err(|source| GenerateError::io("list", directory, source))?;
    if !entries.is_empty() && !overwrite {
        return Err(GenerateError::NotEmpty { path: directory.to_owned() });
    }
    for entry in entries.iter().filter(|entry| entry.file_name().to_str().is_some_and(is_ours)) {
        fs::remove_file(entry.path()).map_err(|source| GenerateError::io("remove", &entry.path(), source))?;
    }
    Ok(())
}

/// Whether a file's name is `part-NNN.ndjson`, perhaps compressed.
fn is_ours(name: &str) -> bool {
    let Some((number, extension)) = name.strip_prefix("part-").and_then(|rest| rest.split_once('.')) else {
        return false;
    };
    number.len() == 3
        && number.bytes().all(|byte| byte.is_ascii_digit())
        && matches!(extension, "ndjson" | "ndjson.gz" | "ndjson.zst")
}
