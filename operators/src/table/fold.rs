//! What a table makes of its records: the state of a worker's share of it, and what comes of it. No dataflow.

use std::any::Any;

use super::options::Tick;
use super::outcome::{Found, Output};

/// The state of a table of rows `R`, and how an epoch changes it.
pub(crate) trait Fold<R> {
    /// What comes in.
    type Live;
    /// What a journal keeps.
    type State;
    /// The records of an epoch that is not complete.
    type Arrived: Default;
    /// Why a record is refused.
    type Refusal: 'static;
    /// Whether one ever is.
    const REFUSES: bool;

    /// By which a record finds the worker that owns its key.
    fn route(record: &Self::Live) -> u64;

    /// Takes records in.
    fn arrive(arrived: &mut Self::Arrived, records: impl Iterator<Item = Self::Live>);

    /// Applies the records of an epoch. One that brings nothing changes nothing.
    fn close(&mut self, epoch: u64, arrived: Self::Arrived, out: &mut impl Output<R, Self::State>) -> Found;

    /// Applies the records of the last epoch: nothing may be asked of the state any more, so nothing need be kept.
    fn close_last(&mut self, epoch: u64, arrived: Self::Arrived, out: &mut impl Output<R, Self::State>) -> Found {
        self.close(epoch, arrived, out)
    }

    /// The records that were refused since the last call.
    fn take_refused(&mut self) -> Vec<(R, Self::Refusal)>;

    /// Lets the rows go whose time is over. Their number.
    fn expire(&mut self, epoch: u64, tick: Tick, out: &mut impl Output<R, Self::State>) -> u64;

    /// Takes in a state that a journal has, as of `epoch`; whatever order they come in, the latest of a key stays.
    /// [`Fold::settle`] must follow the last of them.
    fn load(&mut self, epoch: u64, state: Self::State);

    /// Ends a load.
    fn settle(&mut self);

    /// Applies what epochs had made of the state when they were first there: `(epoch, state)`, in any order.
    fn repeat(&mut self, sealed: Vec<(u64, Self::State)>, out: &mut impl Output<R, Self::State>);

    /// Whether there certainly is no row.
    fn is_empty(&self) -> bool;

    /// The row that has the key of this one.
    fn get(&mut self, key: &R) -> Option<R>;

    /// All rows, in no order.
    fn iter(&mut self) -> impl Iterator<Item = R>;

    /// How many rows there are.
    fn count(&self) -> usize;

    /// Gives all rows away. Nothing may be asked of the state any more.
    fn drain(&mut self) -> impl Iterator<Item = R>;

    /// Rows that there are, but that are not shown.
    fn hidden(&self) -> u64;

    /// Everything that there is, for whoever frees it.
    fn take(&mut self) -> Box<dyn Any + Send>;
}
