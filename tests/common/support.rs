//! A directory with a pipeline in it, the real binary run on it, and the contents of the sinks.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use flowstone::runtime::{Job, Mode, Outcome, RunError};
use rusqlite::types::Value as Cell;
use rusqlite::{Connection, OpenFlags};
use serde_json::Value;
use tempfile::TempDir;

pub const SECOND: i64 = 1_000_000_000;

/// A test that takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(120);

/// Row key -> document.
pub type Documents = BTreeMap<String, String>;

/// A temporary directory that holds a pipeline, its input and its sinks.
pub struct Place {
    dir: TempDir,
}

impl Place {
    pub fn new() -> Self {
        Place { dir: tempfile::tempdir().unwrap() }
    }

    /// With this text as `pipeline.yaml`.
    pub fn with(pipeline: &str) -> Self {
        let place = Place::new();
        place.write("pipeline.yaml", pipeline);
        place
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    pub fn append(&self, name: &str, content: impl AsRef<[u8]>) {
        let mut file = OpenOptions::new().append(true).create(true).open(self.path(name)).unwrap();
        file.write_all(content.as_ref()).unwrap();
    }

    pub fn remove(&self, name: &str) {
        fs::remove_file(self.path(name)).unwrap();
    }

    /// The binary in the directory, not started yet.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_flowstone"));
        command.args(args).current_dir(self.dir.path()).env_remove("FLOWSTONE_LOG");
        command
    }

    /// Runs the binary in the directory until it ends.
    pub fn flowstone(&self, args: &[&str]) -> Ran {
        Running::start(self.command(args)).wait()
    }

    /// Starts the binary in the directory.
    pub fn start(&self, args: &[&str]) -> Running {
        Running::start(self.command(args))
    }

    /// `flowstone backfill`, which must succeed; its summary.
    pub fn backfill(&self) -> Value {
        self.flowstone(&["backfill", "pipeline.yaml", "--json", "--workers", "2"]).summary()
    }

    /// `flowstone backfill`, which must fail with this exit code and without a bug; what it says.
    pub fn refused(&self, code: i32) -> String {
        let ran = self.flowstone(&["backfill", "pipeline.yaml", "--workers", "2"]);
        assert_eq!(ran.code, Some(code), "{}", ran.stderr);
        assert!(!ran.stderr.contains("panicked") && ran.stdout.is_empty(), "{}{}", ran.stdout, ran.stderr);
        ran.stderr
    }

    /// The pipeline as a job in this process.
    pub fn job(&self, mode: Mode, workers: usize) -> Job {
        let loaded = flowstone::pipeline::load(&self.path("pipeline.yaml")).unwrap();
        Job::new(loaded.pipeline, &loaded.base, mode).with_workers(workers)
    }

    /// The rows of table `moments` in `moments.sqlite`; none while there is no such table.
    pub fn rows(&self) -> Documents {
        let path = self.path("moments.sqlite");
        match sqlite_upper(&path) {
            Some(_) => sqlite(&path, "moments").into_iter().map(|(key, row)| (key, row.0)).collect(),
            None => Documents::new(),
        }
    }

    pub fn dead_letters(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.path("state/dead-letters.ndjson")).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// Runs a job in this process to its end.
pub fn run(job: Job) -> Result<Outcome, RunError> {
    spawn(job)()
}

/// Starts a job in this process; the function waits for its end.
pub fn spawn(job: Job) -> impl FnOnce() -> Result<Outcome, RunError> {
    let (sender, receiver) = mpsc::channel();
    // Not joined: of a worker that has panicked the others would never end.
    std::thread::spawn(move || sender.send(job.run()));
    move || receiver.recv_timeout(PATIENCE).expect("the job hangs, or has panicked")
}

/// Waits until `holds`; fails with `what` if it takes too long.
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE / 2, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The same with a server, for as long as that may need to come back and to be found again.
pub fn at_last(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// A name that no other test has, nor another run of the tests on the same servers.
pub fn unique(name: &str) -> String {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    format!("{name}_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// What a process has said, and how it ended.
#[derive(Debug)]
pub struct Ran {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    /// The JSON on standard output of a success.
    pub fn summary(&self) -> Value {
        assert_eq!(self.code, Some(0), "{}", self.stderr);
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {}", self.stdout))
    }
}

/// A process under way; killed when dropped.
pub struct Running {
    child: Child,
    stdout: Option<JoinHandle<String>>,
    stderr: Option<JoinHandle<String>>,
    said: mpsc::Receiver<String>,
}

impl Running {
    pub fn start(mut command: Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (sender, said) = mpsc::channel();
        let stdout = collect(child.stdout.take().unwrap(), None);
        let stderr = collect(child.stderr.take().unwrap(), Some(sender));
        Running { child, stdout: Some(stdout), stderr: Some(stderr), said }
    }

    /// Waits until it has said this on standard error.
    pub fn wait_for(&mut self, text: &str) {
        self.wait_for_all(&[text]);
    }

    /// Waits until it has said all of this on standard error, in any order.
    pub fn wait_for_all(&mut self, texts: &[&str]) {
        let (mut seen, start) = (String::new(), Instant::now());
        while !texts.iter().all(|text| seen.contains(text)) {
            assert!(start.elapsed() < PATIENCE / 2, "{texts:?} are not in {seen:?}");
            seen.extend(self.said.recv_timeout(Duration::from_millis(100)));
        }
    }

    /// Sends a signal, such as `TERM` or `INT`.
    pub fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([&format!("-{signal}"), &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    pub fn wait(mut self) -> Ran {
        let start = Instant::now();
        let status = loop {
            match self.child.try_wait().unwrap() {
                Some(status) => break status,
                None if start.elapsed() > PATIENCE => {
                    self.child.kill().unwrap();
                    panic!("it hangs; it said {:?}", self.stderr.take().unwrap().join().unwrap());
                }
                None => std::thread::sleep(Duration::from_millis(5)),
            }
        };
        let text = |thread: Option<JoinHandle<String>>| thread.unwrap().join().unwrap();
        Ran { code: status.code(), stdout: text(self.stdout.take()), stderr: text(self.stderr.take()) }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It has ended already in all but failing tests.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn collect(mut pipe: impl Read + Send + 'static, as_it_comes: Option<mpsc::Sender<String>>) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let (mut all, mut piece) = (Vec::new(), [0; 4096]);
        while let Ok(read @ 1..) = pipe.read(&mut piece) {
            all.extend_from_slice(&piece[..read]);
            if let Some(sender) = &as_it_comes {
                let _ = sender.send(String::from_utf8_lossy(&piece[..read]).into_owned());
            }
        }
        String::from_utf8_lossy(&all).into_owned()
    })
}

/// The rows of an SQLite table: key -> (document, further columns). Versions are left out.
pub fn sqlite(path: &Path, table: &str) -> BTreeMap<String, (String, Vec<Cell>)> {
    let connection = read_only(path);
    let mut statement = connection.prepare(&format!("SELECT * FROM {table}")).unwrap();
    let columns = statement.column_count();
    let row = |row: &rusqlite::Row<'_>| {
        let further = (3..columns).map(|n| row.get(n)).collect::<Result<_, _>>()?;
        Ok((row.get(0)?, (row.get(1)?, further)))
    };
    statement.query_map((), row).unwrap().collect::<Result<_, _>>().unwrap()
}

/// Up to where an SQLite table was written; `None` while there is no such table.
pub fn sqlite_upper(path: &Path) -> Option<u64> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).ok()?;
    connection.busy_timeout(Duration::from_secs(30)).unwrap();
    let upper = connection.query_row("SELECT upper FROM flowstone_meta", (), |row| row.get::<_, i64>(0));
    upper.ok().map(|upper| u64::try_from(upper).unwrap())
}

fn read_only(path: &Path) -> Connection {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    // The first fill of a file locks readers out.
    connection.busy_timeout(Duration::from_secs(30)).unwrap();
    connection
}

/// The stored documents of a Tantivy index, as of its last commit.
pub fn tantivy(dir: &Path) -> Documents {
    use ::tantivy::collector::DocSetCollector;
    use ::tantivy::schema::Value as _;
    let index = ::tantivy::Index::open_in_dir(dir).unwrap();
    let searcher = index.reader().unwrap().searcher();
    let field = |name| index.schema().get_field(name).unwrap();
    let (key, document) = (field("key"), field("document"));
    let found = searcher.search(&::tantivy::query::AllQuery, &DocSetCollector).unwrap();
    let count = found.len();
    let documents: Documents = found
        .into_iter()
        .map(|address| {
            let doc: ::tantivy::TantivyDocument = searcher.doc(address).unwrap();
            let bytes = doc.get_first(document).unwrap().as_bytes().unwrap();
            (doc.get_first(key).unwrap().as_str().unwrap().to_owned(), String::from_utf8(bytes.to_vec()).unwrap())
        })
        .collect();
    assert_eq!(documents.len(), count, "a key has one document");
    documents
}

/// Up to where a Tantivy index was written; `None` while there is none.
pub fn tantivy_upper(dir: &Path) -> Option<u64> {
    let meta: Value = serde_json::from_str(&fs::read_to_string(dir.join("meta.json")).ok()?).unwrap();
    let payload: Value = serde_json::from_str(meta["payload"].as_str()?).unwrap();
    payload["upper"].as_u64()
}

/// A change record of a file sink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub key: String,
    pub epoch: u64,
    /// `None` deletes.
    pub document: Option<String>,
}

/// The change records of a file sink that make up its content, in order: the newest fill, then what came after it.
pub fn changes(dir: &Path) -> Vec<Change> {
    let mut names: Vec<String> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".ndjson"))
        .collect();
    names.sort();
    let fill = names.iter().rposition(|name| name.ends_with(".fill.ndjson")).unwrap_or(0);
    let mut changes = Vec::new();
    for name in &names[fill..] {
        for line in fs::read_to_string(dir.join(name)).unwrap().lines() {
            let change: Value = serde_json::from_str(line).unwrap();
            let document = match change["op"].as_str() {
                Some("upsert") => Some(change["document"].to_string()),
                Some("delete") => None,
                op => panic!("{op:?} in {line}"),
            };
            changes.push(Change { key: change["key"].to_string(), epoch: change["epoch"].as_u64().unwrap(), document });
        }
    }
    changes
}

/// What change records amount to. Each must change something.
pub fn folded(changes: impl IntoIterator<Item = Change>) -> Documents {
    let mut documents = Documents::new();
    for change in changes {
        match change.document {
            Some(document) => {
                let before = documents.insert(change.key.clone(), document.clone());
                assert_ne!(before, Some(document), "{} is written without a change", change.key);
            }
            None => assert!(documents.remove(&change.key).is_some(), "{} is deleted and was not there", change.key),
        }
    }
    documents
}
