//! Law L11: how runs end, with which exit code and words, and that the next run is right.

use std::net::TcpListener;
use std::process::Command;
use std::time::Duration;

use crate::archive::{SQLITE, annotation, following, pipeline, text};
use crate::support::{Place, Running, SECOND, eventually};
use crate::world::{assert_sinks, bounded, chain, expected, filled, follow, growing, lines, records, stop};

#[test]
fn a_stop_seals_and_drains_so_that_the_next_run_reads_nothing_again() {
    let all = lines(0, 120);
    let place = filled(&growing(), &all[..60]);
    let run = follow(&place, "2", &expected(&all[..60]));
    place.append("in/a.ndjson", text(&all[60..]));
    eventually("it reads on", || place.rows() == expected(&all));
    let ran = stop(run);
    assert!(ran.stderr.contains("stopping"), "{}", ran.stderr);
    assert_eq!(records(&ran.summary()), 60, "only what is new was read");
    assert_sinks(&place, &expected(&all));
    assert_eq!(records(&place.backfill()), 0);
    assert_sinks(&place, &expected(&all));
}

#[test]
fn a_second_signal_ends_it_at_once_with_130_and_the_next_run_is_right() {
    let all = lines(0, 200);
    let place = filled(&growing(), &all[..60]);
    let mut run = follow(&place, "2", &expected(&all[..60]));
    // It can not drain while somebody else holds the store.
    let connection = rusqlite::Connection::open(place.path("moments.sqlite")).unwrap();
    connection.busy_timeout(Duration::from_secs(30)).unwrap();
    connection.execute_batch("BEGIN IMMEDIATE").unwrap();
    place.append("in/a.ndjson", text(&all[60..]));
    std::thread::sleep(Duration::from_millis(300));
    run.signal("INT");
    run.wait_for("once more to stop at once");
    std::thread::sleep(Duration::from_millis(100));
    assert!(run.is_running(), "it waits for the store");
    run.signal("INT");
    assert_eq!(run.wait().code, Some(130));
    drop(connection);
    assert_eq!(place.rows(), expected(&all[..60]));
    place.backfill();
    assert_sinks(&place, &expected(&all));
}

/// The exit code as a shell has it.
fn through_a_shell(place: &Place, failpoints: &str) -> (Option<i32>, String) {
    let mut command = Command::new("sh");
    command.args(["-c", "\"$@\"; exit $?", "sh", env!("CARGO_BIN_EXE_flowstone"), "backfill", "pipeline.yaml"]);
    let ran = Running::start({
        command.current_dir(place.path("")).env("FAILPOINTS", failpoints);
        command
    });
    let ran = ran.wait();
    (ran.code, ran.stderr)
}

#[cfg(feature = "failpoints")]
#[test]
fn a_panic_ends_the_process_at_once_with_134_and_the_next_run_is_right() {
    let mut all = lines(0, 120);
    // Large enough for a part of its own.
    all.splice(
        30..30,
        (0..400).map(|n| annotation(&format!("l{n}"), "a4", "SCENE_SEARCH", n * SECOND, (n + 2) * SECOND)),
    );
    for failpoint in
        ["part-before", "part-torn", "part-after", "commit-before", "commit-after", "sink-before", "sink-before-commit"]
    {
        let place = Place::with(&bounded());
        place.write("in/a.ndjson", text(&all[..500]));
        let (code, said) = through_a_shell(&place, &format!("{failpoint}=panic"));
        assert_eq!(code, Some(134), "{failpoint}: {said}");
        assert!(said.contains(&format!("failpoint {failpoint} panic")), "{said}");
        place.append("in/a.ndjson", text(&all[500..]));
        place.backfill();
        assert_sinks(&place, &expected(&all));
    }
}

/// Two processes of one worker each.
pub fn cluster(place: &Place, command: &str) -> [Running; 2] {
    let ports = [0; 2].map(|_| TcpListener::bind("127.0.0.1:0").unwrap());
    let hosts = ports.each_ref().map(|port| port.local_addr().unwrap().to_string()).join(",");
    drop(ports);
    ["0", "1"].map(|process| {
        place.start(&[command, "pipeline.yaml", "--workers", "1", "--hosts", &hosts, "--process", process])
    })
}

#[test]
fn two_processes_write_what_one_writes() {
    let all = lines(0, 150);
    let place = Place::with(&pipeline("", &chain()));
    for (n, part) in all.chunks(150).enumerate() {
        place.write(&format!("in/part-{n}.ndjson"), text(part));
    }
    for run in cluster(&place, "backfill") {
        let ran = run.wait();
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    }
    assert_sinks(&place, &expected(&all));
    // And one process goes on from what two have written.
    place.append("in/part-0.ndjson", text(lines(150, 30)));
    place.backfill();
    let all: Vec<String> = all.into_iter().chain(lines(150, 30)).collect();
    assert_sinks(&place, &expected(&all));
}

#[test]
fn when_a_peer_is_killed_the_others_end_with_a_message_and_the_next_run_is_right() {
    let all = lines(0, 150);
    for victim in [0, 1] {
        let place = Place::with(&following("", SQLITE));
        place.write("in/a.ndjson", text(&all[..60]));
        place.write("in/b.ndjson", "");
        let [first, second] = cluster(&place, "run");
        eventually("the fill", || place.rows() == expected(&all[..60]));
        place.append("in/a.ndjson", text(&all[60..]));
        let (killed, other) = if victim == 0 { (first, second) } else { (second, first) };
        killed.signal("KILL");
        let ran = other.wait();
        assert_eq!(ran.code, Some(1), "{}", ran.stderr);
        assert!(ran.stderr.contains("error: ") && ran.stderr.contains("process"), "{}", ran.stderr);
        assert_eq!(killed.wait().code, None);
        place.backfill();
        assert_eq!(place.rows(), expected(&all));
    }
}

#[test]
fn a_signal_to_one_process_of_a_cluster_stops_all_in_order() {
    let all = lines(0, 100);
    for asked in [0, 1] {
        let place = Place::with(&following("", SQLITE));
        place.write("in/a.ndjson", text(&all));
        let runs = cluster(&place, "run");
        eventually("the fill", || place.rows() == expected(&all));
        runs[asked].signal("TERM");
        for run in runs {
            let ran = run.wait();
            assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        }
        assert_eq!(place.rows(), expected(&all));
    }
}
