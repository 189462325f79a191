//! The committer in a dataflow, with a journal in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use flowstone_journal::{Entry, Journal, Keeper, SinkState, Standing, State};
use timely::dataflow::operators::generic::operator::empty;
use timely::dataflow::operators::{Input, Inspect};

use super::committer::{Commit, Committing, committer};
use crate::sink::lag::Detach;

/// No test takes longer.
const LIMIT: Duration = Duration::from_secs(30);

fn sink(standing: Standing) -> Option<SinkState> {
    Some(SinkState { standing, store: None, mark: None, stream: false, detached_unix_ms: None })
}

/// Law L10: whoever drops what a sink was to get must be able to die at once.
#[test]
fn a_sink_is_told_that_it_is_detached_when_that_is_durable() {
    for _ in 0..20 {
        let journal = Journal::in_memory();
        let mut keeper = Keeper::open(journal.clone()).unwrap();
        let names = ["store", "lines", "other"];
        let sinks = names.map(|name| (name.to_owned(), sink(Standing::Upper(5)))).into();
        keeper.append(Entry { sinks, ..Entry::default() }).unwrap();
        let commit = Commit {
            keeper,
            found: Box::new(Vec::new),
            on_error: Box::new(|error| panic!("{error}")),
            progress: BTreeMap::new(),
            streams: BTreeSet::from(["lines".to_owned()]),
            unix_ms: || 77,
        };
        let (told, seen) = (Detach { sinks: vec![0, 1] }, Arc::new(Mutex::new(Vec::<(Detach, State)>::new())));
        let (sent, keep) = (told.clone(), seen.clone());
        let commit = Mutex::new(Some(commit));
        timely::execute_directly(move |worker| {
            let (mut late, open) = worker.dataflow::<u64, _, _>(|scope| {
                let (late, late_stream) = scope.new_input::<Vec<Detach>>();
                let (open, shares) = scope.new_input();
                let acks = names.map(|name| (name.to_owned(), empty(scope))).into();
                let input =
                    Committing { shares, reveals: empty(scope), hydrated: empty(scope), acks, late: late_stream };
                let committed = committer(input, commit.lock().unwrap().take());
                let look = move |detach: &Detach| (detach.clone(), journal.read().unwrap().unwrap());
                committed.detached.inspect(move |detach| keep.lock().unwrap().push(look(detach)));
                (late, open)
            });
            late.send(sent);
            late.flush();
            let start = Instant::now();
            while seen.lock().unwrap().is_empty() {
                assert!(start.elapsed() < LIMIT, "told in time");
                worker.step_or_park(Some(Duration::from_millis(5)));
            }
            drop((late, open));
            let (detach, state) = seen.lock().unwrap().remove(0);
            assert_eq!(detach, told);
            let standing = names.map(|name| (state.sinks[name].standing.clone(), state.sinks[name].detached_unix_ms));
            let expected =
                [(Standing::AwaitingReveal, Some(77)), (Standing::Upper(5), Some(77)), (Standing::Upper(5), None)];
            assert_eq!(standing, expected, "as of the moment when it was told");
        });
    }
}
