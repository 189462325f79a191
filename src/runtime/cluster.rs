//! Several processes: who they are, and how they agree on a start.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use timely::dataflow::ProbeHandle;
use timely::dataflow::operators::vec::Broadcast;
use timely::dataflow::operators::{Inspect, Probe, ToStream};
use timely::worker::Worker;

use super::Control;
use super::start::Start;

/// The processes of a run. Their links are neither encrypted nor authenticated: loopback or a private network only.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cluster {
    /// `host:port` of every process, the same list in each of them. Fewer than two: no cluster.
    pub hosts: Vec<String>,
    /// Which of them this is.
    pub process: usize,
}

/// How long a worker sleeps at most, so that it sees requests to stop.
pub(super) const PARK: Duration = Duration::from_millis(50);

impl Cluster {
    /// Whether this process has worker 0, which opens the journal and the stores.
    pub fn is_first(&self) -> bool {
        self.process == 0
    }

    pub(super) fn config(&self, workers: usize) -> timely::Config {
        if self.hosts.len() < 2 {
            return timely::Config::process(workers);
        }
        let communication = timely::CommunicationConfig::Cluster {
            threads: workers,
            process: self.process,
            addresses: self.hosts.clone(),
            report: false,
            zerocopy: false,
        };
        timely::Config { communication, worker: timely::WorkerConfig::default() }
    }
}

/// How long a process waits for the others to start.
const PEERS_PATIENCE: Duration = Duration::from_secs(120);

/// Ends the process if the others of its cluster do not start: the library waits for them for ever. The result is to be set
/// once they have.
pub(super) fn expect_peers(cluster: &Cluster) -> Arc<AtomicBool> {
    let met = Arc::new(AtomicBool::new(cluster.hosts.len() < 2));
    if !met.load(SeqCst) {
        let (seen, hosts) = (met.clone(), cluster.hosts.join(", "));
        let watch = move || {
            std::thread::sleep(PEERS_PATIENCE);
            if !seen.load(SeqCst) {
                let seconds = PEERS_PATIENCE.as_secs();
                eprintln!(
                    "error: not all processes of the run were there after {seconds} s; start one for each of {hosts}, with the same list, and see what those that have ended said"
                );
                std::process::exit(1);
            }
        };
        std::thread::Builder::new().name("peers".to_owned()).spawn(watch).expect("the system can start a thread");
    }
    met
}

/// Worker 0 tells all others, in this process and in others, how the run starts. They must not look for themselves: opening
/// the journal fences whoever opened it before. `None` if the run is to end.
pub(super) fn agree(worker: &mut Worker, start: Option<Start>, control: &Control) -> Option<Start> {
    let told = Rc::new(RefCell::new(None));
    let (tell, done) = (told.clone(), ProbeHandle::new());
    // As text: what leaves out fields that are empty can not be read back from the binary form of the links.
    let start = start.map(|start| serde_json::to_string(&start).expect("a start is plain data"));
    worker.dataflow::<u64, _, _>(|scope| {
        let starts = start.to_stream(scope).container::<Vec<_>>().broadcast();
        starts.inspect(move |start: &String| *tell.borrow_mut() = Some(start.clone())).probe_with(&done);
    });
    while !done.done() && !control.must_end() {
        worker.step_or_park(Some(PARK));
    }
    let told = told.take();
    told.map(|start| serde_json::from_str(&start).expect("the processes run the same program"))
}
