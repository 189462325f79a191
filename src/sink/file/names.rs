//! The names of the files of a sink: which epochs they hold.

use std::fs;
use std::io;
use std::path::Path;

/// `DIGITS-DIGITS.ndjson` or `DIGITS-DIGITS.fill.ndjson`; the order of the names is that of the epochs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Range {
    /// The first epoch in it.
    pub(super) first: u64,
    /// The last epoch in it.
    pub(super) last: u64,
    /// It holds the whole content as of `last`: nothing before it counts.
    pub(super) fill: bool,
}

impl Range {
    pub(super) fn name(&self) -> String {
        let kind = if self.fill { ".fill" } else { "" };
        format!("{:020}-{:020}{kind}.ndjson", self.first, self.last)
    }

    /// `None` for any other file.
    pub(super) fn parse(name: &str) -> Option<Self> {
        let ranged = name.strip_suffix(".ndjson")?;
        let (numbers, fill) = ranged.strip_suffix(".fill").map_or((ranged, false), |numbers| (numbers, true));
        let (first, last) = numbers.split_once('-')?;
        let number = |digits: &str| {
            let canonical = digits.len() == 20 && digits.bytes().all(|b| b.is_ascii_digit());
            digits.parse().ok().filter(|_| canonical)
        };
        Some(Range { first: number(first)?, last: number(last)?, fill })
    }

    /// Those in `directory`, in order; other files are none of ours.
    pub(super) fn list(directory: &Path) -> io::Result<Vec<Range>> {
        let mut ranges = Vec::new();
        for entry in fs::read_dir(directory)? {
            ranges.extend(entry?.file_name().to_str().and_then(Range::parse));
        }
        ranges.sort_unstable();
        Ok(ranges)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_the_epochs() {
        let range = Range { first: 7, last: 1_700_000_000_000, fill: false };
        assert_eq!(range.name(), "00000000000000000007-00000001700000000000.ndjson");
        let fill = Range { fill: true, ..range };
        assert_eq!(fill.name(), "00000000000000000007-00000001700000000000.fill.ndjson");
        assert_eq!(Range::parse(&range.name()), Some(range));
        assert_eq!(Range::parse(&fill.name()), Some(fill));
    }

    #[test]
    fn other_files_are_not_taken_for_ranges() {
        for name in [
            "notes.ndjson",
            "1-2.ndjson",
            "00000000000000000007-00000000000000000008.ndjson.gz",
            "00000000000000000007-00000000000000000008",
            "+0000000000000000007-00000000000000000008.ndjson",
            "99999999999999999999-99999999999999999999.ndjson",
        ] {
            assert_eq!(Range::parse(name), None, "{name}");
        }
    }
}
