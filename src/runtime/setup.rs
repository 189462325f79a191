//! What all workers of a run share.

use std::sync::Arc;
use std::time::Duration;

use super::control::Control;
use super::metrics::Metrics;
use super::stores::Stores;
use crate::pipeline::compile::Plan;
use crate::sink::gauge::Gauge;
use crate::source::catalog::Catalog;

/// What all workers need to build the dataflow.
pub(super) struct Setup {
    pub plan: Plan,
    pub catalogs: Vec<(String, Catalog)>,
    pub writers: Stores,
    pub waiting: Arc<Gauge>,
    pub first_epoch: u64,
    pub epoch_length: Duration,
    pub bounded: bool,
    pub control: Arc<Control>,
    pub metrics: Arc<Metrics>,
}
