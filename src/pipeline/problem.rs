//! What is wrong with a pipeline file, and where.

use std::fmt;

use serde::Serialize;

/// A position in a text, counted from 1; columns are counted in characters. Line 0 stands for the file as a whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

/// One thing that is wrong, or doubtful, in a pipeline file.
///
/// Printed as `pipeline.yaml:12:9: unknown field "buckt" in operators.moments.fuse; did you mean "bucket"?`
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The file, as it was named by whoever loads it; empty if the text did not come from a file.
    pub file: String,
    /// The line, from 1; 0 if the problem is about the file as a whole.
    pub line: usize,
    /// The column in characters, from 1; 0 if the problem is about the file as a whole.
    pub column: usize,
    /// Where it is in the file's structure: `operators.moments.fuse.bucket`; empty for the root.
    pub path: String,
    /// What is wrong, and what was expected.
    pub message: String,
    /// What would help.
    pub hint: Option<String>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.file.is_empty() {
            write!(f, "{}:", self.file)?;
        }
        if self.line > 0 {
            write!(f, "{}:{}:", self.line, self.column)?;
        }
        if !self.file.is_empty() || self.line > 0 {
            f.write_str(" ")?;
        }
        f.write_str(&self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "; {hint}"),
            None => Ok(()),
        }
    }
}

/// Everything that is wrong with a pipeline file, in the order of the file. Never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// The problems, in the order of the file.
    pub fn as_slice(&self) -> &[Problem] {
        &self.0
    }

    /// A single problem of the file as a whole.
    pub(super) fn of_file(file: String, message: String, hint: Option<String>) -> Self {
        Problems(vec![Problem { file, line: 0, column: 0, path: String::new(), message, hint }])
    }

    pub(super) fn set_file(&mut self, file: &str) {
        self.0.iter_mut().for_each(|problem| file.clone_into(&mut problem.file));
    }
}

impl std::error::Error for Problems {}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in &self.0 {
            writeln!(f, "{problem}")?;
        }
        match self.0.len() {
            1 => f.write_str("1 problem"),
            n => write!(f, "{n} problems"),
        }
    }
}

/// Gathers problems and warnings while a file is read.
#[derive(Default)]
pub(super) struct Report {
    problems: Vec<Problem>,
    warnings: Vec<Problem>,
}

impl Report {
    pub(super) fn problem(&mut self, at: Place, path: &str, message: impl Into<String>, hint: Option<String>) {
        self.problems.push(located(at, path, message.into(), hint));
    }

    pub(super) fn warning(&mut self, at: Place, path: &str, message: impl Into<String>, hint: Option<String>) {
        self.warnings.push(located(at, path, message.into(), hint));
    }

    /// The warnings; or the problems, if there are any.
    pub(super) fn finish(mut self) -> Result<Vec<Problem>, Problems> {
        let order = |a: &Problem, b: &Problem| (a.line, a.column).cmp(&(b.line, b.column));
        if self.problems.is_empty() {
            self.warnings.sort_by(order);
            return Ok(self.warnings);
        }
        self.problems.sort_by(order);
        // What a later step says of the same value only follows from what an earlier one said.
        self.problems.dedup_by(|b, a| (a.line, a.column, &a.path) == (b.line, b.column, &b.path));
        Err(Problems(self.problems))
    }
}

fn located(at: Place, path: &str, message: String, hint: Option<String>) -> Problem {
    Problem { file: String::new(), line: at.line, column: at.column, path: path.to_owned(), message, hint }
}

/// The hint that a wrong name deserves: the nearest valid one, else all valid ones.
pub(crate) fn name_hint<'a>(name: &str, valid: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let valid: Vec<&str> = valid.into_iter().collect();
    match nearest(name, &valid) {
        Some(near) => Some(format!("did you mean {near:?}?")),
        None if valid.is_empty() => None,
        None if valid.len() == 1 => Some(format!("expected {}", valid[0])),
        None => Some(format!("expected one of {}", valid.join(", "))),
    }
}

/// The valid name that `name` is most likely a misspelling of: at most a third of its letters differ.
pub(super) fn nearest<'a>(name: &str, valid: &[&'a str]) -> Option<&'a str> {
    let lower = name.to_lowercase();
    let allowed = (name.chars().count() / 3).max(1);
    let distances = valid.iter().map(|v| (strsim::osa_distance(&lower, &v.to_lowercase()), *v));
    distances
        .filter(|(distance, v)| *distance <= allowed && *distance < v.len())
        .min_by_key(|(d, _)| *d)
        .map(|(_, v)| v)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_offered_only_if_it_is_near() {
        let names = ["bucket", "by", "max_range"];
        assert_eq!(nearest("buckt", &names), Some("bucket"));
        assert_eq!(nearest("Bucket", &names), Some("bucket"));
        assert_eq!(nearest("maxrange", &names), Some("max_range"));
        assert_eq!(nearest("window", &names), None);
        assert_eq!(name_hint("window", names).unwrap(), "expected one of bucket, by, max_range");
        assert_eq!(name_hint("window", []), None);
    }

    #[test]
    fn problems_are_printed_one_a_line_in_the_order_of_the_file() {
        let mut report = Report::default();
        report.problem(Place { line: 9, column: 1 }, "b", "second", None);
        report.problem(Place { line: 2, column: 7 }, "a", "first", Some("try this".to_owned()));
        let mut problems = report.finish().unwrap_err();
        problems.set_file("p.yaml");
        assert_eq!(problems.to_string(), "p.yaml:2:7: first; try this\np.yaml:9:1: second\n2 problems");
        let whole = Problems::of_file("p.yaml".to_owned(), "could not read".to_owned(), None);
        assert_eq!(whole.to_string(), "p.yaml: could not read\n1 problem");
    }
}
