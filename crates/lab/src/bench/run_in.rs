//! Running a log in: appended to and trimmed until it uses its files again, as one that has run for a while.
//!
//! Without it a short sample is about files being made.

use anyhow::{Context as _, Result};
use bytes::Bytes;
use mainstay_base::position::{Epoch, Index, ShardId};
use mainstay_base::units::Size;
use mainstay_log::Log;
use mainstay_log::record::{Checksum, Draft, Extensions, Kind, RecordId};

use super::Stop;

const RECORD: Size = Size::from_mib(1);

/// Between two trims: little enough that no file holds anything for long.
const TRIM_RECORDS: u64 = 16;

/// Above those of producers.
const SHARD: ShardId = ShardId::new(u32::MAX);

/// Appends and trims `amount`, rounded up to whole MiB. Errors: the log refuses, or the run is to stop.
pub(super) fn run_in(log: &dyn Log, amount: Size, stop: &Stop) -> Result<()> {
    let records = amount.bytes().div_ceil(RECORD.bytes());
    let payload = Bytes::from(vec![0; usize::try_from(RECORD.bytes()).context("a record fits into memory")?]);
    let runtime = tokio::runtime::Builder::new_current_thread().build().context("build a runtime")?;
    runtime.block_on(async {
        for number in 1..=records {
            stop.check()?;
            let (id, payload) = (RecordId::new([0; 16]), payload.clone());
            let draft = Draft { kind: Kind::Data, id, extensions: Extensions::default(), payload };
            let index = Index::new(number);
            let appended = log.append(draft.seal(SHARD, index, Epoch::new(1), Checksum::START)).await;
            let _ = appended.context("run the log in")?;
            if number % TRIM_RECORDS == 0 || number == records {
                log.trim(SHARD, index.next()).await.context("run the log in")?;
            }
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use mainstay_base::time::SeededEntropy;
    use mainstay_log::local::{Local, Options};

    use super::super::engines::LabClock;
    use super::*;

    fn small(folder: &std::path::Path) -> Local {
        let mib = Size::from_mib;
        let options =
            Options { segment: mib(6), record_max: mib(2), group_max: mib(2), ..Options::default() };
        Local::open(folder, &options, Arc::new(LabClock), &SeededEntropy::new(1)).unwrap().0
    }

    #[test]
    fn a_log_that_was_run_in_has_used_its_files_again() {
        let folder = tempfile::tempdir().unwrap();
        let local = small(folder.path());
        run_in(&local, Size::from_mib(64), &Stop::default()).unwrap();
        assert!(local.stats().syncs > 0);
        let files = std::fs::read_dir(folder.path()).unwrap().flatten();
        let names: Vec<String> = files.filter_map(|file| file.file_name().into_string().ok()).collect();
        let segments = names.iter().filter(|name| name.starts_with("segment-")).count();
        assert!((1..=4).contains(&segments), "of eleven that were filled most are gone: {names:?}");
    }

    #[test]
    fn it_ends_when_it_is_told_to_stop() {
        let folder = tempfile::tempdir().unwrap();
        let local = small(folder.path());
        let stop = Stop::default();
        stop.ask();
        let error = run_in(&local, Size::from_mib(4), &stop).unwrap_err();
        assert_eq!(error.to_string(), "interrupted");
        assert_eq!(local.stats().syncs, 0);
    }
}
