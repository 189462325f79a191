//! Time on the wall and of the processor.

use std::time::Instant;

use serde_json::json;

/// What the system counts processor time in, on Linux.
const TICKS_PER_SECOND: f64 = 100.0;

/// Measures from when it was made.
pub struct Clock {
    start: Instant,
    cpu_s: f64,
}

impl Clock {
    pub fn start() -> Self {
        Clock { start: Instant::now(), cpu_s: cpu_s() }
    }

    /// Prints what was done since.
    pub fn print(&self, count: usize, bytes: usize) {
        let (wall_s, cpu_s) = (self.start.elapsed().as_secs_f64(), cpu_s() - self.cpu_s);
        println!("{}", json!({ "count": count, "bytes": bytes, "wall_s": wall_s, "cpu_s": cpu_s }));
    }
}

/// Processor time of this process so far, user's and system's.
fn cpu_s() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name, in parentheses, may have spaces.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |field: usize| fields.get(field).and_then(|text| text.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(11) + ticks(12)) / TICKS_PER_SECOND
}
