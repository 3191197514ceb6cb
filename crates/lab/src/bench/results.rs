//! What was measured, and what may be concluded from it. Pure: figures in, figures out.

use std::path::{Path, PathBuf};

use anyhow::Result;
use mainstay_base::units::Size;
use serde::{Deserialize, Serialize};

use super::{BLOCK_BYTES, Cell, Pace, Subject};
use crate::comparison::{self, CLEAN_SAMPLES_MIN};
use crate::duel::CpuShares;
use crate::load::Percentiles;
use crate::process::Machine;
use crate::report::{Verdict, write_both};
use crate::stats::{Better, Ratio, Spread, median, ratio_of_medians};

/// How much the bare disk's pace may differ between before and after a sample, as a factor.
const DISK_CHANGE_MAX: f64 = 2.0;

/// The share of the bare disk's pace from which on the disk is what limits.
const DISK_LIMITS_RATIO: f64 = 0.8;

/// The share of its thread's time from which on the producers are what limits.
const PRODUCERS_LIMIT_RATIO: f64 = 0.9;

/// The share of the machine's processors from which on they are what limits.
const PROCESSORS_LIMIT_RATIO: f64 = 0.85;

/// What a run found out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Results {
    /// See [`super::Plan::name`].
    pub name: String,
    /// See [`super::Plan::title`].
    pub title: String,
    /// See [`super::Plan::about`].
    pub about: String,
    /// When, as the caller writes dates.
    pub date: String,
    /// Where.
    pub machine: Machine,
    /// Who, in the plan's order.
    pub subjects: Vec<Participant>,
    /// In the plan's order.
    pub cells: Vec<CellResults>,
    /// See [`super::Plan::seed`].
    pub seed: u64,
    /// How it was measured, for a report.
    pub settings: Vec<(String, String)>,
    /// What is claimed, and whether it holds; left empty by the run.
    pub verdict: Verdict,
    /// What else a reader must know.
    pub notes: Vec<String>,
}

/// A subject as it took part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Participant {
    /// See [`super::Subject::name`].
    pub name: String,
    /// See [`super::Subject::version`].
    pub version: String,
    /// See [`super::Subject::settings`].
    pub settings: Vec<(String, String)>,
    /// See [`super::Subject::synced`].
    pub synced: bool,
}

/// All that was measured in one cell.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CellResults {
    /// The cell.
    pub cell: Cell,
    /// One entry per subject, in the plan's order.
    pub measured: Vec<Series>,
    /// Rows of the comparison of the first subject with each other one.
    pub comparisons: Vec<Comparison>,
}

/// One subject's samples in one cell.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Series {
    /// Those that count.
    pub clean: Vec<Sample>,
    /// How many were dropped.
    pub dropped: usize,
    /// What spoilt samples, dropped or counted in spite of it; each reason once.
    pub reasons: Vec<String>,
}

/// One measurement of one subject in one cell.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// Acknowledged records per second.
    pub records_per_s: f64,
    /// From the call of append to its acknowledgement.
    pub latency: Percentiles,
    /// Groups made durable per second.
    pub syncs_per_s: f64,
    /// Bytes written to the device for each byte of payload, by whomever; none where there is no device to ask.
    pub written_per_given: Option<f64>,
    /// Processor time of this process per record, in microseconds: the log's and the producers'.
    pub cpu_us_per_record: f64,
    /// That of the producers' thread: it makes records, calls append and is woken.
    pub producers_cpu_us_per_record: f64,
    /// The share (0..=1) of the window in which the producers' thread had a processor.
    pub producers_busy_ratio: f64,
    /// The bare disk in blocks: before and after.
    pub disk_block: [Pace; 2],
    /// The bare disk in groups as large as this sample's were on average: before, as estimated from the sample
    /// before, and after.
    pub disk_group: [Pace; 2],
    /// Who used the machine; `load` is this process, `server` the kernel's threads.
    pub cpu: CpuShares,
}

/// A figure of a sample, that subjects may be compared by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// Acknowledged records per second.
    Records,
    /// Records acknowledged in the time of one sync of one block by the bare disk.
    RecordsPerDiskSync,
    /// Median time to acknowledgement.
    P50,
    /// 90th percentile of it.
    P90,
    /// 99th percentile of it.
    P99,
    /// 99.9th percentile of it.
    P999,
    /// The longest.
    Max,
    /// Groups made durable per second.
    Syncs,
    /// What the bare disk does in groups of this size, per second.
    DiskSyncs,
    /// Records in a group.
    RecordsPerSync,
    /// Bytes that the device wrote for each byte of payload.
    Written,
    /// Processor time per record.
    Cpu,
    /// The producers' part of it.
    ProducersCpu,
}

/// One row: a metric of the first subject against that of another.
pub type Comparison = comparison::Comparison<Metric>;

/// What keeps a log from being faster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// The disk does hardly more syncs of this size.
    Disk,
    /// The producers' one thread makes no more records.
    Producers,
    /// There is no processor left.
    Processors,
    /// None of them: the time from a sync's end to the next one's begin, in which records go from thread to thread.
    Handover,
}

impl Metric {
    /// How it goes: one table of a page.
    pub const PACE: [Self; 7] =
        [Self::Records, Self::RecordsPerDiskSync, Self::P50, Self::P90, Self::P99, Self::P999, Self::Max];

    /// What it takes: the other one. The share of the disk's pace stands between.
    pub const COST: [Self; 6] =
        [Self::Syncs, Self::DiskSyncs, Self::RecordsPerSync, Self::Written, Self::Cpu, Self::ProducersCpu];

    /// What subjects are compared by.
    pub const COMPARED: [Self; 5] = [Self::Records, Self::P50, Self::P99, Self::Cpu, Self::Written];

    /// Its name with its unit.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Records => "records/s",
            Self::RecordsPerDiskSync => "records per 4 KiB sync of the disk",
            Self::P50 => "p50 us",
            Self::P90 => "p90 us",
            Self::P99 => "p99 us",
            Self::P999 => "p99.9 us",
            Self::Max => "max us",
            Self::Syncs => "syncs/s",
            Self::DiskSyncs => "bare disk, same groups, syncs/s",
            Self::RecordsPerSync => "records/sync",
            Self::Written => "bytes written per byte given",
            Self::Cpu => "CPU us/record",
            Self::ProducersCpu => "of it the producers'",
        }
    }

    /// Its value in a sample, in the unit of its name; none if it was not measured.
    #[must_use]
    pub fn of(self, sample: &Sample) -> Option<f64> {
        let Percentiles { p50_us, p90_us, p99_us, p999_us, max_us, .. } = sample.latency;
        let syncs = Some(sample.syncs_per_s).filter(|syncs| *syncs > 0.0);
        match self {
            Self::Records => Some(sample.records_per_s),
            Self::RecordsPerDiskSync => Some(sample.records_per_s / mean(sample.disk_block)),
            Self::P50 => Some(p50_us),
            Self::P90 => Some(p90_us),
            Self::P99 => Some(p99_us),
            Self::P999 => Some(p999_us),
            Self::Max => Some(max_us),
            Self::Syncs => syncs,
            Self::DiskSyncs => syncs.map(|_| mean(sample.disk_group)),
            Self::RecordsPerSync => syncs.map(|syncs| sample.records_per_s / syncs),
            Self::Written => sample.written_per_given,
            Self::Cpu => Some(sample.cpu_us_per_record),
            Self::ProducersCpu => Some(sample.producers_cpu_us_per_record),
        }
    }

    /// How many decimals tell something.
    #[must_use]
    pub const fn decimals(self) -> usize {
        match self {
            Self::Records | Self::Syncs | Self::DiskSyncs | Self::Max => 0,
            Self::P50 | Self::P90 | Self::P99 | Self::P999 => 0,
            Self::RecordsPerSync | Self::RecordsPerDiskSync => 1,
            Self::Written | Self::Cpu | Self::ProducersCpu => 2,
        }
    }

    const fn better(self) -> Better {
        match self {
            Self::Records | Self::RecordsPerDiskSync | Self::Syncs | Self::DiskSyncs => Better::Higher,
            _ => Better::Lower,
        }
    }
}

fn mean([before, after]: [Pace; 2]) -> f64 {
    f64::midpoint(before.syncs_per_s, after.syncs_per_s)
}

impl Sample {
    /// Why it must not count; empty if it is clean.
    #[must_use]
    pub fn objections(&self) -> Vec<String> {
        let mut objections = self.cpu.objections();
        let [before, after] = self.disk_block.map(|pace| pace.syncs_per_s);
        if before.max(after) > DISK_CHANGE_MAX * before.min(after) {
            objections.push("the bare disk was more than twice as fast before or after".to_owned());
        }
        objections
    }
}

impl Series {
    /// Adds a sample that counts, in spite of these objections.
    pub(super) fn add(&mut self, sample: Sample, objections: Vec<String>) {
        self.clean.push(sample);
        self.note(objections);
    }

    /// Counts a sample that does not.
    pub(super) fn drop(&mut self, objections: Vec<String>) {
        self.dropped += 1;
        self.note(objections);
    }

    fn note(&mut self, objections: Vec<String>) {
        self.reasons.extend(objections);
        self.reasons.sort();
        self.reasons.dedup();
    }

    /// Whether enough samples are clean.
    #[must_use]
    pub fn is_measured(&self) -> bool {
        self.clean.len() >= CLEAN_SAMPLES_MIN
    }

    /// One figure of every clean sample that has it.
    #[must_use]
    pub fn values(&self, metric: Metric) -> Vec<f64> {
        self.clean.iter().filter_map(|sample| metric.of(sample)).collect()
    }

    /// The figure's distribution; none if too few samples have it.
    #[must_use]
    pub fn spread(&self, metric: Metric) -> Option<Spread> {
        Spread::of(&self.values(metric)).filter(|_| self.is_measured())
    }

    fn median_of(&self, figure: impl Fn(&Sample) -> f64) -> Option<f64> {
        median(&self.clean.iter().map(figure).collect::<Vec<_>>()).filter(|_| self.is_measured())
    }

    /// What keeps it from being faster on a machine with so many processors; none if it was not measured. A log that
    /// does not wait for the disk (`synced` is false) is not limited by syncs.
    #[must_use]
    pub fn limit(&self, synced: bool, processors: usize) -> Option<Limit> {
        let cores = self.median_of(|sample| sample.cpu.load + sample.cpu.server)?;
        let producers = self.median_of(|sample| sample.producers_busy_ratio)?;
        let disk = ratio_to_disk(self, 0).filter(|_| synced);
        Some(if disk.is_some_and(|ratio| ratio.value >= DISK_LIMITS_RATIO) {
            Limit::Disk
        } else if producers >= PRODUCERS_LIMIT_RATIO {
            Limit::Producers
        } else if cores >= PROCESSORS_LIMIT_RATIO * processors as f64 {
            Limit::Processors
        } else {
            Limit::Handover
        })
    }
}

/// Syncs per second of the log divided by those of the bare disk in groups of the same size, with a 95 % interval.
#[must_use]
pub fn ratio_to_disk(series: &Series, seed: u64) -> Option<Ratio> {
    let (ours, disk) = (series.values(Metric::Syncs), series.values(Metric::DiskSyncs));
    ratio_of_medians(&ours, &disk, seed).filter(|_| series.is_measured())
}

/// Compares the first subject with each other one that waits for the disk, figure by figure.
#[must_use]
pub(super) fn compare(subjects: &[Subject], measured: &[Series], seed: u64) -> Vec<Comparison> {
    let mut comparisons = Vec::new();
    for (peer, theirs) in subjects.iter().zip(measured).skip(1).filter(|(peer, _)| peer.synced) {
        for metric in Metric::COMPARED {
            let (ours, theirs) = (measured[0].values(metric), theirs.values(metric));
            let theirs = (peer.name.as_str(), &theirs[..]);
            comparisons.push(Comparison::judge((metric, metric.better()), &ours, theirs, seed));
        }
    }
    comparisons
}

impl Results {
    /// The cell with so many producers and such payloads, if it was measured.
    #[must_use]
    pub fn cell(&self, producers: usize, payload: Size) -> Option<&CellResults> {
        self.cells.iter().find(|results| results.cell == Cell { producers, payload })
    }

    /// The bare disk in blocks over all clean samples: syncs per second, and the median time of one in microseconds.
    #[must_use]
    pub fn disk(&self) -> Option<(Spread, Spread)> {
        let samples = self.cells.iter().flat_map(|cell| &cell.measured).flat_map(|series| &series.clean);
        let paces: Vec<Pace> = samples.flat_map(|sample| sample.disk_block).collect();
        let syncs: Vec<f64> = paces.iter().map(|pace| pace.syncs_per_s).collect();
        let times: Vec<f64> = paces.iter().map(|pace| pace.latency.p50_us).collect();
        debug_assert!(paces.iter().all(|pace| pace.group_bytes == BLOCK_BYTES));
        Spread::of(&syncs).zip(Spread::of(&times))
    }

    /// Writes `<name>.md` and `<name>.json` into `folder`; returns the path of the Markdown file.
    ///
    /// Each file is replaced as a whole or not at all. Errors: a file can't be written.
    pub fn write(&self, folder: &Path) -> Result<PathBuf> {
        write_both(folder, &self.name, &self.markdown(), self)
    }
}
