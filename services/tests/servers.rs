//! The servers themselves: that they come back with their data, and that nothing is left of them.

// clippy.toml allows it in tests; helpers of tests are not seen as such.
#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use flowstone_services::cassandra::{Cassandra, CassandraOptions};
use flowstone_services::elasticsearch::{Elasticsearch, ElasticsearchOptions};
use flowstone_services::kafka::{Certificate, Kafka, KafkaOptions};

const LONG: Duration = Duration::from_secs(60);

/// Waits until it is so.
fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + LONG;
    while !is_so() {
        assert!(Instant::now() < deadline, "after a minute: {what}");
        sleep(Duration::from_millis(50));
    }
}

fn is_open(address: SocketAddr) -> bool {
    TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok()
}

fn http(address: SocketAddr, method: &str, path: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    let length = body.len();
    let head = format!("{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n");
    write!(stream, "{head}content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn elasticsearch_comes_back_with_its_data_after_a_kill() {
    let mut server = Elasticsearch::start(&ElasticsearchOptions::default()).unwrap();
    assert!(http(server.address(), "GET", "/", "").contains("8.19.21"));
    assert!(http(server.address(), "PUT", "/films/_doc/1", r#"{"title":"one"}"#).contains("created"));
    server.kill();
    assert!(!is_open(server.address()));
    server.restart().unwrap();
    eventually("the document is back", || http(server.address(), "GET", "/films/_doc/1", "").contains("\"one\""));
}

#[test]
fn cassandra_comes_back_after_a_kill() {
    let mut server = Cassandra::start(&CassandraOptions::default()).unwrap();
    assert!(is_open(server.address()));
    server.kill();
    assert!(!is_open(server.address()));
    server.restart().unwrap();
    assert!(is_open(server.address()));
}

#[test]
fn a_cluster_of_kafka_has_listeners_of_all_kinds() {
    let user = Some(("alice".to_owned(), "secret".to_owned()));
    let options = KafkaOptions {
        nodes: 3,
        proxied: true,
        user,
        tls: Some(Certificate::Valid),
        heap: "256m",
        ..KafkaOptions::default()
    };
    let mut kafka = Kafka::start(&options).unwrap();
    for brokers in [kafka.brokers(), kafka.proxied(), kafka.sasl(), kafka.tls()] {
        let addresses: Vec<SocketAddr> = brokers.split(',').map(|broker| broker.parse().unwrap()).collect();
        assert_eq!(addresses.len(), 3);
        assert!(addresses.into_iter().all(is_open), "{brokers}");
    }
    assert!(std::fs::read_to_string(kafka.certificate()).unwrap().contains("BEGIN CERTIFICATE"));
    kafka.kill(1);
    kafka.restart(1).unwrap();
}

#[test]
fn nothing_is_left_of_a_server_whose_process_is_killed() {
    let temporary = tempfile::tempdir().unwrap();
    let mut program = Command::new(env!("CARGO_BIN_EXE_flowstone-services"));
    program.args(["kafka", "--", "sh", "-c", "echo $FLOWSTONE_KAFKA; exec cat"]);
    program.env("TMPDIR", temporary.path()).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut program = program.spawn().unwrap();
    let mut line = String::new();
    BufReader::new(program.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address: SocketAddr = line.trim().parse().unwrap();
    let directories = || std::fs::read_dir(temporary.path()).unwrap().filter_map(Result::ok);
    let kafka = || directories().any(|entry| entry.file_name().to_string_lossy().starts_with("flowstone-kafka-"));
    assert!(is_open(address) && kafka());
    program.kill().unwrap();
    program.wait().unwrap();
    eventually("it still listens", || !is_open(address));
    eventually("its directory is still there", || !kafka());
}
