//! State in an object store that speaks S3: what holds for a directory holds there, too. `scripts/test-services` runs it.
//!
//! The store comes from the environment, as for any run: `AWS_ENDPOINT` and credentials. It must answer requests without
//! credentials, so that tests can make buckets.

#![cfg(unix)]
// clippy.toml allows it in tests; helpers of tests are not seen as such.
#![allow(clippy::unwrap_used)]

#[path = "../common/mod.rs"]
mod common;

use std::sync::atomic::{AtomicUsize, Ordering};

use archive::{SQLITE, annotation, deletion, following, pipeline, text};
use common::{archive, oracle, support};
use flowstone_services::s3::{ENDPOINT_VARIABLE, request};
use oracle::expected;
use support::{Place, SECOND, eventually};

/// A bucket of this test alone.
fn bucket() -> String {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let name = format!("state-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    let url = std::env::var(ENDPOINT_VARIABLE).expect("scripts/test-services names a store");
    assert_eq!(request(&url, "PUT", &format!("/{name}"), ""), 200, "{url} makes buckets");
    name
}

fn with_state(pipeline: &str, state: &str) -> String {
    format!("state: \"{state}\"\ndead_letters: {{ path: dead.ndjson }}\n{pipeline}")
}

/// The `n`th of growing pairs of annotations.
fn pair(n: i64) -> Vec<String> {
    let (asset, at) = (format!("a{}", n % 4), n * SECOND);
    let mut lines = vec![
        annotation(&format!("joey{n}"), &asset, "CHARACTER_SEARCH", at, at + 4 * SECOND),
        annotation(&format!("kitchen{n}"), &asset, "SCENE_SEARCH", at + SECOND, at + 6 * SECOND),
    ];
    if n % 5 == 4 {
        lines.push(deletion(&format!("joey{}", n - 4)));
    }
    lines
}

/// What everything else here rests on: stores that are not so must not be used, and tests with one would show nothing.
#[test]
fn of_many_creations_of_one_object_one_succeeds() {
    let (url, bucket) = (std::env::var(ENDPOINT_VARIABLE).unwrap(), bucket());
    for round in 0..20 {
        let create = || request(&url, "PUT", &format!("/{bucket}/o{round}"), "if-none-match: *\r\n");
        let answers: Vec<u16> = std::thread::scope(|scope| {
            let all: Vec<_> = (0..8).map(|_| scope.spawn(create)).collect();
            all.into_iter().map(|one| one.join().unwrap()).collect()
        });
        assert_eq!(answers.iter().filter(|status| **status == 200).count(), 1, "{answers:?}");
        assert!(answers.iter().all(|status| [200, 412].contains(status)), "{answers:?}");
    }
}

#[test]
fn a_run_goes_on_from_a_bucket_with_any_number_of_workers() {
    let place = Place::with(&with_state(&pipeline("", SQLITE), &format!("s3://{}/some/where", bucket())));
    let mut lines: Vec<String> = (0..10).flat_map(pair).collect();
    place.write("in/a.ndjson", text(&lines));
    place.backfill();
    assert_eq!(place.rows(), expected(&lines));
    let more: Vec<String> = (10..20).flat_map(pair).collect();
    lines.extend(more.clone());
    place.write("in/b.ndjson", text(&more));
    let ran = place.flowstone(&["backfill", "pipeline.yaml", "--json", "--workers", "3"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert_eq!(place.rows(), expected(&lines));
    let verified = place.flowstone(&["journal", "verify", "pipeline.yaml"]);
    assert_eq!(verified.code, Some(0), "{}{}", verified.stdout, verified.stderr);
}

#[test]
fn runs_that_are_killed_lose_nothing_that_was_sealed() {
    let place = Place::with(&with_state(&following("", SQLITE), &format!("s3://{}/s", bucket())));
    place.write("in/live.ndjson", "");
    let mut lines = Vec::new();
    for round in 0..5 {
        let run = place.start(&["run", "pipeline.yaml", "--workers", if round % 2 == 0 { "2" } else { "1" }]);
        for n in round * 12..(round + 1) * 12 {
            place.append("in/live.ndjson", text(pair(n)));
            lines.extend(pair(n));
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        if round < 4 {
            eventually("it writes", || place.rows().len() > 10);
            run.signal("KILL");
            drop(run);
        } else {
            eventually("all of it", || place.rows() == expected(&lines));
            run.signal("TERM");
            assert_eq!(run.wait().code, Some(0));
        }
    }
    place.backfill();
    assert_eq!(place.rows(), expected(&lines));
}

#[test]
fn a_second_run_fences_the_first_by_an_object_that_can_be_created_once() {
    let place = Place::with(&with_state(&following("", SQLITE), &format!("s3://{}/s", bucket())));
    let mut lines: Vec<String> = (0..6).flat_map(pair).collect();
    place.write("in/live.ndjson", text(&lines));
    let mut first = place.start(&["run", "pipeline.yaml", "--json", "--workers", "2"]);
    eventually("the first has it", || place.rows() == expected(&lines));
    let mut second = place.start(&["run", "pipeline.yaml", "--json", "--workers", "1"]);
    let gone =
        |first: &mut support::Running, second: &mut support::Running| !first.is_running() || !second.is_running();
    // Who has nothing to seal does not notice.
    for n in 6..400 {
        if gone(&mut first, &mut second) {
            break;
        }
        place.append("in/live.ndjson", text(pair(n)));
        lines.extend(pair(n));
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
    assert!(gone(&mut first, &mut second), "one of the two stops");
    let (gone, left) = if first.is_running() { (second, first) } else { (first, second) };
    let ran = gone.wait();
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    assert!(ran.stderr.contains("another"), "{}", ran.stderr);
    eventually("the other goes on", || place.rows() == expected(&lines));
    left.signal("TERM");
    assert_eq!(left.wait().code, Some(0));
}

#[test]
fn a_bucket_that_is_not_there_is_named() {
    let place = Place::with(&with_state(&pipeline("", SQLITE), "s3://nosuchbucket-flowstone/s"));
    place.write("in/a.ndjson", text(pair(0)));
    let said = place.refused(1);
    assert!(said.contains("nosuchbucket-flowstone"), "{said}");
}
