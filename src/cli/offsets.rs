//! `flowstone offsets`

use flowstone_journal::PartitionState;
use indicatif::{HumanBytes, HumanCount};
use serde_json::{Map, Value, json};

use super::state::{self, Site, StateArgs};
use super::{Failure, output};
use crate::source::Bookmark;
use crate::source::file;

/// Shows where each partition of each source is gone on with: what stands before is sealed, and never read again.
///
/// Offsets of files are bytes, of compressed files decompressed bytes. Also while a run goes on.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    state: StateArgs,
}

pub fn main(args: &Args, json: bool) -> Result<(), Failure> {
    let site = args.state.open()?;
    let state = site.read()?;
    let mut lines = Vec::new();
    for source in &state.sources {
        lines.extend(source.partitions.iter().map(|partition| Line::new(&site, &source.name, partition)));
    }
    if json {
        let mut sources: Map<String, Value> = Map::new();
        for source in &state.sources {
            let of_source = lines.iter().filter(|line| line.source == source.name);
            let partitions: Map<String, Value> = of_source.map(|line| (line.partition.clone(), line.json())).collect();
            sources.insert(source.name.clone(), Value::Object(partitions));
        }
        let mut all = state::overview(&state);
        all["sources"] = Value::Object(sources);
        return output::print_json(&all);
    }
    let mut table = output::table(&["source", "partition", "goes on at", "behind", "read to its end"]);
    for line in &lines {
        table.add_row(line.cells());
    }
    output::set_texts(&mut table, &[1, 4]);
    output::print(&format!("{table}\nas of epoch {}\n{}", state::epoch(state.sealed), state::detached(&state)))
}

struct Line {
    source: String,
    partition: String,
    offset: u64,
    /// Of files; other sources have no such thing.
    standing: Option<file::Standing>,
}

impl Line {
    fn new(site: &Site, source: &str, partition: &PartitionState) -> Self {
        let spec = site.loaded.pipeline.sources.get(source);
        let bookmark = Bookmark { offset: partition.upper, mark: partition.mark.clone() };
        let standing = spec
            .filter(|spec| spec.file.is_some())
            .map(|_| file::standing(&partition.name, &bookmark, &site.loaded.base));
        let (source, partition) = (source.to_owned(), partition.name.clone());
        Line { source, partition, offset: bookmark.offset, standing }
    }

    fn cells(&self) -> [String; 5] {
        let unknown = || "-".to_owned();
        let behind = self.standing.and_then(|standing| standing.behind_bytes);
        [
            self.source.clone(),
            self.partition.clone(),
            HumanCount(self.offset).to_string(),
            behind.map_or_else(unknown, |bytes| HumanBytes(bytes).to_string()),
            self.standing.map_or_else(unknown, |standing| if standing.ended { "yes" } else { "no" }.to_owned()),
        ]
    }

    fn json(&self) -> Value {
        json!({
            "offset": self.offset,
            "ended": self.standing.map(|standing| standing.ended),
            "behind_bytes": self.standing.and_then(|standing| standing.behind_bytes),
        })
    }
}
