//! Runs a plan: round after round, each subject in turn, the bare disk before and after.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use mainstay_log::Log;

use super::disk::{GROUP_BYTES_MAX, blocks};
use super::producers::{Producers, Seen, Window};
use super::results::compare;
use super::run_in::run_in;
use super::spent::{Counts, Span, settle};
use super::{
    BLOCK_BYTES, Cell, CellResults, Disk, Opened, Pace, Participant, Place, Plan, Results, Sample, Series,
    Subject,
};
use crate::clock::{Moment, sleep};
use crate::duel::REPEATS_MAX;
use crate::process::{Device, Machine};
use crate::report::Verdict;

/// How often a run looks whether it is to stop.
const STOP_INTERVAL: Duration = Duration::from_millis(20);

/// Ends a run early: clones share one switch.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Asks the run to end. Its folders are removed as always.
    pub fn ask(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether it was asked to end.
    #[must_use]
    pub fn is_asked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Errors: it was asked to end.
    pub fn check(&self) -> Result<()> {
        ensure!(!self.is_asked(), "interrupted");
        Ok(())
    }

    /// Blocks until `moment` or until it is asked to end.
    pub fn sleep_until(&self, moment: Moment) {
        while !self.is_asked() {
            let left = moment.since(Moment::now());
            if left.is_zero() {
                return;
            }
            sleep(left.min(STOP_INTERVAL));
        }
    }
}

/// Runs `plan` with files under `folder`, telling `progress` what is done. Blocks for as long as all samples take.
///
/// Errors: the plan is impossible, a subject can't be opened or refuses an append, the disk can't be written, or
/// `stop` was asked for. What is merely noisy is not an error but counted.
pub fn run(
    plan: &Plan,
    folder: &Path,
    date: &str,
    stop: &Stop,
    mut progress: impl FnMut(&str),
) -> Result<Results> {
    ensure!(!plan.subjects.is_empty() && !plan.cells.is_empty(), "there is nothing to measure");
    ensure!(plan.rounds > 0, "a measurement needs at least one round");
    let machine = Machine::look();
    let place = Place::look(folder)?;
    progress("write the bare file");
    let mut bench = Bench { plan, folder, stop, disk: Disk::prepare(folder)?, device: Device::below(folder) };
    let mut cells = Vec::new();
    for cell in &plan.cells {
        let measured = bench.cell(*cell, &mut progress)?;
        let comparisons = compare(&plan.subjects, &measured, plan.seed);
        cells.push(CellResults { cell: *cell, measured, comparisons });
    }
    let participant = |subject: &Subject| Participant {
        name: subject.name.clone(),
        version: subject.version.clone(),
        settings: subject.settings.clone(),
        synced: subject.synced,
    };
    Ok(Results {
        name: plan.name.clone(),
        title: plan.title.clone(),
        about: plan.about.clone(),
        date: date.to_owned(),
        machine,
        subjects: plan.subjects.iter().map(participant).collect(),
        cells,
        seed: plan.seed,
        settings: plan.settings(&place),
        verdict: Verdict::default(),
        notes: place.notes(),
    })
}

impl Plan {
    fn settings(&self, place: &Place) -> Vec<(String, String)> {
        let seconds = |duration: Duration| format!("{:.2} s", duration.as_secs_f64());
        let build = if cfg!(debug_assertions) { "debug" } else { "release" };
        let pairs = [
            ("file system", format!("{} on {}", place.file_system, place.source)),
            ("build", build.to_owned()),
            ("rounds", format!("{}, after one that is thrown away", self.rounds)),
            ("a sample", format!("{} after {} of warm-up", seconds(self.duration), seconds(self.warm_up))),
            ("the bare disk beside each sample", format!("four times {}", seconds(self.disk))),
            ("kept in the log before it is trimmed", self.keep.to_string()),
            (
                "waited for the machine to rest",
                format!("at most {} before and after each load", seconds(self.settle_max)),
            ),
        ];
        pairs.map(|(name, value)| (name.to_owned(), value)).into()
    }
}

struct Bench<'a> {
    plan: &'a Plan,
    folder: &'a Path,
    stop: &'a Stop,
    disk: Disk,
    device: Device,
}

impl Bench<'_> {
    fn cell(&mut self, cell: Cell, progress: &mut impl FnMut(&str)) -> Result<Vec<Series>> {
        let mut measured = vec![Series::default(); self.plan.subjects.len()];
        let mut groups = vec![BLOCK_BYTES; self.plan.subjects.len()];
        for round in 0..=self.plan.rounds {
            for ((subject, series), group) in self.plan.subjects.iter().zip(&mut measured).zip(&mut groups) {
                let which = if round == 0 {
                    "warm-up".to_owned()
                } else {
                    format!("round {round} of {}", self.plan.rounds)
                };
                progress(&format!("{cell}: {which}: {}", subject.name));
                if round == 0 {
                    *group = self.sample(subject, cell, *group)?.disk_group[1].group_bytes;
                } else {
                    self.attempt(subject, cell, group, series)?;
                }
            }
        }
        Ok(measured)
    }

    /// Adds one sample to the series; a dirty one is repeated if the plan is strict.
    fn attempt(&mut self, subject: &Subject, cell: Cell, group: &mut u64, series: &mut Series) -> Result<()> {
        for _ in 0..=REPEATS_MAX {
            let sample = self.sample(subject, cell, *group)?;
            *group = sample.disk_group[1].group_bytes;
            let objections = sample.objections();
            if objections.is_empty() || !self.plan.strict {
                series.add(sample, objections);
                return Ok(());
            }
            series.drop(objections);
        }
        Ok(())
    }

    /// Takes one sample; `group_bytes` is what the one before says of the size of groups.
    fn sample(&mut self, subject: &Subject, cell: Cell, group_bytes: u64) -> Result<Sample> {
        self.stop.check()?;
        let folder = tempfile::Builder::new().prefix("log-").tempdir_in(self.folder);
        let folder = folder.context("make a folder for a log")?;
        let opened = (subject.open)(folder.path()).with_context(|| format!("open {}", subject.name))?;
        let Opened { log, syncs, close } = opened;
        let measured = self.prepare(&*log, subject, group_bytes).and_then(|before| {
            let load = self.load(log, &syncs, cell).with_context(|| format!("append to {}", subject.name))?;
            Ok((before, load))
        });
        // Also after a failure: whoever is told of it should find no threads left.
        let closed = close();
        let (before, (seen, span, syncs)) = measured?;
        closed.with_context(|| format!("close {}", subject.name))?;
        self.stop.check()?;
        folder.close().context("remove a log's folder")?;
        self.settle()?;
        ensure!(
            seen.records > 0,
            "{} acknowledged no record in {:?}: measure for longer",
            subject.name,
            self.plan.duration
        );
        let after = self.bare(group_bytes_of(seen.records, syncs, cell))?;
        Ok(sample_of(cell, self.plan.duration, (seen, span, syncs), [before, after]))
    }

    /// Runs the log in, waits until the machine rests, and measures the bare disk.
    fn prepare(&mut self, log: &dyn Log, subject: &Subject, group_bytes: u64) -> Result<[Pace; 2]> {
        run_in(log, subject.run_in, self.stop)?;
        self.settle()?;
        self.bare(group_bytes)
    }

    fn settle(&self) -> Result<()> {
        settle(self.folder, &self.device, self.plan.settle_max, self.stop)
    }

    /// The bare disk in blocks and in groups of that size.
    fn bare(&mut self, group_bytes: u64) -> Result<[Pace; 2]> {
        let mut pace = |group_bytes| self.disk.measure(group_bytes, self.plan.disk, self.stop);
        Ok([pace(BLOCK_BYTES)?, pace(group_bytes)?])
    }

    /// Lets producers append.
    fn load(&self, log: Arc<dyn Log>, syncs: &dyn Fn() -> u64, cell: Cell) -> Result<(Seen, Span, u64)> {
        let begin = Moment::now().plus(self.plan.warm_up);
        let window = Window { begin, end: begin.plus(self.plan.duration) };
        let producers = Producers::start(log, cell, window, self.plan.keep, self.stop.clone())?;
        self.stop.sleep_until(window.begin);
        let (before, syncs_before) = (Counts::now(&self.device)?, syncs());
        self.stop.sleep_until(window.end);
        let (syncs, after) = (syncs(), Counts::now(&self.device)?);
        Ok((producers.join()?, after.since(before), syncs - syncs_before))
    }
}

/// The bytes of an average group: what one sync had to carry at least. A block if there were none.
fn group_bytes_of(records: u64, syncs: u64, cell: Cell) -> u64 {
    let bytes = records.saturating_mul(cell.record_bytes()).checked_div(syncs);
    blocks(bytes.unwrap_or(0).min(GROUP_BYTES_MAX))
}

fn sample_of(
    cell: Cell,
    window: Duration,
    (seen, span, syncs): (Seen, Span, u64),
    [before, after]: [[Pace; 2]; 2],
) -> Sample {
    let records = seen.records as f64;
    let per_record_us = |cpu: Duration| cpu.as_secs_f64() * 1e6 / records;
    let given = records * cell.payload.bytes() as f64;
    Sample {
        records_per_s: records / window.as_secs_f64(),
        latency: seen.latency,
        syncs_per_s: syncs as f64 / span.duration.as_secs_f64(),
        written_per_given: span.written.map(|written| written as f64 / given),
        cpu_us_per_record: per_record_us(span.cpu),
        producers_cpu_us_per_record: per_record_us(seen.cpu),
        producers_busy_ratio: seen.cpu.as_secs_f64() / window.as_secs_f64(),
        disk_block: [before[0], after[0]],
        disk_group: [before[1], after[1]],
        cpu: span.shares,
    }
}

#[cfg(test)]
mod tests {
    use mainstay_base::units::Size;

    use super::*;
    use crate::duel::CpuShares;
    use crate::load::Percentiles;

    #[test]
    fn a_group_is_what_one_sync_carried_on_average_in_whole_blocks() {
        let cell = Cell { producers: 64, payload: Size::from_bytes(256) };
        assert_eq!(group_bytes_of(10, 10, cell), 4096);
        assert_eq!(group_bytes_of(640, 10, cell), 20_480, "64 records of 308 bytes");
        assert_eq!(group_bytes_of(5_000, 0, cell), 4096, "a log without syncs has no groups");
        assert_eq!(group_bytes_of(u64::MAX, 1, cell), GROUP_BYTES_MAX);
    }

    #[test]
    fn figures_are_per_record_and_per_second_of_what_each_was_counted_in() {
        let cell = Cell { producers: 1, payload: Size::from_bytes(100) };
        let seen = Seen { records: 2_000, latency: Percentiles::default(), cpu: Duration::from_millis(1) };
        let span = Span {
            duration: Duration::from_secs(4),
            cpu: Duration::from_millis(6),
            written: Some(800_000),
            shares: CpuShares::default(),
        };
        let pace = Pace { group_bytes: 4096, syncs_per_s: 1.0, latency: Percentiles::default() };
        let sample = sample_of(cell, Duration::from_secs(2), (seen, span, 400), [[pace; 2]; 2]);
        assert_eq!((sample.records_per_s, sample.syncs_per_s), (1_000.0, 100.0));
        assert_eq!((sample.cpu_us_per_record, sample.producers_cpu_us_per_record), (3.0, 0.5));
        assert_eq!(sample.written_per_given, Some(4.0));
        assert_eq!(sample.producers_busy_ratio, 0.0005);
    }
}
