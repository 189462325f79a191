//! How far event time is, as the table of an `aggregate` keeps it: records beside those of groups, told apart by keys of one part.

use flowstone_operators::lateness::Progress;

use super::kept::WRITTEN_HERE;
use crate::record::Record;
use crate::record::packed::{RecordWriter, encode_parts};
use crate::record::scalar::ScalarRef;

/// A partition: the numbers of its source and its own.
pub(crate) type Origin = (u16, u32);

/// All of it is read by one worker, which tells the others.
const ROUTE: u64 = 0;

/// Whether a record is about progress, among those of a table of windows: the keys of these have more parts.
pub(crate) fn is_progress(record: &Record) -> bool {
    record.key().parts().count() == 1
}

/// As the table keeps it.
pub(crate) fn progress_record(progress: &Progress<Origin>) -> Record {
    let (name, payload) = match progress {
        Progress::Partition((source, partition), time) => (format!("{source}/{partition}"), time.to_string()),
        Progress::Watermark { time, since } => ("watermark".to_owned(), format!("[{time},{since}]")),
    };
    let mut key = Vec::new();
    encode_parts(1, std::iter::once(ScalarRef::Str(&name)), &mut key);
    let mut writer = RecordWriter::default();
    writer.key_bytes(&key, ROUTE);
    writer.of_table(Some(payload.as_bytes()))
}

/// What a record about progress says.
pub(crate) fn progress_of(record: &Record) -> Progress<Origin> {
    let Some(ScalarRef::Str(name)) = record.key().parts().next() else { unreachable!("{WRITTEN_HERE}: {record:?}") };
    let payload = record.payload().expect(WRITTEN_HERE);
    match name.split_once('/') {
        Some((source, partition)) => {
            let origin = (source.parse().expect(WRITTEN_HERE), partition.parse().expect(WRITTEN_HERE));
            Progress::Partition(origin, serde_json::from_slice(payload).expect(WRITTEN_HERE))
        }
        None => {
            let (time, since) = serde_json::from_slice(payload).expect(WRITTEN_HERE);
            Progress::Watermark { time, since }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_what_was_written() {
        for progress in [Progress::Partition((7, 3), -1), Progress::Watermark { time: i64::MAX, since: u64::MAX }] {
            let record = progress_record(&progress);
            assert!(is_progress(&record));
            assert_eq!(progress_of(&record), progress);
        }
    }
}
