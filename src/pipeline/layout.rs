//! Where the rows of a collection hold what a store that interprets them must know.

use super::compile::{Collection, Plan};
use super::steps::NodeKind;
use crate::record::{FieldPath, ReshapeSpec};
use flowstone_operators::interval::Boundary;

/// What the rows of a collection are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Documents of a `fuse`.
    Moments(MomentLayout),
    /// Anything else: rows with a key and a document of which nothing else is known.
    Rows {
        /// The fields of the document that are its key; none if the key is the row's origin.
        key: Vec<FieldPath>,
    },
}

/// Where the documents of a `fuse` hold what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MomentLayout {
    /// The asset, in the document.
    pub asset: FieldPath,
    /// The fields of an annotation that are its key.
    pub key: Vec<FieldPath>,
    /// The start of an annotation.
    pub start: FieldPath,
    /// Its end.
    pub end: FieldPath,
    /// Whether that is included.
    pub includes_end: bool,
}

impl Plan {
    /// What the rows of a collection are.
    pub fn layout(&self, collection: Collection) -> Layout {
        let at = match collection {
            Collection::Moments(at) => at,
            Collection::Table(at) => return Layout::Rows { key: self.tables[at].decode.key.clone() },
            Collection::Groups(at) => {
                let spec = &self.aggregates[at].spec;
                let bounds = spec.window.iter().flat_map(|_| ["window_start_ns", "window_end_ns"]);
                let names = spec.by.iter().map(|(name, _)| name.as_str()).chain(bounds);
                return Layout::Rows { key: names.map(FieldPath::of_member).collect() };
            }
            Collection::Reshaped(at) => return self.reshaped(at),
            Collection::Rejected(_) | Collection::Unusable(_) | Collection::Unshaped(_) => {
                return Layout::Rows { key: Vec::new() };
            }
            Collection::Events(_) | Collection::DeadLetters => {
                return Layout::Rows { key: Vec::new() };
            }
        };
        let fuse = &self.fuses[at];
        let decode = &self.tables[fuse.table].decode;
        let facet = &decode.facets[usize::from(fuse.facet)];
        Layout::Moments(MomentLayout {
            asset: facet.by.clone(),
            key: decode.key.clone(),
            start: facet.start.clone(),
            end: facet.end.clone(),
            includes_end: facet.boundary == Boundary::Inclusive,
        })
    }

    /// The rows of a node. Those that it makes are no moments any more, and have the fields of the key if nothing took their
    /// place.
    fn reshaped(&self, at: usize) -> Layout {
        let node = &self.nodes[at];
        let taken: Vec<&str> = match &node.kind {
            NodeKind::Reshape(ReshapeSpec::Filter(_)) => return self.layout(node.from),
            NodeKind::Reshape(ReshapeSpec::Map { keeps_rest: false, .. }) => return Layout::Rows { key: Vec::new() },
            NodeKind::Reshape(ReshapeSpec::Map { fields, .. }) => {
                fields.iter().map(|(name, _)| name.as_str()).collect()
            }
            NodeKind::Join { spec, .. } if spec.with_on.is_some() => return Layout::Rows { key: Vec::new() },
            NodeKind::Join { spec, .. } => vec![spec.name.as_str()],
        };
        let key = match self.layout(node.from) {
            Layout::Rows { key } => key,
            Layout::Moments(_) => Vec::new(),
        };
        let is_taken = |path: &FieldPath| path.top_level().is_none_or(|top| taken.contains(&top));
        Layout::Rows { key: if key.iter().any(is_taken) { Vec::new() } else { key } }
    }
}
