//! Which epochs a store has that acknowledges rows one by one, in any order.

use std::collections::BTreeMap;

/// Counts what is not acknowledged of each epoch.
#[derive(Debug, Default)]
pub(super) struct Epochs {
    /// Those that are not finished.
    open: BTreeMap<u64, Open>,
    closed_upper: u64,
}

#[derive(Debug, Default)]
struct Open {
    left: usize,
    closed: bool,
}

impl Epochs {
    /// All epochs below `upper` are written.
    pub fn new(upper: u64) -> Self {
        Epochs { open: BTreeMap::new(), closed_upper: upper }
    }

    /// So many rows of an epoch are to be written.
    pub fn wrote(&mut self, epoch: u64, rows: usize) {
        assert!(epoch >= self.closed_upper, "epochs are written in increasing order");
        self.open.entry(epoch).or_default().left += rows;
    }

    /// One more row of an epoch is to be written, which may be closed.
    pub fn again(&mut self, epoch: u64) {
        self.open.get_mut(&epoch).expect("what it stands for is not acknowledged").left += 1;
    }

    /// So many of them are.
    pub fn acknowledged(&mut self, epoch: u64, rows: usize) {
        let open = self.open.get_mut(&epoch).expect("it was written");
        open.left = open.left.checked_sub(rows).expect("each row is acknowledged once");
    }

    /// Nothing will be added to an epoch.
    pub fn close(&mut self, epoch: u64) {
        assert!(epoch >= self.closed_upper, "epochs are closed in increasing order");
        self.open.entry(epoch).or_default().closed = true;
        self.closed_upper = epoch + 1;
    }

    /// All epochs below are closed and acknowledged.
    pub fn upper(&mut self) -> u64 {
        while self.open.first_entry().is_some_and(|first| first.get().closed && first.get().left == 0) {
            self.open.pop_first();
        }
        self.open.first_key_value().map_or(self.closed_upper, |(epoch, _)| (*epoch).min(self.closed_upper))
    }

    /// An epoch above all that were written.
    pub fn above(&self) -> u64 {
        self.open.last_key_value().map_or(0, |(epoch, _)| epoch + 1).max(self.closed_upper)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_upper_passes_an_epoch_when_it_and_all_before_are_acknowledged() {
        let mut epochs = Epochs::new(3);
        assert_eq!(epochs.upper(), 3);
        for (epoch, rows) in [(5, 2), (7, 1), (9, 1)] {
            epochs.wrote(epoch, rows);
            assert!(epochs.upper() <= epoch, "it is not closed");
            epochs.close(epoch);
        }
        epochs.acknowledged(9, 1);
        epochs.acknowledged(5, 1);
        assert_eq!(epochs.upper(), 5);
        epochs.again(5);
        epochs.acknowledged(5, 2);
        assert_eq!(epochs.upper(), 7);
        epochs.acknowledged(7, 1);
        assert_eq!(epochs.upper(), 10);
    }

    #[test]
    fn an_open_epoch_holds_the_upper_back_even_if_all_of_it_is_acknowledged() {
        let mut epochs = Epochs::new(0);
        epochs.wrote(5, 1);
        epochs.acknowledged(5, 1);
        assert_eq!(epochs.upper(), 0, "nothing is closed");
        epochs.close(5);
        assert_eq!(epochs.upper(), 6);
    }
}
