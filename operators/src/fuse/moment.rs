//! What fusion puts out.

use serde::{Deserialize, Serialize};

use super::Children;
use crate::interval::Interval;

/// A stretch of one asset's time, and all that holds during it.
///
/// The children are shared: cloning copies nothing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Moment<K, C> {
    /// What was fused by: the asset.
    pub key: K,
    /// The bucket, run or segment; its start is unique within the asset.
    pub interval: Interval,
    /// Everything that overlaps the interval, ordered by (type, start, end, content).
    pub children: Children<C>,
}

/// A document that is not formed because it would have too many children.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Rejection<K> {
    /// What was fused by: the asset.
    pub key: K,
    /// The bucket, run or segment.
    pub interval: Interval,
    /// How many children there would be.
    pub children: usize,
}
