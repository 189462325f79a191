//! Where state goes that nobody needs any more.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

/// Takes the state of an operator whose input has ended. Freeing millions of rows one by one takes a while, and nobody should
/// have to wait for it: a program may hand them to another thread. By default they are freed at once.
#[derive(Clone, Default)]
pub struct Reaper(Option<Arc<Reap>>);

type Reap = dyn Fn(Box<dyn Any + Send>) + Send + Sync;

impl Reaper {
    /// One that hands everything to `reap`.
    pub fn new(reap: impl Fn(Box<dyn Any + Send>) + Send + Sync + 'static) -> Self {
        Reaper(Some(Arc::new(reap)))
    }

    /// Hands state over.
    pub fn take(&self, state: impl Any + Send) {
        match &self.0 {
            Some(reap) => reap(Box::new(state)),
            None => drop(state),
        }
    }
}

impl fmt::Debug for Reaper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Reaper(elsewhere)" } else { "Reaper(here)" })
    }
}
