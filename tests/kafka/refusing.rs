//! What can not be read on (law L5), and what is wrong from the start: refused, with places and choices.

use flowstone_services::kafka::{Certificate, Kafka, KafkaOptions};

use crate::archive::{SQLITE, joey, kitchen};
use crate::oracle::expected;
use crate::support::{Documents, Place};
use crate::topic::{Topic, fails, record};

/// A topic with two records that were read.
fn read() -> (Topic, Place) {
    let topic = Topic::new(1);
    topic.produce([record(0, joey()), record(0, kitchen())]);
    let place = Place::with(&topic.pipeline("", SQLITE));
    place.backfill();
    assert_eq!(place.rows(), expected(&[joey(), kitchen()]));
    (topic, place)
}

fn says(said: &str, parts: &[&str]) {
    for part in parts {
        assert!(said.contains(part), "{part:?} is not in {said:?}");
    }
}

#[test]
fn records_that_were_read_may_go_and_those_that_were_not_are_missed() {
    let (topic, place) = read();
    topic.delete_before(0, 2);
    assert_eq!(place.backfill()["tables"]["annotations"]["records"], 0, "they are in the state");
    topic.produce((0..5).map(|n| record(0, crate::archive::annotation(&format!("n{n}"), "a", "K", 0, 1))));
    topic.delete_before(0, 4);
    let partition = format!("\"{}-0\"", topic.name);
    let said = fails(&place);
    says(&said, &[&partition, "from offset 2", "starts at offset 4", "2 offsets", "--skip-lost", "--rebuild"]);
    assert_eq!(place.rows(), expected(&[joey(), kitchen()]), "nothing has changed");
    let ran = place.flowstone(&["backfill", "pipeline.yaml", "--json", "--skip-lost"]);
    assert_eq!(ran.summary()["tables"]["annotations"]["records"], 3, "from where the log starts");
    place.backfill();
    says(&place.flowstone(&["backfill", "pipeline.yaml", "--rebuild", "annotations"]).stderr, &["starts at offset 4"]);
}

#[test]
fn what_is_left_of_a_transaction_may_go_too() {
    let topic = Topic::new(1);
    topic.transact(true, [record(0, joey()), record(0, kitchen())]);
    let place = Place::with(&topic.pipeline("", SQLITE));
    place.backfill();
    topic.delete_before(0, 3);
    assert_eq!(place.backfill()["tables"]["annotations"]["records"], 0, "its end was an offset, and no record");
}

#[test]
fn a_topic_that_was_made_anew_is_refused_whether_it_is_shorter_or_longer() {
    let (topic, place) = read();
    topic.make_anew(1);
    says(&fails(&place), &["from offset 2", "ends at offset 0", "made anew", "--rebuild"]);
    topic.produce((0..3).map(|n| record(0, crate::archive::annotation(&format!("n{n}"), "a", "K", 0, 1))));
    says(&fails(&place), &["from offset 2", "record at offset 1 is not the one that was read", "--rebuild"]);
    assert_eq!(place.rows(), expected(&[joey(), kitchen()]), "nothing has changed");
    let ran = place.flowstone(&["backfill", "pipeline.yaml", "--json", "--rebuild", "annotations"]);
    assert_eq!(ran.summary()["tables"]["annotations"]["records"], 3);
    assert_eq!(place.rows(), Documents::new());
}

#[test]
fn a_topic_that_is_gone_or_another_one_is_refused() {
    let (topic, place) = read();
    place.write("pipeline.yaml", topic.pipeline("", SQLITE).replace(&topic.name, &Topic::new(1).name));
    says(&fails(&place), &[&format!("{}-0", topic.name), "it is gone", "--skip-lost"]);
    topic.delete();
    place.write("pipeline.yaml", topic.pipeline("", SQLITE));
    says(&fails(&place), &["could not find the topic", &topic.name, "brokers know no such topic"]);
}

#[test]
fn brokers_of_whom_none_answers_are_named_and_the_next_run_reads_once_they_do() {
    let (topic, place) = read();
    let text = topic.pipeline("", SQLITE);
    let nobody = format!("127.0.0.1:{}", flowstone_services::free_port().unwrap());
    place.write("pipeline.yaml", text.replace(&topic.brokers, &nobody));
    says(&fails(&place), &["could not reach Kafka at", &nobody, "refused"]);
    topic.produce([record(0, crate::archive::deletion("Joey"))]);
    place.write("pipeline.yaml", text);
    place.backfill();
    assert_eq!(place.rows(), Documents::new());
}

#[test]
fn a_start_that_is_not_in_the_log_is_refused() {
    let topic = Topic::new(1);
    topic.produce([record(0, joey())]);
    let place = Place::with(&topic.pipeline("offsets: { \"0\": 7 }", SQLITE));
    says(&fails(&place), &["offset 7", "offsets from 0 to 1", "`offsets`"]);
}

#[test]
fn options_that_would_break_a_promise_are_refused_with_the_reason() {
    let options =
        "options: { group.id: mine, auto.offset.reset: latest, enable.auto.commit: \"true\", no.such: \"1\" }";
    let text = format!(
        "name: n\nsources:\n  t:\n    kafka:\n      brokers: \"127.0.0.1:1\"\n      topic: t\n      {options}\n    key: /id\n\
         sinks:\n  s: {{ from: t, discard: {{}} }}\n"
    );
    let said = Place::with(&text).flowstone(&["validate", "pipeline.yaml"]);
    assert_eq!(said.code, Some(2));
    let said = format!("{}{}", said.stdout, said.stderr);
    says(&said, &["7:18", "it is the field \"group\"", "left out or read again", "kept with the state", "no.such"]);
}

#[test]
fn a_wrong_password_is_said_at_once_and_the_right_one_works_with_and_without_tls() {
    let user = Some(("alice".to_owned(), "right".to_owned()));
    let kafka = Kafka::start(&KafkaOptions { user, tls: Some(Certificate::Valid), ..KafkaOptions::default() }).unwrap();
    let topic = Topic::at(&kafka.brokers(), 1, 1, &[]);
    topic.produce([record(0, joey()), record(0, kitchen())]);
    let sasl = |password: &str| {
        let options = "security.protocol: SASL_PLAINTEXT, sasl.mechanisms: PLAIN, sasl.username: alice";
        let text = topic.pipeline(&format!("options: {{ {options}, sasl.password: {password} }}"), SQLITE);
        Place::with(&text.replace(&topic.brokers, &kafka.sasl()))
    };
    let said = fails(&sasl("secret-but-wrong"));
    says(&said, &["could not log in to Kafka", "uthentication"]);
    assert!(!said.contains("secret-but-wrong"), "{said}");
    sasl("right").backfill();

    let tls = |more: &str| {
        let text = topic.pipeline(&format!("options: {{ security.protocol: SSL{more} }}"), SQLITE);
        Place::with(&text.replace(&topic.brokers, &kafka.tls()))
    };
    says(&fails(&tls("")), &["could not log in to Kafka", "certificate"]);
    let place = tls(&format!(", ssl.ca.location: \"{}\"", kafka.certificate().display()));
    place.backfill();
    assert_eq!(place.rows(), expected(&[joey(), kitchen()]));
}

#[test]
fn a_certificate_that_has_expired_is_said_at_once() {
    let kafka = Kafka::start(&KafkaOptions { tls: Some(Certificate::Expired), ..KafkaOptions::default() }).unwrap();
    let topic = Topic::at(&kafka.brokers(), 1, 1, &[]);
    let trusted = kafka.certificate().display();
    let text =
        topic.pipeline(&format!("options: {{ security.protocol: SSL, ssl.ca.location: \"{trusted}\" }}"), SQLITE);
    let said = fails(&Place::with(&text.replace(&topic.brokers, &kafka.tls())));
    says(&said, &["could not log in to Kafka", "the certificate has expired, or"]);
}
