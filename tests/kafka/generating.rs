//! What `flowstone generate --kafka` puts into a topic.

use std::collections::BTreeMap;
use std::fs;
use std::time::Instant;

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::{Message, Offset, TopicPartitionList};
use serde_json::Value;

use crate::support::{Place, Ran};
use crate::topic::{LONG, Topic};

const ARCHIVE: [&str; 10] =
    ["--style", "uniform", "--assets", "3", "--corrections", "0.2", "--deletions", "0.1", "--annotations", "600"];

fn generate(place: &Place, words: &[&str]) -> Ran {
    place.flowstone(&[&["generate", "--json"], words].concat())
}

/// The lines of each id, in their order.
fn by_id<'a>(lines: impl Iterator<Item = &'a str>) -> BTreeMap<String, Vec<String>> {
    let mut all: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in lines {
        let value: Value = serde_json::from_str(line).unwrap();
        all.entry(value["annotation_id"].as_str().unwrap().to_owned()).or_default().push(line.to_owned());
    }
    all
}

/// Partition, key and value of all records, partition by partition.
fn records(topic: &Topic) -> Vec<(i32, String, String)> {
    let mut config: ClientConfig = topic.client();
    config.set("group.id", "reader").set("enable.partition.eof", "true").set("enable.auto.commit", "false");
    let consumer: BaseConsumer = config.create().unwrap();
    let partitions = consumer.fetch_metadata(Some(&topic.name), LONG).unwrap().topics()[0].partitions().len();
    let mut found = Vec::new();
    for partition in 0..i32::try_from(partitions).unwrap() {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&topic.name, partition, Offset::Beginning).unwrap();
        consumer.assign(&list).unwrap();
        loop {
            match consumer.poll(LONG).expect("the broker answers") {
                Ok(message) => {
                    let text = |bytes: Option<&[u8]>| String::from_utf8(bytes.unwrap().to_vec()).unwrap();
                    found.push((partition, text(message.key()), text(message.payload())));
                }
                Err(KafkaError::PartitionEOF(_)) => break,
                Err(error) => panic!("{error}"),
            }
        }
    }
    found
}

#[test]
fn a_topic_gets_the_lines_of_the_archive_and_all_of_an_id_in_one_partition_in_order() {
    let (topic, place) = (Topic::new(4), Place::new());
    generate(&place, &[&["files"], &ARCHIVE[..]].concat()).summary();
    let said =
        generate(&place, &[&["--kafka", &topic.brokers, "--topic", &topic.name], &ARCHIVE[..]].concat()).summary();
    assert_eq!((&said["lines"], said["files"].as_array().unwrap().len()), (&Value::from(600), 0));
    assert!(said["corrections"].as_u64().unwrap() > 50 && said["deletions"].as_u64().unwrap() > 20, "{said}");

    let records = records(&topic);
    let archive = fs::read_to_string(place.path("files/part-000.ndjson")).unwrap();
    assert_eq!(by_id(records.iter().map(|(_, _, line)| line.as_str())), by_id(archive.lines()));
    let mut partitions: BTreeMap<&str, i32> = BTreeMap::new();
    for (partition, key, line) in &records {
        assert_eq!(serde_json::from_str::<Value>(line).unwrap()["annotation_id"], key.as_str());
        assert_eq!(partitions.entry(key).or_insert(*partition), partition, "all of {key}");
    }
    assert!((0..4).all(|number| partitions.values().any(|partition| *partition == number)), "all partitions are used");
}

#[test]
fn a_topic_that_is_missing_is_refused_unless_it_is_to_be_made() {
    let (topic, place) = (Topic::new(1), Place::new());
    let name = format!("{}-made", topic.name);
    let words = [&["--kafka", &topic.brokers, "--topic", &name], &ARCHIVE[..]].concat();
    let refused = generate(&place, &words);
    assert_eq!(refused.code, Some(1), "{}", refused.stderr);
    assert!(refused.stderr.contains("no such topic; make it, or have it made by --partitions"), "{}", refused.stderr);
    let made = [&["--partitions", "3"], &words[..]].concat();
    generate(&place, &made).summary();
    // One that is there stays as it is.
    generate(&place, &[&["--partitions", "5"], &words[..]].concat()).summary();
    let consumer: BaseConsumer = topic.client().create().unwrap();
    let metadata = consumer.fetch_metadata(Some(&name), LONG).unwrap();
    assert_eq!(metadata.topics()[0].partitions().len(), 3);
}

#[test]
fn lines_are_sent_at_the_rate_that_is_asked_for() {
    let (topic, place) = (Topic::new(1), Place::new());
    let start = Instant::now();
    let words = ["--kafka", &topic.brokers, "--topic", &topic.name, "--rate", "300"];
    generate(&place, &[&words, &ARCHIVE[..]].concat()).summary();
    // The last of 600 is due after 599 three-hundredths of a second.
    assert!(start.elapsed().as_secs_f64() >= 599.0 / 300.0, "{:?}", start.elapsed());
}
