//! What facets depend on, as one number.

use std::sync::LazyLock;

use flowstone_operators::interval::Boundary;
use xxhash_rust::xxh3::xxh3_64;

use super::{DecodeSpec, FacetSpec};

/// Changes when facets are taken in another way from the same payload and the same settings.
const EXTRACTION: &str = "1";

/// A number for the settings by which facets are taken: stable over builds and platforms, because it is the hash of a text
/// that is spelt out here.
pub fn fingerprint(spec: &DecodeSpec) -> u64 {
    let mut text = Text::default();
    text.line("extraction", EXTRACTION);
    // Children keep the key's fields, and not the one that deletes.
    spec.key.iter().for_each(|path| text.line("key", &path.to_string()));
    spec.delete.iter().for_each(|path| text.line("delete", &path.to_string()));
    spec.facets.iter().for_each(|facet| text.facet(facet));
    xxh3_64(text.text.as_bytes())
}

/// That of records of which nobody takes facets.
pub(in crate::record) static NO_FACETS: LazyLock<u64> = LazyLock::new(|| fingerprint(&DecodeSpec::default()));

#[derive(Default)]
struct Text {
    text: String,
}

impl Text {
    /// With its length, so that no value can look like two lines.
    fn line(&mut self, name: &str, value: &str) {
        self.text += &format!("{name} {} {value}\n", value.len());
    }

    fn facet(&mut self, facet: &FacetSpec) {
        let FacetSpec { by, kind, start, end, boundary, max_range_ns, context, keep } = facet;
        for (name, path) in [("by", by), ("type", kind), ("start", start), ("end", end)] {
            self.line(name, &path.to_string());
        }
        let boundary = match boundary {
            Boundary::Exclusive => "exclusive",
            Boundary::Inclusive => "inclusive",
        };
        self.line("boundary", boundary);
        self.line("max_range_ns", &max_range_ns.to_string());
        self.line("context", context);
        self.line("keep", if keep.is_some() { "some" } else { "all" });
        keep.iter().flatten().for_each(|name| self.line("kept", name));
    }
}
