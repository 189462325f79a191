//! What a worker's share of a table does as epochs complete, whatever its fold.

use std::sync::atomic::Ordering::Relaxed;

use super::fold::Fold;
use super::held::Held;
use super::options::{TableOptions, TableStart};
use super::outcome::TableChange;
use super::versioned::Versioned;

/// What an epoch brings.
pub(super) struct Arrived<R, A> {
    pub live: A,
    pub sealed: Vec<(u64, R)>,
    /// Rows go whose time is over.
    pub tick: bool,
}

/// The state of a worker's share of a table, and what is held back of it.
pub(super) struct Table<R, F> {
    options: TableOptions,
    state: F,
    loaded: bool,
    held: Option<Held<R>>,
    revealed: bool,
}

impl<R, F> Table<R, F>
where
    R: Versioned + Clone + Send + 'static,
    F: Fold<R> + Default + Send + 'static,
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
    pub(super) fn load(&mut self, sealed_at: u64, record: R) {
        self.state.load(sealed_at, record);
    }

    /// An epoch is complete; `last` says that nothing is to be seen after it.
    pub(super) fn close(
        &mut self,
        epoch: u64,
        arrived: Arrived<R, F::Arrived>,
        last: bool,
        emit: &mut impl FnMut(R, isize),
        note: impl FnMut(TableChange<R>),
    ) {
        let start = self.options.start;
        let counters = self.options.counters.clone();
        let mut hidden = self.state.hidden();
        if !self.loaded {
            hidden = 0;
            self.loaded = true;
            self.state.settle();
            let rows = self.state.iter().map(|row| emit(row.clone(), 1)).count();
            counters.rows.fetch_add(rows as u64, Relaxed);
        }
        if start.hidden_from.is_some_and(|hidden| epoch >= hidden) && self.held.is_none() && !self.revealed {
            self.held = Some(Held::since(&self.state));
        }
        let Table { state, held, .. } = self;
        let mut grown = 0;
        let mut show = |row: &R, diff: isize| {
            grown += diff;
            match held {
                Some(held) => held.hold(row, diff),
                None => emit(row.clone(), diff),
            }
        };
        let Arrived { live, sealed, tick } = arrived;
        state.repeat(sealed, &mut show);
        let mut out = (show, note);
        let mut found = match last {
            true => state.close_last(epoch, live, &mut out),
            false => state.close(epoch, live, &mut out),
        };
        if tick {
            found.expired += state.expire(epoch, &mut out);
        }
        counters.superseded.fetch_add(found.superseded, Relaxed);
        counters.ambiguous.fetch_add(found.ambiguous, Relaxed);
        counters.expired.fetch_add(found.expired, Relaxed);
        counters.stale.fetch_add(found.stale, Relaxed);
        counters.swaps.fetch_add(found.swaps, Relaxed);
        counters.rows.fetch_add(grown as u64, Relaxed);
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
        self.options.reaper.take((std::mem::take(&mut self.state), self.held.take()));
    }

    /// What was held back is shown.
    pub(super) fn reveal(&mut self, more: bool, emit: impl FnMut(R, isize)) {
        self.revealed = true;
        let held = self.held.take().unwrap_or_else(|| Held::since(&self.state));
        held.reveal(&mut self.state, more, emit);
    }
}
