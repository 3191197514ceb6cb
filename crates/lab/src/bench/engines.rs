//! Subjects that need nothing but this project: its engines, and a bare file behind the same front as peers.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use mainstay_base::position::{Epoch, Index, ShardId};
use mainstay_base::time::{Clock, Instant, SeededEntropy, Timestamp};

use mainstay_base::units::Size;
use mainstay_log::Durability;
use mainstay_log::Log as _;
use mainstay_log::local::{Local, Options};
use mainstay_log::memory::{Bounds, Memory};
use mainstay_log::record::{Checksum, Draft, Extensions, Kind, Record, RecordId};

use super::front::{self, Store};
use super::{Disk, Opened, Subject};
use crate::clock::Moment;

/// Room for what producers have not trimmed yet.
const MEMORY_MAX: Size = Size::from_mib(2048);

/// How many bytes of records the local engine lets wait for its writer at once.
pub const FLIGHT_MAX: Size = Size::from_mib(64);

/// The engine on local files, with its defaults but for what an acknowledgement means.
#[must_use]
pub fn local(durability: Durability) -> Subject {
    let options = Options { durability, ..Options::default() };
    let settings = [
        ("durability", durability.to_string()),
        ("segment", options.segment.to_string()),
        ("first segment", options.first_segment.to_string()),
        ("largest group", options.group_max.to_string()),
        ("spare segments", options.spares_max.to_string()),
        (
            "run in",
            "256 MiB appended and trimmed before each sample, so that files are used again".to_owned(),
        ),
    ];
    Subject {
        name: "mainstay".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        settings: settings.map(|(name, value)| (name.to_owned(), value)).into(),
        synced: durability == Durability::Synced,
        open: Box::new(move |folder| {
            // A log that is thrown away needs a name of its own, not one that nobody can guess.
            let entropy = SeededEntropy::new(Moment::now().ns());
            let (local, _) = Local::open(folder, &options, Arc::new(LabClock), &entropy)?;
            run_in(&local)?;
            let local = Arc::new(local);
            let (log, counted) = (Arc::clone(&local), Arc::clone(&local));
            Ok(Opened {
                log,
                syncs: Box::new(move || counted.stats().syncs),
                close: Box::new(move || close(&local)),
            })
        }),
    }
}

/// Appends and trims until every file is one that was trimmed and is used again, as in a log that has run for a while:
/// otherwise a short sample is about files being made.
fn run_in(local: &Local) -> Result<()> {
    const RECORD_BYTES: usize = 1 << 20;
    const RECORDS: u64 = 256;
    const TRIM_RECORDS: u64 = 16;
    let payload = Bytes::from(vec![0; RECORD_BYTES]);
    let shard = ShardId::new(u32::MAX);
    let runtime = tokio::runtime::Builder::new_current_thread().build().context("build a runtime")?;
    runtime.block_on(async {
        for number in 1..=RECORDS {
            let (id, payload) = (RecordId::new([0; 16]), payload.clone());
            let draft = Draft { kind: Kind::Data, id, extensions: Extensions::default(), payload };
            let index = Index::new(number);
            let _ = local.append(draft.seal(shard, index, Epoch::new(1), Checksum::START)).await?;
            if number % TRIM_RECORDS == 0 {
                local.trim(shard, index.next()).await?;
            }
        }
        Ok(())
    })
}

fn close(local: &Local) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().context("build a runtime")?;
    Ok(runtime.block_on(local.close())?)
}

/// The lab's time behind the port for clocks.
pub(super) struct LabClock;

impl Clock for LabClock {
    fn now(&self) -> Instant {
        Instant::from_nanos(Moment::now().ns())
    }

    fn wall(&self) -> Timestamp {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
        let micros = now.tv_sec.unsigned_abs() * 1_000_000 + now.tv_nsec.unsigned_abs() / 1_000;
        Timestamp::checked_from_micros(micros).unwrap_or(Timestamp::MAX)
    }
}

/// The engine that keeps records in memory, under which the producers' own cost shows.
#[must_use]
pub fn memory() -> Subject {
    Subject {
        name: "memory".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        settings: Vec::new(),
        synced: false,
        open: Box::new(|_| {
            let bounds = Bounds { record_max: Size::from_mib(64), total_max: MEMORY_MAX };
            Ok(Opened {
                log: Arc::new(Memory::new(bounds)),
                syncs: Box::new(|| 0),
                close: Box::new(|| Ok(())),
            })
        }),
    }
}

/// A file whose blocks are all there, with nothing but records in it, back to back: no checks, no checksums of groups, no
/// place to find anything again. What a log costs beyond it is the price of being one.
#[must_use]
pub fn bare_file() -> Subject {
    Subject {
        name: "bare file".to_owned(),
        version: "-".to_owned(),
        settings: vec![("sync".to_owned(), "fdatasync of a file written before".to_owned())],
        synced: true,
        open: Box::new(|folder| front::open(Bare { disk: Disk::prepare(folder)?, group: Vec::new() })),
    }
}

struct Bare {
    disk: Disk,
    group: Vec<u8>,
}

impl Store for Bare {
    fn commit(&mut self, records: &[Record]) -> Result<()> {
        self.group.clear();
        for record in records {
            record.encode_into(&mut self.group);
        }
        self.disk.write(&mut self.group)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_that_was_run_in_has_used_its_files_again() {
        let folder = tempfile::tempdir().unwrap();
        let opened = (local(Durability::Written).open)(folder.path()).unwrap();
        let files = std::fs::read_dir(folder.path()).unwrap().flatten();
        let names: Vec<String> = files.filter_map(|file| file.file_name().into_string().ok()).collect();
        let segments = names.iter().filter(|name| name.starts_with("segment-")).count();
        assert!((1..=2).contains(&segments), "what was trimmed is gone: {names:?}");
        assert!((opened.syncs)() > 0);
        (opened.close)().unwrap();
    }
}
