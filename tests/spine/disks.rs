//! Disks that are full, and state that is taken away: a documented exit code, a word that helps, and the next run is right.

use std::fs;

use std::process::Command;

use crate::archive::{annotation, text};
use crate::support::{Place, Running, SECOND, eventually};
use crate::world::{Copy, assert_sinks, bounded, expected, filled, follow, growing, lines, says};

/// About 4 MB of lines that do not compress, of which few documents come.
fn much() -> Vec<String> {
    let noise = |n: u64| format!("{:016x}", n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let line = |n: i64| {
        let id: String = (0..60).map(|piece| noise(n as u64 * 60 + piece)).collect();
        annotation(&id, "a9", "SCENE_SEARCH", n * SECOND, (n + 1) * SECOND)
    };
    (0..4000).map(line).collect()
}

/// Files may not grow beyond so many blocks of 512 bytes.
fn limited(place: &Place, blocks: u32, args: &str) -> (Option<i32>, String) {
    let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec {} {args}", env!("CARGO_BIN_EXE_flowstone"));
    let mut command = Command::new("sh");
    command.args(["-c", &script]).current_dir(place.path(""));
    let ran = Running::start(command).wait();
    (ran.code, ran.stderr)
}

#[test]
fn a_part_that_can_not_be_written_ends_the_run_and_the_next_one_is_right() {
    let all = lines(0, 60);
    let place = filled(&bounded(), &all);
    place.write("in/much.ndjson", text(much()));
    let (code, said) = limited(&place, 500, "backfill pipeline.yaml --workers 1");
    assert_eq!(code, Some(1), "{said}");
    says(&said, &["journal"]);
    assert_sinks(&place, &expected(&all));
    place.backfill();
    let all: Vec<String> = all.into_iter().chain(much()).collect();
    assert_sinks(&place, &expected(&all));
}

/// A file system of its own; unmounted when dropped. `None` if this user may not mount any.
struct Mount(std::path::PathBuf);

impl Mount {
    fn new(at: std::path::PathBuf, options: &str) -> Option<Self> {
        fs::create_dir_all(&at).unwrap();
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(&at).output();
        if mount.is_ok_and(|output| output.status.success()) {
            return Some(Mount(at));
        }
        eprintln!("skipped: a file system with {options} can not be mounted here");
        None
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("-l").arg(&self.0).status();
        assert!(unmounted.is_ok_and(|status| status.success()));
    }
}

#[test]
fn a_full_disk_under_the_state_ends_the_run_and_once_there_is_room_the_next_one_is_right() {
    let place = Place::with(&bounded().replace("name: test", "name: test\nstate: small/state"));
    let Some(_mount) = Mount::new(place.path("small"), "size=2m") else { return };
    let all = lines(0, 60);
    place.write("in/a.ndjson", text(&all));
    place.backfill();
    place.write("in/much.ndjson", text(much()));
    let said = place.refused(1);
    says(&said, &["journal"]);
    assert_sinks(&place, &expected(&all));
    let more = Command::new("mount").args(["-o", "remount,size=64m"]).arg(place.path("small")).status().unwrap();
    assert!(more.success());
    place.backfill();
    let all: Vec<String> = all.into_iter().chain(much()).collect();
    assert_sinks(&place, &expected(&all));
}

#[test]
fn state_that_is_removed_while_a_run_follows_ends_it_and_is_built_again_by_the_next_one() {
    let all = lines(0, 120);
    let place = filled(&growing(), &all[..60]);
    let mut run = follow(&place, "2", &expected(&all[..60]));
    fs::remove_dir_all(place.path("state")).unwrap();
    place.append("in/a.ndjson", text(&all[60..]));
    eventually("it notices", || !run.is_running());
    let ran = run.wait();
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    says(&ran.stderr, &["journal"]);
    place.backfill();
    assert_sinks(&place, &expected(&all));
}

#[test]
fn state_that_is_lost_between_runs_is_built_again_and_old_rows_are_swept() {
    let all = lines(0, 120);
    let place = filled(&bounded(), &all);
    fs::remove_dir_all(place.path("state")).unwrap();
    // What the sinks hold is more than what the input gives now.
    place.write("in/a.ndjson", text(&all[..40]));
    place.backfill();
    assert_sinks(&place, &expected(&all[..40]));
    place.append("in/a.ndjson", text(&all[40..]));
    place.backfill();
    assert_sinks(&place, &expected(&all));
}

/// A state that is older than the stores: they know epochs that it never heard of.
#[test]
fn a_state_restored_from_a_backup_is_right_in_the_end() {
    let all = lines(0, 120);
    let place = filled(&bounded(), &all[..60]);
    let backup = Copy::of(&place.path("state"));
    place.append("in/a.ndjson", text(&all[60..]));
    place.backfill();
    backup.put_back();
    place.append("in/a.ndjson", text(lines(120, 20)));
    let all: Vec<String> = all.into_iter().chain(lines(120, 20)).collect();
    place.backfill();
    assert_sinks(&place, &expected(&all));
}
