//! `flowstone dev up`

use clap::{Subcommand, ValueEnum};
use flowstone_services::cassandra::{Cassandra, CassandraOptions};
use flowstone_services::elasticsearch::{Elasticsearch, ElasticsearchOptions};
use flowstone_services::kafka::{Kafka, KafkaOptions};
use serde_json::{Map, Value};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::{Failure, output};

/// Servers on this machine, for trying Flowstone.
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Starts real servers without containers, prints where they are, and runs until it is stopped.
    ///
    /// They are fetched through Maven the first time, and need a JDK 17. They listen on free ports of 127.0.0.1, without
    /// passwords, and keep what they get in temporary directories, which go with them. What is printed can be given to a
    /// shell, and pipeline files then say `${KAFKA_BROKERS}`, `${CASSANDRA}` and `${ES_URL}`.
    Up {
        /// Which; by default all.
        services: Vec<Service>,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Service {
    Kafka,
    Cassandra,
    Elasticsearch,
}

/// Servers; stopped when dropped.
#[derive(Default)]
struct Servers {
    kafka: Option<Kafka>,
    cassandra: Option<Cassandra>,
    elasticsearch: Option<Elasticsearch>,
}

pub fn main(args: &Args, json: bool) -> Result<(), Failure> {
    let Command::Up { services } = &args.command;
    // Before anything is started: a signal that comes meanwhile stops what there is.
    let mut signals = Signals::new([SIGINT, SIGTERM]).map_err(Failure::run)?;
    let is_wanted = |service| services.is_empty() || services.contains(&service);
    let mut servers = Servers::default();
    let mut addresses = Vec::new();
    for service in Service::value_variants().iter().filter(|service| is_wanted(**service)) {
        if signals.pending().next().is_some() {
            return Ok(());
        }
        addresses.push(start(*service, &mut servers)?);
    }
    let text = match json {
        true => {
            let fields = addresses.iter().map(|(name, address)| ((*name).to_owned(), Value::from(address.as_str())));
            format!("{}\n", Value::Object(Map::from_iter(fields)))
        }
        false => addresses.iter().map(|(name, address)| format!("export {name}={address}\n")).collect(),
    };
    output::print(&text)?;
    eprintln!("ready; Ctrl-C stops them, and what they hold is gone then");
    signals.forever().next();
    Ok(())
}

/// Starts a server; gives the variable that says where it is, and its value.
fn start(service: Service, servers: &mut Servers) -> Result<(&'static str, String), Failure> {
    eprintln!("starting {}", service.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned()));
    Ok(match service {
        Service::Kafka => {
            let kafka = Kafka::start(&KafkaOptions::default()).map_err(Failure::run)?;
            ("KAFKA_BROKERS", servers.kafka.insert(kafka).brokers())
        }
        Service::Cassandra => {
            let cassandra = Cassandra::start(&CassandraOptions::default()).map_err(Failure::run)?;
            ("CASSANDRA", servers.cassandra.insert(cassandra).address().to_string())
        }
        Service::Elasticsearch => {
            let elasticsearch = Elasticsearch::start(&ElasticsearchOptions::default()).map_err(Failure::run)?;
            ("ES_URL", servers.elasticsearch.insert(elasticsearch).url())
        }
    })
}
