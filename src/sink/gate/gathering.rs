//! Which changes count at which epoch, and until when they wait.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::net::{Before, Buffer, Released, consolidate, fresh};
use crate::record::RowDiff;
use crate::sink::Start;
use crate::sink::gauge::{Gauge, row_bytes};

/// The changes that wait at one worker's part of a gate.
pub(super) struct Gathering {
    rule: Rule,
    waiting: BTreeMap<u64, Vec<Buffer>>,
    /// Whether changes of earlier epochs count at that of the fill.
    is_mixed: bool,
    before: Before,
    gauge: Arc<Gauge>,
}

/// What becomes of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    /// It counts at its own epoch; before this one the store has it.
    From(u64),
    /// It counts at its own epoch, but not before this one, which is the fill.
    Fill(u64),
    /// It waits until it is known which epoch is the fill.
    Awaiting,
    /// It is forgotten: nothing is to be released.
    Nothing,
}

impl Gathering {
    pub(super) fn new(start: Start, before: Before, gauge: Arc<Gauge>) -> Self {
        let rule = match start {
            Start::Resume { from } | Start::Stream { from } => Rule::From(from),
            Start::Fill { at } => Rule::Fill(at),
            Start::FillAtReveal => Rule::Awaiting,
        };
        Gathering { rule, waiting: BTreeMap::new(), is_mixed: false, before, gauge }
    }

    /// Takes a buffer in; tells `hold` the epochs at which it waits.
    pub(super) fn take(&mut self, changes: Vec<RowDiff>, mut hold: impl FnMut(u64)) {
        for (epoch, changes) in by_epoch(changes) {
            let Some(counts_at) = self.rule.counts_at(epoch) else { continue };
            self.is_mixed |= counts_at != epoch;
            let bytes = changes.iter().map(|(row, ..)| row_bytes(row)).sum();
            let held = self.gauge.hold(bytes);
            self.waiting.entry(counts_at).or_default().push(Buffer { changes, held });
            hold(counts_at);
        }
    }

    /// The fill is at this epoch; what waits at earlier ones counts there.
    pub(super) fn reveal(&mut self, at: u64) {
        assert_eq!(self.rule, Rule::Awaiting, "there is one reveal, and only who awaits it is told");
        self.rule = Rule::Fill(at);
        let later = self.waiting.split_off(&at);
        let earlier = std::mem::replace(&mut self.waiting, later);
        if !earlier.is_empty() {
            self.is_mixed = true;
            let mut buffers: Vec<Buffer> = earlier.into_values().flatten().collect();
            let of_its_own = self.waiting.entry(at).or_default();
            buffers.append(of_its_own);
            *of_its_own = buffers;
        }
    }

    pub(super) fn awaits_reveal(&self) -> bool {
        self.rule == Rule::Awaiting
    }

    /// Nothing is to be released any more: there will be no reveal, or the sink was given up. The next run sees to it.
    pub(super) fn forget(&mut self) {
        self.rule = Rule::Nothing;
        self.waiting.clear();
    }

    /// What has come so far of the fill, if `may_begin` says that it may be seen and that no earlier change can come.
    ///
    /// Tables and operators put out the net change of an epoch: if nothing of earlier epochs counts at the fill, its rows
    /// come once, and none is taken back.
    pub(super) fn pass(&mut self, may_begin: impl Fn(u64) -> bool) -> Option<(u64, Released)> {
        let Rule::Fill(at) = self.rule else { return None };
        let buffers =
            self.waiting.get_mut(&at).filter(|buffers| !self.is_mixed && !buffers.is_empty() && may_begin(at))?;
        Some((at, fresh(std::mem::take(buffers))))
    }

    /// The least epoch, if `is_due` says that it is complete and may be seen.
    pub(super) fn release(&mut self, is_due: impl Fn(u64) -> bool) -> Option<(u64, Released)> {
        if self.awaits_reveal() {
            return None;
        }
        let (epoch, buffers) = self.waiting.first_entry().filter(|entry| is_due(*entry.key()))?.remove_entry();
        Some((epoch, consolidate(buffers, self.rule == Rule::Fill(epoch), self.before)))
    }
}

impl Rule {
    /// The epoch at which a change of `epoch` counts, as far as it is known; `None` if it does not.
    fn counts_at(self, epoch: u64) -> Option<u64> {
        match self {
            Rule::From(from) => (epoch >= from).then_some(epoch),
            Rule::Fill(at) => Some(epoch.max(at)),
            Rule::Awaiting => Some(epoch),
            Rule::Nothing => None,
        }
    }
}

/// A buffer, cut by epochs; nearly always it has only one and stays as it is.
fn by_epoch(chunk: Vec<RowDiff>) -> Vec<(u64, Vec<RowDiff>)> {
    let Some(first) = chunk.first().map(|(_, epoch, _)| *epoch) else { return Vec::new() };
    if chunk.iter().all(|(_, epoch, _)| *epoch == first) {
        return vec![(first, chunk)];
    }
    let mut parts: BTreeMap<u64, Vec<RowDiff>> = BTreeMap::new();
    chunk.into_iter().for_each(|change| parts.entry(change.1).or_default().push(change));
    parts.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::testing::{delete, row, upsert};
    use crate::sink::{Change, Start};

    struct Case {
        gathering: Gathering,
        gauge: Arc<Gauge>,
        held: Vec<u64>,
    }

    impl Case {
        fn new(start: Start) -> Self {
            let gauge = Arc::new(Gauge::new(1_000));
            Case { gathering: Gathering::new(start, Before::Left, gauge.clone()), gauge, held: Vec::new() }
        }

        fn take(&mut self, changes: &[(&str, &str, u64, isize)]) {
            let changes = changes.iter().map(|(key, text, epoch, diff)| (row(key, text), *epoch, *diff)).collect();
            self.gathering.take(changes, |epoch| self.held.push(epoch));
        }

        /// All that is due below `before`.
        fn released(&mut self, before: u64) -> Vec<(u64, Vec<Change>)> {
            let mut all = Vec::new();
            while let Some((epoch, buffers)) = self.gathering.release(|epoch| epoch < before) {
                all.push((epoch, buffers.flat_map(|(changes, _)| changes).collect()));
            }
            all
        }
    }

    #[test]
    fn a_buffer_is_cut_by_the_epochs_of_its_changes() {
        let chunk = vec![(row("1", "a"), 6, 1), (row("2", "b"), 5, 1), (row("3", "c"), 6, -1)];
        let parts = by_epoch(chunk);
        assert_eq!(parts.iter().map(|(epoch, part)| (*epoch, part.len())).collect::<Vec<_>>(), [(5, 1), (6, 2)]);
    }

    #[test]
    fn a_resumed_sink_drops_what_it_has_and_takes_each_epoch_by_itself() {
        for start in [Start::Resume { from: 5 }, Start::Stream { from: 5 }] {
            let mut case = Case::new(start);
            case.take(&[("a", "1", 4, 1), ("b", "1", 5, 1), ("c", "1", 6, 1)]);
            case.take(&[("d", "1", 3, 1)]);
            assert_eq!(case.held, [5, 6]);
            assert_eq!(case.released(6), [(5, vec![upsert("b", "1")])]);
            assert_eq!(case.released(7), [(6, vec![upsert("c", "1")])]);
            assert_eq!(case.gauge.held_bytes(), 0);
        }
    }

    #[test]
    fn an_epoch_that_undoes_the_one_before_is_written_too() {
        let mut case = Case::new(Start::Resume { from: 0 });
        case.take(&[("a", "1", 5, -1), ("a", "2", 5, 1), ("a", "2", 6, -1), ("a", "1", 6, 1)]);
        assert_eq!(case.released(9), [(5, vec![upsert("a", "2")]), (6, vec![upsert("a", "1")])]);
    }

    #[test]
    fn a_fill_takes_in_all_epochs_up_to_its_own() {
        let mut case = Case::new(Start::Fill { at: 7 });
        case.take(&[("a", "1", 2, 1), ("b", "1", 2, 1), ("c", "1", 2, 1), ("a", "1", 5, -1), ("a", "2", 5, 1)]);
        case.take(&[("b", "1", 7, -1), ("d", "1", 7, 1), ("c", "1", 8, -1)]);
        assert_eq!(case.held, [7, 7, 7, 8]);
        assert_eq!(case.released(7), []);
        let fill = vec![upsert("a", "2"), upsert("c", "1"), upsert("d", "1")];
        assert_eq!(case.released(10), [(7, fill), (8, vec![delete_of("c", "1")])]);
    }

    fn delete_of(key: &str, text: &str) -> Change {
        Change::Delete(row(key, text))
    }

    #[test]
    fn after_its_fill_a_sink_is_told_of_deletions() {
        let mut case = Case::new(Start::Fill { at: 7 });
        case.take(&[("a", "{}", 3, 1)]);
        assert_eq!(case.released(8), [(7, vec![upsert("a", "{}")])]);
        case.take(&[("a", "{}", 9, -1)]);
        assert_eq!(case.released(10), [(9, vec![delete("a")])]);
    }

    #[test]
    fn nothing_passes_before_the_reveal_and_all_of_it_at_once_then() {
        let mut case = Case::new(Start::FillAtReveal);
        case.take(&[("a", "1", 2, 1), ("b", "1", 4, 1), ("c", "1", 9, 1)]);
        assert_eq!(case.released(20), []);
        assert_eq!(case.held, [2, 4, 9]);
        case.gathering.reveal(6);
        case.take(&[("b", "1", 5, -1), ("b", "2", 6, 1)]);
        assert_eq!(case.held[3..], [6, 6]);
        assert_eq!(case.released(6), []);
        assert_eq!(case.released(7), [(6, vec![upsert("a", "1"), upsert("b", "2")])]);
        assert_eq!(case.released(20), [(9, vec![upsert("c", "1")])]);
    }

    fn passed(case: &mut Case, may_begin: bool) -> Option<(u64, Vec<Change>)> {
        let (epoch, buffers) = case.gathering.pass(|_| may_begin)?;
        Some((epoch, buffers.flat_map(|(changes, _)| changes).collect()))
    }

    #[test]
    fn a_fill_of_its_own_rows_alone_passes_as_it_comes() {
        let mut case = Case::new(Start::FillAtReveal);
        assert_eq!(passed(&mut case, true), None);
        case.gathering.reveal(6);
        case.take(&[("b", "1", 6, 1), ("c", "1", 7, 1)]);
        assert_eq!(passed(&mut case, false), None);
        assert_eq!(passed(&mut case, true), Some((6, vec![upsert("b", "1")])));
        assert_eq!((passed(&mut case, true), case.gauge.held_bytes()), (None, 1));
        case.take(&[("a", "1", 6, 1)]);
        assert_eq!(passed(&mut case, true), Some((6, vec![upsert("a", "1")])));
        case.take(&[("d", "1", 6, 1)]);
        assert_eq!(case.released(20), [(6, vec![upsert("d", "1")]), (7, vec![upsert("c", "1")])]);
        case.take(&[("d", "1", 8, -1)]);
        assert_eq!(passed(&mut case, true), None);
    }

    #[test]
    fn a_fill_with_rows_of_earlier_epochs_waits() {
        let mut case = Case::new(Start::Fill { at: 6 });
        case.take(&[("a", "1", 5, 1), ("a", "1", 6, -1), ("a", "2", 6, 1)]);
        assert_eq!(passed(&mut case, true), None);
        let mut case = Case::new(Start::FillAtReveal);
        case.take(&[("a", "1", 5, 1), ("a", "1", 6, -1), ("a", "2", 6, 1)]);
        case.gathering.reveal(6);
        assert_eq!(passed(&mut case, true), None);
        assert_eq!(case.released(7), [(6, vec![upsert("a", "2")])]);
    }

    #[test]
    #[should_panic(expected = "is taken back")]
    fn a_row_that_is_taken_back_after_its_fill_began_is_a_bug() {
        let mut case = Case::new(Start::Fill { at: 6 });
        case.take(&[("a", "1", 6, 1), ("a", "1", 6, -1)]);
        passed(&mut case, true);
    }

    #[test]
    fn a_reveal_of_nothing_holds_nothing() {
        let mut case = Case::new(Start::FillAtReveal);
        case.gathering.reveal(6);
        assert_eq!(case.released(20), []);
        case.take(&[("a", "1", 8, 1)]);
        assert_eq!(case.released(20), [(8, vec![upsert("a", "1")])]);
    }

    #[test]
    fn without_a_reveal_everything_is_forgotten() {
        let mut case = Case::new(Start::FillAtReveal);
        case.take(&[("a", "11", 2, 1)]);
        assert_eq!(case.gauge.held_bytes(), 2);
        case.gathering.forget();
        case.take(&[("b", "1", 4, 1)]);
        assert_eq!((case.released(20), case.gauge.held_bytes()), (vec![], 0));
    }

    #[test]
    fn of_a_sink_that_is_given_up_everything_is_forgotten() {
        for start in [Start::Resume { from: 3 }, Start::Stream { from: 3 }, Start::Fill { at: 3 }] {
            let mut case = Case::new(start);
            case.take(&[("a", "11", 5, 1), ("b", "11", 6, 1)]);
            let first = case.gathering.release(|epoch| epoch < 6);
            assert_eq!(case.gauge.held_bytes(), 4);
            case.gathering.forget();
            assert_eq!(case.gauge.held_bytes(), 2, "what is on its way out");
            drop(first);
            case.take(&[("c", "1", 5, 1), ("d", "1", 7, 1)]);
            assert_eq!((case.released(20), case.gauge.held_bytes()), (vec![], 0));
        }
    }

    #[test]
    fn what_waits_is_counted_until_it_is_given() {
        let mut case = Case::new(Start::Resume { from: 0 });
        case.take(&[("a", "12345", 5, 1)]);
        case.take(&[("b", "123", 5, 1)]);
        assert_eq!(case.gauge.held_bytes(), 8);
        let (_, mut buffers) = case.gathering.release(|_| true).unwrap();
        drop(buffers.next());
        assert_eq!(case.gauge.held_bytes(), 3, "buffer by buffer");
        drop(buffers.next());
        assert_eq!(case.gauge.held_bytes(), 0);
    }
}
