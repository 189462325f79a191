//! Kernels in a dataflow.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use differential_dataflow::{AsCollection, VecCollection};
use flowstone_operators::overlap::{OverlapOptions, overlap_join};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::Operator;
use timely::dataflow::operators::{Input as _, Probe};
use timely::dataflow::{InputHandle, ProbeHandle};

use super::common::{Run, Stopwatch};
use super::{Input, Keyed, MEAN, Row, checksum};

/// A way to join.
#[derive(Clone, Copy)]
pub enum Join {
    /// `overlap_join`.
    Overlap,
    /// differential's own: a copy of each row in each bucket that it covers, joined by bucket.
    Buckets,
}

type Keys<'scope> = VecCollection<'scope, u64, Keyed, isize>;
type Pairs<'scope> = VecCollection<'scope, u64, (u32, u32), isize>;

fn overlap<'scope>(left: Keys<'scope>, right: Keys<'scope>) -> Pairs<'scope> {
    let options = OverlapOptions::new(|row: &Row| row.0, |row: &Row| row.0);
    overlap_join(left, right, options, |_, a, b| (a.1, b.1))
}

fn buckets<'scope>(left: Keys<'scope>, right: Keys<'scope>) -> Pairs<'scope> {
    // As wide as rows are long on average was the quickest of several widths.
    let bucket = |ns: i64| ns / MEAN;
    let copies = move |(key, row): Keyed| {
        (bucket(row.0.start_ns())..=bucket(row.0.end_ns() - 1)).map(move |bucket| ((key, bucket), row))
    };
    let left = left.flat_map(copies).arrange_by_key();
    let right = right.flat_map(copies).arrange_by_key();
    left.join_core(right, move |(_, at), a, b| {
        let both = a.0.intersection(&b.0)?;
        // Only in the first bucket that both cover.
        (bucket(both.start_ns()) == *at).then_some((a.1, b.1))
    })
}

/// Joins the rows on so many workers, cut into so many epochs.
pub fn run(input: &Input, workers: usize, steps: usize, join: Join) -> Run {
    // Threads take it by reference count; the copy is not timed.
    let sides = Arc::new((input.left.clone(), input.right.clone()));
    let (rows, sum) = (Arc::new(AtomicI64::new(0)), Arc::new(AtomicU64::new(0)));
    let latencies = Arc::new(Mutex::new(vec![Duration::ZERO; steps]));
    let total = (rows.clone(), sum.clone(), latencies.clone());
    let clock = Stopwatch::start();
    let guards = timely::execute(timely::Config::process(workers), move |worker| {
        let (mut left, mut right) = (InputHandle::new(), InputHandle::new());
        let probe = ProbeHandle::new();
        let (rows, sum) = (rows.clone(), sum.clone());
        worker.dataflow::<u64, _, _>(|scope| {
            let left = scope.input_from(&mut left).container::<Vec<(Keyed, u64, isize)>>().as_collection();
            let right = scope.input_from(&mut right).container::<Vec<(Keyed, u64, isize)>>().as_collection();
            let pairs = match join {
                Join::Overlap => overlap(left, right),
                Join::Buckets => buckets(left, right),
            };
            let summed = pairs.inner.unary::<CapacityContainerBuilder<Vec<()>>, _, _, _>(Pipeline, "Sum", |_, _| {
                move |input, _| {
                    let (mut count, mut part) = (0, 0_u64);
                    input.for_each(|_, data| {
                        for ((a, b), _, diff) in data.drain(..) {
                            count += diff as i64;
                            part = part.wrapping_add(checksum(a, b).wrapping_mul(diff as u64));
                        }
                    });
                    rows.fetch_add(count, Relaxed);
                    sum.fetch_add(part, Relaxed);
                }
            });
            summed.probe_with(&probe);
        });
        let part = |side: &[Keyed], step: usize| side.len() * step / steps;
        for step in 0..steps {
            let started = Instant::now();
            let epoch = step as u64;
            for (side, input) in [(&sides.0, &mut left), (&sides.1, &mut right)] {
                let range = part(side, step)..part(side, step + 1);
                let own = |n: usize| range.start + (range.len() * n) / worker.peers();
                for rows in side[own(worker.index())..own(worker.index() + 1)].chunks(1 << 10) {
                    input.send_batch(&mut rows.iter().map(|row| (*row, epoch, 1)).collect());
                    worker.step();
                }
            }
            if step + 1 < steps {
                left.advance_to(epoch + 1);
                right.advance_to(epoch + 1);
                worker.step_while(|| probe.less_than(&(epoch + 1)));
                let mut latencies = latencies.lock().expect("no worker panicked");
                latencies[step] = latencies[step].max(started.elapsed());
            }
        }
        left.close();
        right.close();
        worker.step_while(|| !probe.done());
    });
    guards.expect("workers start").join().into_iter().for_each(|result| result.expect("workers end well"));
    let (rows, sum, latencies) = total;
    let mut steps = latencies.lock().expect("no worker panicked").clone();
    steps.pop(); // the last one ends with the dataflow
    clock.stop(steps, rows.load(Relaxed), sum.load(Relaxed))
}
