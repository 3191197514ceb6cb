//! Duels: Mainstay and peers on the same work. Each names its contestants and cells; the lab runs them and guards the
//! truth of what comes out.

mod health;
mod mainstay;
mod nginx;

use std::time::Duration;

use anyhow::{Context as _, Result};
use mainstay_lab::duel::{self, Cell, Duel, Offer};

use crate::binary::repository;

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
    prepare: fn(Effort) -> Result<Duel>,
}

const DUELS: [Entry; 1] = [Entry {
    name: "health",
    about: "the smallest request there is: a health endpoint against nginx's `return 200`",
    prepare: health::prepare,
}];

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
    let duel = (entry.prepare)(effort)?;
    let folder = tempfile::tempdir().context("make a folder for the servers")?;
    let date = jiff::Timestamp::now().strftime("%Y-%m-%d").to_string();
    let results = duel::run(&duel, folder.path(), &date, |step| println!("{step}"))?;
    println!("\n{}", results.markdown());
    if effort == Effort::Full {
        let written = results.write(&repository().join("docs/benchmarks"))?;
        println!("written to {}", written.display());
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
