//! What a worker's share of a table does as epochs complete, whatever its fold.

use std::sync::atomic::Ordering::Relaxed;

use super::fold::Fold;
use super::held::Held;
use super::keyed::Keyed;
use super::options::{TableOptions, TableStart, Tick};
use super::outcome::{Output, TableChange};

/// What an epoch brings.
pub(super) struct Arrived<S, A> {
    pub live: A,
    pub sealed: Vec<(u64, S)>,
    /// Rows go whose time is over.
    pub tick: Option<Tick>,
}

/// The state of a worker's share of a table, and what is held back of it.
pub(super) struct Table<R, F> {
    options: TableOptions,
    state: F,
    loaded: bool,
    held: Option<Held<R>>,
    revealed: bool,
}

/// Where the changes of an epoch go: rows out, or to what is held back.
struct Outlet<'a, R, E, N> {
    held: &'a mut Option<Held<R>>,
    emit: E,
    note: N,
    grown: isize,
}

impl<R: Keyed + Clone, S, E: FnMut(R, isize), N: FnMut(TableChange<S>)> Output<R, S> for Outlet<'_, R, E, N> {
    fn show(&mut self, row: &R, diff: isize) {
        self.grown += diff;
        match self.held {
            Some(held) => held.hold(row, diff),
            None => (self.emit)(row.clone(), diff),
        }
    }

    fn note(&mut self, change: TableChange<S>) {
        (self.note)(change);
    }

    fn looks(&self) -> bool {
        self.held.as_ref().is_none_or(Held::looks)
    }

    fn grow(&mut self, rows: isize) {
        self.grown += rows;
    }
}

impl<R, F> Table<R, F>
where
    R: Keyed + Clone + Send + 'static,
    F: Fold<R> + 'static,
{
    pub(super) fn new(options: TableOptions, state: F) -> Self {
        Table { options, state, loaded: false, held: None, revealed: false }
    }

    pub(super) fn is_journalled(&self) -> bool {
        self.options.journalled
    }

    pub(super) fn start(&self) -> TableStart {
        self.options.start
    }

    /// Takes in a state that an earlier run has sealed at an epoch that this one starts with.
    pub(super) fn load(&mut self, sealed_at: u64, state: F::State) {
        self.state.load(sealed_at, state);
    }

    /// An epoch is complete; `last` says that nothing is to be seen after it.
    pub(super) fn close(
        &mut self,
        epoch: u64,
        arrived: Arrived<F::State, F::Arrived>,
        last: bool,
        emit: &mut impl FnMut(R, isize),
        note: impl FnMut(TableChange<F::State>),
    ) {
        let start = self.options.start;
        let counters = self.options.counters.clone();
        let mut hidden = self.state.hidden();
        if !self.loaded {
            hidden = 0;
            self.loaded = true;
            self.state.settle();
            if !self.options.are_rows_known {
                self.state.iter().for_each(|row| emit(row, 1));
            }
            counters.rows.fetch_add(self.state.count() as u64, Relaxed);
        }
        if start.hidden_from.is_some_and(|hidden| epoch >= hidden) && self.held.is_none() && !self.revealed {
            self.held = Some(Held::since(&self.state));
        }
        let Table { state, held, .. } = self;
        let mut out = Outlet { held, emit, note, grown: 0 };
        let Arrived { live, sealed, tick } = arrived;
        state.repeat(sealed, &mut out);
        let mut found = match last {
            true => state.close_last(epoch, live, &mut out),
            false => state.close(epoch, live, &mut out),
        };
        if let Some(tick) = tick {
            found.expired += state.expire(epoch, tick, &mut out);
        }
        counters.superseded.fetch_add(found.superseded, Relaxed);
        counters.ambiguous.fetch_add(found.ambiguous, Relaxed);
        counters.expired.fetch_add(found.expired, Relaxed);
        counters.stale.fetch_add(found.stale, Relaxed);
        counters.swaps.fetch_add(found.swaps, Relaxed);
        counters.rows.fetch_add(out.grown as u64, Relaxed);
        counters.hidden.fetch_add(state.hidden().wrapping_sub(hidden), Relaxed);
    }

    /// The records that were refused since the last call.
    pub(super) fn take_refused(&mut self) -> Vec<(R, F::Refusal)> {
        let refused = self.state.take_refused();
        self.options.counters.refused.fetch_add(refused.len() as u64, Relaxed);
        refused
    }

    /// Nothing will follow.
    pub(super) fn end(&mut self) {
        self.options.reaper.take((self.state.take(), self.held.take()));
    }

    /// What was held back is shown.
    pub(super) fn reveal(&mut self, more: bool, emit: impl FnMut(R, isize)) {
        self.revealed = true;
        let held = self.held.take().unwrap_or_else(|| Held::since(&self.state));
        held.reveal(&mut self.state, more, emit);
    }
}
