//! Experiments: one question each, answered by measuring the real thing on this machine.
//!
//! An experiment takes less than three minutes on two cores, drives the binary through its public surface only,
//! and writes a report with its verdict. What it finds is a report also if the verdict is bad; an error means that
//! it could not measure.

mod balancing;
mod beside;
mod cascade;
mod collection;
mod concurrency;
mod defaults;
mod discovery;
mod drain;
mod evolution;
mod expiry;
mod hedging;
mod index_build;
mod index_reads;
mod indexes;
mod integrity;
mod load_model;
mod metastable;
mod meter;
mod mixes;
mod node;
mod pools;
mod reload;
mod retry_storm;
mod samples;
mod scaling;
mod shedding;
mod start;
mod write_amplification;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::clock::Moment;
use crate::duel::{CpuShares, FOREIGN_CORES_MAX, Spent};
use crate::plot::Line;
use crate::process::{MachineCpu, cpu, cpu_of_others, kernel_threads};
use crate::report::Report;

pub use balancing::Balancing;
pub use cascade::Cascade;
pub use concurrency::Concurrency;
pub use defaults::Defaults;
pub use discovery::Discovery;
pub use drain::Drain;
pub use evolution::Evolution;
pub use expiry::Expiry;
pub use hedging::Hedging;
pub use index_build::IndexBuild;
pub use indexes::Indexes;
pub use integrity::Integrity;
pub use load_model::LoadModel;
pub use metastable::Metastable;
pub use mixes::Mixes;
pub use pools::Pools;
pub use reload::Reload;
pub use retry_storm::RetryStorm;
pub use scaling::Scaling;
pub use shedding::Shedding;
pub use start::Start;
pub use write_amplification::WriteAmplification;

/// One question and the way to answer it.
pub trait Experiment: Sync {
    /// Its name on the command line and of its files.
    fn name(&self) -> &'static str;

    /// The question it answers, by its id in the list of questions, such as `A18`.
    fn question(&self) -> &'static str;

    /// What it does, in one line.
    fn about(&self) -> &'static str;

    /// Measures. Blocks, for less than three minutes.
    ///
    /// Errors: it could not measure: the binary does not start, a file can't be written.
    fn run(&self, context: &Context) -> Result<Report>;
}

/// What an experiment is given.
#[derive(Debug, Clone)]
pub struct Context {
    /// The binary to measure.
    pub exe: PathBuf,
    /// Where reports go.
    pub out_dir: PathBuf,
    /// For the report, as the caller writes dates.
    pub date: String,
}

/// Runs an experiment that starts nothing with each seed, and asserts that what it claims holds.
#[cfg(test)]
fn holds_for<E: Experiment>(seeds: std::ops::Range<u64>, of: impl Fn(u64) -> E) {
    let nowhere = Context { exe: "none".into(), out_dir: "none".into(), date: "2026-01-01".to_owned() };
    for seed in seeds {
        let report = of(seed).run(&nowhere).expect("nothing of it can fail");
        assert!(report.verdict.holds(), "seed {seed}: {}", report.markdown());
    }
}

impl Context {
    fn report(&self, experiment: &dyn Experiment, title: &str, question: &str) -> Report {
        let mut report = Report::new(experiment.name(), title, question, &self.date);
        // The lab is part of the binary that it measures.
        report.setting("build", if cfg!(debug_assertions) { "debug" } else { "release" });
        if cfg!(debug_assertions) {
            report.notes.push(DEBUG_NOTE.to_owned());
        }
        report
    }
}

/// All experiments, in the order in which they are listed.
pub static ALL: [&dyn Experiment; 22] = [
    &Start::DEFAULT,
    &Drain::DEFAULT,
    &Reload::DEFAULT,
    &LoadModel::DEFAULT,
    &Indexes::DEFAULT,
    &IndexBuild::DEFAULT,
    &WriteAmplification::DEFAULT,
    &Mixes::DEFAULT,
    &Integrity::DEFAULT,
    &Evolution::DEFAULT,
    &Expiry::DEFAULT,
    &Cascade::DEFAULT,
    &RetryStorm::DEFAULT,
    &Hedging::DEFAULT,
    &Concurrency::DEFAULT,
    &Metastable::DEFAULT,
    &Shedding::DEFAULT,
    &Defaults::DEFAULT,
    &Balancing::DEFAULT,
    &Pools::DEFAULT,
    &Discovery::DEFAULT,
    &Scaling::DEFAULT,
];

/// The latency that this share of all is not above, the shortest coming first.
fn at(latencies_ms: &[f64], share: f64) -> f64 {
    latencies_ms[(share * (latencies_ms.len() - 1) as f64) as usize]
}

/// How slow the slowest of so many calls is, up to one in 556.
fn slowest(name: &str, latencies_ms: &[f64]) -> Line {
    let shares = (1..=60).map(|step| 1.0 - 0.9_f64.powi(step));
    Line::new(name, shares.map(|share| (1.0 / (1.0 - share), at(latencies_ms, share))).collect())
}

/// Has the report say that nothing of it was measured on a machine.
fn simulated(report: &mut Report, seed: u64) {
    report.setting("seed", seed.to_string());
    report.notes.push(SIMULATED_NOTE.to_owned());
}

const SIMULATED_NOTE: &str = "Simulated in virtual time from a seed, with the cores of policies that run in production: every machine finds the same figures.";

/// The experiment of that name.
#[must_use]
pub fn find(name: &str) -> Option<&'static dyn Experiment> {
    ALL.into_iter().find(|experiment| experiment.name() == name)
}

/// Runs an experiment and writes its report; returns the report and the path of its page.
///
/// Errors: as [`Experiment::run`].
pub fn run(experiment: &dyn Experiment, context: &Context) -> Result<(Report, PathBuf)> {
    let (begin, before) = (Moment::now(), spent()?);
    let mut report = experiment.run(context).with_context(|| format!("experiment {}", experiment.name()))?;
    let shares = CpuShares::of(Moment::now().since(begin), spent()?.since(before));
    report.notes.extend(foreign_note(shares.foreign));
    let page = report.write(&context.out_dir)?;
    Ok((report, page))
}

const DEBUG_NOTE: &str = "This is a debug build: its figures say little about a release build.";

/// What was spent until now, with this process and its children, also those that have ended, on one side.
fn spent() -> Result<Spent> {
    let (own, kernel) = ([std::process::id()], kernel_threads());
    let (machine, others) = (MachineCpu::read()?, cpu_of_others(&[&own[..], &kernel].concat()));
    Ok(Spent { machine, server: Duration::ZERO, load: cpu(&own), kernel: cpu(&kernel), others })
}

/// A note if other processes used so much of the machine, in cores, that it may show in the figures.
fn foreign_note(cores: f64) -> Option<String> {
    (cores > FOREIGN_CORES_MAX).then(|| {
        format!(
            "Other processes used {:.0} % of a core meanwhile: figures may be worse for it.",
            cores * 100.0
        )
    })
}

/// A folder for one run's files, removed afterwards.
fn scratch(out_dir: &Path) -> Result<tempfile::TempDir> {
    std::fs::create_dir_all(out_dir).with_context(|| format!("create {}", out_dir.display()))?;
    tempfile::Builder::new().prefix(".run-").tempdir_in(out_dir).context("create a folder for a run")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn experiments_are_found_by_their_own_names() {
        for experiment in ALL {
            let found = find(experiment.name()).map(Experiment::name);
            assert_eq!(found, Some(experiment.name()));
            assert!(
                !experiment.about().ends_with('.')
                    && experiment.question().starts_with(['A', 'B', 'C', 'D', 'E', 'F'])
            );
        }
        assert!(find("no such").is_none());
    }

    #[test]
    fn a_busy_machine_is_noted() {
        assert_eq!(foreign_note(0.10), None);
        let note = foreign_note(0.25).unwrap();
        assert!(note.starts_with("Other processes used 25 % of a core"), "{note}");
    }
}
