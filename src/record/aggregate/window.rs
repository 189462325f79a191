//! Windows of event time.

use super::key::{GroupKey, Window};
use super::value::wrong;
use crate::record::FieldPath;
use crate::record::select::{select, unescape};

/// Which windows there are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Windows {
    /// Of each of these lengths in nanoseconds, one beside the other.
    Tumbling(Vec<i64>),
    /// Of one length, and one starts each so many nanoseconds, of which the length is a multiple.
    Hopping {
        /// How long they are.
        length_ns: i64,
        /// How much later each starts than the one before.
        every_ns: i64,
    },
    /// Made by rows: those that are less than so many nanoseconds apart are in one.
    Sessions {
        /// How far apart rows of two of them are.
        gap_ns: i64,
    },
}

/// How rows are told apart by their time.
#[derive(Clone, Debug)]
pub struct WindowSpec {
    /// The field that holds a row's time: an integer, or an RFC 3339 time.
    pub time: FieldPath,
    /// What an integer counts, in nanoseconds.
    pub unit_ns: i64,
    /// Which windows there are.
    pub windows: Windows,
    /// When events are late; by default never.
    pub late: Option<Lateness>,
}

/// When events are late.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lateness {
    /// An event may be so much older than the watermark.
    pub until_ns: i64,
    /// A partition that nothing came from for so long is not waited for.
    pub idle_ms: u64,
}

/// Windows of a hundred years around later times could not be written down.
const MARGIN_NS: i64 = 6_000_000_000_000_000_000;

impl WindowSpec {
    /// A row's time.
    pub(crate) fn time_ns(&self, json: &str) -> Result<i64, String> {
        let mut found = None;
        select(json, &self.time, |json| found = Some(json.trim_ascii()));
        self.read_ns(found.filter(|raw| *raw != "null"))
    }

    /// The same, where the field was found already.
    pub(super) fn read_ns(&self, found: Option<&str>) -> Result<i64, String> {
        let raw = found.ok_or_else(|| format!("no field {}", self.time))?;
        let time_ns = match raw.starts_with('"') {
            true => {
                unescape(raw).and_then(|text| i64::try_from(text.parse::<jiff::Timestamp>().ok()?.as_nanosecond()).ok())
            }
            false => raw.parse::<i64>().ok().and_then(|time| time.checked_mul(self.unit_ns)),
        };
        let time_ns = time_ns.filter(|time_ns| (-MARGIN_NS..=MARGIN_NS).contains(time_ns));
        time_ns.ok_or_else(|| wrong(&self.time, "a time: an integer or RFC 3339, from 1780 to 2160", raw))
    }

    /// The smallest windows that a time is in: those that are not made of others; of sessions, what it would make alone.
    pub(super) fn smallest(&self, time_ns: i64, mut each: impl FnMut(Window)) {
        match &self.windows {
            Windows::Tumbling(lengths_ns) => {
                let smallest = lengths_ns.iter().filter(|length_ns| base(lengths_ns, **length_ns).is_none());
                smallest.for_each(|length_ns| each(Window::at(time_ns, *length_ns)));
            }
            Windows::Hopping { every_ns, .. } => each(Window::at(time_ns, *every_ns)),
            // What a row would be alone.
            Windows::Sessions { gap_ns } => each(Window::new(time_ns, time_ns + gap_ns)),
        }
    }

    /// The windows that one is a part of and that are made of it.
    pub(crate) fn above(&self, key: &GroupKey, larger: &mut Vec<GroupKey>) {
        let Some(window) = key.window else { return };
        let mut push = |window: Window| larger.push(GroupKey { by: key.by.clone(), window: Some(window) });
        match &self.windows {
            Windows::Tumbling(lengths_ns) => {
                let made_of_it = |length_ns: &&i64| base(lengths_ns, **length_ns) == Some(window.length_ns());
                lengths_ns
                    .iter()
                    .filter(made_of_it)
                    .for_each(|length_ns| push(Window::at(window.start_ns(), *length_ns)));
            }
            Windows::Hopping { length_ns, every_ns } if window.length_ns() == *every_ns && length_ns > every_ns => {
                let last = window.start_ns();
                let starts = (0..length_ns / every_ns).rev().map(|n| last - n * every_ns);
                starts.for_each(|start_ns| push(Window::new(start_ns, start_ns + length_ns)));
            }
            Windows::Hopping { .. } | Windows::Sessions { .. } => {}
        }
    }

    /// Whether the window is one that was asked for, and not only a part of such.
    pub(crate) fn is_shown(&self, window: Window) -> bool {
        match &self.windows {
            Windows::Tumbling(_) | Windows::Sessions { .. } => true,
            Windows::Hopping { length_ns, .. } => window.length_ns() == *length_ns,
        }
    }
}

/// The length of which windows of this length are made: the greatest other one that goes into it.
fn base(lengths_ns: &[i64], length_ns: i64) -> Option<i64> {
    lengths_ns.iter().copied().filter(|other| *other < length_ns && length_ns % other == 0).max()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Key;

    fn spec(windows: Windows) -> WindowSpec {
        WindowSpec { time: FieldPath::literal("/at"), unit_ns: 1, windows, late: None }
    }

    /// All windows of a time, as they are reached.
    fn windows(spec: &WindowSpec, time_ns: i64) -> Vec<(i64, i64)> {
        let mut keys = Vec::new();
        let by = Key::One(1.into());
        spec.smallest(time_ns, |window| keys.push(GroupKey { by: by.clone(), window: Some(window) }));
        let mut done = 0;
        while done < keys.len() {
            let mut larger = Vec::new();
            spec.above(&keys[done], &mut larger);
            keys.append(&mut larger);
            done += 1;
        }
        let windows = keys.into_iter().filter_map(|key| key.window).filter(|window| spec.is_shown(*window));
        windows.map(|window| (window.start_ns(), window.end_ns())).collect()
    }

    #[test]
    fn each_length_has_one_window_of_a_time_however_they_are_made() {
        let lengths = spec(Windows::Tumbling(vec![4, 6, 10, 60]));
        assert_eq!(windows(&lengths, 61), [(60, 64), (60, 66), (60, 70), (60, 120)]);
        assert_eq!(windows(&lengths, -1), [(-4, 0), (-6, 0), (-10, 0), (-60, 0)]);
        assert_eq!(base(&[4, 6, 10, 60], 60), Some(10));
    }

    #[test]
    fn hopping_windows_are_those_that_a_time_is_in() {
        let hopping = spec(Windows::Hopping { length_ns: 30, every_ns: 10 });
        assert_eq!(windows(&hopping, 5), [(-20, 10), (-10, 20), (0, 30)]);
        assert_eq!(windows(&spec(Windows::Hopping { length_ns: 10, every_ns: 10 }), 5), [(0, 10)]);
    }

    #[test]
    fn a_time_is_an_integer_of_the_unit_or_a_text() {
        let millis = WindowSpec { unit_ns: 1_000_000, ..spec(Windows::Tumbling(vec![1])) };
        let time = |json: &str| millis.time_ns(json).ok();
        assert_eq!(time(r#"{"at":1500}"#), Some(1_500_000_000));
        assert_eq!(time(r#"{"at":"1970-01-01T00:00:01.5Z"}"#), Some(1_500_000_000));
        for bad in ["{}", r#"{"at":null}"#, r#"{"at":1.5}"#, r#"{"at":"soon"}"#, r#"{"at":9223372036854775807}"#] {
            assert_eq!(time(bad), None, "{bad}");
        }
    }
}
