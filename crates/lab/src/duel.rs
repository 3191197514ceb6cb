//! Duels: Mainstay and its peers on the same work, in the same run, on the same machine, with guards against the
//! ways in which such comparisons lie.
//!
//! All servers run throughout; the idle ones must not cost anything. Samples alternate (A B A B ...) after a round
//! that is thrown away, so that what drifts, drifts for all. A sample counts only if nothing else used the machine
//! and every answer was right; a cell counts only with enough such samples. Lost rows are printed like won ones.
//!
//! The first contestant is the one that all others are compared with.

mod claim;
mod guard;
mod runner;
mod table;

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::comparison::{self, CLEAN_SAMPLES_MIN};
use crate::load::{self, Expect, Pace, Percentiles, Plan, Target};
use crate::process::{Machine, Server};
use crate::report::Verdict;
use crate::stats::Better;

pub use claim::Claim;
pub use guard::{
    Attempt, CpuShares, FOREIGN_CORES_MAX, LATENESS_ALLOWED_US, LATENESS_SHARE_MAX, REPEATS_MAX, Spent,
    same_autogroup,
};
pub use runner::run;

/// A server that can take part.
pub struct Contestant {
    /// Short, for tables.
    pub name: String,
    /// Starts it.
    pub start: Start,
}

/// Starts a contestant; files that it needs or writes go into the given folder, which is its own.
pub type Start = Box<dyn Fn(&Path) -> Result<Started>>;

/// A contestant that is ready for load.
pub struct Started {
    /// Its processes. They are stopped when this is dropped.
    pub servers: Vec<Server>,
    /// As the server itself says.
    pub version: String,
    /// Pairs of a name and a value, read back from the running server or the files it was started with.
    pub settings: Vec<(String, String)>,
    /// Puts it under load.
    pub load: Load,
}

/// Starts the load of a cell on a contestant, in the contestant's own protocol.
pub type Load = Box<dyn Fn(&Cell, Pace) -> Result<load::Running>>;

/// The load that asks `target`; `expect` is what a right answer is. Without it a server that answers less would win.
pub fn asking<T: Target>(target: T, expect: Expect) -> Load {
    let plan = Plan { expect, ..Plan::new(target) };
    Box::new(move |cell, pace| {
        let plan = Plan {
            connections: cell.connections,
            threads: cell.threads,
            warm_up: cell.warm_up,
            duration: cell.duration,
            ..plan.clone()
        };
        load::start(&plan, pace)
    })
}

/// When a cell's requests are sent.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Offer {
    /// As fast as answers come: measures capacity.
    Closed,
    /// At so many requests per second, the same for all: measures latency.
    PerSecond(f64),
    /// At this share (0..=1) of what the slowest contestant reached in the duel's first closed cell.
    ShareOfSlowest(f64),
}

/// One kind of work.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cell {
    /// Short, for tables.
    pub name: String,
    /// When requests are sent.
    pub offer: Offer,
    /// Clients over all threads.
    pub connections: usize,
    /// Threads of the load generator.
    pub threads: usize,
    /// The part of each sample that is thrown away.
    pub warm_up: Duration,
    /// The measured part of each sample.
    pub duration: Duration,
}

/// A comparison to run.
pub struct Duel {
    /// Name of its files.
    pub name: String,
    /// Its headline.
    pub title: String,
    /// What is compared, and what this says about real use.
    pub about: String,
    /// The first is compared with each other one.
    pub contestants: Vec<Contestant>,
    /// In this order.
    pub cells: Vec<Cell>,
    /// Further comparisons: the first of each with the second, by their names.
    pub pairs: Vec<(String, String)>,
    /// What is claimed of what comes out; nothing of those who do not take part.
    pub claims: Vec<Claim>,
    /// Clean samples wanted per cell and contestant.
    pub samples: usize,
    /// Whether a sample that other programs disturbed is dropped and repeated; wrong answers always spoil one.
    pub strict: bool,
    /// Seed of the intervals' bootstrap.
    pub seed: u64,
}

/// One measurement of one contestant in one cell.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// Right answers per second.
    pub rate_per_s: f64,
    /// From the time a request was due to its answer.
    pub latency: Percentiles,
    /// How late the generator itself was.
    pub lateness: Percentiles,
    /// CPU time of the server per right answer, in microseconds.
    pub cpu_us_per_request: f64,
    /// Resident memory of the server at the end.
    pub rss_bytes: u64,
    /// Who used the machine.
    pub cpu: CpuShares,
    /// What was wrong with the answers; see [`crate::load::Outcome::doubts`].
    pub doubts: Vec<String>,
}

/// What a duel found out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Results {
    /// See [`Duel::name`].
    pub name: String,
    /// See [`Duel::title`].
    pub title: String,
    /// See [`Duel::about`].
    pub about: String,
    /// When, as the caller writes dates.
    pub date: String,
    /// Where.
    pub machine: Machine,
    /// Who, in the duel's order.
    pub contestants: Vec<Participant>,
    /// In the duel's order.
    pub cells: Vec<CellResults>,
    /// Whether what was claimed holds; empty where nothing was.
    #[serde(default)]
    pub verdict: Verdict,
}

/// A contestant as it took part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Participant {
    /// See [`Contestant::name`].
    pub name: String,
    /// See [`Started::version`].
    pub version: String,
    /// See [`Started::settings`].
    pub settings: Vec<(String, String)>,
}

/// All that was measured in one cell.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CellResults {
    /// The cell.
    pub cell: Cell,
    /// The rate all were offered, in requests per second; none in a closed loop.
    pub offered_per_s: Option<f64>,
    /// One entry per contestant, in the duel's order.
    pub measured: Vec<Series>,
    /// Rows of the comparison of the first contestant with each other one.
    pub comparisons: Vec<Comparison>,
    /// Rows of further comparisons, each with the name of the side that is compared.
    #[serde(default)]
    pub pairs: Vec<(String, Vec<Comparison>)>,
}

/// One contestant's samples in one cell.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Series {
    /// Those that count.
    pub clean: Vec<Sample>,
    /// How many were dropped.
    pub dropped: usize,
    /// Why, once for each reason.
    pub reasons: Vec<String>,
}

impl Series {
    /// Whether enough samples are clean.
    #[must_use]
    pub fn is_measured(&self) -> bool {
        self.clean.len() >= CLEAN_SAMPLES_MIN
    }

    /// A metric's value in each clean sample.
    #[must_use]
    pub fn values(&self, metric: Metric) -> Vec<f64> {
        self.clean.iter().map(|sample| metric.of(sample)).collect()
    }
}

/// A figure that is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// Right answers per second.
    Rate,
    /// Median latency.
    LatencyP50,
    /// 99th percentile of latency.
    LatencyP99,
    /// CPU time of the server per right answer.
    CpuPerRequest,
    /// Resident memory.
    Rss,
}

impl Metric {
    /// All, in the order of their rows.
    pub const ALL: [Self; 5] =
        [Self::Rate, Self::LatencyP50, Self::LatencyP99, Self::CpuPerRequest, Self::Rss];

    /// Its name with its unit.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rate => "answers/s",
            Self::LatencyP50 => "p50 us",
            Self::LatencyP99 => "p99 us",
            Self::CpuPerRequest => "server CPU us/request",
            Self::Rss => "RSS MiB",
        }
    }

    /// Its value in a sample, in the unit of its name.
    #[must_use]
    pub fn of(self, sample: &Sample) -> f64 {
        match self {
            Self::Rate => sample.rate_per_s,
            Self::LatencyP50 => sample.latency.p50_us,
            Self::LatencyP99 => sample.latency.p99_us,
            Self::CpuPerRequest => sample.cpu_us_per_request,
            Self::Rss => sample.rss_bytes as f64 / f64::from(1 << 20),
        }
    }

    /// How many decimals tell something.
    const fn decimals(self) -> usize {
        match self {
            Self::Rate => 0,
            Self::LatencyP50 | Self::LatencyP99 | Self::CpuPerRequest | Self::Rss => 1,
        }
    }

    const fn better(self) -> Better {
        match self {
            Self::Rate => Better::Higher,
            Self::LatencyP50 | Self::LatencyP99 | Self::CpuPerRequest | Self::Rss => Better::Lower,
        }
    }

    /// Whether it says something about servers at this offer: at a given rate all reach that rate, and in a closed
    /// loop latency is only the inverse of the rate.
    fn applies(self, offer: Offer) -> bool {
        match self {
            Self::Rate => offer == Offer::Closed,
            Self::LatencyP50 | Self::LatencyP99 => offer != Offer::Closed,
            Self::CpuPerRequest | Self::Rss => true,
        }
    }
}

/// One row: a metric of the first contestant against that of another.
pub type Comparison = comparison::Comparison<Metric>;

#[cfg(test)]
mod tests;
