//! Golden cases: each `tests/cases/pipeline/NAME.yaml` has what is said of it beside it, in `NAME.txt`.

use std::path::{Path, PathBuf};

use flowstone::pipeline::{Problems, load, parse};

use super::{golden, repository};

fn env(name: &str) -> Option<String> {
    match name {
        "ARCHIVE" => Some("/archive".to_owned()),
        "WIDTH" => Some("2s".to_owned()),
        "MODALITIES" => Some("3".to_owned()),
        "YEAR" => Some("2024".to_owned()),
        "EMPTY" => Some(String::new()),
        _ => None,
    }
}

fn verdict(text: &str) -> String {
    match parse(text, Path::new("/base"), &env) {
        Ok(loaded) => {
            let warnings: String = loaded.warnings.iter().map(|warning| format!("warning: {warning}\n")).collect();
            format!("ok\n{warnings}")
        }
        Err(problems) => format!("{problems}\n"),
    }
}

#[test]
fn what_is_said_of_each_file_is_as_written_down() {
    let folder = repository("tests/cases/pipeline");
    let mut files: Vec<PathBuf> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "yaml"));
    files.sort();
    assert!(files.len() > 30, "the cases are gone: {}", folder.display());
    let check = |file: &PathBuf| {
        let text = std::fs::read_to_string(file).unwrap();
        golden(&file.with_extension("txt"), &verdict(&text)).err()
    };
    let wrong: Vec<String> = files.iter().filter_map(check).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Names say what is expected, so that a rewrite can not turn a rule off unseen.
#[test]
fn good_files_are_good_and_bad_ones_are_bad() {
    for entry in std::fs::read_dir(repository("tests/cases/pipeline")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        let name = path.file_stem().unwrap().to_str().unwrap();
        let verdict = verdict(&std::fs::read_to_string(&path).unwrap());
        assert_eq!(
            verdict.starts_with("ok\n"),
            name.starts_with("good_") || name.starts_with("warn_"),
            "{name}: {verdict}"
        );
        assert_eq!(verdict.contains("warning: "), name.starts_with("warn_"), "{name}: {verdict}");
    }
}

#[test]
fn what_was_read_is_what_was_written() {
    let text = std::fs::read_to_string(repository("tests/cases/pipeline/good_variables.yaml")).unwrap();
    let loaded = parse(&text, Path::new("conf"), &env).unwrap();
    let pipeline = &loaded.pipeline;
    assert_eq!(pipeline.name, "2024");
    let fuse = pipeline.operators["moments"].fuse.as_ref().unwrap();
    assert_eq!(fuse.bucket.to_string(), "2s");
    assert_eq!(fuse.min_modalities, 3);
    let file = pipeline.sources["annotations"].file.as_ref().unwrap();
    assert_eq!(file.paths, ["/archive/*.ndjson", "./local/$x.ndjson"]);
    assert_eq!(loaded.resolve(&file.paths[0]), Path::new("/archive/*.ndjson"));
    assert_eq!(loaded.resolve(&file.paths[1]), Path::new("conf/local/$x.ndjson"));
    assert_eq!(loaded.resolve("../up"), Path::new("conf/../up"));
}

fn problems_of(file: &Path) -> Problems {
    load(file).expect_err("the file is not a pipeline")
}

#[test]
fn files_that_can_not_be_read_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("missing.yaml");
    let said = problems_of(&file).to_string();
    assert!(said.starts_with(&format!("{}: could not read the pipeline file: ", file.display())), "{said}");
    let said = problems_of(folder.path()).to_string();
    assert!(said.contains("it is a directory: name the pipeline file in it"), "{said}");
    let file = folder.path().join("junk.yaml");
    std::fs::write(&file, b"name: x\nstate: \xff\xfe\n").unwrap();
    let said = problems_of(&file).to_string();
    assert_eq!(said, format!("{}: not UTF-8 text, from line 2 on\n1 problem", file.display()));
    std::fs::write(&file, "name: 1\n").unwrap();
    let problems = problems_of(&file);
    assert!(problems.as_slice().iter().all(|problem| problem.file == file.display().to_string()));
}

#[test]
fn a_byte_order_mark_and_windows_line_ends_do_no_harm() {
    let text = std::fs::read_to_string(repository("tests/cases/pipeline/good_main.yaml")).unwrap();
    let windows = format!("\u{feff}{}", text.replace('\n', "\r\n"));
    assert_eq!(verdict(&windows), "ok\n");
}
