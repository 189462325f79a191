//! Kafka: options of librdkafka that would break what Flowstone promises, and those that there are not.

use super::super::problem::Report;
use super::{Group, Outline, Settings, Text};

/// Options that are ours, for sources and sinks.
const OURS: &[(&str, &str)] = &[
    ("bootstrap.servers", "it is the field \"brokers\""),
    ("metadata.broker.list", "it is the field \"brokers\""),
    ("allow.auto.create.topics", "a topic that is misspelt would be made, and be empty"),
];

const OF_SOURCES: &[(&str, &str)] = &[
    ("group.id", "it is the field \"group\""),
    (
        "enable.auto.commit",
        "offsets are kept with the state, and committed for monitors once all sinks have the records",
    ),
    (
        "auto.commit.enable",
        "offsets are kept with the state, and committed for monitors once all sinks have the records",
    ),
    (
        "auto.commit.interval.ms",
        "offsets are kept with the state, and committed for monitors once all sinks have the records",
    ),
    ("enable.auto.offset.store", "offsets are kept with the state"),
    ("offset.store.method", "offsets are kept with the state"),
    (
        "auto.offset.reset",
        "records would be left out or read again without a word; where a first run begins is the field \"start\"",
    ),
    (
        "topic.auto.offset.reset",
        "records would be left out or read again without a word; where a first run begins is the field \"start\"",
    ),
    ("isolation.level", "it is the field \"isolation\""),
    ("enable.partition.eof", "a backfill would not see its end"),
    ("statistics.interval.ms", "they tell where partitions end"),
    ("partition.assignment.strategy", "Flowstone divides partitions among workers itself"),
    ("group.instance.id", "Flowstone divides partitions among workers itself"),
    ("group.protocol", "Flowstone divides partitions among workers itself"),
    ("group.remote.assignor", "Flowstone divides partitions among workers itself"),
];

const OF_SINKS: &[(&str, &str)] = &[
    ("transactional.id", "it is the field \"transactional_id\""),
    ("transaction.timeout.ms", "it is the field \"transaction_timeout\""),
    ("enable.idempotence", "transactions need it"),
    ("acks", "an epoch counts as written once all replicas have it"),
    ("request.required.acks", "an epoch counts as written once all replicas have it"),
    ("message.timeout.ms", "what is not sent in time would end the run"),
    ("delivery.timeout.ms", "what is not sent in time would end the run"),
    ("retries", "what is not sent would end the run"),
    ("message.send.max.retries", "what is not sent would end the run"),
    ("enable.gapless.guarantee", "nothing of an epoch may be left out anyway"),
];

pub(super) fn check(outline: &Outline<'_>, report: &mut Report) {
    for kafka in outline.group(Group::Source).filter_map(|source| source.kind("kafka")) {
        options(&kafka, &[OURS, OF_SOURCES], report);
        offsets(&kafka, report);
        start(&kafka, report);
    }
    let mut written: Vec<Text<'_>> = Vec::new();
    for sink in outline.group(Group::Sink) {
        let Some(kafka) = sink.kind("kafka") else { continue };
        options(&kafka, &[OURS, OF_SINKS], report);
        let Some(topic) = kafka.text("topic") else { continue };
        let sources = outline.group(Group::Source).filter_map(|source| source.kind("kafka")?.text("topic"));
        if sources.into_iter().any(|read| read.text == topic.text) {
            topic.warning(
                report,
                format!("a source reads {:?}, too: if it is of the same cluster, that is a loop", topic.text),
                None,
            );
        }
        if written.iter().any(|other| other.text == topic.text) {
            let hint = Some("give each sink a topic of its own".to_owned());
            topic.problem(report, format!("another sink writes the topic {:?} already", topic.text), hint);
        }
        written.push(topic);
    }
}

fn options(kafka: &Settings<'_>, refused: &[&[(&str, &str)]], report: &mut Report) {
    let Some(options) = kafka.get("options") else { return };
    for option in options.value.entries() {
        let path = format!("{}.options.{}", kafka.path, option.key);
        let ours = refused.iter().flat_map(|list| list.iter()).find(|(name, _)| *name == option.key);
        if let Some((name, why)) = ours {
            report.problem(option.at, &path, format!("{path}: {name:?} can not be set here: {why}"), None);
            continue;
        }
        // What is wrong with a value may be a secret: it is not shown.
        if let Some(problem) = option.value.text().and_then(|value| problem(&option.key, value)) {
            report.problem(option.at, &path, format!("{path}: librdkafka refuses it: {problem}"), None);
        }
    }
}

#[cfg(feature = "kafka")]
fn problem(name: &str, value: &str) -> Option<String> {
    crate::kafka::options::problem(name, value)
}

#[cfg(not(feature = "kafka"))]
fn problem(_: &str, _: &str) -> Option<String> {
    None
}

fn offsets(kafka: &Settings<'_>, report: &mut Report) {
    let Some(offsets) = kafka.get("offsets") else { return };
    for entry in offsets.value.entries().iter().filter(|entry| entry.key.parse::<u16>().is_err()) {
        let path = format!("{}.offsets.{}", kafka.path, entry.key);
        report.problem(entry.at, &path, format!("{path}: {:?} is not the number of a partition", entry.key), None);
    }
}

fn start(kafka: &Settings<'_>, report: &mut Report) {
    let Some(time) = kafka.mapping("start").and_then(|start| start.text("timestamp")) else { return };
    if time.text.parse::<jiff::Timestamp>().is_err() {
        let hint = Some("such as 2026-01-31T12:00:00Z".to_owned());
        time.problem(report, format!("{:?} is not an RFC 3339 time", time.text), hint);
    }
}
