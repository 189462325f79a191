//! What a record says besides its key and its row.

use flowstone_operators::generations::Stage;
use serde::{Deserialize, Serialize};

use super::{CodecError, FLAGS, HAS_STAGE, HAS_TIME, HAS_VERSION, IS_REMEMBERED, Input};

/// Where a record came from, as numbers; a [`Catalog`](crate::source::catalog::Catalog) knows their names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Position {
    /// The source, in the order of the pipeline file.
    pub source: u16,
    /// The partition of that source: for files, in the order of their paths.
    pub partition: u32,
    /// The byte offset of a line, or a log's own offset.
    pub offset: u64,
}

/// What a record says besides its key and its row.
#[derive(Clone, Copy, Debug)]
pub struct State {
    /// Where it came from.
    pub position: Position,
    /// What `version:` names.
    pub version: Option<i64>,
    /// What `retention:` counts from.
    pub time_ns: Option<i64>,
    /// Of a deletion without a version: whether it is remembered all the same.
    pub is_remembered: bool,
    /// How the operation stands that the record is about.
    pub stage: Option<Stage>,
}

impl State {
    /// Of a record that came from there, and says nothing else.
    pub fn at(position: Position) -> Self {
        State { position, version: None, time_ns: None, is_remembered: false, stage: None }
    }

    pub(in crate::record) fn read(input: &mut Input<'_>) -> Result<State, CodecError> {
        Ok(State::read_with_flags(input)?.0)
    }

    pub(super) fn read_with_flags(input: &mut Input<'_>) -> Result<(State, u8), CodecError> {
        input.format()?;
        let flags = input.byte()?;
        if flags & !FLAGS != 0 {
            return Err(CodecError::Invalid("flag"));
        }
        let position = Position {
            source: input.number()?.try_into().map_err(|_| CodecError::Invalid("source"))?,
            partition: input.number()?.try_into().map_err(|_| CodecError::Invalid("partition"))?,
            offset: input.number()?,
        };
        let version = if flags & HAS_VERSION != 0 { Some(input.signed()?) } else { None };
        let time_ns = if flags & HAS_TIME != 0 { Some(input.signed()?) } else { None };
        let stage = if flags & HAS_STAGE != 0 { Some(stage(input)?) } else { None };
        Ok((State { position, version, time_ns, is_remembered: flags & IS_REMEMBERED != 0, stage }, flags))
    }
}

fn stage(input: &mut Input<'_>) -> Result<Stage, CodecError> {
    match input.byte()? {
        0 => Ok(Stage::Started),
        1 => Ok(Stage::Finished { awaits: input.number()? }),
        2 => Ok(Stage::Canceled),
        _ => Err(CodecError::Invalid("stage")),
    }
}
