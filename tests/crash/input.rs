//! What a case reads: a seeded history of annotations, and the files that grow by it.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write;
use std::path::{Path, PathBuf};

use rand::RngExt;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;

use crate::archive::{annotation, deletion, stamped};
use crate::oracle::{Emit, Rules, Table};
use crate::support::SECOND;

const KINDS: [&str; 4] = ["CHARACTER_SEARCH", "DIALOGUE_SEARCH", "OBJECT_SEARCH", "SCENE_SEARCH"];

/// One line, and the number of the file that it goes to.
#[derive(Clone)]
pub struct Line {
    pub file: usize,
    pub text: String,
}

/// Lines in the order in which they are appended.
pub struct Input {
    pub rules: Rules,
    pub files: usize,
    pub lines: Vec<Line>,
}

struct Generator<'r> {
    rng: &'r mut ChaCha8Rng,
    rules: Rules,
    assets: u32,
    span_ns: i64,
    /// What is added to every label, so that parts become large.
    padding: usize,
}

impl Input {
    /// Inserts, corrections, moves to other assets, deletions, late and repeated lines, and lines that are no good.
    pub fn new(rng: &mut ChaCha8Rng, rules: Rules, files: usize, count: usize) -> Self {
        let keys = (count / rng.random_range(2..8)).max(4);
        let assets = rng.random_range(3..12);
        let span_ns = rng.random_range(20..80) * SECOND;
        let padding = *[0, 0, 300, 1500, 3000].choose(rng).expect("it is not empty");
        let mut generator = Generator { rng, rules, assets, span_ns, padding };
        let mut lines: Vec<(usize, String)> = Vec::new();
        for version in 0..count as i64 {
            let key = generator.rng.random_range(0..keys);
            let line = match generator.rng.random_range(0..100) {
                0..15 => (key, generator.stamped(&deletion(&format!("n{key}")), version)),
                15..20 if !lines.is_empty() => lines.choose(generator.rng).expect("it is not empty").clone(),
                20..24 => (key, generator.bad(key, version)),
                _ => (key, generator.annotation(key, version)),
            };
            lines.push(line);
        }
        let Generator { rng, rules, .. } = generator;
        if rules.versioned {
            // Late ones: what is older comes after what is newer.
            for _ in 0..count / 5 {
                let at = rng.random_range(0..count);
                lines.swap(at, (at + rng.random_range(0..30)).min(count - 1));
            }
        }
        let lines = lines.into_iter().map(|(key, text)| {
            // Without versions a key's order is that of its file.
            let file = if rules.versioned { rng.random_range(0..files) } else { key % files };
            Line { file, text }
        });
        let lines = lines.collect();
        Input { rules, files, lines }
    }

    /// The rules of a case.
    pub fn rules(rng: &mut ChaCha8Rng, emit: Emit, versioned: bool) -> Rules {
        Rules {
            emit,
            bucket_ns: *[SECOND, SECOND, 700_000_000].choose(rng).expect("it is not empty"),
            inclusive: rng.random_bool(0.3),
            min_modalities: rng.random_range(1..=3),
            require: if rng.random_bool(0.2) { vec![KINDS[0].to_owned()] } else { Vec::new() },
            versioned,
        }
    }

    pub fn texts(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().map(|line| line.text.as_str())
    }

    /// The fingerprint of the content that each prefix of the lines gives, the empty one first.
    pub fn fingerprints(&self) -> Vec<u64> {
        let (mut table, mut of_assets, mut all) = (Table::default(), HashMap::new(), vec![0_u64]);
        let mut sum = 0_u64;
        for line in self.texts() {
            for asset in table.apply(line, &self.rules) {
                let documents = table.documents_of(&asset, &self.rules);
                let now = fingerprint(documents.iter().map(|(key, document)| (key.as_str(), document.as_str())));
                let before = of_assets.insert(asset, now).unwrap_or(0);
                sum = sum.wrapping_sub(before).wrapping_add(now);
            }
            all.push(sum);
        }
        all
    }
}

/// The same for the same documents, in whatever order.
pub fn fingerprint<'a>(documents: impl Iterator<Item = (&'a str, &'a str)>) -> u64 {
    let of_one = |document: (&str, &str)| {
        let mut hasher = DefaultHasher::new();
        document.hash(&mut hasher);
        hasher.finish()
    };
    documents.map(of_one).fold(0, u64::wrapping_add)
}

impl Generator<'_> {
    fn stamped(&self, line: &str, version: i64) -> String {
        stamped(line, version, self.rules.versioned)
    }

    fn annotation(&mut self, key: usize, version: i64) -> String {
        let rng = &mut *self.rng;
        let start_ns = match rng.random_range(0..3) {
            0 => rng.random_range(0..self.span_ns / SECOND) * SECOND,
            _ => rng.random_range(0..self.span_ns),
        };
        let length_ns = match rng.random_range(0..20) {
            0 => 0,
            1 => rng.random_range(20..60) * SECOND,
            2..10 => rng.random_range(1..6) * SECOND,
            _ => rng.random_range(1..6 * SECOND),
        };
        let (asset, kind) = (format!("a{}", rng.random_range(0..self.assets)), KINDS[rng.random_range(0..KINDS.len())]);
        let line = annotation(&format!("n{key}"), &asset, kind, start_ns, start_ns + length_ns);
        let padding: String = (0..self.padding / 16).map(|_| format!("{:016x}", self.rng.random::<u64>())).collect();
        let line = line.replace("\"label\":\"", &format!("\"label\":\"{padding}"));
        self.stamped(&line, version)
    }

    /// A line that must change nothing, not even what is there under its key.
    fn bad(&mut self, key: usize, version: i64) -> String {
        let good = self.annotation(key, version);
        match self.rng.random_range(0..4) {
            0 => good[..good.len() / 2].to_owned(),
            1 => good.replace("\"start_time_ns\":", "\"start_time_ns\":-1,\"other\":"),
            2 => good.replace("\"end_time_ns\":", "\"end_time_ns\":0.5,\"other\":"),
            _ => good.replace("\"ASSET_ID\"", "\"asset\""),
        }
    }
}

/// Appends the lines of an input to its files, whole lines or parts of them.
pub struct Feed<'i> {
    input: &'i Input,
    paths: Vec<PathBuf>,
    /// How many lines are begun.
    pub begun: usize,
    /// The rest of the last line that was begun.
    rest: Vec<u8>,
}

impl<'i> Feed<'i> {
    /// Makes the first file, empty; the others appear with their first line.
    pub fn new(input: &'i Input, dir: &Path) -> Self {
        fs::create_dir_all(dir).expect("a directory");
        let paths: Vec<PathBuf> = (0..input.files).map(|n| dir.join(format!("part-{n}.ndjson"))).collect();
        File::create(&paths[0]).expect("a file");
        Feed { input, paths, begun: 0, rest: Vec::new() }
    }

    fn append(&self, bytes: &[u8]) {
        let path = &self.paths[self.input.lines[self.begun - 1].file];
        let mut file = OpenOptions::new().append(true).create(true).open(path).expect("a file");
        file.write_all(bytes).expect("an append");
    }

    /// Ends the line that was begun.
    pub fn complete(&mut self) {
        if !self.rest.is_empty() {
            let rest = std::mem::take(&mut self.rest);
            self.append(&rest);
        }
    }

    /// Appends up to so many whole lines.
    pub fn lines(&mut self, count: usize) {
        self.complete();
        for _ in 0..count.min(self.left()) {
            self.begun += 1;
            let line = format!("{}\n", self.input.lines[self.begun - 1].text);
            self.append(line.as_bytes());
        }
    }

    /// Appends a part of the next line, which may be all but its end.
    pub fn part(&mut self, share: f64) {
        self.complete();
        if self.left() > 0 {
            self.begun += 1;
            let line = format!("{}\n", self.input.lines[self.begun - 1].text);
            let cut = ((line.len() as f64 * share) as usize).clamp(1, line.len() - 1);
            self.append(&line.as_bytes()[..cut]);
            self.rest = line.as_bytes()[cut..].to_vec();
        }
    }

    pub fn left(&self) -> usize {
        self.input.lines.len() - self.begun
    }
}
