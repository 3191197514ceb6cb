//! What a sample must satisfy to be believed. Apart from [`Spent::now`] it is pure and judges figures it is given.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

use super::{Sample, Series};
use crate::process::{MachineCpu, Pid, cpu, cpu_of_others, cpu_of_self, kernel_threads};

/// How much of one core all other processes together may use during a sample.
pub const FOREIGN_CORES_MAX: f64 = 0.10;

/// How often a dirty sample is repeated.
pub const REPEATS_MAX: usize = 3;

/// Lateness of the generator, as a 99th percentile in microseconds, that never spoils a sample: where server and
/// generator share processors, waiting for one another this long is ordinary.
pub const LATENESS_ALLOWED_US: f64 = 2_000.0;

/// The share of the latency's 99th percentile above which lateness beyond [`LATENESS_ALLOWED_US`] spoils a sample:
/// the figure is then more the generator's than the server's.
pub const LATENESS_SHARE_MAX: f64 = 0.5;

/// Who used the machine during a sample, in cores (CPU seconds per second).
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct CpuShares {
    /// The server under load.
    pub server: f64,
    /// The load generator and everything else in its process.
    pub load: f64,
    /// Every other process.
    pub foreign: f64,
    /// Taken by the host of a virtual machine.
    pub stolen: f64,
}

impl CpuShares {
    /// Divides what was spent in `window`.
    ///
    /// Some kernels charge the time of interrupts, in which the network's work is done, to the interrupted program,
    /// others keep it apart. So what others used is known twice, and the larger figure counts: what the machine's
    /// tasks used beyond the known ones, which is too little on the former kernels, and the sum over all other
    /// processes, which misses those in other process namespaces. Neither has the kernel's threads.
    #[must_use]
    pub fn of(window: Duration, spent: Spent) -> Self {
        let cores = |cpu: Duration| cpu.as_secs_f64() / window.as_secs_f64();
        let known = spent.server + spent.load + spent.kernel;
        let beyond = spent.machine.tasks.saturating_sub(known);
        Self {
            server: cores(spent.server),
            load: cores(spent.load),
            foreign: cores(beyond.max(spent.others)),
            stolen: cores(spent.machine.stolen),
        }
    }

    /// Who used too much for a sample to count; empty if nobody did.
    pub(crate) fn objections(self) -> Vec<String> {
        let mut objections = Vec::new();
        if self.foreign > FOREIGN_CORES_MAX {
            objections.push("other processes used more than 10 % of a core".to_owned());
        }
        if self.stolen > FOREIGN_CORES_MAX {
            objections.push("the virtual machine's host took more than 10 % of a core".to_owned());
        }
        objections
    }
}

/// CPU time spent until some moment, or between two.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Spent {
    /// By the whole machine.
    pub machine: MachineCpu,
    /// By the server under load.
    pub server: Duration,
    /// By this process, which makes the load.
    pub load: Duration,
    /// By the kernel's own threads. They write out what somebody else has written, so they are not foreign.
    pub kernel: Duration,
    /// By all other processes that are visible.
    pub others: Duration,
}

impl Spent {
    /// What was spent until now, where `server` are the processes under load. Errors: `/proc/stat` can't be read.
    pub fn now(server: &[Pid]) -> Result<Self> {
        let kernel = kernel_threads();
        Ok(Self {
            machine: MachineCpu::read()?,
            server: cpu(server),
            load: cpu_of_self(),
            kernel: cpu(&kernel),
            others: cpu_of_others(&[server, &kernel].concat()),
        })
    }

    /// What was spent between `earlier` and this.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        Self {
            machine: self.machine.since(earlier.machine),
            server: self.server.saturating_sub(earlier.server),
            load: self.load.saturating_sub(earlier.load),
            kernel: self.kernel.saturating_sub(earlier.kernel),
            others: self.others.saturating_sub(earlier.others),
        }
    }
}

/// Why a sample must not count; empty if it is clean. Only a strict judge minds what other programs did.
#[must_use]
pub(super) fn objections(sample: &Sample, strict: bool) -> Vec<String> {
    let mut objections = sample.doubts.clone();
    if !strict {
        return objections;
    }
    objections.extend(sample.cpu.objections());
    // In a closed loop nothing is due, so nothing is late.
    let late_us = sample.lateness.p99_us;
    if late_us > LATENESS_ALLOWED_US && late_us > sample.latency.p99_us * LATENESS_SHARE_MAX {
        objections.push("the load generator was late".to_owned());
    }
    objections
}

/// What came of one wanted sample.
#[derive(Debug, Clone, PartialEq)]
pub struct Attempt {
    /// The sample, if one of the tries was clean.
    pub clean: Option<Sample>,
    /// The reasons against each try that was dropped.
    pub dropped: Vec<Vec<String>>,
}

impl Attempt {
    /// Measures until a sample is clean, at most one time and [`REPEATS_MAX`] more. See [`super::Duel::strict`].
    pub fn make(strict: bool, mut measure: impl FnMut() -> Result<Sample>) -> Result<Self> {
        let mut dropped = Vec::new();
        for _ in 0..=REPEATS_MAX {
            let sample = measure()?;
            let objections = objections(&sample, strict);
            if objections.is_empty() {
                return Ok(Self { clean: Some(sample), dropped });
            }
            dropped.push(objections);
        }
        Ok(Self { clean: None, dropped })
    }
}

impl Series {
    /// Adds what came of one wanted sample.
    pub fn add(&mut self, attempt: Attempt) {
        self.clean.extend(attempt.clean);
        self.dropped += attempt.dropped.len();
        for reason in attempt.dropped.into_iter().flatten() {
            // Counts of failed requests differ each time; they are worth a line each, but not many.
            if !self.reasons.contains(&reason) && self.reasons.len() < 8 {
                self.reasons.push(reason);
            }
        }
    }
}

/// Refuses a server that the scheduler would treat as another session's.
///
/// With autogroups, processor time is shared between sessions before it is shared between processes, and a wake-up
/// from another session waits for the next tick: a server then looks many times slower than it is.
///
/// Errors: what to do about it.
pub fn same_autogroup(enabled: bool, load: Option<&str>, server: Option<&str>, name: &str) -> Result<()> {
    ensure!(
        !enabled || load == server,
        "{name} runs in scheduler group {}, the load in {}: start it in the foreground, without a session of its \
         own, or switch grouping off (sysctl kernel.sched_autogroup_enabled=0)",
        server.unwrap_or("unknown"),
        load.unwrap_or("unknown"),
    );
    Ok(())
}
