//! Each row once.

use std::hash::Hash;

use differential_dataflow::VecCollection;
use timely::ExchangeData;

use super::group::Group;
use super::operator::aggregate;
use super::options::AggregateOptions;
use crate::route::Route;

/// Has each row once, however often it is there, for as long as it is there.
///
/// **Law.** At every epoch the accumulated output has each row of the accumulated input once.
///
/// **Cost.** That of [`aggregate`], which it is, of rows that are their own key: a look-up for each change, and a count for each
/// row that is there.
///
/// ```
/// use differential_dataflow::input::InputSession;
/// use flowstone_operators::aggregate::{AggregateOptions, distinct};
///
/// timely::execute_directly(move |worker| {
///     let mut labels = InputSession::new();
///     let (seen, found) = std::sync::mpsc::channel();
///     let probe = worker.dataflow(|scope| {
///         let once = distinct(labels.to_collection(scope), AggregateOptions::default());
///         once.inspect(move |(row, epoch, diff): &(u32, u64, isize)| seen.send((*row, *epoch, *diff)).unwrap()).probe().0
///     });
///     [7, 7, 8].into_iter().for_each(|label| labels.insert(label));
///     labels.advance_to(1);
///     [7, 8].into_iter().for_each(|label| labels.remove(label));
///     labels.close();
///     worker.step_while(|| !probe.done());
///     assert_eq!(found.iter().collect::<Vec<_>>(), [(7, 0, 1), (8, 0, 1), (8, 1, -1)]);
/// });
/// ```
pub fn distinct<'scope, K>(
    rows: VecCollection<'scope, u64, K, isize>,
    options: AggregateOptions,
) -> VecCollection<'scope, u64, K, isize>
where
    K: ExchangeData + Ord + Hash + Clone + Route + Send,
{
    aggregate(rows.map(|row| (row, ())), options, |row: &K, _: &Group<()>| Some(row.clone()))
}
