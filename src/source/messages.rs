//! What sources, the epoch clock and the journal tell each other.

use serde::{Deserialize, Serialize};

/// An epoch that opens; it is the time of the message.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Opening {
    /// Whether the epoch is shown to the sinks only later, together with others.
    pub hidden: bool,
    /// Whether tables let rows go whose time is over.
    pub tick: bool,
    /// New partitions of all sources, as (source, number, name). The first opening names those that are new at the start.
    pub partitions: Vec<(u16, u32, String)>,
}

/// What a source tells the epoch clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Report {
    /// Everything that was present at the start is in the dataflow. Once a source and worker.
    CaughtUp,
    /// Nothing will follow. Once a source and worker, after [`Report::CaughtUp`].
    Ended,
    /// This process was asked to stop. At most once a source and worker.
    Stop,
    /// The source is paused, and the open epoch holds some of what it waits for: the epoch should close now. At most once
    /// an epoch, source and worker.
    Full,
}

/// Where an epoch ends in a partition: records below `upper` belong to it or to earlier ones.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Binding {
    /// The source, in the order of the pipeline file.
    pub source: u16,
    /// The partition's number.
    pub partition: u32,
    /// The offset to go on from.
    pub upper: u64,
    /// With `upper`, the partition's [`Bookmark`](super::Bookmark).
    pub mark: String,
}
