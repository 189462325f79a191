//! Starts servers for a command, and stops them when it ends:
//!
//! ```sh
//! flowstone-services kafka cassandra elasticsearch -- cargo test …
//! ```

use std::env;
use std::error::Error;
use std::process::{Command, ExitCode};

use flowstone_services::cassandra::{Cassandra, CassandraOptions};
use flowstone_services::elasticsearch::{Elasticsearch, ElasticsearchOptions};
use flowstone_services::kafka::{Kafka, KafkaOptions};
use flowstone_services::s3::ObjectStore;
use flowstone_services::shared::{CASSANDRA_VARIABLE, ELASTICSEARCH_VARIABLE, KAFKA_VARIABLE};

const USAGE: &str = "usage: flowstone-services [kafka] [cassandra] [elasticsearch] [s3] -- COMMAND [ARGUMENT…]";

fn main() -> ExitCode {
    let mut services: Vec<String> = env::args().skip(1).collect();
    let Some(split) = services.iter().position(|argument| argument == "--") else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    let command: Vec<String> = services.drain(split..).skip(1).collect();
    let known = ["kafka", "cassandra", "elasticsearch", "s3"];
    if command.is_empty() || services.iter().any(|service| !known.contains(&service.as_str())) {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    }
    match run(&services, &command) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprint!("error: {error}");
            let mut cause = error.source();
            while let Some(error) = cause {
                eprint!(": {error}");
                cause = error.source();
            }
            eprintln!();
            ExitCode::FAILURE
        }
    }
}

fn run(services: &[String], command: &[String]) -> Result<u8, Box<dyn Error>> {
    let wanted = |name: &str| services.iter().any(|service| service == name);
    let (mut kafka, mut cassandra, mut elasticsearch, mut s3) = (None, None, None, None);
    let mut child = Command::new(&command[0]);
    child.args(&command[1..]);
    if wanted("kafka") {
        child.env(KAFKA_VARIABLE, kafka.insert(Kafka::start(&KafkaOptions::default())?).brokers());
    }
    if wanted("cassandra") {
        let cassandra = cassandra.insert(Cassandra::start(&CassandraOptions::default())?);
        child.env(CASSANDRA_VARIABLE, cassandra.address().to_string());
    }
    if wanted("elasticsearch") {
        let options = ElasticsearchOptions::default();
        child.env(ELASTICSEARCH_VARIABLE, elasticsearch.insert(Elasticsearch::start(&options)?).url());
    }
    if wanted("s3") {
        child.envs(s3.insert(ObjectStore::start()?).environment());
    }
    let status = child.status()?;
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
}
