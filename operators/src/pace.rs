//! Whether those who take an operator's output can follow.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Asked by operators that put out much at once, such as all documents of an archive: while it says that those who take the
/// output lag behind, they wait. By default nobody lags.
///
/// What it asks about must shrink without anything that the operator has still to put out, or both wait for each other.
#[derive(Clone, Default)]
pub struct Pace(Option<Arc<dyn Fn() -> bool + Send + Sync>>);

impl Pace {
    /// How long to wait before it is asked again.
    pub const DELAY: Duration = Duration::from_millis(1);

    /// One that asks `lags`.
    pub fn new(lags: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Pace(Some(Arc::new(lags)))
    }

    /// Whether to wait.
    pub fn lags(&self) -> bool {
        self.0.as_ref().is_some_and(|lags| lags())
    }
}

impl fmt::Debug for Pace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Pace(asked)" } else { "Pace(free)" })
    }
}
