//! Which failpoints there are: read from the source text, so that none can be forgotten here.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

const CALL: &str = "fail_point!(";

/// Those that a loop does not meet: it would need a store that hangs (see `spine/lagging.rs`); and those where nothing ends.
const ELSEWHERE: [&str; 4] = ["sink-detach", "part-inline", "merge-soon", "sink-jobs"];

/// The names of all failpoints, sorted.
pub fn names() -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut names = BTreeSet::new();
    for folder in ["src", "journal/src", "operators/src"] {
        scan(&root.join(folder), &mut names);
    }
    names.into_iter().filter(|name| !ELSEWHERE.contains(&name.as_str())).collect()
}

/// The setting by which the process ends at a failpoint when it has passed it so many times.
///
/// Epochs of a loop are small: one job of a sink, and in the journal they travel in the manifest's entries; and its runs are
/// short, so few parts gather. Where a crash in a part or a merge is asked for, they may not travel there, and two parts are
/// enough for a merge; where one between a sink's jobs is, each buffer is one.
pub fn armed(name: &str, passed: u32) -> String {
    let early = match name {
        "sink-mid" => "sink-jobs=return;",
        _ if name.starts_with("part-") => "part-inline=return;",
        _ if name.starts_with("merge-") => "part-inline=return;merge-soon=return;",
        _ => "",
    };
    let passed = if passed == 0 { String::new() } else { format!("{passed}*off->") };
    format!("{early}{name}={passed}panic")
}

fn scan(dir: &Path, names: &mut BTreeSet<String>) {
    for entry in fs::read_dir(dir).into_iter().flatten() {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            scan(&path, names);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).expect("source text");
            let calls = text.split(CALL).skip(1);
            names.extend(
                calls.filter_map(|call| call.trim_start().strip_prefix('"')?.split('"').next()).map(str::to_owned),
            );
        }
    }
}
