//! One server of a kind for all tests of a run.
//!
//! The address comes from an environment variable, if it is set: of a server that exists already. The program of this crate
//! sets them for the command that it runs. Otherwise the first test that asks starts a server, which ends with the process.
//!
//! Tests share servers, so each uses names of its own for topics, keyspaces and indices.

use std::env;
use std::sync::OnceLock;

use crate::ServiceError;
use crate::cassandra::{Cassandra, CassandraOptions};
use crate::elasticsearch::{Elasticsearch, ElasticsearchOptions};
use crate::kafka::{Kafka, KafkaOptions};

/// `host:port` of Kafka brokers, separated by commas.
pub const KAFKA_VARIABLE: &str = "FLOWSTONE_KAFKA";
/// `host:port` of a Cassandra node.
pub const CASSANDRA_VARIABLE: &str = "FLOWSTONE_CASSANDRA";
/// The URL of an Elasticsearch node.
pub const ELASTICSEARCH_VARIABLE: &str = "FLOWSTONE_ELASTICSEARCH";

/// Brokers of a Kafka cluster.
///
/// # Panics
/// If it is to be started, and can not be.
pub fn kafka() -> &'static str {
    static ADDRESS: OnceLock<String> = OnceLock::new();
    static SERVER: OnceLock<Kafka> = OnceLock::new();
    ADDRESS.get_or_init(|| {
        given(KAFKA_VARIABLE)
            .unwrap_or_else(|| SERVER.get_or_init(|| started(Kafka::start(&KafkaOptions::default()))).brokers())
    })
}

/// The address of a Cassandra node.
///
/// # Panics
/// If it is to be started, and can not be.
pub fn cassandra() -> &'static str {
    static ADDRESS: OnceLock<String> = OnceLock::new();
    static SERVER: OnceLock<Cassandra> = OnceLock::new();
    let start = || started(Cassandra::start(&CassandraOptions::default()));
    ADDRESS.get_or_init(|| given(CASSANDRA_VARIABLE).unwrap_or_else(|| SERVER.get_or_init(start).address().to_string()))
}

/// The URL of an Elasticsearch node.
///
/// # Panics
/// If it is to be started, and can not be.
pub fn elasticsearch() -> &'static str {
    static ADDRESS: OnceLock<String> = OnceLock::new();
    static SERVER: OnceLock<Elasticsearch> = OnceLock::new();
    let start = || started(Elasticsearch::start(&ElasticsearchOptions::default()));
    ADDRESS.get_or_init(|| given(ELASTICSEARCH_VARIABLE).unwrap_or_else(|| SERVER.get_or_init(start).url()))
}

fn given(variable: &str) -> Option<String> {
    env::var(variable).ok().filter(|address| !address.is_empty())
}

fn started<T>(server: Result<T, ServiceError>) -> T {
    match server {
        Ok(server) => server,
        Err(error) => {
            let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
            panic!("{error}{cause}")
        }
    }
}
