//! Standard output, which only the command line may write to.

use std::io::{ErrorKind, Write};

use super::Failure;

/// Prints `text`. A reader that has gone away (`flowstone schema | head`) is no failure.
pub fn print(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(Failure::run(format!("could not write to standard output: {error}"))),
        Ok(()) => Ok(()),
    }
}

/// Prints `value` as JSON, indented.
pub fn print_json(value: &serde_json::Value) -> Result<(), Failure> {
    print(&format!("{value:#}\n"))
}
