//! What this process and others spent: processor time, and bytes written to the disk.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::time::{ClockId, clock_gettime};

use super::Stop;
use crate::clock::{Moment, sleep};
use crate::duel::{CpuShares, Spent};

/// How long nothing must happen for the machine to count as settled.
const QUIET: Duration = Duration::from_millis(100);

/// What others may write meanwhile: most systems write a little all the time.
const QUIET_BYTES: u64 = 1 << 20;

/// Counts until some moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Counts {
    at: Moment,
    cpu: Duration,
    written: Option<u64>,
    machine: Spent,
}

/// What was spent between two moments.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span {
    /// Between the two.
    pub(super) duration: Duration,
    /// Processor time of all threads of this process.
    pub(super) cpu: Duration,
    /// Bytes written to the device; none where there is none to ask.
    pub(super) written: Option<u64>,
    /// Who used the machine.
    pub(super) shares: CpuShares,
}

impl Counts {
    /// Errors: `/proc/stat` can't be read.
    pub(super) fn now(device: &Device) -> Result<Self> {
        let machine = Spent::now(&[])?;
        Ok(Self {
            at: Moment::now(),
            cpu: processor_time(ClockId::ProcessCPUTime),
            written: device.written(),
            machine,
        })
    }

    pub(super) fn since(self, earlier: Self) -> Span {
        let duration = self.at.since(earlier.at);
        Span {
            duration,
            cpu: self.cpu.saturating_sub(earlier.cpu),
            written: self.written.zip(earlier.written).map(|(now, then)| now.saturating_sub(then)),
            shares: CpuShares::of(duration, self.machine.since(earlier.machine)),
        }
    }
}

/// Processor time of the calling thread.
pub(super) fn of_this_thread() -> Duration {
    processor_time(ClockId::ThreadCPUTime)
}

fn processor_time(clock: ClockId) -> Duration {
    let time = clock_gettime(clock);
    // Both count up from zero.
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// The block device below a folder, whose own count of what was written to it is the only one that holds: it has the file
/// system's journal in it, and the kernel's count for a process takes a large folio for written as soon as a byte of it
/// is.
#[derive(Debug)]
pub(super) struct Device(Option<PathBuf>);

/// The unit of the counts in `stat`, whatever the device's own.
const SECTOR_BYTES: u64 = 512;

impl Device {
    /// Looks for the device. Some file systems have none of their own; then nothing is counted.
    pub(super) fn below(folder: &Path) -> Self {
        let device = rustix::fs::stat(folder).ok().map(|stat| stat.st_dev);
        let path = device.map(|device| {
            let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
            PathBuf::from(format!("/sys/dev/block/{major}:{minor}/stat"))
        });
        Self(path.filter(|path| path.exists()))
    }

    /// Bytes written to it so far, by whomever.
    fn written(&self) -> Option<u64> {
        let text = fs::read_to_string(self.0.as_deref()?).ok()?;
        let sectors: u64 = text.split_whitespace().nth(6)?.parse().ok()?;
        Some(sectors * SECTOR_BYTES)
    }
}

/// Writes out what is still in memory of the file system of `folder`, then waits until this process and the device rest: neither what
/// the sample before left behind nor what an engine prepares is to be measured with the next. After
/// `limit` they are taken as they are. Errors: the folder can't be synced, or the run is to stop.
pub(super) fn settle(folder: &Path, device: &Device, limit: Duration, stop: &Stop) -> Result<()> {
    let directory = fs::File::open(folder).with_context(|| format!("open {}", folder.display()))?;
    let deadline = Moment::now().plus(limit);
    while Moment::now() < deadline {
        stop.check()?;
        rustix::fs::syncfs(&directory).with_context(|| format!("sync {}", folder.display()))?;
        let (cpu, written) = (processor_time(ClockId::ProcessCPUTime), device.written());
        sleep(QUIET);
        let used = processor_time(ClockId::ProcessCPUTime).saturating_sub(cpu);
        let more = device.written().zip(written).map_or(0, |(now, then)| now.saturating_sub(then));
        if used < QUIET / 20 && more < QUIET_BYTES {
            break;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_counts_what_was_synced_to_it() {
        let folder = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        let device = Device::below(folder.path());
        let Some(before) = device.written() else {
            // Nothing to ask on this file system.
            return;
        };
        let path = folder.path().join("some");
        fs::write(&path, vec![1; 1 << 20]).unwrap();
        fs::File::open(&path).unwrap().sync_all().unwrap();
        assert!(device.written().unwrap() >= before + (1 << 20));
        assert_eq!(Device(None).written(), None);
    }
}
