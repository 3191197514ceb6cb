//! Duels: Mainstay and peers on the same work. Each names its contestants and cells; the lab runs them and guards the
//! truth of what comes out.

mod health;
mod log;
mod mainstay;
mod nginx;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use mainstay_lab::bench::{self, Plan, Results, Stop};
use mainstay_lab::duel::{self, Cell, Duel, Offer};

use crate::binary::repository;
use crate::cache;

/// How long a duel takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effort {
    /// As long as figures need that are published.
    Full,
    /// As short as shows that everything works; the figures mean nothing and are not written.
    Quick,
}

/// A duel that can be asked for.
struct Entry {
    name: &'static str,
    about: &'static str,
    work: Work,
}

/// How it is run.
enum Work {
    /// Servers under load from outside.
    Servers(fn(Effort) -> Result<Duel>),
    /// Logs in this process, beside the bare disk; the second function judges what is claimed.
    Logs(fn(Effort) -> Result<Plan>, fn(&mut Results)),
}

const DUELS: [Entry; 2] = [
    Entry {
        name: "health",
        about: "the smallest request there is: a health endpoint against nginx's `return 200`",
        work: Work::Servers(health::prepare),
    },
    Entry {
        name: "log",
        about: "durable appends: the local log against fjall's journal and SQLite, beside the bare disk",
        work: Work::Logs(log::plan, log::judge),
    },
];

/// Prints what can be asked for.
pub(crate) fn list() {
    for Entry { name, about, .. } in &DUELS {
        println!("{name:<10} {about}");
    }
}

/// Runs a duel; a full one is written under `docs/benchmarks`, a quick one is only printed.
pub(crate) fn run(name: &str, effort: Effort) -> Result<()> {
    let entry = DUELS.iter().find(|entry| entry.name == name);
    let entry =
        entry.with_context(|| format!("no duel `{name}`; `cargo xtask duel --list` shows what there is"))?;
    anyhow::ensure!(
        !cfg!(debug_assertions) || effort == Effort::Quick,
        "the load generator is not optimised and would be measured instead; run `cargo xtask`, which builds for release"
    );
    let date = jiff::Timestamp::now().strftime("%Y-%m-%d").to_string();
    match entry.work {
        Work::Servers(prepare) => servers(&prepare(effort)?, &date, effort),
        Work::Logs(plan, judge) => logs(&plan(effort)?, judge, &date, effort),
    }
}

fn servers(duel: &Duel, date: &str, effort: Effort) -> Result<()> {
    let folder = tempfile::tempdir().context("make a folder for the servers")?;
    let results = duel::run(duel, folder.path(), date, |step| println!("{step}"))?;
    publish(&results.markdown(), effort, |pages| results.write(pages))
}

fn logs(plan: &Plan, judge: fn(&mut Results), date: &str, effort: Effort) -> Result<()> {
    // Not where temporary files go: that may be memory.
    let cache = cache::folder()?;
    std::fs::create_dir_all(&cache).with_context(|| format!("create {}", cache.display()))?;
    let folder = tempfile::Builder::new().prefix("duel-").tempdir_in(&cache);
    let folder = folder.context("make a folder for the logs")?;
    let mut results = bench::run(plan, folder.path(), date, &Stop::default(), |step| println!("{step}"))?;
    judge(&mut results);
    publish(&results.markdown(), effort, |pages| results.write(pages))
}

/// Prints a page; a full one is also written.
fn publish(page: &str, effort: Effort, write: impl Fn(&Path) -> Result<PathBuf>) -> Result<()> {
    println!("\n{page}");
    if effort == Effort::Full {
        println!("written to {}", write(&repository().join("docs/benchmarks"))?.display());
    }
    Ok(())
}

/// How long and how often each cell is measured.
struct Times {
    warm_up: Duration,
    duration: Duration,
    samples: usize,
}

impl Times {
    fn of(effort: Effort) -> Self {
        match effort {
            Effort::Full => {
                Self { warm_up: Duration::from_secs(1), duration: Duration::from_secs(5), samples: 7 }
            }
            Effort::Quick => {
                Self { warm_up: Duration::from_millis(100), duration: Duration::from_millis(400), samples: 3 }
            }
        }
    }

    /// A cell of so many connections, with a load thread for each processor that has a connection to serve.
    fn cell(&self, name: &str, offer: Offer, connections: usize) -> Cell {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Cell {
            name: name.to_owned(),
            offer,
            connections,
            threads: processors.min(connections),
            warm_up: self.warm_up,
            duration: self.duration,
        }
    }
}
