//! Brokers and connections that fail under load: in the end the sinks hold what the topic says, and nothing was lost.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use flowstone_services::kafka::{Kafka, KafkaOptions};
use serde_json::Value;

use crate::archive::{SQLITE, annotation};
use crate::oracle::expected;
use crate::support::{Place, SECOND};
use crate::topic::{Record, Topic, eventually, record};

const PARTITIONS: i32 = 6;

fn line(n: usize) -> String {
    let kind = ["CHARACTER_SEARCH", "SCENE_SEARCH"][n % 2];
    let start = (n / 2 % 500) as i64 * SECOND;
    annotation(&format!("n{n}"), &format!("a{}", n / 1_000), kind, start, start + SECOND)
}

fn to_record(n: usize) -> Record {
    record(n as i32 % PARTITIONS, line(n))
}

/// Produces while a pipeline reads through `brokers` and `fault` is at work; then all must be there, each record once.
fn under_load(kafka: &mut Kafka, brokers: &str, copies: i32, fault: impl FnOnce(&mut Kafka)) {
    let direct = kafka.brokers();
    let topic = Topic::at(&direct, PARTITIONS, copies, &[]);
    let place = Place::with(&topic.pipeline("", SQLITE).replace(&direct, brokers));
    let mut run = place.start(&["run", "pipeline.yaml", "--json", "--workers", "2"]);
    let over = AtomicBool::new(false);
    let produced = std::thread::scope(|scope| {
        let producer = scope.spawn(|| {
            let mut produced = 0;
            while !over.load(Relaxed) {
                topic.produce((produced..produced + 100).map(to_record));
                produced += 100;
                std::thread::sleep(Duration::from_millis(50));
            }
            produced
        });
        eventually("it reads", || !place.rows().is_empty());
        fault(kafka);
        std::thread::sleep(Duration::from_secs(1));
        over.store(true, Relaxed);
        producer.join().unwrap()
    });
    let lines: Vec<String> = (0..produced).map(line).collect();
    let expected = expected(&lines);
    eventually("everything is there", || place.rows() == expected);
    assert!(run.is_running());
    run.signal("TERM");
    let summary: Value = run.wait().summary();
    assert_eq!(summary["tables"]["annotations"]["records"], produced, "each once");
}

#[test]
fn a_broker_of_three_may_be_killed_and_come_back() {
    let options = KafkaOptions { nodes: 3, heap: "256m", ..KafkaOptions::default() };
    let mut kafka = Kafka::start(&options).unwrap();
    let brokers = kafka.brokers();
    under_load(&mut kafka, &brokers, 3, |kafka| {
        for node in [0, 2] {
            kafka.kill(node);
            std::thread::sleep(Duration::from_secs(4));
            kafka.restart(node).unwrap();
        }
    });
}

#[test]
fn connections_may_be_cut_reset_slow_and_stuck() {
    let mut kafka = Kafka::start(&KafkaOptions { proxied: true, ..KafkaOptions::default() }).unwrap();
    let brokers = kafka.proxied();
    under_load(&mut kafka, &brokers, 1, |kafka| {
        let proxy = kafka.proxy(0);
        let pause = |ms| std::thread::sleep(Duration::from_millis(ms));
        for _ in 0..3 {
            proxy.reset();
            pause(300);
        }
        proxy.slow(20_000);
        pause(2_000);
        proxy.cut();
        pause(2_000);
        proxy.heal();
        pause(1_000);
        proxy.stick();
        pause(3_000);
        proxy.heal();
        proxy.cut_answers_after(5_000);
        pause(2_000);
        proxy.heal();
    });
}

#[test]
fn the_only_broker_may_be_killed_and_started_again_and_so_may_flowstone() {
    let mut kafka = Kafka::start(&KafkaOptions::default()).unwrap();
    let topic = Topic::at(&kafka.brokers(), PARTITIONS, 1, &[]);
    let place = Place::with(&topic.pipeline("", SQLITE));
    let start = || place.start(&["run", "pipeline.yaml", "--workers", "2"]);
    topic.produce((0..2_000).map(to_record));
    let lines: Vec<String> = (0..6_000).map(line).collect();
    let first = start();
    eventually("it reads", || !place.rows().is_empty());
    first.signal("KILL");
    drop(first);
    let mut second = start();
    topic.produce((2_000..4_000).map(to_record));
    eventually("it reads on", || place.rows() == expected(&lines[..4_000]));
    kafka.kill(0);
    std::thread::sleep(Duration::from_secs(3));
    assert!(second.is_running(), "it waits");
    kafka.restart(0).unwrap();
    topic.produce((4_000..6_000).map(to_record));
    eventually("it reads on", || place.rows() == expected(&lines));
    second.signal("TERM");
    assert_eq!(second.wait().code, Some(0));
}
