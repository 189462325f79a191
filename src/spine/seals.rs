//! Which epochs the next entry of the manifest seals, and what it records of the sinks.

use std::collections::BTreeMap;

use flowstone_journal::{Entry, NewPart, Seal, SinkState, Standing};

use super::part_writer::Share;
use crate::source::messages::Binding;

/// The committer's state, without a dataflow around it.
pub(super) struct Seals {
    /// Epochs that workers have contributed to and that are not sealed.
    open: BTreeMap<u64, Open>,
    /// What the manifest says of the sinks.
    pub(super) sinks: BTreeMap<String, SinkState>,
    sealed: u64,
}

#[derive(Default)]
struct Open {
    bindings: Vec<Binding>,
    parts: Vec<NewPart>,
    reveal: bool,
}

/// How far a sink is, as its acknowledgements say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Acknowledged {
    /// All epochs below were acknowledged; `None`: all.
    pub(super) upper: Option<u64>,
    /// For sinks with a mark: the upper that it belongs to, and the mark. To be read *after* `upper`.
    pub(super) marked: Option<(u64, String)>,
}

impl Seals {
    pub(super) fn new(sealed: u64, sinks: BTreeMap<String, SinkState>) -> Self {
        Seals { open: BTreeMap::new(), sinks, sealed }
    }

    pub(super) fn contribute(&mut self, epoch: u64, share: Share) {
        let open = self.open.entry(epoch).or_default();
        open.bindings.extend(share.bindings);
        open.parts.extend(share.part);
    }

    /// The epoch shows what was hidden; it is sealed even if nothing else happens in it.
    pub(super) fn reveal(&mut self, epoch: u64) {
        self.open.entry(epoch).or_default().reveal = true;
    }

    /// Whether an epoch waits to be sealed, when everything below `frontier` is complete.
    pub(super) fn is_ready(&self, frontier: Option<u64>) -> bool {
        self.open.keys().next().is_some_and(|epoch| frontier.is_none_or(|f| *epoch < f))
    }

    /// What is to be recorded of the sinks that differs from what is.
    ///
    /// An idle frontier runs ahead of what was sealed. It must not be recorded: after a clock step back, the next run would open
    /// epochs that the sink would take for written.
    pub(super) fn changed_sinks<'a>(
        &self,
        acknowledged: impl Iterator<Item = (&'a str, Acknowledged)>,
    ) -> BTreeMap<String, SinkState> {
        let mut changed = BTreeMap::new();
        for (name, acknowledged) in acknowledged {
            let recorded = self.sinks.get(name).filter(|recorded| recorded.detached_unix_ms.is_none());
            let Some(recorded) = recorded else { continue };
            let now = self.sink(recorded, acknowledged);
            if now != *recorded {
                changed.insert(name.to_owned(), now);
            }
        }
        changed
    }

    fn sink(&self, recorded: &SinkState, acknowledged: Acknowledged) -> SinkState {
        let mut now = recorded.clone();
        let mut upper = acknowledged.upper.unwrap_or(u64::MAX).min(self.sealed + 1);
        if let Some((marked, mark)) = acknowledged.marked {
            // The mark says what was written below its own upper, which may be ahead of the acknowledgements.
            upper = upper.max(marked);
            if upper > self.sealed + 1 {
                return now;
            }
            now.mark = Some(mark);
        }
        now.standing = match now.standing {
            Standing::Upper(before) => Standing::Upper(before.max(upper)),
            Standing::Filling { at } if upper > at => Standing::Upper(upper),
            standing => standing,
        };
        if now.standing == recorded.standing { recorded.clone() } else { now }
    }

    /// The states of sinks that are given up at this time: nothing is recorded of them any more until the next run. Each with
    /// whether it is a stream. `sinks` is what else is to be recorded; what it says of them is taken in.
    ///
    /// The next run fills them. A stream can not be filled, and need not be: its rows stay in the journal until its store has
    /// them, so its upper stands.
    pub(super) fn detached<'a>(
        &self,
        given_up: impl Iterator<Item = (&'a str, bool)>,
        sinks: &BTreeMap<String, SinkState>,
        unix_ms: u64,
    ) -> BTreeMap<String, SinkState> {
        let mut detached = BTreeMap::new();
        for (name, is_stream) in given_up {
            let Some(before) = sinks.get(name).or_else(|| self.sinks.get(name)) else { continue };
            if before.detached_unix_ms.is_some() {
                continue;
            }
            let mut now = SinkState { detached_unix_ms: Some(unix_ms), ..before.clone() };
            if !is_stream {
                now.standing = Standing::AwaitingReveal;
            }
            detached.insert(name.to_owned(), now);
        }
        detached
    }

    /// Everything that is complete before `frontier`, as one entry; with it the sinks' states.
    pub(super) fn entry(&mut self, frontier: Option<u64>, mut sinks: BTreeMap<String, SinkState>) -> Entry {
        let later = frontier.map(|f| self.open.split_off(&f)).unwrap_or_default();
        let ready = std::mem::replace(&mut self.open, later);
        self.sealed = ready.keys().next_back().copied().unwrap_or(self.sealed);
        self.sinks.extend(sinks.iter().map(|(name, state)| (name.clone(), state.clone())));
        let mut entry = Entry::default();
        let mut stored: BTreeMap<String, usize> = BTreeMap::new();
        for (epoch, Open { bindings, parts, reveal }) in ready {
            for part in parts {
                // The epochs of a part are neighbours: no other epoch of its worker lies between them.
                if let NewPart::Stored { name, .. } = &part {
                    if let Some(at) = stored.get(name) {
                        let (_, _, last) = &mut entry.parts[*at];
                        *last = epoch;
                        continue;
                    }
                    stored.insert(name.clone(), entry.parts.len());
                }
                entry.parts.push((part, epoch, epoch));
            }
            if reveal {
                entry.reveal = Some(epoch);
                for (name, recorded) in &mut self.sinks {
                    if recorded.standing == Standing::AwaitingReveal && recorded.detached_unix_ms.is_none() {
                        recorded.standing = Standing::Filling { at: epoch };
                        sinks.insert(name.clone(), recorded.clone());
                    }
                }
            }
            let binding = |b: Binding| flowstone_journal::Binding {
                source: b.source,
                partition: b.partition,
                upper: b.upper,
                mark: b.mark,
            };
            entry.seals.push(Seal { epoch, bindings: bindings.into_iter().map(binding).collect() });
        }
        entry.sinks = sinks.into_iter().map(|(name, state)| (name, Some(state))).collect();
        entry
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(offset: u64, part: &str) -> Share {
        let bindings = vec![Binding { source: 0, partition: 0, upper: offset, mark: String::new() }];
        let stored = NewPart::Stored { name: part.to_owned(), bytes: 9, rows: 1, removals: 0, raw_bytes: 9, digest: 0 };
        Share { bindings, part: Some(stored).filter(|_| !part.is_empty()) }
    }

    fn sink(standing: Standing) -> SinkState {
        SinkState { standing, store: None, mark: None, stream: false, detached_unix_ms: None }
    }

    fn acknowledged(upper: Option<u64>) -> Acknowledged {
        Acknowledged { upper, marked: None }
    }

    fn seals(standing: Standing) -> Seals {
        Seals::new(10, BTreeMap::from([("store".to_owned(), sink(standing))]))
    }

    #[test]
    fn complete_epochs_are_sealed_together_and_a_part_is_named_by_its_range() {
        let mut seals = seals(Standing::Upper(5));
        seals.contribute(20, share(7, "0-0"));
        seals.contribute(21, share(8, ""));
        seals.contribute(22, share(9, "0-0"));
        seals.contribute(23, share(10, "0-0"));
        assert!(!seals.is_ready(Some(20)));
        let entry = seals.entry(Some(23), BTreeMap::new());
        assert_eq!(entry.seals.iter().map(|s| s.epoch).collect::<Vec<_>>(), [20, 21, 22]);
        assert_eq!(entry.parts.iter().map(|(_, first, last)| (*first, *last)).collect::<Vec<_>>(), [(20, 22)]);
        let entry = seals.entry(None, BTreeMap::new());
        assert_eq!((entry.parts[0].1, entry.parts[0].2), (23, 23), "the rest of the part");
    }

    #[test]
    fn an_idle_upper_is_recorded_up_to_what_is_sealed() {
        let seals = seals(Standing::Upper(5));
        let changed = seals.changed_sinks([("store", acknowledged(Some(99)))].into_iter());
        assert_eq!(changed["store"].standing, Standing::Upper(11));
        let changed = seals.changed_sinks([("store", acknowledged(None))].into_iter());
        assert_eq!(changed["store"].standing, Standing::Upper(11));
        assert!(seals.changed_sinks([("store", acknowledged(Some(5)))].into_iter()).is_empty());
    }

    #[test]
    fn a_fill_ends_when_its_epoch_is_acknowledged() {
        let seals = seals(Standing::Filling { at: 8 });
        assert!(seals.changed_sinks([("store", acknowledged(Some(8)))].into_iter()).is_empty());
        let changed = seals.changed_sinks([("store", acknowledged(Some(9)))].into_iter());
        assert_eq!(changed["store"].standing, Standing::Upper(9));
    }

    #[test]
    fn a_reveal_begins_the_fills_that_await_it() {
        let mut seals = seals(Standing::AwaitingReveal);
        assert!(seals.changed_sinks([("store", acknowledged(Some(11)))].into_iter()).is_empty());
        seals.reveal(30);
        let entry = seals.entry(Some(31), BTreeMap::new());
        assert_eq!(entry.reveal, Some(30));
        assert_eq!(entry.sinks["store"].as_ref().map(|s| s.standing.clone()), Some(Standing::Filling { at: 30 }));
        assert_eq!(entry.seals.len(), 1, "a reveal is sealed even if nothing else happened");
    }

    fn given_up(seals: &Seals, sinks: &BTreeMap<String, SinkState>, is_stream: bool) -> BTreeMap<String, SinkState> {
        seals.detached([("store", is_stream), ("unknown", is_stream)].into_iter(), sinks, 77)
    }

    #[test]
    fn a_sink_that_is_given_up_is_to_be_filled_and_nothing_more_is_recorded_of_it() {
        for standing in [Standing::Upper(5), Standing::Filling { at: 8 }, Standing::AwaitingReveal] {
            let mut seals = seals(standing);
            let detached = given_up(&seals, &BTreeMap::new(), false);
            assert_eq!(detached.len(), 1);
            let expected = SinkState { detached_unix_ms: Some(77), ..sink(Standing::AwaitingReveal) };
            assert_eq!(detached["store"], expected);
            let entry = seals.entry(Some(11), detached);
            assert_eq!(entry.sinks["store"].as_ref(), Some(&expected));
            assert!(seals.changed_sinks([("store", acknowledged(None))].into_iter()).is_empty(), "late, or at the end");
            assert!(given_up(&seals, &BTreeMap::new(), false).is_empty(), "once");
            seals.reveal(30);
            assert_eq!(seals.entry(None, BTreeMap::new()).sinks, BTreeMap::new(), "no reveal in this run");
        }
    }

    #[test]
    fn a_sink_is_given_up_in_the_entry_of_the_reveal_too() {
        let mut seals = seals(Standing::AwaitingReveal);
        seals.reveal(30);
        let detached = given_up(&seals, &BTreeMap::new(), false);
        let entry = seals.entry(None, detached);
        assert_eq!(
            (entry.reveal, entry.sinks["store"].clone().unwrap().standing),
            (Some(30), Standing::AwaitingReveal)
        );
    }

    #[test]
    fn a_stream_that_is_given_up_keeps_the_upper_that_is_recorded_with_it() {
        let mut seals = seals(Standing::Upper(5));
        let changed = seals.changed_sinks([("store", acknowledged(Some(9)))].into_iter());
        let detached = given_up(&seals, &changed, true);
        assert_eq!(
            (detached["store"].standing.clone(), detached["store"].detached_unix_ms),
            (Standing::Upper(9), Some(77))
        );
        seals.entry(Some(11), detached);
        assert!(seals.changed_sinks([("store", acknowledged(None))].into_iter()).is_empty());
    }

    #[test]
    fn a_mark_is_recorded_with_its_own_upper() {
        let mut seals = seals(Standing::Upper(5));
        let marked = |upper, marked| Acknowledged { upper: Some(upper), marked: Some((marked, "77".to_owned())) };
        let changed = seals.changed_sinks([("store", marked(7, 8))].into_iter());
        assert_eq!(changed["store"].standing, Standing::Upper(8));
        assert_eq!(changed["store"].mark.as_deref(), Some("77"));
        let changed = seals.changed_sinks([("store", marked(9, 8))].into_iter());
        assert_eq!(changed["store"].standing, Standing::Upper(9), "nothing was written since the mark");
        assert!(
            seals.changed_sinks([("store", marked(7, 13))].into_iter()).is_empty(),
            "not sealed yet, for all we know"
        );
        seals.contribute(12, share(1, ""));
        seals.entry(None, BTreeMap::new());
        assert_eq!(
            seals.changed_sinks([("store", marked(7, 13))].into_iter())["store"].standing.clone(),
            Standing::Upper(13)
        );
    }
}
