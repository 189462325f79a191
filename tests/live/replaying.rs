//! Records that come again, a topic that is read again, runs that overlap, and runs that wake up late.

use std::time::Duration;

use flowstone_services::elasticsearch::{Elasticsearch, ElasticsearchOptions};
use serde_json::Value;

use crate::index::Versions;
use crate::support::{Ran, Running, at_last};
use crate::world::{Addresses, Feed, World};

fn records(summary: &Value) -> usize {
    summary["tables"]["annotations"]["records"].as_u64().unwrap() as usize
}

/// Another run has taken over, and it says so.
#[track_caller]
fn is_fenced(ran: &Ran) {
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    assert!(ran.stderr.contains("error: ") && ran.stderr.contains("another"), "{}", ran.stderr);
}

#[track_caller]
fn stop(run: Running) {
    run.signal("TERM");
    let ran = run.wait();
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
}

#[test]
fn a_prefix_that_is_sent_again_and_a_topic_that_is_read_again_into_no_state_leave_what_the_topic_says() {
    let world = World::new();
    let mut feed = Feed::new(&world.place, 2);
    feed.send(&world.topic, 1_200);
    world.place.backfill();
    world.holds(&feed.expected());
    // What was sent first is the newest of its keys now.
    feed.send_again(&world.topic, 500);
    assert_eq!(records(&world.place.backfill()), 500);
    world.holds(&feed.expected());
    let before = world.keyspace.assert_timestamps();
    // The state is lost. What comes in addition deletes much of what the stores have.
    std::fs::remove_dir_all(world.place.path("state")).unwrap();
    let stored = world.keyspace.documents();
    feed.delete(&world.topic, 900);
    feed.send(&world.topic, 200);
    let expected = feed.expected();
    assert!(stored.keys().any(|key| !expected.contains_key(key)), "something is to be swept");
    assert_eq!(records(&world.place.backfill()), feed.sent(), "the whole topic");
    world.holds(&expected);
    let fill = world.keyspace.assert_timestamps();
    assert!(fill.len() == 1 && fill[0] > *before.last().unwrap(), "{before:?}, then {fill:?}");
    assert!(world.index.versions().values().all(|(version, _)| *version > *before.last().unwrap() as u64));
}

#[test]
fn of_two_runs_that_overlap_one_ends_and_the_other_brings_the_stores_to_what_the_topic_says() {
    let world = World::new();
    let mut feed = Feed::new(&world.place, 3);
    feed.send(&world.topic, 400);
    let mut first = world.run(2);
    world.holds(&feed.expected());
    let mut second = world.run(1);
    at_last("one of them ends", || {
        feed.send(&world.topic, 40);
        !first.is_running() || !second.is_running()
    });
    let (ended, other) = if first.is_running() { (second, first) } else { (first, second) };
    is_fenced(&ended.wait());
    feed.send(&world.topic, 400);
    world.holds(&feed.expected());
    stop(other);
    world.keyspace.assert_timestamps();
}

/// What both stores hold, and in which versions.
fn content(world: &World) -> (Versions, Versions) {
    let stored = world.keyspace.reader().unwrap().stored().unwrap().into_iter();
    (stored.map(|(key, (epoch, document))| (key, (epoch, document.into()))).collect(), world.index.versions())
}

#[test]
fn a_run_that_wakes_up_after_another_has_taken_over_changes_neither_store() {
    let world = World::new();
    let mut feed = Feed::new(&world.place, 4);
    feed.send(&world.topic, 400);
    let mut awake = world.run(2);
    world.holds(&feed.expected());
    for pause_ms in [2, 15, 40] {
        feed.send(&world.topic, 200);
        // Wherever it is in its work.
        std::thread::sleep(Duration::from_millis(pause_ms));
        awake.signal("STOP");
        let other = world.run(2);
        feed.send(&world.topic, 200);
        world.holds(&feed.expected());
        let before = content(&world);
        awake.signal("CONT");
        is_fenced(&awake.wait());
        assert!(content(&world) == before, "it has written, and not in vain");
        awake = other;
    }
    stop(awake);
    world.keyspace.assert_timestamps();
}

/// A run stands still for longer than the index remembers deletions, and the server forgets the rest of them when it starts
/// again. The run itself brings nothing back, as it proves that it owns the index before it writes. Only a write that was on
/// its way for so long could, and that not with tombstones.
#[test]
fn a_run_that_sleeps_until_deletions_are_forgotten_brings_nothing_back() {
    let mut server = Elasticsearch::start(&ElasticsearchOptions::default()).unwrap();
    for deletes in ["remove", "tombstone, alias: INDEX-live"] {
        let servers = Addresses { elasticsearch: server.url(), ..Addresses::shared() };
        let world = World::at(&servers, &format!(", deletes: {deletes}, gc_deletes: 1s"), "");
        let mut feed = Feed::new(&world.place, 5);
        feed.send(&world.topic, 400);
        let sleeper = world.run(2);
        world.holds(&feed.expected());
        let before = world.index.versions();
        feed.send(&world.topic, 200);
        std::thread::sleep(Duration::from_millis(10));
        sleeper.signal("STOP");
        let other = world.run(2);
        feed.delete(&world.topic, 200);
        let expected = feed.expected();
        world.holds(&expected);
        std::thread::sleep(Duration::from_millis(1_500));
        server.kill();
        server.restart().unwrap();
        sleeper.signal("CONT");
        is_fenced(&sleeper.wait());
        world.holds(&expected);

        let (key, (version, document)) = before.iter().find(|(key, _)| !expected.contains_key(*key)).unwrap();
        let encoded: String = key.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let late = format!("/{}/_doc/{encoded}?version={version}&version_type=external_gte", world.index.name);
        let status = world.index.call("PUT", &late, document).0;
        assert_eq!(status, if deletes == "remove" { 201 } else { 409 }, "{deletes}");
        stop(other);
        if deletes == "remove" {
            assert_eq!(world.place.flowstone(&["sinks", "reset", "search", "pipeline.yaml"]).code, Some(0));
            world.place.backfill();
        }
        world.holds(&expected);
    }
}
