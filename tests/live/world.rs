//! The whole path for a test, with a topic, a keyspace and an index of its own, and what is sent along it.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use flowstone_services::shared;

use crate::archive::deletion;
use crate::index::Index;
use crate::oracle::expected;
use crate::support::{Documents, Place, Running};
use crate::table::Keyspace;
use crate::topic::{Record, Topic};

pub const PARTITIONS: i32 = 6;

/// How long it may take until the stores are right, also after servers were killed, on a slow machine.
const PATIENCE: Duration = Duration::from_secs(240);

/// A topic, the stores, and the pipeline between them.
pub struct World {
    pub topic: Topic,
    pub keyspace: Keyspace,
    pub index: Index,
    pub place: Place,
}

/// Where servers are.
pub struct Addresses {
    pub kafka: String,
    pub cassandra: String,
    pub elasticsearch: String,
}

impl Addresses {
    /// Of the servers that tests share.
    pub fn shared() -> Self {
        let [kafka, cassandra, elasticsearch] = [shared::kafka(), shared::cassandra(), shared::elasticsearch()];
        Addresses { kafka: kafka.to_owned(), cassandra: cassandra.to_owned(), elasticsearch: elasticsearch.to_owned() }
    }
}

impl World {
    /// On the servers that tests share.
    pub fn new() -> Self {
        World::at(&Addresses::shared(), "", "")
    }

    /// `index` adds to the settings of the index, where INDEX is its name; `more` is further sinks.
    pub fn at(servers: &Addresses, index: &str, more: &str) -> Self {
        let topic = Topic::at(&servers.kafka, PARTITIONS, 1, &[]);
        let (keyspace, of_index) = (Keyspace::new(&servers.cassandra), Index::new(&servers.elasticsearch));
        let store = keyspace.sink(", create: true");
        let search = of_index.sink(&format!(", create: true{index}"));
        let search = search.replace("from: moments,", "from: moments, after: store,").replace("INDEX", &of_index.name);
        let place = Place::with(&topic.pipeline("", &format!("{store}{search}{more}")));
        World { topic, keyspace, index: of_index, place }
    }

    pub fn run(&self, workers: usize) -> Running {
        self.place.start(&["run", "pipeline.yaml", "--json", "--workers", &workers.to_string()])
    }

    /// Waits until both stores hold exactly this.
    #[track_caller]
    pub fn holds(&self, expected: &Documents) {
        let start = Instant::now();
        loop {
            let (stored, found) = (self.keyspace.documents(), self.index.documents_if_any());
            if stored == *expected && found == *expected {
                return;
            }
            assert!(
                start.elapsed() < PATIENCE,
                "of the table {}; of the index {}",
                difference(&stored, expected),
                difference(&found, expected)
            );
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

fn difference(found: &Documents, expected: &Documents) -> String {
    let is_wrong = |key: &&String| found.get(*key) != expected.get(*key);
    let mut wrong: Vec<&String> = found.keys().chain(expected.keys()).filter(is_wrong).collect();
    wrong.sort_unstable();
    wrong.dedup();
    let missing = wrong.iter().filter(|key| !found.contains_key(**key)).count();
    let extra = wrong.iter().filter(|key| !expected.contains_key(**key)).count();
    let first = wrong.first().map_or_else(String::new, |key| {
        format!(": {key} is {:?} instead of {:?}", found.get(*key), expected.get(*key))
    });
    format!("{} of {} are wrong, {missing} missing and {extra} too many{first}", wrong.len(), expected.len())
}

/// Annotations, corrections and deletions as the generator makes them, and how far they were sent.
pub struct Feed {
    waiting: VecDeque<Record>,
    sent: Vec<Record>,
}

impl Feed {
    /// Every second deletion is a record without a value. All records of an id have one partition, and keep their order.
    pub fn new(place: &Place, seed: u64) -> Self {
        let (archive, seed) = (format!("archive-{seed}"), seed.to_string());
        let mut args = vec!["generate", &archive, "--seed", &seed, "--parts", "6", "--fixture"];
        args.extend(["--annotations", "1600", "--assets", "8", "--span", "90s", "--disorder", "0.3"]);
        args.extend(["--corrections", "0.15", "--deletions", "0.1", "--duplicates", "0.02"]);
        let ran = place.flowstone(&args);
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        let mut parts: Vec<_> = (0..PARTITIONS).map(|part| read(place, &archive, part)).collect();
        let mut waiting = VecDeque::new();
        while parts.iter().any(|part| !part.is_empty()) {
            waiting.extend(parts.iter_mut().filter_map(VecDeque::pop_front));
        }
        Feed { waiting, sent: Vec::new() }
    }

    /// Sends so many more, at most. Whether there were any.
    pub fn send(&mut self, topic: &Topic, count: usize) -> bool {
        let count = count.min(self.waiting.len());
        let records: Vec<Record> = self.waiting.drain(..count).collect();
        topic.produce(records.iter().cloned());
        self.sent.extend(records);
        count > 0
    }

    /// Sends the first of those that were sent once more, as somebody does by hand.
    pub fn send_again(&mut self, topic: &Topic, count: usize) {
        let again = self.sent[..count].to_vec();
        topic.produce(again.iter().cloned());
        self.sent.extend(again);
    }

    /// Deletes what the first of those that were sent have told of.
    pub fn delete(&mut self, topic: &Topic, count: usize) {
        let gone: Vec<Record> =
            self.sent[..count].iter().map(|record| Record { payload: None, ..record.clone() }).collect();
        topic.produce(gone.iter().cloned());
        self.sent.extend(gone);
    }

    /// How many were sent.
    pub fn sent(&self) -> usize {
        self.sent.len()
    }

    /// What the stores must hold.
    pub fn expected(&self) -> Documents {
        let line = |record: &Record| match &record.payload {
            Some(payload) => payload.clone(),
            None => deletion(record.key.as_ref().unwrap()),
        };
        expected(&self.sent.iter().map(line).collect::<Vec<_>>())
    }
}

fn read(place: &Place, archive: &str, partition: i32) -> VecDeque<Record> {
    let text = std::fs::read_to_string(place.path(&format!("{archive}/part-{partition:03}.ndjson"))).unwrap();
    let record = |(n, line): (usize, &str)| {
        let value: serde_json::Value = serde_json::from_str(line).unwrap();
        let is_deletion = value["deleted"] == true && n % 2 == 0;
        let payload = (!is_deletion).then(|| line.to_owned());
        let key = Some(value["annotation_id"].as_str().unwrap().to_owned());
        Record { partition, key, payload, ..Record::default() }
    };
    text.lines().enumerate().map(record).collect()
}
