//! What the comparisons share: random numbers, arguments, and reports.

#![allow(dead_code)] // each comparison is a program of its own, and none uses everything

pub mod driver;
pub mod ratio;

use std::fmt::Write as _;
use std::time::{Duration, Instant};

/// A seeded generator (splitmix64): the same numbers for ever, whatever the versions of libraries.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Random(seed)
    }

    /// The next 64 random bits.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mix(self.0)
    }

    /// Less than `n`.
    pub fn below(&mut self, n: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(n)) >> 64) as u64
    }

    /// Exponentially distributed, at least 1.
    pub fn length(&mut self, mean: f64) -> i64 {
        let uniform = (self.next() >> 11) as f64 / (1_u64 << 53) as f64;
        (-mean * (1.0 - uniform).ln()).ceil().max(1.0) as i64
    }

    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for n in (1..items.len()).rev() {
            items.swap(n, self.below(n as u64 + 1) as usize);
        }
    }
}

/// Spreads bits. A checksum is the wrapping sum of what this gives of each row, times its multiplicity.
pub fn mix(bits: u64) -> u64 {
    let bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    bits ^ (bits >> 31)
}

/// The arguments `--name value` and `--flag` of the command line.
pub struct Args(Vec<String>);

impl Args {
    pub fn parse() -> Self {
        Args(std::env::args().skip(1).collect())
    }

    /// The same, with another default of what is not said.
    pub fn or(mut self, name: &str, value: &str) -> Self {
        if !self.flag(name) {
            self.0.extend([name.to_owned(), value.to_owned()]);
        }
        self
    }

    pub fn flag(&self, name: &str) -> bool {
        self.0.iter().any(|arg| arg == name)
    }

    /// The text after `name`.
    pub fn text(&self, name: &str) -> Option<&str> {
        let at = self.0.iter().position(|arg| arg == name)?;
        self.0.get(at + 1).map(String::as_str)
    }

    /// The number after `name`; ends the program if there is something else.
    pub fn number(&self, name: &str, default: u64) -> u64 {
        if !self.flag(name) {
            return default;
        }
        match self.text(name).map(|value| value.replace('_', "").parse()) {
            Some(Ok(value)) => value,
            _ => {
                eprintln!("error: {name} needs a number");
                std::process::exit(2);
            }
        }
    }
}

/// What one run of a kernel gave.
#[derive(Clone, Debug)]
pub struct Run {
    pub elapsed: Duration,
    /// Processor time of all threads.
    pub used: Duration,
    /// Of each step, if there are any.
    pub steps: Vec<Duration>,
    /// How many rows came out, and their checksum.
    pub rows: i64,
    pub checksum: u64,
}

impl Run {
    /// Times a kernel that gives the number of rows and their checksum.
    pub fn of(kernel: impl FnOnce() -> (i64, u64)) -> Self {
        let clock = Stopwatch::start();
        let (rows, checksum) = kernel();
        clock.stop(Vec::new(), rows, checksum)
    }
}

/// Times a run.
pub struct Stopwatch {
    started: Instant,
    used: Duration,
}

impl Stopwatch {
    pub fn start() -> Self {
        Stopwatch { started: Instant::now(), used: processor_time() }
    }

    pub fn stop(self, steps: Vec<Duration>, rows: i64, checksum: u64) -> Run {
        let (elapsed, used) = (self.started.elapsed(), processor_time() - self.used);
        Run { elapsed, used, steps, rows, checksum }
    }
}

fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.try_into().expect("processor time is not negative")
}

/// A way to find the answer; `R` is what a run of it gives.
pub struct Kernel<'a, R = Run> {
    name: String,
    run: Box<dyn FnMut() -> R + 'a>,
}

impl<'a, R> Kernel<'a, R> {
    pub fn new(name: impl Into<String>, run: impl FnMut() -> R + 'a) -> Self {
        Kernel { name: name.into(), run: Box::new(run) }
    }
}

/// Runs kernels by turns: so often as `--runs` says; once if that took more than `--once-over` seconds. `--only` and
/// `--without` choose by parts of names.
pub fn take_turns<R>(args: &Args, mut kernels: Vec<Kernel<'_, R>>) -> Vec<(String, Vec<R>)> {
    kernels.retain(|kernel| args.text("--only").is_none_or(|part| kernel.name.contains(part)));
    kernels.retain(|kernel| args.text("--without").is_none_or(|part| !kernel.name.contains(part)));
    let once_over = Duration::from_secs(args.number("--once-over", 20));
    let mut taken: Vec<(String, Vec<R>)> = kernels.iter().map(|kernel| (kernel.name.clone(), Vec::new())).collect();
    let mut longest = vec![Duration::ZERO; kernels.len()];
    for _ in 0..args.number("--runs", 5) {
        for (n, kernel) in kernels.iter_mut().enumerate() {
            if longest[n] > once_over {
                continue;
            }
            let started = Instant::now();
            let run = (kernel.run)();
            let taken = &mut taken[n].1;
            taken.push(run);
            longest[n] = longest[n].max(started.elapsed());
        }
    }
    taken.retain(|(_, runs)| !runs.is_empty());
    taken
}

/// A kernel and its runs.
pub struct Timed {
    pub name: String,
    pub runs: Vec<Run>,
}

impl Timed {
    fn best(&self) -> &Run {
        self.runs.iter().min_by_key(|run| run.elapsed).expect("every kernel runs")
    }

    /// The best time.
    pub fn milliseconds(&self) -> f64 {
        self.best().elapsed.as_secs_f64() * 1e3
    }

    /// The least processor time.
    pub fn processor_milliseconds(&self) -> f64 {
        self.runs.iter().map(|run| run.used.as_secs_f64() * 1e3).fold(f64::INFINITY, f64::min)
    }

    /// The latency of so many hundredths of the steps: the least of all runs.
    pub fn percentile(&self, hundredths: usize) -> Option<f64> {
        let of_run = |run: &Run| {
            let mut steps = run.steps.clone();
            steps.sort_unstable();
            let at = (steps.len() * hundredths).div_ceil(100).max(1);
            steps.get(at - 1).map(|step| step.as_secs_f64() * 1e3)
        };
        self.runs.iter().filter_map(of_run).min_by(f64::total_cmp)
    }
}

/// Runs kernels of the same question by turns and reports on them.
pub fn compare(title: &str, args: &Args, kernels: Vec<Kernel<'_>>) -> bool {
    let timed: Vec<Timed> = take_turns(args, kernels).into_iter().map(|(name, runs)| Timed { name, runs }).collect();
    report(title, args, &timed, None)
}

/// Tells the best times of kernels as multiples of the first's.
///
/// Returns whether all gave the same rows; those that are expected, if they are known.
pub fn report(title: &str, args: &Args, kernels: &[Timed], expected: Option<(i64, u64)>) -> bool {
    let Some(first) = kernels.first() else { return true };
    let expected = expected.unwrap_or((first.runs[0].rows, first.runs[0].checksum));
    let same = |kernel: &Timed| kernel.runs.iter().all(|run| (run.rows, run.checksum) == expected);
    println!("{}", if args.flag("--json") { json(title, kernels) } else { table(title, kernels) });
    for kernel in kernels.iter().filter(|kernel| !same(kernel)) {
        let Run { rows, checksum, .. } = kernel.best();
        let (name, (right, sum)) = (&kernel.name, expected);
        eprintln!("error: {title}: {name} gives {rows} rows, {checksum:016x}, not {right} rows, {sum:016x}");
    }
    kernels.iter().all(same)
}

/// The runs of each phase, of kernels that have several.
pub fn by_phase(taken: &[(String, Vec<Vec<Run>>)], phase: usize) -> Vec<Timed> {
    let of_phase = |(name, runs): &(String, Vec<Vec<Run>>)| {
        let runs: Vec<Run> = runs.iter().filter_map(|run| run.get(phase).cloned()).collect();
        (!runs.is_empty()).then(|| Timed { name: name.clone(), runs })
    };
    taken.iter().filter_map(of_phase).collect()
}

/// The name of a kernel in a dataflow.
pub fn named(name: &str, workers: usize) -> String {
    format!("{name}, {workers} worker{}", if workers == 1 { "" } else { "s" })
}

/// The numbers of workers to run dataflows with: 1 and 2, or that of `--workers`.
pub fn workers(args: &Args) -> Vec<usize> {
    if args.flag("--workers") { vec![args.number("--workers", 1).max(1) as usize] } else { vec![1, 2] }
}

fn table(title: &str, kernels: &[Timed]) -> String {
    let (first, first_cpu) = (kernels[0].milliseconds(), kernels[0].processor_milliseconds());
    let Run { rows, checksum, .. } = kernels[0].best();
    let mut text = format!("{title}: {rows} rows, checksum {checksum:016x}\n");
    let columns = ["best ms", "×", "cpu ms", "×", "p50 ms", "p99 ms", "max ms"];
    let _ = write!(text, "{:<40}", "");
    for name in columns {
        let _ = write!(text, " {name:>9}");
    }
    text.push('\n');
    for kernel in kernels {
        let (ms, cpu) = (kernel.milliseconds(), kernel.processor_milliseconds());
        let _ = write!(text, "{:<40} {ms:>9.1} {:>9.2}", kernel.name, ms / first);
        let _ = write!(text, " {cpu:>9.1} {:>9.2}", cpu / first_cpu);
        for hundredths in [50, 99, 100] {
            let _ = match kernel.percentile(hundredths) {
                Some(ms) => write!(text, " {ms:>9.2}"),
                None => Ok(()),
            };
        }
        text.push('\n');
    }
    text
}

fn json(title: &str, kernels: &[Timed]) -> String {
    let of_kernel = |kernel: &Timed| {
        let Run { rows, checksum, .. } = kernel.best();
        serde_json::json!({
            "name": kernel.name,
            "best_ms": kernel.milliseconds(),
            "all_ms": kernel.runs.iter().map(|run| run.elapsed.as_secs_f64() * 1e3).collect::<Vec<_>>(),
            "best_processor_ms": kernel.processor_milliseconds(),
            "p50_ms": kernel.percentile(50),
            "p99_ms": kernel.percentile(99),
            "max_ms": kernel.percentile(100),
            "rows": rows,
            "checksum": format!("{checksum:016x}"),
        })
    };
    serde_json::json!({ "title": title, "kernels": kernels.iter().map(of_kernel).collect::<Vec<_>>() }).to_string()
}
