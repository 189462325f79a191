//! Law L6: there is one writer. Whoever comes second fences the first, and nothing that the first writes late counts.

use std::path::Path;
use std::time::Duration;

use crate::archive::{SQLITE, following, text};
use crate::support::{eventually, sqlite_upper};
use crate::world::{assert_sinks, expected, filled, follow, growing, lines, says, stop};

#[test]
fn of_two_runs_on_one_state_one_stops_with_a_clear_error_and_the_other_goes_on() {
    let all = lines(0, 120);
    let place = filled(&growing(), &all[..60]);
    let mut first = follow(&place, "2", &expected(&all[..60]));
    let mut second = place.start(&["run", "pipeline.yaml", "--json", "--workers", "1"]);
    eventually("one of the two stops", || !first.is_running() || !second.is_running());
    let (gone, left) = if first.is_running() { (second, first) } else { (first, second) };
    let ran = gone.wait();
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    says(&ran.stderr, &["another"]);
    place.append("in/a.ndjson", text(&all[60..]));
    eventually("the other goes on", || place.rows() == expected(&all));
    stop(left);
    assert_sinks(&place, &expected(&all));
    place.backfill();
    assert_sinks(&place, &expected(&all));
}

/// Whether a stopped process is in the middle of a transaction.
fn is_locked(file: &Path) -> bool {
    let connection = rusqlite::Connection::open(file).unwrap();
    connection.busy_timeout(Duration::from_millis(50)).unwrap();
    connection.execute_batch("BEGIN IMMEDIATE; ROLLBACK").is_err()
}

/// A run sleeps (its machine was suspended, its network gone) while another one takes over and comes further.
#[test]
fn a_run_that_wakes_up_after_another_has_taken_over_changes_nothing() {
    let all = lines(0, 150);
    let place = filled(&following("", SQLITE).replace("20ms", "5ms"), &[]);
    place.append("in/a.ndjson", text(&all[..50]));
    let mut sleeper = follow(&place, "2", &expected(&all[..50]));
    // It has work in hand when it falls asleep.
    place.append("in/a.ndjson", text(&all[50..100]));
    std::thread::sleep(Duration::from_millis(8));
    sleeper.signal("STOP");
    // Not with SQLite's lock in hand: then the other one would have to wait for it.
    while is_locked(&place.path("moments.sqlite")) {
        sleeper.signal("CONT");
        std::thread::sleep(Duration::from_millis(3));
        sleeper.signal("STOP");
    }
    place.append("in/a.ndjson", text(&all[100..]));
    let ran = place.flowstone(&["backfill", "pipeline.yaml", "--json", "--workers", "1"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert_eq!(place.rows(), expected(&all));
    let upper = sqlite_upper(&place.path("moments.sqlite"));
    sleeper.signal("CONT");
    place.append("in/a.ndjson", text(lines(150, 5)));
    eventually("it notices", || !sleeper.is_running());
    let ran = sleeper.wait();
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    says(&ran.stderr, &["another run"]);
    assert_eq!((place.rows(), sqlite_upper(&place.path("moments.sqlite"))), (expected(&all), upper));
    place.backfill();
    let all: Vec<String> = all.into_iter().chain(lines(150, 5)).collect();
    assert_eq!(place.rows(), expected(&all));
}
