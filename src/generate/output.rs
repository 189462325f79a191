//! The files of an archive.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use flate2::write::GzEncoder;

use super::GenerateError;
use super::settings::{Compression, Settings};
use super::summary::FileSummary;

/// A file is written to in blocks of about so many bytes.
const BLOCK_BYTES: usize = 256 << 10;

/// The files of an archive.
pub(super) struct Output {
    files: Vec<PartFile>,
}

/// One file, and what is yet to be written to it.
struct PartFile {
    name: String,
    path: PathBuf,
    encoder: Encoder,
    buffer: Vec<u8>,
    /// Where the last lines begin in `buffer` that may be repeated.
    recent: Vec<usize>,
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
        let files = (0..settings.parts).map(|part| PartFile::create(directory, part, settings.compression));
        Ok(Output { files: files.collect::<Result<_, _>>()? })
    }

    /// The file that an id belongs to.
    pub(super) fn part_of(&self, id: u128) -> usize {
        (id & 0xffff_ffff) as usize % self.files.len()
    }

    /// Lets `write` append a line to a file. Returns its length, and whether a block was written before it.
    pub(super) fn line(&mut self, part: usize, write: impl FnOnce(&mut Vec<u8>)) -> Result<(u64, bool), GenerateError> {
        let file = &mut self.files[part];
        let full = file.buffer.len() >= BLOCK_BYTES;
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
        self.files[part].recent.clear();
    }

    /// Repeats the last lines of a file, at most `most` of them. Returns how many, and their bytes.
    pub(super) fn repeat(&mut self, part: usize, most: u64) -> (u64, u64) {
        let PartFile { buffer, recent, .. } = &mut self.files[part];
        let count = (recent.len() as u64).min(most) as usize;
        let first = recent.len() - count;
        let Some(start) = recent.get(first).copied() else { return (0, 0) };
        let bytes = buffer.len() - start;
        buffer.extend_from_within(start..);
        recent.extend_from_within(first..);
        recent[first + count..].iter_mut().for_each(|start| *start += bytes);
        (count as u64, bytes as u64)
    }

    /// Writes what is left and closes the files.
    pub(super) fn finish(self) -> Result<Vec<FileSummary>, GenerateError> {
        self.files.into_iter().map(PartFile::finish).collect()
    }
}

impl PartFile {
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
        Ok(PartFile { name, path, encoder, buffer: Vec::with_capacity(BLOCK_BYTES + 4_096), recent: Vec::new() })
    }

    fn flush(&mut self) -> Result<(), GenerateError> {
        let written = match &mut self.encoder {
            Encoder::Plain(file) => file.write_all(&self.buffer),
            Encoder::Gz(encoder) => encoder.write_all(&self.buffer),
            Encoder::Zst(encoder) => encoder.write_all(&self.buffer),
        };
        written.map_err(|source| GenerateError::io("write", &self.path, source))?;
        self.buffer.clear();
        self.recent.clear();
        Ok(())
    }

    fn finish(mut self) -> Result<FileSummary, GenerateError> {
        self.flush()?;
        let file = match self.encoder {
            Encoder::Plain(file) => Ok(file),
            Encoder::Gz(encoder) => encoder.finish(),
            Encoder::Zst(encoder) => encoder.finish(),
        };
        let bytes = file.and_then(|file| Ok(file.metadata()?.len()));
        let bytes = bytes.map_err(|source| GenerateError::io("write", &self.path, source))?;
        Ok(FileSummary { name: self.name, bytes })
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
