//! Which files a source reads: paths and globs, and the partitions' names.

use std::collections::{BTreeSet, HashSet};
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Component, Path, PathBuf};

use glob::MatchOptions;

use crate::source::SourceError;

/// As a shell does it: `*` stays inside a directory and does not match hidden files.
const OPTIONS: MatchOptions =
    MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: true };

/// The `paths:` of a source.
pub(super) struct Paths {
    patterns: Vec<Pattern>,
    base: PathBuf,
}

enum Pattern {
    Literal(PathBuf),
    Glob(String),
}

impl Paths {
    pub(super) fn new(paths: &[String], base: &Path) -> Result<Self, SourceError> {
        let base = normal(base);
        let patterns = paths.iter().map(|path| Pattern::new(path, &base)).collect::<Result<_, _>>()?;
        Ok(Paths { patterns, base })
    }

    /// The files that match now, in order. `complete` says that they must all be there: then a pattern without a match is an
    /// error, unless it matches one of those that were `known` before: they may be gone when they were read.
    pub(super) fn files(&self, complete: bool, known: &HashSet<PathBuf>) -> Result<BTreeSet<PathBuf>, SourceError> {
        let mut files = BTreeSet::new();
        for pattern in &self.patterns {
            let matches = pattern.files(complete)?;
            if matches.is_empty() && complete && !known.iter().any(|path| pattern.matches(path)) {
                return Err(SourceError::NoMatch { pattern: pattern.text() });
            }
            files.extend(matches);
        }
        Ok(files)
    }

    /// Whether the file at `path` would be one of the source's, if it is there.
    pub(super) fn match_path(&self, path: &Path) -> bool {
        self.patterns.iter().any(|pattern| pattern.matches(path))
    }

    /// Where the file lies whose name, without a number, this is.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        normal(&self.base.join(name))
    }

    /// The name of the partition of the file at `path`: relative to the base if it lies under it.
    pub(super) fn name(&self, path: &Path) -> String {
        path.strip_prefix(&self.base).unwrap_or(path).to_string_lossy().into_owned()
    }
}

impl Pattern {
    fn new(text: &str, base: &Path) -> Result<Self, SourceError> {
        let path = base.join(text);
        // A file may have a `[` in its name.
        if !text.contains(['*', '?', '[']) || path.exists() {
            return Ok(Pattern::Literal(normal(&path)));
        }
        let refused = |reason: String| SourceError::Pattern { pattern: text.to_owned(), reason };
        let pattern = if Path::new(text).is_absolute() {
            text.to_owned()
        } else {
            let base = base.to_str().ok_or_else(|| refused(format!("{base:?}, where it starts, is not UTF-8")))?;
            let base = Path::new(&glob::Pattern::escape(base)).join(text);
            base.into_os_string().into_string().expect("made of two strings")
        };
        let pattern = normal(Path::new(&pattern)).into_os_string().into_string().expect("it was a string");
        glob::Pattern::new(&pattern).map_err(|e| refused(e.to_string()))?;
        Ok(Pattern::Glob(pattern))
    }

    fn matches(&self, path: &Path) -> bool {
        match self {
            Pattern::Literal(literal) => literal == path,
            Pattern::Glob(pattern) => {
                let pattern = glob::Pattern::new(pattern).expect("the pattern was parsed before");
                pattern.matches_path_with(path, OPTIONS)
            }
        }
    }

    fn text(&self) -> String {
        match self {
            Pattern::Literal(path) => path.to_string_lossy().into_owned(),
            Pattern::Glob(pattern) => pattern.clone(),
        }
    }

    fn files(&self, complete: bool) -> Result<Vec<PathBuf>, SourceError> {
        let pattern = match self {
            Pattern::Literal(path) => return literal(path),
            Pattern::Glob(pattern) => pattern,
        };
        let mut files = Vec::new();
        for entry in glob::glob_with(pattern, OPTIONS).expect("the pattern was parsed before") {
            let path = entry.map_err(|e| {
                let path = e.path().to_owned();
                SourceError::Io { action: "read", path, source: e.into() }
            })?;
            match fs::metadata(&path) {
                Ok(metadata) if metadata.is_dir() => {}
                Ok(_) => files.push(normal(&path)),
                // Deleted since it was listed, or a link to nothing.
                Err(e) if e.kind() == ErrorKind::NotFound && !complete => {}
                Err(source) => return Err(SourceError::Io { action: "open", path, source }),
            }
        }
        Ok(files)
    }
}

fn literal(path: &Path) -> Result<Vec<PathBuf>, SourceError> {
    let failed = |source| SourceError::Io { action: "open", path: path.to_owned(), source };
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => {
            let hint = "it is a directory; name its files, such as \"*.ndjson\" in it";
            Err(failed(io::Error::new(ErrorKind::IsADirectory, hint)))
        }
        Ok(_) => Ok(vec![path.to_owned()]),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        Err(e) => Err(failed(e)),
    }
}

/// Without `.` and doubled separators, so that a file has one name however its path was written.
fn normal(path: &Path) -> PathBuf {
    path.components().filter(|part| *part != Component::CurDir).collect()
}
