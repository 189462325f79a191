//! Law L12: bytes of the journal that are not what was written are found and named, and are never taken for data.

use std::fs;
use std::path::{Path, PathBuf};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::archive::{SQLITE, pipeline, text};
use crate::support::{Place, Ran};
use crate::world::{Copy, expected, files, filled, lines, says};

/// A state with entries and parts of several runs.
fn place() -> (Place, Vec<String>) {
    let mut all = lines(0, 40);
    let place = filled(&pipeline("", SQLITE).replace("20ms", "1ms"), &[]);
    place.append("in/a.ndjson", text(&all));
    place.backfill();
    // Large enough for a part of its own.
    all.extend((0..400).map(|n| {
        let label = "x".repeat(100 + n as usize % 7);
        crate::archive::annotation(&format!("l{n}{label}"), "a4", "SCENE_SEARCH", n, n + 5)
    }));
    place.append("in/a.ndjson", text(&all[40..]));
    place.backfill();
    all.extend(lines(40, 10));
    place.append("in/a.ndjson", text(&all[440..]));
    place.backfill();
    assert_eq!(place.rows(), expected(&all));
    (place, all)
}

fn verify(place: &Place) -> Ran {
    place.flowstone(&["journal", "verify", "pipeline.yaml"])
}

fn objects(place: &Place) -> Vec<PathBuf> {
    files(&place.path("state/journal"))
}

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_str().unwrap().to_owned()
}

/// Found by `journal verify` and by the next run, by the object's name; the store is left alone.
fn found(place: &Place, all: &[String], object: &str, what: &str) {
    let ran = verify(place);
    assert_eq!(ran.code, Some(1), "{what} of {object} is not found: {}{}", ran.stdout, ran.stderr);
    assert!(
        format!("{}{}", ran.stdout, ran.stderr).contains(object),
        "{what} of {object}: {}{}",
        ran.stdout,
        ran.stderr
    );
    let ran = place.flowstone(&["backfill", "pipeline.yaml", "--workers", "2"]);
    assert_eq!(ran.code, Some(1), "{what} of {object} is taken for data: {}", ran.stderr);
    says(&ran.stderr, &[object]);
    assert_eq!(place.rows(), expected(all), "{what} of {object}");
}

/// Noticed, or harmless: the sinks are right.
fn never_wrong(place: &Place, all: &[String], object: &str, what: &str) {
    let ran = place.flowstone(&["backfill", "pipeline.yaml", "--workers", "2"]);
    match ran.code {
        Some(0) => (),
        Some(1) => says(&ran.stderr, &["journal"]),
        code => panic!("{what} of {object}: {code:?} {}", ran.stderr),
    }
    assert_eq!(place.rows(), expected(all), "{what} of {object}");
}

#[test]
fn a_state_that_nobody_touched_is_verified() {
    let (place, _) = place();
    let ran = verify(&place);
    assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
    assert!(objects(&place).iter().any(|path| path.parent().unwrap().ends_with("parts")), "{:?}", objects(&place));
}

#[test]
fn every_flipped_bit_of_a_sample_is_found_and_named() {
    let (place, all) = place();
    let state = Copy::of(&place.path("state"));
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    for path in objects(&place) {
        let length = fs::metadata(&path).unwrap().len() as usize;
        let mut places = vec![0, length - 1, length / 2];
        places.extend((0..3).map(|_| rng.random_range(0..length)));
        for at in places {
            let mut bytes = fs::read(&path).unwrap();
            let bit = rng.random_range(0..8);
            bytes[at] ^= 1 << bit;
            fs::write(&path, bytes).unwrap();
            found(&place, &all, &name(&path), &format!("bit {bit} of byte {at}"));
            state.put_back();
        }
    }
    place.backfill();
    assert_eq!(place.rows(), expected(&all));
}

#[test]
fn truncated_objects_are_found_and_named() {
    let (place, all) = place();
    let state = Copy::of(&place.path("state"));
    for path in objects(&place) {
        let bytes = fs::read(&path).unwrap();
        for length in [0, 1, bytes.len() / 2, bytes.len() - 1] {
            fs::write(&path, &bytes[..length]).unwrap();
            found(&place, &all, &name(&path), &format!("the first {length} bytes"));
            state.put_back();
        }
    }
    place.backfill();
    assert_eq!(place.rows(), expected(&all));
}

#[test]
fn missing_objects_never_give_wrong_data() {
    let (place, all) = place();
    let state = Copy::of(&place.path("state"));
    for path in objects(&place) {
        fs::remove_file(&path).unwrap();
        if path.parent().unwrap().ends_with("parts") {
            found(&place, &all, &name(&path), "the loss");
        } else {
            // The last entries may be missing without a trace: then what they sealed is read again.
            never_wrong(&place, &all, &name(&path), "the loss");
        }
        state.put_back();
    }
    place.backfill();
    assert_eq!(place.rows(), expected(&all));
}

#[test]
fn foreign_objects_never_give_wrong_data() {
    let (place, all) = place();
    let (other, _) = self::place();
    other.append("in/a.ndjson", text(lines(70, 10)));
    other.backfill();
    let state = Copy::of(&place.path("state"));
    let of_others = objects(&other);
    for path in objects(&place) {
        // The same name where there is one, else any object of the same kind.
        let kind = path.parent().unwrap().file_name().unwrap();
        let of_kind = |other: &&PathBuf| other.parent().unwrap().file_name().unwrap() == kind;
        let foreign = of_others.iter().find(|other| name(other) == name(&path)).or(of_others.iter().find(of_kind));
        fs::copy(foreign.unwrap(), &path).unwrap();
        if kind == "parts" {
            found(&place, &all, &name(&path), "a foreign part in place");
        } else {
            never_wrong(&place, &all, &name(&path), "a foreign entry in place");
        }
        state.put_back();
    }
    for extra in ["manifest/notes.txt", "manifest/000000999999", "parts/notes.txt", "parts/1-0-1"] {
        place.write(&format!("state/journal/{extra}"), "my notes");
        never_wrong(&place, &all, extra, "a foreign file");
        state.put_back();
    }
    place.backfill();
    assert_eq!(place.rows(), expected(&all));
}
