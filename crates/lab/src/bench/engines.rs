//! Subjects that need nothing but this project: its engines, and a bare file behind the same front as peers.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use mainstay_base::time::{Clock, Instant, SeededEntropy, Timestamp};
use mainstay_base::units::Size;
use mainstay_log::Durability;
use mainstay_log::local::{Local, Options};
use mainstay_log::memory::{Bounds, Memory};
use mainstay_log::record::Record;

use super::front::{self, Store};
use super::{Disk, Opened, Subject};
use crate::clock::Moment;

/// Room for what producers have not trimmed yet.
const MEMORY_MAX: Size = Size::from_mib(2048);

/// How many bytes of records the local engine lets wait for its writer at once.
pub const FLIGHT_MAX: Size = Size::from_mib(64);

/// What uses every file of the engine on local files again, with its defaults: four times a segment.
pub const RUN_IN: Size = Size::from_mib(256);

/// The engine on local files, with its defaults but for what an acknowledgement means, run in by so much.
#[must_use]
pub fn local(durability: Durability, run_in: Size) -> Subject {
    let options = Options { durability, ..Options::default() };
    let settings = [
        ("durability", durability.to_string()),
        ("segment", options.segment.to_string()),
        ("first segment", options.first_segment.to_string()),
        ("largest group", options.group_max.to_string()),
        ("spare segments", options.spares_max.to_string()),
        ("run in", format!("{run_in} appended and trimmed before each sample, so that files are used again")),
    ];
    Subject {
        name: "mainstay".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        settings: settings.map(|(name, value)| (name.to_owned(), value)).into(),
        synced: durability == Durability::Synced,
        run_in,
        open: Box::new(move |folder| {
            // A log that is thrown away needs a name of its own, not one that nobody can guess.
            let entropy = SeededEntropy::new(Moment::now().ns());
            let (local, _) = Local::open(folder, &options, Arc::new(LabClock), &entropy)?;
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
        run_in: Size::ZERO,
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
        run_in: Size::ZERO,
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
    use mainstay_base::position::{Epoch, Index, ShardId};
    use mainstay_log::record::{Checksum, Draft, Extensions, Kind, RecordId};

    use super::*;

    #[test]
    fn the_bare_file_has_the_records_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let Opened { log, syncs, close } = (bare_file().open)(folder.path()).unwrap();
        let payload = bytes::Bytes::from_static(b"what it is given");
        let (kind, id) = (Kind::Data, RecordId::new([7; 16]));
        let draft = Draft { kind, id, extensions: Extensions::default(), payload };
        let record = draft.seal(ShardId::new(1), Index::FIRST, Epoch::new(1), Checksum::START);
        let mut expected = Vec::new();
        record.encode_into(&mut expected);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        assert_eq!(runtime.block_on(log.append(record)).unwrap().index, Index::FIRST);
        assert_eq!(syncs(), 1);
        drop(log);
        close().unwrap();
        let file = std::fs::read(folder.path().join("bare")).unwrap();
        assert!(file.starts_with(&expected));
    }
}
