//! Which changes a merge keeps.

use std::collections::BTreeMap;

use crate::Epoch;
use crate::manifest::{Collapse, PartRef, State};
use crate::part::Change;

/// What of the state decides which changes a merge keeps. It stays right as the state goes on: floors only rise, and what
/// is sealed later lies above.
#[derive(Debug)]
pub(crate) struct Rules {
    floor: Epoch,
    collapses: Vec<Collapse>,
    catching_up: Option<Epoch>,
    hidden_is_one: bool,
    /// Rows of tail tables below this epoch go.
    least_upper: Epoch,
    /// Whether it is a tail table.
    tables: BTreeMap<u16, bool>,
    next_table: u16,
    /// Older than everything in parts that are not merged.
    nothing_older_than: Epoch,
}

/// Epochs that no restart tells from each other: of a row's changes in one class only the newest matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    /// At or below the floor.
    Settled,
    /// Hidden, and to be shown at one epoch to sinks that hold nothing yet.
    Hidden,
    /// Shown at this epoch, to sinks that may hold what was before.
    Shown(Epoch),
}

impl Rules {
    pub(crate) fn new(state: &State, inputs: &[PartRef]) -> Self {
        let others = state.parts.iter().filter(|part| !inputs.contains(part));
        Rules {
            floor: state.floor(),
            collapses: state.collapses.clone(),
            catching_up: state.catching_up,
            hidden_is_one: state.hidden_is_one(),
            least_upper: state.least_upper(),
            tables: state.tables.iter().map(|(table, info)| (*table, info.tail)).collect(),
            next_table: state.next_table,
            nothing_older_than: others.map(|part| part.first).min().unwrap_or(Epoch::MAX),
        }
    }

    fn class(&self, epoch: Epoch) -> Class {
        if epoch <= self.floor {
            return Class::Settled;
        }
        if self.catching_up.is_some_and(|first| epoch >= first) {
            return if self.hidden_is_one { Class::Hidden } else { Class::Shown(epoch) };
        }
        let after = self.collapses.partition_point(|collapse| collapse.last < epoch);
        let collapse = self.collapses.get(after).filter(|collapse| collapse.first <= epoch);
        Class::Shown(collapse.map_or(epoch, |collapse| collapse.last))
    }

    /// Whether the table is a tail table; `None`: its rows go.
    fn tail(&self, table: u16) -> Option<bool> {
        // A number that was not yet given cannot have been dropped.
        self.tables.get(&table).copied().or((table >= self.next_table).then_some(false))
    }

    pub(crate) fn survivors(&self) -> Survivors<'_> {
        Survivors { rules: self, held: None, key: Vec::new(), value: Vec::new(), older_kept: false }
    }
}

/// The changes of a merge that stay, out of all in order.
pub(crate) struct Survivors<'a> {
    rules: &'a Rules,
    held: Option<Held>,
    key: Vec<u8>,
    value: Vec<u8>,
    /// An older change of the held one's key stays.
    older_kept: bool,
}

/// The newest change of its key and class so far; its key and value are in the buffers.
struct Held {
    table: u16,
    route: u64,
    epoch: Epoch,
    class: Class,
    removal: bool,
}

impl Survivors<'_> {
    /// Takes the next change; emits one before it, if that stays.
    pub(crate) fn push(&mut self, change: &Change<'_>, mut emit: impl FnMut(&Change<'_>)) {
        let Some(tail) = self.rules.tail(change.table) else { return };
        if tail && change.epoch < self.rules.least_upper {
            return;
        }
        // Rows of a stream are never overwritten, and shown at their own epochs.
        let class = if tail { Class::Shown(change.epoch) } else { self.rules.class(change.epoch) };
        if let Some(held) = &self.held {
            let same_key = (held.table, held.route) == (change.table, change.route) && self.key == change.key;
            if !same_key {
                self.release(&mut emit);
                self.older_kept = false;
            } else if held.class != class {
                self.older_kept |= self.release(&mut emit);
            }
        }
        self.key.clear();
        self.key.extend_from_slice(change.key);
        self.value.clear();
        self.value.extend_from_slice(change.value.unwrap_or_default());
        let Change { table, route, epoch, value, .. } = *change;
        self.held = Some(Held { table, route, epoch, class, removal: value.is_none() });
    }

    /// Emits the last one, if it stays.
    pub(crate) fn finish(mut self, mut emit: impl FnMut(&Change<'_>)) {
        self.release(&mut emit);
    }

    fn release(&mut self, emit: &mut impl FnMut(&Change<'_>)) -> bool {
        let Some(held) = self.held.take() else { return false };
        // A removal is kept for what is older, and for sinks that are to see it.
        let nothing_older = !self.older_kept && held.epoch < self.rules.nothing_older_than;
        if held.removal && nothing_older && !matches!(held.class, Class::Shown(_)) {
            return false;
        }
        let Held { table, route, epoch, removal, .. } = held;
        emit(&Change { table, route, epoch, key: &self.key, value: (!removal).then_some(self.value.as_slice()) });
        true
    }
}
