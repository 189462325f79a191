//! What a row gives to its groups.

use smallvec::SmallVec;

use super::children::OfChildren;
use super::fan_out::{FanOut, Keys};
use super::fields::Inputs;
use super::items::Taker;
use super::key::{GroupKey, Window};
use super::places::{PlaceId, Places};
use super::spec::AggregateSpec;
use super::window::WindowSpec;
use crate::record::{Interner, Key, Record, Renderer, Row};

/// Takes from rows what they give to their groups. What a row gives depends on the row alone, so that its retraction takes
/// the same away.
pub(crate) struct Contributor {
    reader: Reader,
    /// If a fused document need only be looked at child by child to find its groups.
    of_children: Option<OfChildren>,
    renderer: Renderer,
    document: Vec<u8>,
}

/// What is read of documents.
struct Reader {
    places: Places,
    fan_out: FanOut,
    window: Option<(WindowSpec, PlaceId)>,
    /// Those that read a field, in the order of the file.
    functions: Vec<Taker>,
    strings: Interner,
}

impl Contributor {
    pub(crate) fn new(spec: &AggregateSpec) -> Self {
        Contributor::of(spec, false)
    }

    /// For rows that are never taken back: no more is asked of them than what is shown in the end.
    pub(crate) fn of_events(spec: &AggregateSpec) -> Self {
        Contributor::of(spec, true)
    }

    fn of(spec: &AggregateSpec, is_growing: bool) -> Self {
        let mut places = Places::default();
        let fan_out = FanOut::new(spec, &mut places);
        let window = spec.window.as_ref().map(|window| (window.clone(), places.add(&window.time)));
        let functions = spec.compute.iter().filter(|computed| computed.reads_fields());
        let functions = functions.map(|computed| Taker::new(computed, is_growing, &mut places)).collect();
        let of_children = fan_out.is_of_children().then(OfChildren::default);
        let reader = Reader { places, fan_out, window, functions, strings: Interner::new() };
        Contributor { reader, of_children, renderer: Renderer::default(), document: Vec::new() }
    }

    /// Looks at whole documents from now on.
    #[cfg(test)]
    pub(super) fn read_documents(&mut self) {
        self.of_children = None;
    }

    /// Calls `each` with each group that the row belongs to, and what it gives to it.
    ///
    /// # Errors
    /// The first reason why the row can not be used, for people. Nothing was given then.
    pub(crate) fn take(&mut self, row: &Row, each: impl FnMut(GroupKey, Inputs)) -> Result<(), String> {
        let Contributor { reader, of_children, renderer, document } = self;
        let Reader { fan_out, strings, .. } = reader;
        let found = match (of_children, row) {
            (Some(children), Row::Moment(fused)) => Some(children.keys(fused, |child| fan_out.key_of(child, strings))?),
            _ => None,
        };
        let bytes = match row {
            Row::Record(record) => record.payload().expect("a table emits no deletions"),
            _ if found.is_some() && reader.functions.is_empty() && reader.window.is_none() => b"{}",
            other => {
                document.clear();
                renderer.document(other, document);
                document
            }
        };
        reader.take(bytes, found, |out| row.write_key(out), each)
    }

    /// The same of an event that is a record.
    ///
    /// # Errors
    /// As those of [`Contributor::take`].
    pub(crate) fn take_record(&mut self, record: &Record, each: impl FnMut(GroupKey, Inputs)) -> Result<(), String> {
        let payload = record.payload().expect("nobody counts a deletion");
        self.take_event(payload, |out| record.key().write_json(out), each)
    }

    /// The same of an event that is not yet a record: its payload, and what writes its row key.
    ///
    /// # Errors
    /// As those of [`Contributor::take`]; besides if it is no JSON object.
    pub(crate) fn take_event(
        &mut self,
        payload: &[u8],
        write_key: impl Fn(&mut Vec<u8>),
        each: impl FnMut(GroupKey, Inputs),
    ) -> Result<(), String> {
        self.reader.take(payload, None, write_key, each)
    }
}

impl Reader {
    /// Of a document; `found` are its groups, if they are known.
    #[inline]
    fn take(
        &mut self,
        document: &[u8],
        found: Option<SmallVec<[Key; 1]>>,
        write_key: impl Fn(&mut Vec<u8>),
        mut each: impl FnMut(GroupKey, Inputs),
    ) -> Result<(), String> {
        let Reader { places, fan_out, window, functions, strings } = self;
        let json = places.find(document).map_err(|error| error.to_string())?;
        let keys = match found {
            Some(keys) => Keys::Several(keys),
            None => fan_out.keys(json, places, strings)?,
        };
        if keys.is_empty() {
            return Ok(());
        }
        let items = functions.iter().map(|function| function.item(json, places, &write_key, strings));
        let inputs = items.collect::<Result<Inputs, String>>()?;
        let Some((spec, at)) = window else {
            keys.give(inputs, |by, inputs| each(GroupKey { by, window: None }, inputs));
            return Ok(());
        };
        let time_ns = spec.read_ns(places.single(json, *at))?;
        let mut windows: SmallVec<[Window; 1]> = SmallVec::new();
        spec.smallest(time_ns, |window| windows.push(window));
        let (last, others) = windows.split_last().expect("each time is in one");
        keys.give(inputs, |by, inputs| {
            let mut give = |by, window, inputs| each(GroupKey { by, window: Some(window) }, inputs);
            others.iter().for_each(|window| give(by.clone(), *window, inputs.clone()));
            give(by, *last, inputs);
        });
        Ok(())
    }
}
