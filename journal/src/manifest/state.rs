//! What the entries of a manifest add up to.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{PartRef, SinkState, Standing, TableInfo};
use crate::Epoch;

/// What the entries of a manifest add up to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// The run that wrote the last entry: the number of the entry that it opened with.
    pub run: u64,
    /// Number of the entry that comes next.
    pub next_entry: u64,
    /// D, the last sealed epoch; 0: none.
    pub sealed: Epoch,
    /// The first hidden epoch, while catching up.
    pub catching_up: Option<Epoch>,
    /// Stretches of epochs that were hidden once and are shown at their last one, in order.
    pub collapses: Vec<Collapse>,
    /// By number.
    pub sources: Vec<SourceState>,
    /// By number.
    pub tables: BTreeMap<u16, TableInfo>,
    /// No table has had this number, nor a higher one.
    pub next_table: u16,
    /// Oldest first.
    pub parts: Vec<PartRef>,
    /// By name.
    pub sinks: BTreeMap<String, SinkState>,
    /// Fingerprints by name.
    pub nodes: BTreeMap<String, String>,
    /// Checksum of the last entry.
    pub(crate) digest: u32,
    /// Entries that are kept so that a run which was overtaken finds its next number taken.
    pub(crate) openings: Vec<Opening>,
}

/// The first entry of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Opening {
    pub(crate) number: u64,
    pub(crate) written_unix_ms: u64,
}

/// Epochs that are shown as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Collapse {
    /// First hidden epoch.
    pub first: Epoch,
    /// The reveal, at which all are shown.
    pub last: Epoch,
}

impl Collapse {
    /// The epoch at which changes of `epoch` are shown, given all collapses in their order.
    pub fn shown_at(collapses: &[Collapse], epoch: Epoch) -> Epoch {
        let after = collapses.partition_point(|collapse| collapse.last < epoch);
        collapses.get(after).filter(|collapse| collapse.first <= epoch).map_or(epoch, |collapse| collapse.last)
    }
}

/// A source and how far its records are sealed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceState {
    /// Its name in the pipeline.
    pub name: String,
    /// By number.
    pub partitions: Vec<PartitionState>,
}

/// A partition and how far its records are sealed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionState {
    /// Its name within the source.
    pub name: String,
    /// First offset that is not sealed.
    pub upper: u64,
    /// What the source wants to find again at that offset, opaque.
    pub mark: String,
}

impl State {
    /// The epoch at which tables are hydrated: as late as the sinks allow. A sink with upper `u` allows `u - 1`, one that
    /// is filled at `at` allows `at`; streams, and sinks that await the reveal, set no limit. Never a hidden epoch, nor one
    /// within a collapse: there is nothing to be seen between the epoch before it and its last. Need not be sealed itself.
    pub fn hydrate_at(&self) -> Epoch {
        let limits = self.sinks.values().filter(|sink| !sink.stream).filter_map(|sink| sink.standing.hydrate_limit());
        let limit = limits.fold(self.sealed, Epoch::min);
        let limit = self.catching_up.map_or(limit, |first| limit.min(first.saturating_sub(1)));
        let within = |collapse: &&Collapse| collapse.first <= limit && limit < collapse.last;
        self.collapses.iter().find(within).map_or(limit, |collapse| collapse.first.saturating_sub(1))
    }

    /// The epoch at which the changes of `epoch` are shown: its own, or the reveal of the collapse that it is in.
    pub fn visible_at(&self, epoch: Epoch) -> Epoch {
        Collapse::shown_at(&self.collapses, epoch)
    }

    /// Every sink has all epochs below this one: rows of tail tables at those epochs may go. At most `sealed + 1`.
    pub fn least_upper(&self) -> Epoch {
        let uppers = self.sinks.values().filter_map(|sink| match sink.standing {
            Standing::Upper(upper) => Some(upper),
            Standing::Filling { at } => Some(at),
            Standing::AwaitingReveal => None,
        });
        uppers.fold(self.sealed + 1, Epoch::min)
    }

    /// No restart will want to tell epochs up to this one from each other: of a row's versions there only the newest
    /// matters. Never goes back.
    pub fn floor(&self) -> Epoch {
        self.hydrate_at()
    }

    /// Hidden epochs may be taken as one already now: nobody will see them apart, and no sink holds anything older.
    pub(crate) fn hidden_is_one(&self) -> bool {
        let sinks = self.sinks.values().filter(|sink| !sink.stream);
        self.catching_up.is_some() && sinks.into_iter().all(|sink| sink.standing == Standing::AwaitingReveal)
    }

    /// The number of a source.
    pub fn source(&self, name: &str) -> Option<u16> {
        self.sources.iter().position(|source| source.name == name).and_then(|i| i.try_into().ok())
    }
}

impl Standing {
    /// The latest epoch at which tables may be hydrated for such a sink.
    fn hydrate_limit(&self) -> Option<Epoch> {
        match self {
            Standing::Upper(upper) => Some(upper.saturating_sub(1)),
            Standing::Filling { at } => Some(*at),
            Standing::AwaitingReveal => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(catching_up: Option<Epoch>, sinks: &[(Standing, bool)]) -> State {
        let sink = |(standing, stream): &(Standing, bool)| SinkState {
            standing: standing.clone(),
            store: None,
            mark: None,
            stream: *stream,
            detached_unix_ms: None,
        };
        let sinks = sinks.iter().enumerate().map(|(i, s)| (i.to_string(), sink(s))).collect();
        let collapses = vec![Collapse { first: 10, last: 15 }];
        State { sealed: 30, catching_up, sinks, collapses, ..State::default() }
    }

    #[test]
    fn hydration_is_as_late_as_sinks_allow() {
        use Standing::{AwaitingReveal, Filling, Upper};
        let at = |catching_up, sinks: &[(Standing, bool)]| state(catching_up, sinks).hydrate_at();
        assert_eq!(at(None, &[]), 30);
        assert_eq!(at(None, &[(Upper(21), false), (Upper(25), false)]), 20);
        assert_eq!(at(None, &[(Filling { at: 22 }, false), (Upper(25), false)]), 22);
        assert_eq!(at(None, &[(Upper(3), true), (AwaitingReveal, false)]), 30);
        assert_eq!(at(Some(28), &[(AwaitingReveal, false)]), 27);
        assert_eq!(at(Some(28), &[(Upper(5), false)]), 4);
        // Within a collapse there is nothing to be seen.
        assert_eq!(at(None, &[(Upper(11), false)]), 9);
        assert_eq!(at(None, &[(Upper(15), false)]), 9);
        assert_eq!(at(None, &[(Upper(16), false)]), 15);
        assert_eq!(at(None, &[(Upper(0), false)]), 0);
    }

    /// Before there were any, nothing said so; and what is not detached is written as it was then.
    #[test]
    fn a_detached_sink_is_read_and_one_that_is_not_is_written_as_ever() {
        let text = r#"{"standing":{"upper":7},"stream":false}"#;
        let sink: SinkState = serde_json::from_str(text).unwrap();
        assert_eq!((sink.standing.clone(), sink.detached_unix_ms), (Standing::Upper(7), None));
        assert_eq!(serde_json::to_string(&sink).unwrap(), text);
        let detached = SinkState { standing: Standing::AwaitingReveal, detached_unix_ms: Some(99), ..sink };
        let text = serde_json::to_string(&detached).unwrap();
        assert_eq!(text, r#"{"standing":"awaiting_reveal","stream":false,"detached_unix_ms":99}"#);
        assert_eq!(serde_json::from_str::<SinkState>(&text).unwrap(), detached);
    }

    /// Nothing is kept for a sink that is to be filled, and all for a stream that is not.
    #[test]
    fn a_detached_sink_holds_nothing_back_and_a_detached_stream_its_rows() {
        let mut state = state(None, &[(Standing::AwaitingReveal, false), (Standing::Upper(5), true)]);
        state.sinks.values_mut().for_each(|sink| sink.detached_unix_ms = Some(99));
        assert_eq!((state.hydrate_at(), state.least_upper()), (30, 5));
    }

    #[test]
    fn collapsed_epochs_are_shown_at_the_reveal() {
        let state = state(None, &[(Standing::Upper(40), true), (Standing::Filling { at: 29 }, false)]);
        let shown = [9, 10, 14, 15, 16].map(|epoch| state.visible_at(epoch));
        assert_eq!(shown, [9, 15, 15, 15, 16]);
        assert_eq!(state.least_upper(), 29);
        assert_eq!(State { sinks: BTreeMap::new(), ..state }.least_upper(), 31);
    }
}
