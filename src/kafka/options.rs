//! Options of librdkafka: which of them users may set, and what they become.

use indexmap::IndexMap;
use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;

/// Says what is wrong with an option: its name, or its value.
pub fn problem(name: &str, value: &str) -> Option<String> {
    let mut config = ClientConfig::new();
    config.set(name, value);
    config.create_native_config().err().map(|error| match error {
        rdkafka::error::KafkaError::ClientConfig(_, said, ..) => said,
        other => other.to_string(),
    })
}

/// The user's options, then ours.
pub(crate) fn config(brokers: &str, options: &IndexMap<String, String>, ours: &[(&str, &str)]) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("client.id", "flowstone");
    for (name, value) in options {
        config.set(name, value);
    }
    config.set("bootstrap.servers", brokers);
    for (name, value) in ours {
        config.set(*name, *value);
    }
    config.set_log_level(RDKafkaLogLevel::Info);
    config
}
