//! Sealed changes of earlier runs, read back at the start.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, TryRecvError, sync_channel};

use flowstone_journal::{Collapse, Journal, JournalError, PartRef};
use flowstone_operators::route::owned;
use serde::{Deserialize, Serialize};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::{Scope, StreamVec};
use timely::scheduling::SyncActivator;

use super::row::TableId;
use crate::record::codec::Decoder;
use crate::record::packed::CodecError;
use crate::record::{DeadLetter, DecodeSpec, Record};
use crate::sink::Never;

/// Messages that may wait for the worker; each is about a block of a part.
const MESSAGES: usize = 32;

/// Rows put into the dataflow before other operators get their turn.
const FUEL_ROWS: usize = 1 << 16;

/// What earlier runs have sealed, and how this run sees it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Sealed {
    /// Tables start with their rows as of the end of this epoch.
    pub hydrate_at: u64,
    /// The last sealed epoch.
    pub through: u64,
    /// Streams start after this epoch.
    pub tails_from: u64,
    /// Ranges of epochs that are shown as one.
    pub collapses: Vec<Collapse>,
    /// Where the changes are.
    pub parts: Vec<PartRef>,
}

impl Sealed {
    /// The epoch at which a change of a table is shown.
    fn shown_at(&self, epoch: u64) -> u64 {
        Collapse::shown_at(&self.collapses, epoch).max(self.hydrate_at)
    }
}

/// What is done with the rows of a journalled table.
#[derive(Clone, Debug)]
pub enum Reader {
    /// They are records of a table, or of a stream (which starts at [`Sealed::tails_from`]).
    Records {
        /// How the table decodes.
        spec: Box<DecodeSpec>,
        /// Whether it is a stream.
        stream: bool,
    },
    /// They are dead letters.
    DeadLetters,
}

/// A table's rows, with the epoch that sealed them.
type Rows<R> = Vec<(u64, R)>;

/// The sealed changes, by table.
pub struct SealedStreams<'scope> {
    /// Of tables of records, in the order of the readers.
    pub records: BTreeMap<TableId, StreamVec<'scope, u64, (u64, Record)>>,
    /// The dead letters.
    pub dead_letters: StreamVec<'scope, u64, (u64, Arc<DeadLetter>)>,
    /// Without data; it ends when all workers have read everything.
    pub hydrated: StreamVec<'scope, u64, Never>,
}

enum Message {
    Records { table: TableId, shown_at: u64, rows: Rows<Record> },
    DeadLetters { epoch: u64, rows: Rows<Arc<DeadLetter>> },
    End,
}

/// Reads the sealed changes of the keys that this worker owns: those up to the hydration epoch at that epoch, later ones at
/// the epochs that show them.
///
/// Each worker reads its own key groups of every part: all workers together read each part once, whatever their number is,
/// and no row moves between them (law L7).
pub fn sealed_changes<'scope>(
    scope: Scope<'scope, u64>,
    journal: Option<Journal>,
    sealed: &Sealed,
    readers: &BTreeMap<TableId, Reader>,
    on_error: impl FnOnce(JournalError) + Send + 'static,
) -> SealedStreams<'scope> {
    let mut builder = OperatorBuilder::new("SealedChanges".to_owned(), scope);
    let address = builder.operator_info().address;
    let activator = scope.activator_for(address.clone());
    let mut outputs = BTreeMap::new();
    let mut records = BTreeMap::new();
    let (letters, dead_letters) = builder.new_output();
    let mut letters = OutputBuilder::<_, CapacityContainerBuilder<Rows<Arc<DeadLetter>>>>::from(letters);
    let (_hydrated, hydrated) = builder.new_output::<Vec<Never>>();
    // Tables begin with the hydration epoch; streams may begin before it, with the first row that a sink of theirs lacks.
    let (tables_begin, streams_begin) = (sealed.hydrate_at, sealed.hydrate_at.min(sealed.tails_from + 1));
    let mut begins = vec![streams_begin, tables_begin];
    for (port, (table, reader)) in
        readers.iter().filter(|(_, reader)| !matches!(reader, Reader::DeadLetters)).enumerate()
    {
        let (output, stream) = builder.new_output();
        let output = OutputBuilder::<_, CapacityContainerBuilder<Rows<Record>>>::from(output);
        let is_stream = matches!(reader, Reader::Records { stream: true, .. });
        begins.push(if is_stream { streams_begin } else { tables_begin });
        outputs.insert(*table, (port + 2, output));
        records.insert(*table, stream);
    }
    let receiver = journal.filter(|_| !sealed.parts.is_empty()).map(|journal| {
        let (sender, receiver) = sync_channel(MESSAGES);
        let groups = owned(scope.index(), scope.peers());
        let reading = Reading {
            journal,
            groups,
            sealed: sealed.clone(),
            tables: readers.iter().map(|(table, reader)| (*table, Table::new(reader))).collect(),
            out: Out { sender, activator: scope.worker().sync_activator_for(address.to_vec()) },
        };
        let thread = std::thread::Builder::new().name("hydrate".to_owned());
        thread.spawn(move || reading.run(on_error)).expect("the system can start a thread");
        receiver
    });

    builder.build(move |mut capabilities| {
        capabilities.iter_mut().zip(&begins).for_each(|(held, begin)| held.downgrade(begin));
        let mut open = receiver.map(|receiver| (receiver, capabilities));
        move |_frontiers| {
            let Some((receiver, capabilities)) = &open else { return };
            let mut fuel = FUEL_ROWS;
            while fuel > 0 {
                match receiver.try_recv() {
                    Ok(Message::Records { table, shown_at, mut rows }) => {
                        fuel = fuel.saturating_sub(rows.len());
                        let (port, output) = outputs.get_mut(&table).expect("there is an output for each reader");
                        give(output, &capabilities[*port].delayed(&shown_at), &mut rows);
                    }
                    Ok(Message::DeadLetters { epoch, mut rows }) => {
                        give(&mut letters, &capabilities[0].delayed(&epoch), &mut rows);
                    }
                    Ok(Message::End) => {
                        open = None;
                        return;
                    }
                    Err(TryRecvError::Empty) => return,
                    // It has failed, and said so: what is missing must not look complete.
                    Err(TryRecvError::Disconnected) => return,
                }
            }
            activator.activate();
        }
    });
    SealedStreams { records, dead_letters, hydrated }
}

fn give<R: 'static>(
    output: &mut OutputBuilder<u64, CapacityContainerBuilder<Rows<R>>>,
    capability: &Capability<u64>,
    rows: &mut Rows<R>,
) {
    output.activate().session(capability).give_container(rows);
}

/// The reading thread.
struct Reading {
    journal: Journal,
    groups: std::ops::Range<u16>,
    sealed: Sealed,
    tables: BTreeMap<TableId, Table>,
    out: Out,
}

struct Table {
    decoder: Decoder,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Table,
    Stream,
    DeadLetters,
}

impl Table {
    fn new(reader: &Reader) -> Self {
        match reader {
            Reader::Records { spec, stream } => {
                Table { decoder: Decoder::new(spec), kind: if *stream { Kind::Stream } else { Kind::Table } }
            }
            Reader::DeadLetters => Table { decoder: Decoder::new(&DecodeSpec::default()), kind: Kind::DeadLetters },
        }
    }
}

struct Out {
    sender: SyncSender<Message>,
    activator: SyncActivator,
}

/// The receiver is gone: the run is over.
struct Gone;

impl Out {
    fn send(&self, message: Message) -> Result<(), Gone> {
        self.sender.send(message).map_err(|_| Gone)?;
        let _ = self.activator.activate();
        Ok(())
    }
}

enum Stop {
    Gone,
    Failed(JournalError),
}

impl From<JournalError> for Stop {
    fn from(error: JournalError) -> Self {
        Stop::Failed(error)
    }
}

impl From<Gone> for Stop {
    fn from(_: Gone) -> Self {
        Stop::Gone
    }
}

impl Reading {
    fn run(mut self, on_error: impl FnOnce(JournalError)) {
        if let Err(Stop::Failed(error)) = self.read() {
            on_error(error);
            let _ = self.out.activator.activate();
        }
    }

    fn read(&mut self) -> Result<(), Stop> {
        for part in std::mem::take(&mut self.sealed.parts) {
            fail::fail_point!("hydrate-part");
            let reader = self.journal.open_part(&part)?;
            for block in reader.blocks(self.groups.clone()) {
                self.block(&part, &block?)?;
            }
        }
        self.out.send(Message::End)?;
        Ok(())
    }

    fn block(&mut self, part: &PartRef, block: &flowstone_journal::Block) -> Result<(), Stop> {
        let mut records: BTreeMap<(TableId, u64), Rows<Record>> = BTreeMap::new();
        let mut letters: BTreeMap<u64, Rows<Arc<DeadLetter>>> = BTreeMap::new();
        let damaged = |reason: CodecError| JournalError::damaged(&part.object, reason.to_string());
        for change in block.changes() {
            // What no table of the pipeline reads any more.
            let Some(Table { decoder, kind }) = self.tables.get_mut(&change.table) else { continue };
            if *kind != Kind::Table && change.epoch <= self.sealed.tails_from {
                continue;
            }
            let shown_at = if *kind == Kind::Table { self.sealed.shown_at(change.epoch) } else { change.epoch };
            let record = match change.value {
                Some(value) if *kind == Kind::DeadLetters => {
                    let letter = decoder.dead_letter(change.key, value).map_err(damaged)?;
                    letters.entry(change.epoch).or_default().push((change.epoch, Arc::new(letter)));
                    continue;
                }
                Some(value) => decoder.record(change.key, change.route, value),
                None => decoder.removal(change.key, change.route),
            };
            let row = (change.epoch, record.map_err(damaged)?);
            records.entry((change.table, shown_at)).or_default().push(row);
        }
        for ((table, shown_at), rows) in records {
            self.out.send(Message::Records { table, shown_at, rows })?;
        }
        for (epoch, rows) in letters {
            self.out.send(Message::DeadLetters { epoch, rows })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use flowstone_journal::{Collapse, KEY_GROUPS, key_group};
    use flowstone_operators::route;

    use super::Sealed;

    #[test]
    fn hidden_epochs_are_repeated_where_they_were_revealed() {
        let collapses = vec![Collapse { first: 20, last: 29 }, Collapse { first: 40, last: 49 }];
        let sealed = Sealed { hydrate_at: 10, through: 60, collapses, ..Sealed::default() };
        let shown = [5, 10, 19, 20, 29, 30, 40, 49, 50].map(|epoch| sealed.shown_at(epoch));
        assert_eq!(shown, [10, 10, 19, 29, 29, 30, 49, 49, 50]);
    }

    /// Each worker asks the journal for the groups that the operators say are its own: both must divide keys alike.
    #[test]
    fn the_journal_and_the_operators_divide_keys_alike() {
        assert_eq!(u64::from(KEY_GROUPS), route::KEY_GROUPS);
        for route in (0..=u64::MAX).step_by(1 << 54) {
            for workers in [1, 2, 3, 7] {
                let owner = route::owner(route, workers) as usize;
                assert!(route::owned(owner, workers).contains(&key_group(route)), "route {route:x} of {workers}");
            }
        }
    }
}
