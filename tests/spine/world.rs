//! What the tests of this binary share: input, pipelines, and what the sinks must hold.

use std::fs;
use std::path::{Path, PathBuf};

use crate::archive::{FILE, SQLITE, TANTIVY, annotation, deletion, following, pipeline, text};
pub use crate::oracle::expected;
use crate::support::{Documents, Place, Ran, Running, SECOND, changes, eventually, folded, tantivy};

/// The index waits for the store, and the files for the index.
pub fn chain() -> String {
    let index = TANTIVY.replace("from: moments,", "from: moments, after: store,");
    let files = FILE.replace("from: moments,", "from: moments, after: search,");
    format!("{SQLITE}{index}{files}")
}

/// A pipeline over the files as they are, into all kinds of sinks.
pub fn bounded() -> String {
    pipeline("", &chain())
}

/// A pipeline that follows its files.
pub fn growing() -> String {
    following("", &chain())
}

/// So many lines from a number on: annotations, corrections and deletions.
pub fn lines(from: i64, count: i64) -> Vec<String> {
    let kinds = ["CHARACTER_SEARCH", "SCENE_SEARCH", "DIALOGUE_SEARCH"];
    let line = |n: i64| {
        let key = format!("n{}", n * 7 % 50);
        if n % 11 == 10 {
            return deletion(&key);
        }
        let start = n * 13 % 40;
        let kind = kinds[(n * 7 % 50 % 3) as usize];
        annotation(&key, &format!("a{}", n % 3), kind, start * SECOND, (start + 2 + n % 5) * SECOND)
    };
    (from..from + count).map(line).collect()
}

/// A place whose first lines were written to all sinks.
pub fn filled(pipeline: &str, lines: &[String]) -> Place {
    let place = Place::with(pipeline);
    place.write("in/a.ndjson", text(lines));
    place.backfill();
    assert_sinks(&place, &expected(lines));
    place
}

/// Every sink of the pipeline, of those in [`chain`], holds exactly these documents.
#[track_caller]
pub fn assert_sinks(place: &Place, expected: &Documents) {
    let pipeline = fs::read_to_string(place.path("pipeline.yaml")).unwrap();
    let mut sinks = 0;
    let mut assert_holds = |sink: &str, content: &dyn Fn() -> Documents| {
        if pipeline.contains(&format!("  {sink}: {{")) {
            sinks += 1;
            assert_eq!(content(), *expected, "{sink}");
        }
    };
    assert_holds("store", &|| place.rows());
    assert_holds("search", &|| tantivy(&place.path("index")));
    assert_holds("changes", &|| folded(changes(&place.path("changes"))));
    assert!(sinks > 0, "a pipeline has sinks");
}

/// A run that has begun, and has brought the store to these documents.
pub fn follow(place: &Place, workers: &str, expected: &Documents) -> Running {
    let before = entries(place);
    let run = place.start(&["run", "pipeline.yaml", "--json", "--workers", workers]);
    until_begun(place, before);
    eventually("the store is up to date", || place.rows() == *expected);
    run
}

/// How many entries the manifest has.
pub fn entries(place: &Place) -> usize {
    // What is being written has another name.
    let is_entry = |path: &PathBuf| path.file_name().unwrap().as_encoded_bytes().iter().all(u8::is_ascii_digit);
    files(&place.path("state/journal/manifest")).iter().filter(|path| is_entry(path)).count()
}

/// Waits until a run that found so many entries has opened its stores: one says that it is there, one how it goes on.
pub fn until_begun(place: &Place, before: usize) {
    eventually("the run has begun", || entries(place) > before + 1);
}

/// Stops a run in order.
#[track_caller]
pub fn stop(run: Running) -> Ran {
    run.signal("TERM");
    let ran = run.wait();
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    ran
}

/// One error message that has all these parts.
#[track_caller]
pub fn says(said: &str, parts: &[&str]) {
    assert!(said.lines().any(|line| line.starts_with("error: ")) && !said.contains("panicked"), "{said}");
    for part in parts {
        assert!(said.contains(part), "{part:?} is not in {said:?}");
    }
}

/// How many records a run took in, by its summary.
pub fn records(summary: &serde_json::Value) -> u64 {
    summary["tables"]["annotations"]["records"].as_u64().unwrap()
}

/// All files below a directory.
pub fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

/// A directory as it was; put back on demand.
pub struct Copy {
    dir: PathBuf,
    files: Vec<(PathBuf, Vec<u8>)>,
}

impl Copy {
    pub fn of(dir: &Path) -> Self {
        let content = |path: PathBuf| (path.clone(), fs::read(path).unwrap());
        Copy { dir: dir.to_owned(), files: files(dir).into_iter().map(content).collect() }
    }

    pub fn put_back(&self) {
        fs::remove_dir_all(&self.dir).ok();
        fs::create_dir_all(&self.dir).unwrap();
        for (path, content) in &self.files {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
    }
}
