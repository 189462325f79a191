//! Standard output, which only the command line may write to.

use std::io::{ErrorKind, Write};

use comfy_table::{CellAlignment, Table};
use indicatif::HumanCount;

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

/// `1 worker`, `2 workers`
pub fn counted(n: u64, what: &str) -> String {
    format!("{} {what}{}", HumanCount(n), if n == 1 { "" } else { "s" })
}

/// An empty table: its first column is a name, the others are numbers.
pub fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::UTF8_HORIZONTAL_ONLY).set_header(header);
    table.column_iter_mut().skip(1).for_each(|column| column.set_cell_alignment(CellAlignment::Right));
    table
}

/// Makes further columns texts.
pub fn set_texts(table: &mut Table, columns: &[usize]) {
    for column in columns {
        if let Some(column) = table.column_mut(*column) {
            column.set_cell_alignment(CellAlignment::Left);
        }
    }
}
