//! What a run says at its end.

use std::path::Path;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use indicatif::{HumanBytes, HumanCount};
use serde_json::{Value, json};

use super::output::{counted, table};
use crate::pipeline::compile::DEAD_LETTERS;
use crate::runtime::Outcome;
use crate::runtime::metrics::{Metrics, SinkMetrics, read};
use crate::sink::shell::FINISHED;

/// The counts of a run that has ended.
pub struct Summary {
    name: String,
    outcome: Outcome,
    seconds: f64,
    workers: usize,
    dead_letters_path: String,
    tables: Vec<TableRow>,
    sinks: Vec<SinkRow>,
    rejected: Vec<(String, u64)>,
}

struct TableRow {
    name: String,
    records: u64,
    applied: u64,
    deletions: u64,
    dead_letters: u64,
    superseded: u64,
    ambiguous: u64,
    expired: u64,
    late: u64,
    repeated: u64,
    ids: u64,
    operations: u64,
    refused: u64,
    stale: u64,
    swaps: u64,
    rows: u64,
    hidden: u64,
}

struct SinkRow {
    name: String,
    upserts: u64,
    deletes: u64,
    bytes: u64,
    detached: bool,
}

/// The sinks that are behind, for people.
pub fn pending(metrics: &Metrics) -> String {
    let is_behind = |m: &SinkMetrics| read(&m.upper) < FINISHED && !m.detached.load(Relaxed);
    let behind = metrics.sinks.iter().filter(|(_, m)| is_behind(m)).map(|(name, _)| name.as_str());
    format!("all was written to {}", behind.collect::<Vec<_>>().join(", "))
}

/// The sinks that were given up, for people.
pub fn detached(metrics: &Metrics) -> Option<String> {
    let detached = metrics.sinks.iter().filter(|(_, m)| m.detached.load(Relaxed)).map(|(name, _)| name.as_str());
    let names = detached.collect::<Vec<_>>().join(", ");
    (!names.is_empty()).then(|| {
        format!("detached, since their stores or those that they wait for stood still: {names}; the next run brings them up to date")
    })
}

impl Summary {
    pub fn new(
        name: &str,
        outcome: Outcome,
        elapsed: Duration,
        workers: usize,
        metrics: &Metrics,
        dead_letters: &Path,
    ) -> Self {
        let tables = metrics.tables.iter().map(|(name, m)| TableRow {
            name: name.clone(),
            records: read(&m.records),
            applied: read(&m.applied),
            deletions: read(&m.deletions),
            dead_letters: read(&m.dead_letters),
            operations: read(&m.operations),
            refused: read(&m.table.refused),
            superseded: read(&m.table.superseded),
            ambiguous: read(&m.table.ambiguous),
            expired: read(&m.table.expired),
            late: read(&m.late),
            repeated: read(&m.table.repeated),
            ids: read(&m.table.ids),
            stale: read(&m.table.stale),
            swaps: read(&m.table.swaps),
            rows: read(&m.table.rows),
            hidden: read(&m.table.hidden),
        });
        let sinks = metrics.sinks.iter().map(|(name, m)| SinkRow {
            name: name.clone(),
            upserts: read(&m.upserts),
            deletes: read(&m.deletes),
            bytes: read(&m.bytes),
            detached: m.detached.load(Relaxed),
        });
        Summary {
            name: name.to_owned(),
            outcome,
            seconds: elapsed.as_secs_f64(),
            workers,
            dead_letters_path: dead_letters.display().to_string(),
            tables: tables.collect(),
            sinks: sinks.collect(),
            rejected: metrics.operators.iter().map(|(name, m)| (name.clone(), read(&m.rejected))).collect(),
        }
    }

    fn dead_letters(&self) -> u64 {
        self.sinks.iter().filter(|s| s.name == DEAD_LETTERS).map(|s| s.upserts).sum()
    }

    /// For programs.
    pub fn json(&self) -> String {
        let outcome = match self.outcome {
            Outcome::Complete => "complete",
            Outcome::NothingWritten => "nothing_written",
            Outcome::NotDrained => "not_drained",
            Outcome::Detached => "detached",
        };
        let tables = self.tables.iter().map(|t| {
            let counts = json!({
                "records": t.records, "applied": t.applied, "deletions": t.deletions, "dead_letters": t.dead_letters,
                "superseded": t.superseded, "ambiguous": t.ambiguous, "expired": t.expired, "late": t.late, "repeated": t.repeated, "ids": t.ids,
                "operations": t.operations, "refused": t.refused, "stale": t.stale, "swaps": t.swaps, "rows": t.rows, "hidden": t.hidden,
            });
            (t.name.clone(), counts)
        });
        let sinks = self.sinks.iter().map(|s| {
            let counts =
                json!({ "upserts": s.upserts, "deletes": s.deletes, "bytes": s.bytes, "detached": s.detached });
            (s.name.clone(), counts)
        });
        let rejected = self.rejected.iter().map(|(name, n)| (name.clone(), json!(n)));
        json!({
            "pipeline": self.name,
            "outcome": outcome,
            "seconds": self.seconds,
            "workers": self.workers,
            "tables": tables.collect::<serde_json::Map<String, Value>>(),
            "rejected": rejected.collect::<serde_json::Map<String, Value>>(),
            "sinks": sinks.collect::<serde_json::Map<String, Value>>(),
            "dead_letters": { "count": self.dead_letters(), "path": self.dead_letters_path },
        })
        .to_string()
    }

    /// For people.
    pub fn text(&self) -> String {
        let count = |n: u64| HumanCount(n).to_string();
        let rate = |n: u64| HumanCount((n as f64 / self.seconds.max(0.001)) as u64).to_string();
        let mut tables = table(&[
            "table",
            "records",
            "= rows applied",
            "+ deletions",
            "+ dead letters",
            "superseded",
            "rows now",
            "records/s",
        ]);
        for t in &self.tables {
            tables.add_row([
                t.name.clone(),
                count(t.records),
                count(t.applied),
                count(t.deletions),
                count(t.dead_letters),
                count(t.superseded),
                count(t.rows),
                rate(t.records),
            ]);
        }
        let mut sinks = table(&["sink", "rows written", "rows deleted", "bytes", "rows/s"]);
        for s in self.sinks.iter().filter(|s| s.name != DEAD_LETTERS) {
            let bytes = if s.bytes == 0 { "-".to_owned() } else { HumanBytes(s.bytes).to_string() };
            let name = if s.detached { format!("{} (detached)", s.name) } else { s.name.clone() };
            sinks.add_row([name, count(s.upserts), count(s.deletes), bytes, rate(s.upserts + s.deletes)]);
        }
        let mut text = format!("{tables}\n{sinks}\n");
        for (name, rejected) in self.rejected.iter().filter(|(_, n)| *n > 0) {
            text.push_str(&format!("{name}: {} rejected, see {name}.rejected\n", counted(*rejected, "document")));
        }
        for t in self.tables.iter().filter(|t| t.ambiguous > 0) {
            let hint = "their order is that of the partitions; `version:` would give them one of their own";
            text.push_str(&format!(
                "{}: {} met another of the same key from another partition: {hint}\n",
                t.name,
                counted(t.ambiguous, "record")
            ));
        }
        for t in self.tables.iter().filter(|t| t.expired > 0) {
            text.push_str(&format!(
                "{}: {} gone, or never there: older than `retention:` keeps them\n",
                t.name,
                counted(t.expired, "row")
            ));
        }
        for t in self.tables.iter().filter(|t| t.late > 0) {
            let events = counted(t.late, "event");
            text.push_str(&format!("{}: {events} came too late, see the dead letters\n", t.name));
        }
        for t in self.tables.iter().filter(|t| t.repeated > 0) {
            text.push_str(&format!("{}: {} again, and counted once\n", t.name, counted(t.repeated, "event")));
        }
        text.extend(self.tables.iter().flat_map(of_operations));
        if self.dead_letters() > 0 {
            text.push_str(&format!("{} in {}\n", counted(self.dead_letters(), "dead letter"), self.dead_letters_path));
        }
        let workers = counted(self.workers as u64, "worker");
        text.push_str(&format!("{} in {:.2} s on {workers}", self.name, self.seconds));
        text
    }
}

/// What there is to say of a table's operations, a line each.
fn of_operations(t: &TableRow) -> Vec<String> {
    let records = |n: u64| counted(n, "record");
    let swaps = counted(t.swaps, "operation");
    let said = [
        (t.operations, format!("{} about operations; the rows of {swaps} came to be shown", records(t.operations))),
        (t.refused, format!("{} refused that would end an operation a second time", records(t.refused))),
        (t.hidden, format!("{} of operations that are not finished", counted(t.hidden, "row"))),
        (t.stale, format!("{} dropped, of operations that are canceled or older than what is shown", records(t.stale))),
    ];
    let said = said.into_iter().filter(|(count, _)| *count > 0);
    said.map(|(_, said)| format!("{}: {said}\n", t.name)).collect()
}
