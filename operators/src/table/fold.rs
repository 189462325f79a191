//! What a table makes of its records: the state of a worker's share of it, and what comes of it. No dataflow.

use super::outcome::{Found, Output};

/// The state of a table of records `R`, and how an epoch changes it.
pub(crate) trait Fold<R> {
    /// The records of an epoch that is not complete.
    type Arrived: Default;
    /// Why a record is refused.
    type Refusal: 'static;
    /// Whether one ever is.
    const REFUSES: bool;

    /// Takes a record in.
    fn arrive(arrived: &mut Self::Arrived, record: R);

    /// Applies the records of an epoch. One that brings nothing changes nothing.
    fn close(&mut self, epoch: u64, arrived: Self::Arrived, out: &mut impl Output<R>) -> Found;

    /// Applies the records of the last epoch: nothing may be asked of the state any more, so nothing need be kept.
    fn close_last(&mut self, epoch: u64, arrived: Self::Arrived, out: &mut impl Output<R>) -> Found {
        self.close(epoch, arrived, out)
    }

    /// The records that were refused since the last call.
    fn take_refused(&mut self) -> Vec<(R, Self::Refusal)>;

    /// Lets the rows go whose time is over. Their number.
    fn expire(&mut self, epoch: u64, out: &mut impl Output<R>) -> u64;

    /// Takes in a state that a journal has, as of `epoch`; whatever order they come in, the latest of a key stays.
    /// [`Fold::settle`] must follow the last of them.
    fn load(&mut self, epoch: u64, record: R);

    /// Ends a load.
    fn settle(&mut self);

    /// Applies what epochs had made of the state when they were first there: `(epoch, state)`, in any order.
    fn repeat(&mut self, sealed: Vec<(u64, R)>, show: impl FnMut(&R, isize));

    /// Whether there certainly is no row.
    fn is_empty(&self) -> bool;

    /// The row of a key.
    fn get(&self, key: &R) -> Option<&R>;

    /// All rows, in no order.
    fn iter<'a>(&'a self) -> impl Iterator<Item = &'a R>
    where
        R: 'a;

    /// Gives all rows away. Nothing may be asked of the state any more.
    fn drain<'a>(&'a mut self) -> impl Iterator<Item = R>
    where
        R: 'a;

    /// Rows that there are, but that are not shown.
    fn hidden(&self) -> u64;
}
