//! Aggregation of rows: what a row gives to which groups, and the documents of groups.
//!
//! | file | what it owns |
//! |---|---|
//! | `spec` | what an `aggregate` is asked for |
//! | `condition` | which rows count |
//! | `value` | values of fields, as they are compared and counted |
//! | `key` | what a group is known by: values, and a window of event time |
//! | `window` | which windows a time is in, and which of them are made of others |
//! | `fan_out` | the groups of a row |
//! | `children` | those of a fused document, without rendering it |
//! | `contribution` | what a row gives to its groups |
//! | `ranked` | rows of a group in an order |
//! | `fields` | what is known of a group, function by function |
//! | `ids` | ids of events, as that table keeps them |
//! | `progress` | how far event time is, as that table keeps it |
//! | `kept` | groups of events, as a table keeps them |
//! | `document` | the row and the document of a group |

mod children;
mod condition;
mod contribution;
mod document;
mod fan_out;
mod fields;
mod ids;
mod items;
mod kept;
mod key;
mod places;
mod progress;
mod ranked;
mod spec;
mod value;
mod window;

pub use condition::{Condition, Test};
pub(crate) use contribution::Contributor;
pub use document::Grouped;
pub(crate) use document::Results;
pub(super) use fan_out::scalar;
pub(crate) use fields::Fields;
pub(crate) use ids::{IdRecords, Usable};
pub(crate) use kept::{Kept, Piece};
pub use key::{GroupKey, Window};
pub(crate) use progress::{Origin, is_progress, progress_of, progress_record};
pub use spec::{AggregateSpec, Computed, Function, Ids};
pub use window::{Lateness, WindowSpec, Windows};
