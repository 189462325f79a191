//! Incremental aggregation: what the rows of each group come to, kept up to date.
//!
//! ```text
//! changes of (key, input)@e ──partial──▶ (key, group)@e ──exchange by key──▶ per epoch: groups that change ──▶ results ± @e
//! ```
//!
//! | file | what it owns |
//! |---|---|
//! | [`accumulator`](Accumulator) | what is known of the rows of a group, and adds up |
//! | [`sum`](Sum) | exact sums of any number of integers |
//! | [`bag`](Bag) | values in order, with how often they are there: what minimum, maximum and the like are read from |
//! | [`group`](Group) | an accumulator, and how many rows it has |
//! | `groups` | the state: what an epoch changes |
//! | `state` | what the shell must know of a state, whatever it is |
//! | [`distinct`](distinct()) | each row once |
//! | [`sessions`](sessions()) | groups that are rows which follow each other within a gap |
//! | `partial` | what a worker can add up before rows go to other workers |
//! | `options` | what is asked for |
//! | `operator` | the dataflow shell: exchange, epochs, yielding |

mod accumulator;
mod bag;
mod distinct;
mod group;
mod groups;
mod operator;
mod options;
mod partial;
mod sessions;
mod state;
mod sum;

pub use accumulator::Accumulator;
pub use bag::Bag;
pub use distinct::distinct;
pub use group::Group;
pub(crate) use operator::folded;
pub use operator::{aggregate, roll_up};
pub use options::AggregateOptions;
pub(crate) use partial::{MOST_GROUPS, Trial};
pub use sessions::{Session, sessions};
pub(crate) use state::State;
pub use sum::Sum;
