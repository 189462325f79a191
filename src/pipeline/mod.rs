//! The pipeline file: its model, its validation, and its drawing.
//!
//! ```text
//!  text ──tree──▶ nodes with positions ──variables──▶ ──shape──▶ against the JSON Schema of the model
//!                                                     ──checks─▶ what a schema can not say: names, cycles, stores
//!                                                     ──serde──▶ Pipeline, if nothing is wrong
//! ```
//! Each step reports all that it finds and the next one goes on with what can be read, so that one look at a file is enough.

use std::path::{Component, Path, PathBuf};

use problem::{Place, Report};

mod aggregation;
mod checks;
pub mod compile;
mod draw;
#[cfg_attr(not(feature = "elasticsearch"), allow(dead_code, reason = "without the sink only the names are checked"))]
pub(crate) mod index_name;
pub mod layout;
pub mod model;
mod operator;
mod problem;
pub mod remote;
mod reshaping;
mod schema;
mod shape;
pub mod steps;
mod topics;
mod tree;
pub mod units;
mod variables;

pub use draw::{Format, draw};
pub use model::*;
pub(crate) use problem::name_hint;
pub use problem::{Problem, Problems};
pub use schema::schema;

/// A pipeline that was read and found valid.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The pipeline.
    pub pipeline: Pipeline,
    /// The pipeline file's folder: what paths in the file are relative to.
    pub base: PathBuf,
    /// What is valid, and probably not meant.
    pub warnings: Vec<Problem>,
}

impl Loaded {
    /// A path from the pipeline file, as a path of the file system: relative ones start at the file's folder.
    pub fn resolve(&self, path: &str) -> PathBuf {
        resolve(&self.base, path)
    }
}

/// A path from a pipeline file in the folder `base`, see [`Loaded::resolve`].
pub fn resolve(base: &Path, path: &str) -> PathBuf {
    // `..` stays: what it leads to is for the file system to say, which knows the links.
    base.join(path).components().filter(|part| *part != Component::CurDir).collect()
}

/// Reads a pipeline file, with the variables of the process's environment.
///
/// # Errors
/// All that is wrong with the file, or that it could not be read.
pub fn load(path: &Path) -> Result<Loaded, Problems> {
    let file = path.display().to_string();
    let text = match std::fs::read(path) {
        Ok(bytes) => String::from_utf8(bytes).map_err(|error| {
            let line = 1 + error.as_bytes()[..error.utf8_error().valid_up_to()].iter().filter(|b| **b == b'\n').count();
            Problems::of_file(file.clone(), format!("not UTF-8 text, from line {line} on"), None)
        })?,
        Err(error) => {
            let hint = path.is_dir().then(|| "it is a directory: name the pipeline file in it".to_owned());
            return Err(Problems::of_file(file, format!("could not read the pipeline file: {error}"), hint));
        }
    };
    let base = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match parse(&text, base, &|name| std::env::var(name).ok()) {
        Ok(mut loaded) => {
            loaded.warnings.iter_mut().for_each(|warning| warning.file.clone_from(&file));
            Ok(loaded)
        }
        Err(mut problems) => {
            problems.set_file(&file);
            Err(problems)
        }
    }
}

/// Reads the text of a pipeline file. `base` is the folder that its paths are relative to, `env` answers for variables.
///
/// # Errors
/// All that is wrong with it.
pub fn parse(text: &str, base: &Path, env: &dyn Fn(&str) -> Option<String>) -> Result<Loaded, Problems> {
    let mut report = Report::default();
    let start = Place { line: 1, column: 1 };
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let Some(mut root) = tree::read(text, &mut report) else {
        return match report.finish() {
            Ok(_) => Err(empty(start)),
            Err(problems) => Err(problems),
        };
    };
    if root.is_null() {
        return Err(empty(start));
    }
    variables::substitute(&mut root, text, env, &mut report);
    let value = shape::check(&root, &schema(), &mut report);
    checks::check(&root, &mut report);
    let warnings = report.finish()?;
    let pipeline = serde_json::from_value(value).map_err(|error| {
        // Not to be expected: the schema is made of the structs that serde reads into.
        let mut report = Report::default();
        report.problem(start, "", format!("could not read the pipeline: {error}"), None);
        report.finish().expect_err("a problem was reported")
    })?;
    Ok(Loaded { pipeline, base: base.to_owned(), warnings })
}

fn empty(at: Place) -> Problems {
    let mut report = Report::default();
    let hint = "a pipeline needs at least a name, sources and sinks".to_owned();
    report.problem(at, "", "the pipeline file is empty", Some(hint));
    report.finish().expect_err("a problem was reported")
}

/// `path.key`
fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}
