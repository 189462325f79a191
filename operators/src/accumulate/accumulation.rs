//! What must be known of groups of events.

use std::hash::Hash;

use crate::aggregate::{Accumulator, Group};
use crate::route::Route;
use crate::table::Keyed;

/// What an accumulation must know of its groups: how they are shown, and in which pieces a journal keeps them.
///
/// A group is kept as one piece or as several, each under a key of its own, so that a large one is not written as a whole when
/// little of it changes. Pieces hold states, never differences: the newest piece of a key is all that counts.
pub trait Accumulation: Send + 'static {
    /// What a group is known by.
    type Key: Route + Hash + Eq + Clone + Send + 'static;
    /// What is known of its events. They are only added.
    type Of: Accumulator + Send;
    /// A piece of a group, as a journal keeps it.
    type Piece: Keyed + Clone + Send + 'static;
    /// The row that is shown of a group.
    type Row: Keyed + Clone + Send + 'static;

    /// The row of a group.
    fn row(&mut self, key: &Self::Key, group: &Group<Self::Of>) -> Self::Row;

    /// The key of a row's group.
    fn key_of_row(&self, row: &Self::Row) -> Self::Key;

    /// The groups that this one is a part of: its events are added to these as well. They have the same route, and there is
    /// no way round.
    fn above(&self, _key: &Self::Key, _larger: &mut Vec<Self::Key>) {}

    /// Whether the group is one that is kept and shown, and not only a part of others.
    fn is_kept(&self, _key: &Self::Key) -> bool {
        true
    }

    /// The watermark at which a group is final: no event of it can come any more, and it leaves the state, but not those who were
    /// shown it.
    fn final_at(&self, _key: &Self::Key) -> Option<i64> {
        None
    }

    /// Adds a change to a group; tells `note` the pieces that this makes different.
    fn add(
        &mut self,
        key: &Self::Key,
        group: &mut Group<Self::Of>,
        change: Group<Self::Of>,
        note: impl FnMut(Self::Piece),
    );

    /// Tells `note` all pieces of a group that is final.
    fn pieces(&mut self, _key: &Self::Key, _group: &Group<Self::Of>, _note: impl FnMut(Self::Piece)) {}

    /// Whether the piece is the one that each group has, with the number of its events. The others are those of values.
    fn is_first(&self, _piece: &Self::Piece) -> bool {
        true
    }

    /// The key of a piece's group.
    fn key_of_piece(&self, piece: &Self::Piece) -> Self::Key;

    /// Puts a piece in its place.
    fn restore(&mut self, piece: &Self::Piece, group: &mut Group<Self::Of>);

    /// Whether the piece says that there is nothing of its key any more.
    fn is_gone(&self, piece: &Self::Piece) -> bool;
}
