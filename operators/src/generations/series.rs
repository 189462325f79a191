//! The operations of a series: how they end, which one is shown, and the swap.

use std::iter::Peekable;

use super::record::{Generational, Refusal, Stage};
use crate::table::outcome::{Found, Output, TableChange};
use crate::table::rows::Rows;

/// What holds for all series of a table.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rules {
    /// How long deletions, and the ends of operations, are remembered, in the unit of epochs.
    pub remember: u64,
    /// How long rows that are shown are kept after their time.
    pub keep_ns: Option<u64>,
}

/// The operations of one series.
#[derive(Debug)]
pub(super) struct Series<R> {
    /// One of its records, by which others are known to belong to it.
    pub sample: R,
    /// The number of the newest operation that is complete. Older ones have no rows.
    shown: Option<u64>,
    /// By number.
    operations: Vec<Operation<R>>,
}

#[derive(Debug)]
struct Operation<R> {
    number: u64,
    end: Option<End<R>>,
    rows: Rows<R>,
}

/// How an operation has ended.
#[derive(Debug)]
struct End<R> {
    /// Since when.
    epoch: u64,
    /// `None`, while loading, if nothing is known of it any more.
    stage: Option<Stage>,
    record: R,
}

/// Rows that are not shown: only their state changes.
struct Unseen<'a, O>(&'a mut O);

impl<R, O: Output<R>> Output<R> for Unseen<'_, O> {
    fn show(&mut self, _: &R, _: isize) {}

    fn note(&mut self, change: TableChange<R>) {
        self.0.note(change);
    }
}

impl<R: Generational + Clone> Operation<R> {
    fn stage(&self) -> Option<Stage> {
        self.end.as_ref()?.stage
    }

    fn is_finished(&self) -> bool {
        matches!(self.stage(), Some(Stage::Finished { .. }))
    }

    /// Whether it is finished, and waits for nothing. Once it is, it stays so: keys are only added while it is not shown.
    fn is_complete(&self) -> bool {
        matches!(self.stage(), Some(Stage::Finished { awaits }) if self.rows.len() as u64 >= awaits)
    }

    /// The same, as a journal has it.
    fn is_fulfilled(&self) -> bool {
        self.stage() == Some(Stage::Finished { awaits: 0 })
    }
}

impl<R: Generational + Clone> Series<R> {
    pub(super) fn new(sample: R) -> Self {
        Series { sample, shown: None, operations: Vec::new() }
    }

    /// Takes in what a record says of an operation. Those of one operation come in their order.
    pub(super) fn advance(
        &mut self,
        epoch: u64,
        (number, stage): (u64, Stage),
        record: &R,
        rules: Rules,
        out: &mut impl Output<R>,
    ) -> Result<Found, Refusal> {
        self.forget(epoch, rules, out);
        let is_old = self.shown.is_some_and(|shown| number < shown);
        let known = self.find(number).and_then(Operation::stage);
        let mut found = Found::default();
        match (known, stage) {
            (known, Stage::Started) => found.stale += u64::from(is_old || known.is_some()),
            (Some(Stage::Finished { .. }), Stage::Canceled) => return Err(Refusal::CanceledAfterFinished),
            (Some(Stage::Canceled), Stage::Finished { .. }) => return Err(Refusal::FinishedAfterCanceled),
            // The least number counts: it depends neither on the order, nor on how many keys there are by now.
            (Some(Stage::Finished { awaits }), Stage::Finished { awaits: again }) if again >= awaits => {
                found.superseded += 1;
            }
            (Some(Stage::Canceled), Stage::Canceled) => found.superseded += 1,
            (_, stage) => {
                found.stale += u64::from(is_old);
                self.end(epoch, number, Some(stage), record, rules);
                out.note(TableChange::Set(record.clone()));
                if stage == Stage::Canceled {
                    self.operation(number, rules).rows.take().for_each(|row| out.note(TableChange::Remove(row)));
                }
            }
        }
        Ok(found)
    }

    /// Applies the rows of an epoch, `(number, record)`, those of the newest operations first; then shows the newest operation
    /// that is complete, if it is not shown yet. What was said of operations in the epoch must have been taken in.
    pub(super) fn close(
        &mut self,
        epoch: u64,
        mut rows: Peekable<impl Iterator<Item = (u64, R)>>,
        rules: Rules,
        out: &mut impl Output<R>,
    ) -> Found {
        let mut found = Found::default();
        let mut below = None;
        loop {
            let arrived = rows.peek().map(|(number, _)| *number);
            let Some(number) = arrived.max(self.newest_finished(below)) else { break };
            below = Some(number);
            let group = std::iter::from_fn(|| rows.next_if(|(of, _)| *of == number)).map(|(_, record)| record);
            if self.is_over(number) {
                found.stale += group.count() as u64;
                continue;
            }
            let is_shown = self.shown == Some(number);
            let operation = self.operation(number, rules);
            if arrived == Some(number) {
                found += match is_shown {
                    true => operation.rows.apply(epoch, group, out),
                    false => operation.rows.apply(epoch, group, &mut Unseen(out)),
                };
            }
            if !is_shown && operation.is_complete() {
                found += self.show(number, epoch, rules, out);
            }
        }
        self.prune();
        found
    }

    /// Shows an operation in the place of the one that is shown, and lets everything go that is older.
    fn show(&mut self, number: u64, epoch: u64, rules: Rules, out: &mut impl Output<R>) -> Found {
        let mut found = Found { swaps: 1, ..Found::default() };
        let at = self.position(number).expect("it is complete");
        let (older, newer) = self.operations.split_at_mut(at);
        for old in older {
            if self.shown == Some(old.number) {
                old.rows.iter().for_each(|row| out.show(row, -1));
            }
            old.rows.take().for_each(|row| out.note(TableChange::Remove(row)));
        }
        let new = &mut newer[0];
        if !new.is_fulfilled() {
            let record = new.end.as_ref().expect("it is finished").record.fulfilled();
            out.note(TableChange::Set(record.clone()));
            new.end = Some(End { epoch, stage: Some(Stage::Finished { awaits: 0 }), record });
        }
        if let Some(keep_ns) = rules.keep_ns {
            // While it was not shown, all of its rows stayed: they are counted.
            new.rows.keep(keep_ns);
            found.expired = new.rows.expire(epoch, &mut Unseen(out));
        }
        new.rows.iter().for_each(|row| out.show(row, 1));
        self.shown = Some(number);
        found
    }

    /// Lets the rows go whose time is over, of those that are shown. Their number.
    pub(super) fn expire(&mut self, epoch: u64, out: &mut impl Output<R>) -> u64 {
        self.shown_operation_mut().map_or(0, |operation| operation.rows.expire(epoch, out))
    }

    /// Repeats what an epoch had made of a row.
    pub(super) fn repeat(
        &mut self,
        epoch: u64,
        number: u64,
        record: R,
        rules: Rules,
        show: &mut impl FnMut(&R, isize),
    ) {
        match self.is_shown(number) {
            true => self.operation(number, rules).rows.replay(epoch, record, show),
            false => self.operation(number, rules).rows.replay(epoch, record, &mut |_, _| ()),
        }
    }

    /// Repeats what an epoch had made of an operation, or takes it in while loading, when the latest epoch counts.
    pub(super) fn end(&mut self, epoch: u64, number: u64, stage: Option<Stage>, record: &R, rules: Rules) {
        let end = &mut self.operation(number, rules).end;
        if end.as_ref().is_none_or(|end| end.epoch <= epoch) {
            *end = Some(End { epoch, stage, record: record.clone() });
        }
    }

    /// Shows what epochs that are repeated have shown, once all that they say of operations was taken in.
    pub(super) fn look(&mut self, rules: Rules, show: &mut impl FnMut(&R, isize)) {
        let newest = self.operations.iter().rev().find(|operation| operation.is_fulfilled());
        let newest = newest.map(|operation| operation.number);
        if newest == self.shown {
            return;
        }
        if let Some(old) = self.shown_operation_mut() {
            old.rows.iter().for_each(|row| show(row, -1));
        }
        self.shown = newest;
        if let Some(new) = self.shown_operation_mut() {
            if let Some(keep_ns) = rules.keep_ns {
                new.rows.keep(keep_ns);
            }
            new.rows.iter().for_each(|row| show(row, 1));
        }
    }

    /// Takes in a row that a journal has.
    pub(super) fn load(&mut self, epoch: u64, number: u64, record: R, rules: Rules) {
        self.operation(number, rules).rows.load(epoch, record);
    }

    /// Ends a load.
    pub(super) fn settle(&mut self, rules: Rules) {
        self.operations.iter_mut().for_each(|operation| operation.rows.settle());
        self.look(rules, &mut |_, _| ());
        self.prune();
    }

    /// Forgets operations of which there is nothing.
    pub(super) fn prune(&mut self) {
        for operation in &mut self.operations {
            operation.end.take_if(|end| end.stage.is_none());
        }
        self.operations.retain(|operation| operation.end.is_some() || operation.rows.len() > 0);
        // Smaller than a row, as a rule.
        if let Some(end) = self.shown_operation().and_then(|operation| operation.end.as_ref()) {
            self.sample = end.record.clone();
        }
    }

    /// Whether there is nothing of it.
    pub(super) fn is_empty(&self) -> bool {
        self.operations.is_empty()
    }

    pub(super) fn is_shown(&self, number: u64) -> bool {
        self.shown == Some(number)
    }

    /// The rows that are shown.
    pub(super) fn rows(&self) -> Option<&Rows<R>> {
        self.shown_operation().map(|operation| &operation.rows)
    }

    pub(super) fn rows_mut(&mut self) -> Option<&mut Rows<R>> {
        self.shown_operation_mut().map(|operation| &mut operation.rows)
    }

    /// The keys of rows that are not shown.
    pub(super) fn hidden(&self) -> u64 {
        let hidden = self.operations.iter().filter(|operation| self.shown != Some(operation.number));
        hidden.map(|operation| operation.rows.len() as u64).sum()
    }

    /// Forgets how old operations have ended, after a while.
    fn forget(&mut self, epoch: u64, rules: Rules, out: &mut impl Output<R>) {
        let Some(shown) = self.shown else { return };
        self.operations.retain(|operation| {
            let Some(end) = operation.end.as_ref().filter(|_| operation.number < shown) else { return true };
            let is_over = end.epoch.saturating_add(rules.remember) <= epoch;
            if is_over {
                out.note(TableChange::Remove(end.record.clone()));
            }
            !is_over
        });
    }

    /// Whether records of the operation come too late.
    fn is_over(&self, number: u64) -> bool {
        self.shown.is_some_and(|shown| number < shown)
            || self.find(number).and_then(Operation::stage) == Some(Stage::Canceled)
    }

    /// The newest operation that is finished and not shown, of those with a number below.
    fn newest_finished(&self, below: Option<u64>) -> Option<u64> {
        let newer = self.operations.iter().rev().take_while(|operation| Some(operation.number) > self.shown);
        let mut below = newer.filter(|operation| below.is_none_or(|below| operation.number < below));
        below.find(|operation| operation.is_finished()).map(|operation| operation.number)
    }

    fn position(&self, number: u64) -> Result<usize, usize> {
        self.operations.binary_search_by_key(&number, |operation| operation.number)
    }

    fn find(&self, number: u64) -> Option<&Operation<R>> {
        self.position(number).ok().map(|at| &self.operations[at])
    }

    fn operation(&mut self, number: u64, rules: Rules) -> &mut Operation<R> {
        let at = self.position(number).unwrap_or_else(|at| {
            self.operations.insert(at, Operation { number, end: None, rows: Rows::new(rules.remember, None) });
            at
        });
        &mut self.operations[at]
    }

    fn shown_operation(&self) -> Option<&Operation<R>> {
        self.find(self.shown?)
    }

    fn shown_operation_mut(&mut self) -> Option<&mut Operation<R>> {
        let at = self.position(self.shown?).ok()?;
        Some(&mut self.operations[at])
    }
}
