//! Real servers for tests, and for trying Flowstone, without containers.
//!
//! | | fetched | listens on |
//! |---|---|---|
//! | [`Kafka`](kafka::Kafka) | 4.3.1, one node or several (KRaft) | plain, behind proxies, with passwords, with TLS |
//! | [`Cassandra`](cassandra::Cassandra) | 5.0.9, one node | CQL, with or without passwords |
//! | [`Elasticsearch`](elasticsearch::Elasticsearch) | 8.19.21, one node | HTTP |
//! | [`OpenSearch`](opensearch::OpenSearch) | 2.19.5, one node | HTTP |
//! | [`ObjectStore`](s3::ObjectStore) | moto, in memory | S3 |
//!
//! They are fetched through Maven the first time, into `~/.cache/flowstone/services` (or what `FLOWSTONE_SERVICES_CACHE` names),
//! and need a JDK 17; moto through pip, and it needs Python 3. Everything else of theirs is in a temporary directory each. They listen on free ports of 127.0.0.1.
//!
//! A server ends with the value that holds it; and if the process that started it is killed, a shell beside the server sees
//! that, and kills it. Nothing else is ever stopped.
//!
//! Tests that need one server of a kind, and break nothing, share it: [`shared`]. [`proxy`] breaks connections.
//!
//! Elasticsearch's artifacts are fetched for this use, under the licence that Elastic gives them (the Elastic License 2.0 among
//! others), and are no part of Flowstone.

use tempfile::TempDir;

pub mod cassandra;
pub mod elasticsearch;
mod error;
mod fetch;
pub mod kafka;
pub mod opensearch;
mod ports;
pub mod proxy;
pub mod s3;
mod server;
pub mod shared;

pub use error::ServiceError;
pub use fetch::CACHE_VARIABLE;
pub use ports::free_port;

/// A new directory for a server.
fn temporary(name: &str) -> Result<TempDir, ServiceError> {
    let made = tempfile::Builder::new().prefix(&format!("flowstone-{name}-")).tempdir();
    made.map_err(ServiceError::io("create a directory in", std::env::temp_dir()))
}
