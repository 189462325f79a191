//! Writes records as lines, and counts them.

use super::GenerateError;
use super::annotation::{self, Annotation, put, write_deletion, write_id};
use super::catalogue::Asset;
use super::draw::{Draw, Stream};
use super::output::Output;
use super::settings::Settings;
use super::summary::{Summary, Tally};
use super::vectors::Vectors;

/// Whether an annotation's id is new.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    New,
    Correction,
}

/// Writes records as lines, and counts them.
pub(super) struct Recorder<'a> {
    settings: &'a Settings,
    assets: &'a [Asset],
    vectors: Option<Vectors>,
    output: Output,
    /// The file that was written to last.
    part: usize,
    summary: Summary,
    tally: Tally,
    progress: &'a mut dyn FnMut(u64),
}

impl<'a> Recorder<'a> {
    pub(super) fn new(
        settings: &'a Settings,
        assets: &'a [Asset],
        output: Output,
        progress: &'a mut dyn FnMut(u64),
    ) -> Self {
        let dims = settings.embedding_dims;
        let vectors = (dims > 0).then(|| Vectors::new(settings.seed, dims, Draw::new(settings.seed, Stream::Noise)));
        let (summary, tally) = (Summary::default(), Tally::new(assets.len()));
        Recorder { settings, assets, vectors, output, part: 0, summary, tally, progress }
    }

    pub(super) fn annotation(&mut self, kind: Kind, annotation: &Annotation) -> Result<(), GenerateError> {
        match kind {
            Kind::New => {
                self.tally.add(annotation);
                self.summary.annotations += 1;
            }
            Kind::Correction => self.summary.corrections += 1,
        }
        let (assets, mut vectors) = (self.assets, self.vectors.take());
        let part = self.output.part_of(annotation.id);
        let result = self.line(part, |line| annotation.write(assets, vectors.as_mut(), line));
        self.vectors = vectors;
        result?;
        self.bad_lines_due()
    }

    pub(super) fn deletion(&mut self, id: u128) -> Result<(), GenerateError> {
        self.summary.deletions += 1;
        let part = self.output.part_of(id);
        self.line(part, |line| write_deletion(id, line))?;
        self.bad_lines_due()
    }

    /// Repeats the last lines of the file that was written to last, at most `most` of them. Returns how many.
    pub(super) fn repeat(&mut self, most: u64) -> Result<u64, GenerateError> {
        let (lines, bytes) = self.output.repeat(self.part, most);
        self.summary.lines += lines;
        self.summary.bytes += bytes;
        self.summary.duplicates += lines;
        self.bad_lines_due()?;
        Ok(lines)
    }

    /// Closes the files.
    pub(super) fn finish(mut self) -> Result<Summary, GenerateError> {
        while self.summary.bad_lines < self.settings.bad_lines {
            self.bad_line()?;
        }
        self.tally.complete(&mut self.summary);
        self.summary.files = self.output.finish()?;
        (self.progress)(self.summary.lines);
        Ok(self.summary)
    }

    fn line(&mut self, part: usize, write: impl FnOnce(&mut Vec<u8>)) -> Result<(), GenerateError> {
        self.part = part;
        let (bytes, block_written) = self.output.line(part, write)?;
        self.summary.lines += 1;
        self.summary.bytes += bytes;
        if block_written {
            (self.progress)(self.summary.lines);
        }
        Ok(())
    }

    /// Spreads bad lines evenly over the archive.
    fn bad_lines_due(&mut self) -> Result<(), GenerateError> {
        let due = |summary: &Summary| {
            let Settings { bad_lines, annotations, .. } = *self.settings;
            let share = annotations / (bad_lines + 1) + 1;
            summary.bad_lines < bad_lines && summary.lines - summary.bad_lines >= share * (summary.bad_lines + 1)
        };
        if due(&self.summary) { self.bad_line() } else { Ok(()) }
    }

    /// Writes a line that can not become a row, in one way after the other. It never carries an id that is in use.
    fn bad_line(&mut self) -> Result<(), GenerateError> {
        let number = self.summary.bad_lines;
        self.summary.bad_lines += 1;
        let id = annotation::id(self.settings.seed, u64::MAX - number);
        let context = &*self.assets[0].context;
        let (head, range) = (r#"","type":"SCENE_SEARCH","label":"kitchen","associated_ids":"#, r#","time_range":"#);
        self.line(0, |line| {
            write_id(id, line);
            match number % 4 {
                0 => put(line, &[head, context, range, r#"{"start_time_ns":40000"#]),
                1 => put(line, &[head, context, range, r#"{"start_time_ns":9000000000,"end_time_ns":4000000000}}"#]),
                2 => put(line, &[head, "{}", range, r#"{"start_time_ns":4000000000,"end_time_ns":9000000000}}"#]),
                _ => put(line, &[head, context, range, r#"{"start_time_ns":"4 s","end_time_ns":9000000000}}"#]),
            }
            line.push(b'\n');
        })?;
        self.output.seal(0);
        Ok(())
    }
}
