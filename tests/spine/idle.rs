//! A pipeline without input costs nothing: no writes to disk, next to no time.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use crate::support::Place;
use crate::world::{expected, files, filled, follow, growing, lines, stop};

/// Nanoseconds that all threads of a process have run.
#[cfg(target_os = "linux")]
fn cpu_ns(process: u32) -> u64 {
    let threads = fs::read_dir(format!("/proc/{process}/task")).unwrap();
    let of_thread = |path: PathBuf| {
        let text = fs::read_to_string(path.join("schedstat")).unwrap_or_default();
        text.split(' ').next().and_then(|number| number.parse::<u64>().ok()).unwrap_or(0)
    };
    threads.map(|entry| of_thread(entry.unwrap().path())).sum()
}

/// When each file was written, and how long it is.
fn written(place: &Place) -> BTreeMap<PathBuf, (SystemTime, u64)> {
    let of_file = |path: PathBuf| {
        let metadata = fs::metadata(&path).ok()?;
        Some((path, (metadata.modified().unwrap(), metadata.len())))
    };
    files(&place.path("")).into_iter().filter_map(of_file).collect()
}

#[cfg(target_os = "linux")]
#[test]
fn an_idle_run_writes_nothing_and_takes_next_to_no_time() {
    let all = lines(0, 60);
    let place = filled(&growing().replace("20ms", "250ms"), &all);
    let run = follow(&place, "2", &expected(&all));
    // The last uppers are written down a while after the last epoch.
    std::thread::sleep(Duration::from_secs(2));
    let (before, used) = (written(&place), cpu_ns(run.id()));
    let seconds = 4;
    std::thread::sleep(Duration::from_secs(seconds));
    assert_eq!(written(&place), before);
    let share = (cpu_ns(run.id()) - used) as f64 / (seconds as f64 * 1e9);
    // The program is not optimized here, and the machine may be busy: 1 % is what it takes at most otherwise.
    assert!(share < 0.03, "it takes {:.1} % of a core", share * 100.0);
    stop(run);
}
