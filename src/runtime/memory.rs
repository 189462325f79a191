//! The memory that a run may take, and what it takes.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use flowstone_operators::reaper::Reaper;

use super::RunError;
use super::control::Control;
use super::metrics::{Metrics, read};
use crate::sink::gauge::{Gauge, Gauges};
use crate::source::Limits;

type Range = std::ops::RangeInclusive<u64>;

/// How often the process looks at itself.
const LOOK_DELAY: Duration = Duration::from_millis(250);

/// What of the memory may wait at the sinks, as documents: what is beyond that waits in the sources.
const WAITING_SHARE: u64 = 8;
const WAITING_BYTES: Range = 8 << 20..=1 << 30;

/// What of the memory may be on its way into stores: operators put out no more than they can write.
const WRITING_SHARE: u64 = 64;
const WRITING_BYTES: Range = 4 << 20..=64 << 20;

/// What of the memory may be in flight, as input: each byte of it costs several until it is written.
const IN_FLIGHT_SHARE: u64 = 48;
const IN_FLIGHT_BYTES: Range = 4 << 20..=256 << 20;

/// What `memory:` comes to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Memory {
    /// A run that takes more ends with an error.
    pub limit_bytes: u64,
}

impl Memory {
    /// As the pipeline says, or three quarters of what the machine has.
    pub fn new(limit_bytes: Option<u64>) -> Self {
        Memory { limit_bytes: limit_bytes.or_else(|| machine_bytes().map(|all| all / 4 * 3)).unwrap_or(u64::MAX) }
    }

    /// How much may wait at the sinks.
    pub fn gauges(&self) -> Gauges {
        let share = |share: u64, bytes: Range| (self.limit_bytes / share).clamp(*bytes.start(), *bytes.end());
        Gauges {
            waiting: Arc::new(Gauge::new(share(WAITING_SHARE, WAITING_BYTES))),
            writing: Arc::new(Gauge::new(share(WRITING_SHARE, WRITING_BYTES))),
        }
    }

    /// How much of each worker's share of a source may be in flight.
    pub fn limits(&self, shares: usize) -> Limits {
        let (least, most) = (*IN_FLIGHT_BYTES.start(), *IN_FLIGHT_BYTES.end());
        let bytes = (self.limit_bytes / IN_FLIGHT_SHARE).min(most) / shares.max(1) as u64;
        Limits { unsealed_bytes: bytes.max(least), unwritten_bytes: bytes.max(least) }
    }

    /// A thread that ends the run if it takes more than it may, before the system ends something else.
    pub fn watch(self, control: Arc<Control>, metrics: Arc<Metrics>, waiting: Arc<Gauge>) {
        let watch = move || {
            // The control of a run that is over has no other owner.
            while Arc::strong_count(&control) > 1 {
                let used_bytes = resident_bytes().unwrap_or(0);
                metrics.resident_bytes.store(used_bytes, Relaxed);
                metrics.waiting_bytes.store(waiting.held_bytes(), Relaxed);
                if used_bytes > self.limit_bytes {
                    let limit_bytes = self.limit_bytes;
                    let holders = holders(&metrics, &waiting);
                    control.fail(RunError::Memory { used_bytes, limit_bytes, holders });
                    return;
                }
                std::thread::sleep(LOOK_DELAY);
            }
        };
        std::thread::Builder::new().name("memory".to_owned()).spawn(watch).expect("the system can start a thread");
    }
}

/// Frees what is left of a run beside whoever goes on.
pub(super) fn reaper() -> Reaper {
    Reaper::new(|state| {
        // Without a thread it is freed here, with the closure that could not be started.
        let _ = std::thread::Builder::new().name("free".to_owned()).spawn(move || drop(state));
    })
}

/// What holds memory, for people.
fn holders(metrics: &Metrics, waiting: &Gauge) -> String {
    let tables = metrics.tables.iter().map(|(name, table)| {
        format!("table {name:?} has {} rows", read(&table.table.rows) + read(&table.table.hidden))
    });
    let waiting = format!("{} MB wait at the sinks", waiting.held_bytes() / 1_000_000);
    tables.chain([waiting]).collect::<Vec<_>>().join(", ")
}

/// What this process has in memory; unknown outside of Linux.
pub(crate) fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    kilobytes(&status, "VmRSS:")
}

/// The most that this process ever had in memory; unknown outside of Linux.
pub(crate) fn peak_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    kilobytes(&status, "VmHWM:")
}

/// What the machine has, or the part of it that the process may use.
fn machine_bytes() -> Option<u64> {
    let all = kilobytes(&std::fs::read_to_string("/proc/meminfo").ok()?, "MemTotal:")?;
    let group = std::fs::read_to_string("/sys/fs/cgroup/memory.max").ok();
    let group = group.and_then(|text| text.trim().parse().ok());
    Some(group.map_or(all, |group: u64| group.min(all)))
}

fn kilobytes(text: &str, field: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(field))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kilobytes| kilobytes << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_from_the_system() {
        assert_eq!(kilobytes("Name: x\nVmRSS:\t  123 kB\n", "VmRSS:"), Some(123 << 10));
        assert_eq!(kilobytes("Name: x\n", "VmRSS:"), None);
    }

    #[test]
    fn shares_have_bounds() {
        let small = Memory::new(Some(1 << 20));
        assert_eq!(small.limits(4).unsealed_bytes, 4 << 20);
        let large = Memory::new(Some(1 << 40));
        assert_eq!(large.limits(1).unsealed_bytes, 256 << 20);
        assert_eq!(large.limits(4).unsealed_bytes, 64 << 20);
    }
}
