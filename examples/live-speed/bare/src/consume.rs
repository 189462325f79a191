//! Reads a topic with librdkafka alone.

use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use crate::Failure;
use crate::clock::Clock;

/// The longest that a broker may be silent.
const SILENCE: Duration = Duration::from_secs(30);

#[derive(clap::Args)]
pub struct Args {
    /// Brokers: `HOST:PORT`.
    brokers: String,
    topic: String,
}

pub fn main(args: &Args) -> Result<(), Failure> {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", &args.brokers)
        .set("group.id", "bare")
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("enable.partition.eof", "true");
    let consumer: BaseConsumer = config.create()?;
    let metadata = consumer.fetch_metadata(Some(&args.topic), SILENCE)?;
    let partitions = metadata.topics().first().map_or(0, |topic| topic.partitions().len());
    let mut list = TopicPartitionList::new();
    for partition in 0..i32::try_from(partitions)? {
        list.add_partition_offset(&args.topic, partition, Offset::Beginning)?;
    }
    let clock = Clock::start();
    consumer.assign(&list)?;
    let (mut ended, mut count, mut bytes) = (0, 0, 0);
    while ended < partitions {
        match consumer.poll(SILENCE).ok_or("the broker says nothing")? {
            Ok(message) => {
                count += 1;
                bytes += message.payload_len();
            }
            Err(KafkaError::PartitionEOF(_)) => ended += 1,
            Err(error) => return Err(error.into()),
        }
    }
    clock.print(count, bytes);
    Ok(())
}
