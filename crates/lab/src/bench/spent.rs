//! What this process and others spent: processor time, and bytes written to the disk.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::time::{ClockId, clock_gettime};

use super::Stop;
use crate::clock::{Moment, sleep};
use crate::duel::{CpuShares, Spent};
use crate::process::Device;

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
