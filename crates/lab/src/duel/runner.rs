//! Runs a duel: starts everyone, alternates samples, measures what each costs.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};

use super::claim;
use super::guard::{Attempt, CpuShares, Spent, same_autogroup};
use super::{
    Cell, CellResults, Comparison, Contestant, Duel, Metric, Offer, Participant, Results, Sample, Series,
    Started,
};
use crate::clock::sleep_until;
use crate::load::Pace;
use crate::process::{Machine, Pid, autogroup, memory, tree};
use crate::stats::median;

/// A contestant that runs.
struct Running {
    name: String,
    started: Started,
}

/// Runs `duel` with files under `folder`, telling `progress` what is done. Blocks for as long as all samples take.
///
/// Errors: the duel is impossible, a contestant does not start, runs in another scheduler group of a strict duel or dies,
/// or the load can't connect to it. What is merely noisy is not an error but counted.
pub fn run(duel: &Duel, folder: &Path, date: &str, mut progress: impl FnMut(&str)) -> Result<Results> {
    ensure!(duel.contestants.len() >= 2, "a duel needs at least two contestants");
    ensure!(duel.samples > 0, "a duel needs at least one sample");
    let machine = Machine::look();
    let mut running = Vec::new();
    for contestant in &duel.contestants {
        progress(&format!("start {}", contestant.name));
        running.push(start(contestant, folder, duel.strict && machine.autogroup_enabled)?);
    }
    let mut cells: Vec<CellResults> = Vec::new();
    for cell in &duel.cells {
        let offered_per_s = offered(cell.offer, &cells)?;
        let measured = measure_cell(duel, cell, offered_per_s, &running, &mut progress)?;
        let names: Vec<&str> = duel.contestants.iter().map(|contestant| contestant.name.as_str()).collect();
        let comparisons = compare(cell.offer, &measured, names.iter().copied(), duel.seed);
        let pairs =
            duel.pairs.iter().filter_map(|pair| paired(cell.offer, &measured, (&names, pair), duel.seed));
        let pairs = pairs.collect();
        cells.push(CellResults { cell: cell.clone(), offered_per_s, measured, comparisons, pairs });
    }
    let names: Vec<&str> = duel.contestants.iter().map(|contestant| contestant.name.as_str()).collect();
    let verdict = claim::judge(&duel.claims, &names, &cells, duel.seed);
    let participant = |Running { name, started }: Running| Participant {
        name,
        version: started.version.clone(),
        settings: started.settings.clone(),
    };
    Ok(Results {
        name: duel.name.clone(),
        title: duel.title.clone(),
        about: duel.about.clone(),
        date: date.to_owned(),
        machine,
        contestants: running.into_iter().map(participant).collect(),
        cells,
        verdict,
    })
}

fn start(contestant: &Contestant, folder: &Path, grouping: bool) -> Result<Running> {
    let name = contestant.name.clone();
    let folder = folder.join(&name);
    std::fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
    let started = (contestant.start)(&folder).with_context(|| format!("start {name}"))?;
    ensure!(!started.servers.is_empty(), "{name} has no process to measure");
    let own = autogroup(std::process::id());
    for pid in tree(&started.pids()) {
        same_autogroup(grouping, own.as_deref(), autogroup(pid).as_deref(), &name)?;
    }
    Ok(Running { name, started })
}

impl Started {
    fn pids(&self) -> Vec<Pid> {
        self.servers.iter().map(crate::process::Server::pid).collect()
    }
}

/// The rate that a cell offers to all, in requests per second.
pub(super) fn offered(offer: Offer, earlier: &[CellResults]) -> Result<Option<f64>> {
    let share = match offer {
        Offer::Closed => return Ok(None),
        Offer::PerSecond(rate_per_s) => return Ok(Some(rate_per_s)),
        Offer::ShareOfSlowest(share) => share,
    };
    let closed = earlier.iter().find(|results| results.cell.offer == Offer::Closed);
    let closed = closed.context("a share of the slowest needs a closed cell before it")?;
    let rates = closed
        .measured
        .iter()
        .filter(|series| series.is_measured())
        .filter_map(|series| median(&series.values(Metric::Rate)));
    let slowest = rates.min_by(f64::total_cmp);
    let slowest =
        slowest.context("nobody was measured in the closed cell that sets the rate: the machine is busy")?;
    // A round figure is easier to read and to repeat.
    Ok(Some((slowest * share / 100.0).floor().max(1.0) * 100.0))
}

fn measure_cell(
    duel: &Duel,
    cell: &Cell,
    offered_per_s: Option<f64>,
    running: &[Running],
    progress: &mut impl FnMut(&str),
) -> Result<Vec<Series>> {
    for contestant in running {
        progress(&format!("{}: {}: warm-up", cell.name, contestant.name));
        contestant.measure(cell, offered_per_s)?;
    }
    let mut measured = vec![Series::default(); running.len()];
    for round in 1..=duel.samples {
        for (contestant, series) in running.iter().zip(&mut measured) {
            progress(&format!("{}: {}: sample {round} of {}", cell.name, contestant.name, duel.samples));
            series.add(Attempt::make(duel.strict, || contestant.measure(cell, offered_per_s))?);
        }
    }
    Ok(measured)
}

impl Running {
    /// Takes one sample.
    fn measure(&self, cell: &Cell, offered_per_s: Option<f64>) -> Result<Sample> {
        let pids = self.started.pids();
        let load = (self.started.load)(cell, offered_per_s.map_or(Pace::Closed, Pace::open))
            .with_context(|| format!("put {} under load", self.name))?;
        let (begin, end) = load.window();
        sleep_until(begin);
        let before = Spent::now(&pids)?;
        sleep_until(end);
        let spent = Spent::now(&pids)?.since(before);
        let rss_bytes = memory(&pids).rss_bytes;
        let outcome = load.join()?;
        Ok(Sample {
            rate_per_s: outcome.rate_per_s(),
            latency: outcome.latency.percentiles(),
            lateness: outcome.lateness.percentiles(),
            cpu_us_per_request: spent.server.as_secs_f64() * 1e6 / outcome.ok_in_window.max(1) as f64,
            rss_bytes,
            cpu: CpuShares::of(end.since(begin), spent),
            doubts: outcome.doubts(),
        })
    }
}

/// Compares the first series with each other one, metric by metric.
pub(super) fn compare<'a>(
    offer: Offer,
    measured: &[Series],
    names: impl Iterator<Item = &'a str>,
    seed: u64,
) -> Vec<Comparison> {
    let theirs = measured.iter().zip(names).skip(1);
    theirs.flat_map(|(theirs, peer)| rows(offer, &measured[0], (peer, theirs), seed)).collect()
}

/// One series beside another, metric by metric.
fn rows(offer: Offer, ours: &Series, (peer, theirs): (&str, &Series), seed: u64) -> Vec<Comparison> {
    let row = |metric: Metric| {
        let (ours, theirs) = (ours.values(metric), theirs.values(metric));
        Comparison::judge((metric, metric.better()), &ours, (peer, &theirs), seed)
    };
    Metric::ALL.into_iter().filter(|metric| metric.applies(offer)).map(row).collect()
}

/// The rows of one further pair; none if one of both does not take part.
pub(super) fn paired(
    offer: Offer,
    measured: &[Series],
    (names, (of, to)): (&[&str], &(String, String)),
    seed: u64,
) -> Option<(String, Vec<Comparison>)> {
    let series = |name: &str| Some(&measured[names.iter().position(|known| *known == name)?]);
    Some((of.clone(), rows(offer, series(of)?, (to, series(to)?), seed)))
}
