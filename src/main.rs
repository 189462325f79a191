//! The `flowstone` program.

use std::process::ExitCode;

/// Row changes are many small allocations that one thread makes and another frees; the system's allocator is slow at that.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    flowstone::runtime::abort_on_panic();
    #[cfg(feature = "failpoints")]
    let _failpoints = fail::FailScenario::setup();
    flowstone::cli::main()
}
