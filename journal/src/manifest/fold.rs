//! Checking and applying records. The same for what is read and for what is to be appended.

use std::collections::BTreeSet;

use super::{Collapse, Opening, PartRef, PartitionState, Record, SourceState, State};

/// How long the first entry of a run is kept: as long as a run may stand still and come back as a zombie.
const OPENING_KEPT_MS: u64 = 30 * 24 * 3600 * 1000;

impl State {
    /// Why `record` cannot follow, if it cannot.
    pub(crate) fn check(&self, record: &Record) -> Result<(), String> {
        if record.number != self.next_entry {
            return Err(format!("its number is {}, {} was to come", record.number, self.next_entry));
        }
        if record.number > 0 && record.previous != Some(self.digest) {
            return Err("it does not follow the entry before it".into());
        }
        if record.run > record.number || record.run < self.run {
            return Err(format!("it is of run {} after entries of run {}", record.run, self.run));
        }
        self.check_seals(record)?;
        self.check_bindings(record)?;
        self.check_hidden(record)?;
        for (table, info) in &record.new_tables {
            if *table < self.next_table {
                return Err(format!("number {table} of table \"{}\" was used before", info.name));
            }
        }
        self.check_replaced(record)
    }

    fn check_replaced(&self, record: &Record) -> Result<(), String> {
        if record.replaced.is_empty() {
            return Ok(());
        }
        let mut wanted: Vec<_> = record.replaced.iter().flat_map(|replaced| &replaced.inputs).collect();
        wanted.sort();
        if wanted.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err("it replaces a part twice".into());
        }
        let known: BTreeSet<_> = self.parts.iter().map(PartRef::id).collect();
        match wanted.into_iter().find(|id| !known.contains(id)) {
            Some(missing) => Err(format!("it replaces \"{}\", which is not there", missing.object)),
            None => Ok(()),
        }
    }

    fn check_seals(&self, record: &Record) -> Result<(), String> {
        let mut sealed = self.sealed;
        for seal in &record.seals {
            if seal.epoch <= sealed {
                return Err(format!("epoch {} is sealed after {sealed}", seal.epoch));
            }
            sealed = seal.epoch;
        }
        for part in &record.parts {
            if part.first > part.last || part.first <= self.sealed || part.last > sealed {
                let (object, first, last, before) = (&part.object, part.first, part.last, self.sealed);
                return Err(format!("\"{object}\" is for epochs {first} to {last}, not in ({before}, {sealed}]"));
            }
        }
        Ok(())
    }

    fn check_bindings(&self, record: &Record) -> Result<(), String> {
        let mut sources: Vec<Vec<u64>> =
            self.sources.iter().map(|source| source.partitions.iter().map(|p| p.upper).collect()).collect();
        sources.extend(record.new_sources.iter().map(|_| Vec::new()));
        for source in &record.rewound_sources {
            let uppers = sources.get_mut(usize::from(*source)).ok_or_else(|| format!("there is no source {source}"))?;
            uppers.fill(0);
        }
        for (source, partition, name) in &record.new_partitions {
            let uppers = sources.get_mut(usize::from(*source)).ok_or_else(|| format!("there is no source {source}"))?;
            if uppers.len() != *partition as usize {
                return Err(format!("partition \"{name}\" of source {source} is not number {}", uppers.len()));
            }
            uppers.push(0);
        }
        for binding in record.seals.iter().flat_map(|seal| &seal.bindings) {
            let uppers = sources.get_mut(usize::from(binding.source));
            let upper = uppers.and_then(|uppers| uppers.get_mut(binding.partition as usize));
            let (source, partition) = (binding.source, binding.partition);
            let upper = upper.ok_or_else(|| format!("source {source} has no partition {partition}"))?;
            if binding.upper < *upper {
                let back = format!("from {upper} to {}", binding.upper);
                return Err(format!("the bindings of partition {partition} of source {source} go back {back}"));
            }
            *upper = binding.upper;
        }
        Ok(())
    }

    fn check_hidden(&self, record: &Record) -> Result<(), String> {
        let mut catching_up = self.catching_up;
        if let Some(first) = record.catching_up {
            if catching_up.is_some() {
                return Err("catching up has begun already".into());
            }
            if first <= self.sealed {
                return Err(format!("the first hidden epoch {first} is sealed already"));
            }
            catching_up = Some(first);
        }
        if let Some(reveal) = record.reveal {
            if catching_up.is_none_or(|first| reveal < first) {
                return Err(format!("epoch {reveal} reveals nothing"));
            }
            if !record.seals.iter().any(|seal| seal.epoch == reveal) {
                return Err(format!("the reveal {reveal} is not sealed with it"));
            }
        }
        // What is merged cannot be told apart again: a sink must not fall back behind it.
        let mut after = State {
            sealed: record.seals.last().map_or(self.sealed, |seal| seal.epoch),
            catching_up,
            collapses: self.collapses.clone(),
            sinks: self.sinks.clone(),
            ..State::default()
        };
        after.apply_hidden(record);
        after.apply_sinks(record);
        if after.floor() < self.floor() {
            return Err(format!("a sink would fall back to epoch {}, behind {}", after.floor(), self.floor()));
        }
        Ok(())
    }

    /// Applies a record that [`State::check`] passed, and that was written with `digest`.
    pub(crate) fn apply(&mut self, record: &Record, digest: u32) {
        self.next_entry = record.number + 1;
        self.run = record.run;
        self.digest = digest;
        if record.run == record.number {
            self.openings.push(Opening { number: record.number, written_unix_ms: record.written_unix_ms });
        }
        let sources = record.new_sources.iter().map(|name| SourceState { name: name.clone(), partitions: Vec::new() });
        self.sources.extend(sources);
        for source in &record.rewound_sources {
            for partition in &mut self.sources[usize::from(*source)].partitions {
                (partition.upper, partition.mark) = (0, String::new());
            }
        }
        for (source, _, name) in &record.new_partitions {
            let partition = PartitionState { name: name.clone(), ..PartitionState::default() };
            self.sources[usize::from(*source)].partitions.push(partition);
        }
        for seal in &record.seals {
            self.sealed = seal.epoch;
            for binding in &seal.bindings {
                let source = &mut self.sources[usize::from(binding.source)];
                let partition = &mut source.partitions[binding.partition as usize];
                (partition.upper, partition.mark) = (binding.upper, binding.mark.clone());
            }
        }
        for table in &record.dropped_tables {
            self.tables.remove(table);
        }
        for (table, info) in &record.new_tables {
            self.next_table = self.next_table.max(table.saturating_add(1));
            self.tables.insert(*table, info.clone());
        }
        self.catching_up = record.catching_up.or(self.catching_up);
        self.apply_hidden(record);
        self.apply_sinks(record);
        for (node, fingerprint) in &record.nodes {
            match fingerprint {
                Some(fingerprint) => self.nodes.insert(node.clone(), fingerprint.clone()),
                None => self.nodes.remove(node),
            };
        }
        self.apply_parts(record);
        if record.snapshot.is_some() {
            let oldest = record.written_unix_ms.saturating_sub(OPENING_KEPT_MS);
            let run = self.run;
            self.openings.retain(|opening| opening.written_unix_ms >= oldest || opening.number == run);
        }
    }

    fn apply_hidden(&mut self, record: &Record) {
        if let (Some(last), Some(first)) = (record.reveal, self.catching_up) {
            self.catching_up = None;
            self.tables.values_mut().for_each(|table| table.awaits_reveal = false);
            self.collapses.push(Collapse { first, last });
        }
    }

    fn apply_sinks(&mut self, record: &Record) {
        for (name, sink) in &record.sinks {
            match sink {
                Some(sink) => self.sinks.insert(name.clone(), sink.clone()),
                None => self.sinks.remove(name),
            };
        }
    }

    fn apply_parts(&mut self, record: &Record) {
        self.parts.extend(record.parts.iter().cloned());
        if record.replaced.is_empty() {
            return;
        }
        for replaced in &record.replaced {
            self.parts.retain(|part| !replaced.inputs.contains(&part.id()));
            self.parts.extend(replaced.outputs.iter().cloned());
        }
        self.parts.sort_by(|a, b| (a.first, a.last, &a.object).cmp(&(b.first, b.last, &b.object)));
    }
}
