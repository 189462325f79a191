//! The end of a fill: what is older than it is deleted.

use std::time::Instant;

use scylla::response::{PagingState, PagingStateResponse};
use scylla::statement::prepared::PreparedStatement;
use scylla::value::{CqlValue, MaybeUnset, Row};

use super::cell::Cell;
use super::sender::{Action, Item, Sender};
use super::store::micros;
use crate::sink::SinkError;
use crate::sink::retry::Backoff;

/// Into how many ranges of tokens the scan is divided: a request that fails repeats no more than one.
const RANGES: i64 = 256;

const PAGE_ROWS: i32 = 2_000;

/// A walk over all rows of a table, in the order of their tokens.
pub(super) struct Walk {
    scan: PreparedStatement,
    range: i64,
    page: PagingState,
}

impl Walk {
    pub fn new(mut scan: PreparedStatement) -> Self {
        scan.set_page_size(PAGE_ROWS);
        Walk { scan, range: 0, page: PagingState::start() }
    }

    /// The deletions of older rows that the next page holds; `None` at the end.
    pub async fn next(&mut self, sender: &Sender, epoch: u64) -> Result<Option<Vec<Item>>, SinkError> {
        if self.range == RANGES {
            return Ok(None);
        }
        let (rows, more) = self.read(sender).await?;
        match more {
            Some(page) => self.page = page,
            None => {
                self.range += 1;
                self.page = PagingState::start();
            }
        }
        Ok(Some(rows.into_iter().filter_map(|row| deletion(row, epoch)).collect()))
    }

    async fn read(&self, sender: &Sender) -> Result<(Vec<Row>, Option<PagingState>), SinkError> {
        let cluster = &sender.cluster;
        let failed =
            |error: Box<dyn std::error::Error + Send + Sync>| SinkError::store("sweep", &cluster.object, error);
        let (above, up_to) = tokens(self.range);
        let (start, mut backoff) = (Instant::now(), Backoff::default());
        let (found, more) = loop {
            match cluster.session.execute_single_page(&self.scan, (above, up_to), self.page.clone()).await {
                Ok(found) => break found,
                Err(error) => cluster.bear("sweep", &error, start, sender.patience)?,
            }
            backoff.wait().await;
        };
        let found = found.into_rows_result().map_err(|error| failed(error.into()))?;
        let rows = found.rows::<Row>().map_err(|error| failed(error.into()))?;
        let rows = rows.collect::<Result<_, _>>().map_err(|error| failed(error.into()))?;
        Ok((
            rows,
            match more {
                PagingStateResponse::HasMorePages { state } => Some(state),
                PagingStateResponse::NoMorePages => None,
            },
        ))
    }
}

/// Above which token a range begins, and with which it ends.
fn tokens(range: i64) -> (i64, i64) {
    let bound = |range: i64| i128::from(i64::MIN) + i128::from(range) * (1 << 64) / i128::from(RANGES);
    let token = |bound: i128| i64::try_from(bound).unwrap_or(i64::MAX);
    (token(bound(range)), token(bound(range + 1)))
}

/// Deletes a row of which the last value is the epoch, if that is older: one microsecond before `epoch`, so that what the
/// fill has written stays, also where an old copy was read.
fn deletion(mut row: Row, epoch: u64) -> Option<Item> {
    let written = match row.columns.pop()? {
        Some(CqlValue::BigInt(written)) => written,
        _ => 0,
    };
    if written >= i64::try_from(epoch).unwrap_or(i64::MAX) {
        return None;
    }
    let timestamp = MaybeUnset::Set(Some(CqlValue::BigInt(micros(epoch) - 1)));
    let cells: Vec<Cell> = std::iter::once(timestamp).chain(row.columns.into_iter().map(MaybeUnset::Set)).collect();
    Some(Item { epoch, key: "".into(), action: Action::Delete, cells, bytes: 64 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_tokens_are_all_tokens_and_follow_each_other() {
        assert_eq!((tokens(0).0, tokens(RANGES - 1).1), (i64::MIN, i64::MAX));
        assert!((1..RANGES).all(|range| tokens(range - 1).1 == tokens(range).0 && tokens(range).0 < tokens(range).1));
    }

    #[test]
    fn a_row_is_deleted_if_it_is_older_and_just_before_the_fill() {
        let row = |epoch: Option<i64>| Row { columns: vec![Some(CqlValue::BigInt(7)), epoch.map(CqlValue::BigInt)] };
        let item = deletion(row(Some(4)), 5).unwrap();
        let expected = [4_999, 7].map(|value| MaybeUnset::Set(Some(CqlValue::BigInt(value))));
        assert_eq!(format!("{:?}", item.cells), format!("{expected:?}"));
        assert!(deletion(row(None), 5).is_some(), "somebody else's");
        assert!(deletion(row(Some(5)), 5).is_none() && deletion(row(Some(6)), 5).is_none());
    }
}
