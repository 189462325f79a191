//! Workers and the dataflow they run.

/// Ends the process when any thread panics: a timely worker that panics would leave the others waiting for ever (law L11).
pub fn abort_on_panic() {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        hook(info);
        std::process::abort();
    }));
}
