//! Everything on the path is killed, and connections fail, while it is under load: in the end both stores hold what the topic
//! says, and on the way the index never had what the table had not.

use std::time::{Duration, Instant};

use flowstone_services::cassandra::{Cassandra, CassandraOptions};
use flowstone_services::elasticsearch::{Elasticsearch, ElasticsearchOptions};
use flowstone_services::kafka::{Kafka, KafkaOptions};
use flowstone_services::proxy::Proxy;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::archive::FILE;
use crate::support::{Running, at_last, changes, folded};
use crate::watch::{Seen, watched};
use crate::world::{Addresses, Feed, World};

/// `SEED=n` runs another course than that of every day.
fn rng(test: &str) -> ChaCha8Rng {
    let seed = std::env::var("SEED").map_or(1, |seed| seed.parse().unwrap());
    eprintln!("{test}: SEED={seed}");
    ChaCha8Rng::seed_from_u64(seed)
}

/// Sends a little now and then, for so long.
fn load(world: &World, feed: &mut Feed, time: Duration) {
    let start = Instant::now();
    while start.elapsed() < time {
        feed.send(&world.topic, 8);
        std::thread::sleep(Duration::from_millis(30));
    }
}

/// Sends the rest, and waits until both stores are right.
fn complete(world: &World, feed: &mut Feed) {
    while feed.send(&world.topic, 200) {}
    world.holds(&feed.expected());
}

#[track_caller]
fn judge(world: &World, feed: &Feed, seen: &Seen) {
    let changes = changes(&world.place.path("changes"));
    seen.judge(&changes);
    assert_eq!(folded(changes), feed.expected());
    world.keyspace.assert_timestamps();
}

#[track_caller]
fn stop(run: Running) -> String {
    run.signal("TERM");
    let ran = run.wait();
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    ran.stderr
}

#[test]
fn flowstone_may_be_killed_again_and_again_under_load() {
    let mut rng = rng("flowstone_may_be_killed");
    let world = World::at(&Addresses::shared(), "", FILE);
    let mut feed = Feed::new(&world.place, 6);
    feed.send(&world.topic, 200);
    let newest = || world.index.try_versions()?.values().map(|(version, _)| *version).max();
    let ((), seen) = watched(&world, || {
        for _ in 0..7 {
            let (run, before) = (world.run(rng.random_range(1..=3)), newest());
            if rng.random_bool(0.7) {
                at_last("it writes", || {
                    feed.send(&world.topic, 8);
                    newest() > before
                });
            }
            load(&world, &mut feed, Duration::from_millis(rng.random_range(0..1_200)));
            run.signal("KILL");
            drop(run);
        }
        let run = world.run(2);
        complete(&world, &mut feed);
        stop(run);
    });
    judge(&world, &feed, &seen);
}

#[test]
fn each_server_may_be_killed_under_load_and_started_again() {
    let mut rng = rng("each_server_may_be_killed");
    let mut kafka = Kafka::start(&KafkaOptions::default()).unwrap();
    // The default acknowledges a write up to a tenth of a second before a killed server would find it again.
    let yaml = "commitlog_sync: batch\ncommitlog_sync_period: 0ms".to_owned();
    let mut cassandra = Cassandra::start(&CassandraOptions { yaml, ..CassandraOptions::default() }).unwrap();
    let mut elasticsearch = Elasticsearch::start(&ElasticsearchOptions::default()).unwrap();
    let addresses = Addresses {
        kafka: kafka.brokers(),
        cassandra: cassandra.address().to_string(),
        elasticsearch: elasticsearch.url(),
    };
    let world = World::at(&addresses, "", FILE);
    let mut feed = Feed::new(&world.place, 7);
    feed.send(&world.topic, 300);
    let mut run = world.run(2);
    world.holds(&feed.expected());
    let mut victims = [0, 1, 2];
    victims.shuffle(&mut rng);
    let ((), seen) = watched(&world, || {
        for victim in victims {
            load(&world, &mut feed, Duration::from_millis(rng.random_range(200..1_500)));
            match victim {
                // Nothing can be sent meanwhile.
                0 => {
                    kafka.kill(0);
                    kafka.restart(0).unwrap();
                }
                1 => {
                    cassandra.kill();
                    load(&world, &mut feed, Duration::from_secs(2));
                    cassandra.restart().unwrap();
                }
                _ => {
                    elasticsearch.kill();
                    load(&world, &mut feed, Duration::from_secs(2));
                    elasticsearch.restart().unwrap();
                }
            }
        }
        complete(&world, &mut feed);
    });
    assert!(run.is_running());
    let said = stop(run);
    for sink in ["cassandra sink \"store\"", "elasticsearch sink \"search\""] {
        let is_about_it = |line: &str| line.contains(sink) && line.contains("does not take what is written");
        assert!(said.lines().any(is_about_it), "{said}");
    }
    judge(&world, &feed, &seen);
}

#[test]
fn connections_to_the_stores_may_be_cut_reset_slow_and_stuck() {
    let shared = Addresses::shared();
    let host = |address: &str| address.trim_start_matches("http://").parse().unwrap();
    let proxies = [&shared.cassandra, &shared.elasticsearch].map(|address| Proxy::to(host(address)).unwrap());
    let world = World::at(&shared, "", FILE);
    let pipeline = std::fs::read_to_string(world.place.path("pipeline.yaml")).unwrap();
    let [table, index] = proxies.each_ref().map(|proxy| proxy.address().to_string());
    let through =
        pipeline.replace(&shared.cassandra, &table).replace(&shared.elasticsearch, &format!("http://{index}"));
    world.place.write("pipeline.yaml", through);
    let mut feed = Feed::new(&world.place, 8);
    feed.send(&world.topic, 300);
    let mut run = world.run(2);
    world.holds(&feed.expected());
    let ((), seen) = watched(&world, || {
        for proxy in &proxies {
            let mut load = |ms| load(&world, &mut feed, Duration::from_millis(ms));
            for _ in 0..3 {
                proxy.reset();
                load(300);
            }
            proxy.slow(50_000);
            load(1_500);
            proxy.cut();
            load(1_000);
            proxy.heal();
            load(500);
            proxy.stick();
            load(1_500);
            proxy.heal();
            proxy.cut_answers_after(2_000);
            load(1_500);
            proxy.heal();
        }
        complete(&world, &mut feed);
    });
    assert!(run.is_running());
    stop(run);
    judge(&world, &feed, &seen);
}
