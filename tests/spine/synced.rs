//! Law L1: nothing is shown before it is durable. What a run asks of the system is read from a trace of it.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::archive::{annotation, text};
use crate::support::{Place, Running, SECOND, eventually};
use crate::world::{expected, filled, growing, lines};

/// A call that has succeeded.
#[derive(Debug)]
struct Call {
    /// Seconds since 1970.
    started: f64,
    ended: f64,
    name: String,
    args: String,
}

/// Reads what `strace -f -ttt -T -y` has written.
fn calls(text: &str) -> Vec<Call> {
    let mut calls = Vec::new();
    // The beginning of a call that another thread has interrupted, by thread.
    let mut begun = std::collections::HashMap::<&str, (f64, &str)>::new();
    for line in text.lines() {
        let Some((thread, rest)) = line.trim_start().split_once(' ') else { continue };
        let Some((time, rest)) = rest.trim_start().split_once(' ') else { continue };
        let Ok(time) = time.parse::<f64>() else { continue };
        if let Some(beginning) = rest.strip_suffix("<unfinished ...>") {
            begun.insert(thread, (time, beginning));
            continue;
        }
        let (started, whole) = match rest.strip_prefix("<... ").and_then(|rest| rest.split_once("resumed>")) {
            Some((_, end)) => {
                let Some((started, beginning)) = begun.remove(thread) else { continue };
                (started, format!("{beginning}{end}"))
            }
            None => (time, rest.to_owned()),
        };
        let Some((call, result)) = whole.rsplit_once(" = ") else { continue };
        let Some((name, args)) = call.split_once('(') else { continue };
        if result.starts_with('-') {
            continue;
        }
        let took = result.rsplit_once('<').and_then(|(_, took)| took.trim_end_matches('>').parse().ok()).unwrap_or(0.0);
        calls.push(Call { started, ended: started + took, name: name.to_owned(), args: args.to_owned() });
    }
    calls
}

impl Call {
    fn is_sync(&self) -> bool {
        ["fsync", "fdatasync"].contains(&self.name.as_str())
    }

    /// Makes a name: what was written under another one, or in place.
    fn is_publication(&self) -> bool {
        ["link", "linkat", "rename", "renameat", "renameat2"].contains(&self.name.as_str())
    }

    fn is_write(&self) -> bool {
        ["write", "pwrite64", "pwritev", "writev"].contains(&self.name.as_str())
    }

    /// Whether it is about the file at this path, or one below it. Paths of descriptors stand in `<…>`, others in quotes.
    fn is_about(&self, path: &Path) -> bool {
        self.args.contains(path.to_str().unwrap())
    }

    /// Whether it is about exactly the directory.
    fn is_about_directory(&self, path: &Path) -> bool {
        self.args.contains(&format!("<{}>", path.to_str().unwrap()))
    }

    /// The last path that it names.
    fn target(&self) -> &str {
        self.args.rsplit('"').nth(1).unwrap_or_default()
    }

    /// The first path that it names.
    fn origin(&self) -> &str {
        self.args.split('"').nth(1).unwrap_or_default()
    }
}

fn strace(place: &Place, trace: &Path) -> Option<Running> {
    if Command::new("strace").arg("--version").output().is_err() {
        eprintln!("skipped: strace is not installed");
        return None;
    }
    let mut command = Command::new("strace");
    command.args(["-f", "-ttt", "-T", "-y", "-s", "0", "-e"]);
    command.arg("trace=fsync,fdatasync,link,linkat,rename,renameat,renameat2,write,pwrite64,pwritev,writev");
    command.arg("-o").arg(trace).arg(env!("CARGO_BIN_EXE_flowstone")).args(["run", "pipeline.yaml", "--workers", "2"]);
    command.current_dir(place.path("")).env_remove("FLOWSTONE_LOG");
    Some(Running::start(command))
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64()
}

/// The calls about one change, from its append to the moment when every sink has it.
struct Change<'a> {
    calls: Vec<&'a Call>,
    journal: std::path::PathBuf,
}

impl Change<'_> {
    /// The object at a path was written under another name, synced, published, and its directory synced; when that was done.
    fn durable(&self, publication: &Call) -> f64 {
        let (staged, name) = (publication.origin(), publication.target());
        let directory = self.journal.join(Path::new(name).parent().unwrap().file_name().unwrap());
        let synced = |call: &&&Call| call.is_sync() && call.args.contains(&format!("<{staged}>"));
        let file = self.calls.iter().find(|call| synced(call) && call.ended <= publication.started);
        assert!(file.is_some(), "{name} is published before its content is synced: {:#?}", self.calls);
        let after =
            |call: &&&Call| call.is_sync() && call.is_about_directory(&directory) && call.started >= publication.ended;
        let directory = self.calls.iter().find(after);
        directory.unwrap_or_else(|| panic!("the directory of {name} is not synced: {:#?}", self.calls)).ended
    }

    /// Those that publish an object in a folder of the journal.
    fn published(&self, folder: &str) -> Vec<&Call> {
        let folder = self.journal.join(folder);
        let is_final = |call: &Call| Path::new(call.target()).parent() == Some(&folder);
        self.calls.iter().copied().filter(|call| call.is_publication() && is_final(call)).collect()
    }
}

#[test]
fn parts_are_durable_before_the_entry_and_the_entry_before_any_sink_is_written() {
    let mut all = lines(0, 60);
    let place = filled(&growing(), &all);
    let trace = place.path("trace");
    let Some(mut run) = strace(&place, &trace) else { return };
    let root = fs::canonicalize(place.path("")).unwrap();
    let mut spans = Vec::new();
    for round in 0..4 {
        eventually("the run is at rest", || {
            let before = fs::metadata(&trace).map_or(0, |metadata| metadata.len());
            std::thread::sleep(Duration::from_millis(700));
            before > 0 && fs::metadata(&trace).unwrap().len() == before && run.is_running()
        });
        let from = now();
        // Some changes travel inside an entry, some are parts of their own.
        let size = if round % 2 == 0 { 10 } else { 2000 };
        let label = "x".repeat(size);
        let new: Vec<String> = (0..if round % 2 == 0 { 2 } else { 300 })
            .map(|n| {
                annotation(
                    &format!("r{round}-{n}-{label}"),
                    "a1",
                    ["A", "B"][n % 2],
                    round * SECOND,
                    (round + 3) * SECOND,
                )
            })
            .collect();
        place.append("in/a.ndjson", text(&new));
        all.extend(new);
        eventually("the change is shown", || place.rows() == expected(&all));
        spans.push((from, size));
    }
    eventually("the run is at rest", || {
        let before = fs::metadata(&trace).unwrap().len();
        std::thread::sleep(Duration::from_millis(700));
        fs::metadata(&trace).unwrap().len() == before
    });
    // strace hands the signal on.
    stop_traced(run);
    let text = fs::read_to_string(&trace).unwrap();
    let calls = calls(&text);
    assert!(calls.iter().any(Call::is_sync), "nothing is synced at all");
    for (n, (from, size)) in spans.iter().enumerate() {
        let until = spans.get(n + 1).map_or(f64::MAX, |next| next.0);
        let calls = calls.iter().filter(|call| call.started >= *from && call.started < until).collect();
        check(&Change { calls, journal: root.join("state/journal") }, &root, *size > 1000);
    }
}

fn stop_traced(run: Running) {
    let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", run.id())).unwrap();
    let child = children.split_whitespace().next().expect("the traced process").to_owned();
    assert!(Command::new("kill").args(["-TERM", &child]).status().unwrap().success());
    let ran = run.wait();
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
}

fn check(change: &Change<'_>, root: &Path, expects_parts: bool) {
    let entries = change.published("manifest");
    let first = entries.first().expect("an entry is published");
    let parts: Vec<&Call> = change.published("parts").into_iter().filter(|part| part.started < first.started).collect();
    assert!(!expects_parts || !parts.is_empty(), "{:#?}", change.calls);
    for part in parts {
        let durable = change.durable(part);
        assert!(durable <= first.started, "the entry is published before {} is durable", part.target());
    }
    let durable = change.durable(first);
    for sink in ["moments.sqlite", "index", "changes"] {
        let path = root.join(sink);
        let writes = |call: &&&Call| call.is_about(&path) && (call.is_write() || call.is_publication());
        let first_write = change.calls.iter().find(writes).unwrap_or_else(|| panic!("{sink} is not written"));
        assert!(durable <= first_write.started, "{sink} is written before the entry is durable: {first_write:?}");
    }
}
