//! Duels: Mainstay and peers on the same work. Each names its contestants and cells; the lab runs them and guards the
//! truth of what comes out.

mod health;
pub(crate) mod http2;
mod idle;
mod kv;
mod log;
mod mainstay;
mod nginx;
mod place;
mod policies;
mod proxy;

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
    /// Decisions in this process.
    Policies,
    /// Connections to proxies that do nothing.
    Idle,
}

const DUELS: [Entry; 10] = [
    Entry {
        name: "health",
        about: "the smallest request there is: a health endpoint against nginx's `return 200`",
        work: Work::Servers(health::prepare),
    },
    Entry {
        name: "kv-read",
        about: "linearizable reads of items: against etcd, PostgreSQL, Redis and NATS",
        work: Work::Servers(kv::reads),
    },
    Entry {
        name: "kv-write",
        about: "durable writes of items: against etcd, PostgreSQL, Redis and NATS",
        work: Work::Servers(kv::writes),
    },
    Entry {
        name: "log",
        about: "durable appends: the local log against fjall's journal and SQLite, beside the bare disk",
        work: Work::Logs(log::plan, log::judge),
    },
    Entry {
        name: "policies",
        about: "decisions of policies: against governor, failsafe and tower, in this process",
        work: Work::Policies,
    },
    Entry {
        name: "proxy-h1",
        about: "a request through a proxy over HTTP/1.1: against nginx, HAProxy, Envoy, Caddy and Traefik",
        work: Work::Servers(proxy::http1),
    },
    Entry { name: "proxy-h2", about: "the same over HTTP/2 without TLS", work: Work::Servers(proxy::h2) },
    Entry {
        name: "proxy-tls",
        about: "the same over TLS 1.3, with handshakes",
        work: Work::Servers(proxy::tls),
    },
    Entry {
        name: "proxy-policies",
        about: "the same with timeouts, retries, a rate limit and an access log, beside each proxy without",
        work: Work::Servers(proxy::policies),
    },
    Entry {
        name: "idle-connections",
        about: "memory of connections to a proxy that are kept without a request: against the same",
        work: Work::Idle,
    },
];

/// Prints what can be asked for.
pub(crate) fn list() {
    for Entry { name, about, .. } in &DUELS {
        println!("{name:<16} {about}");
    }
}

/// Runs a duel, of servers only with the peers named in `only` if there are any. A full one of all is written under
/// `docs/benchmarks`, another only printed.
pub(crate) fn run(name: &str, effort: Effort, only: &[String]) -> Result<()> {
    let entry = DUELS.iter().find(|entry| entry.name == name);
    let entry =
        entry.with_context(|| format!("no duel `{name}`; `cargo xtask duel --list` shows what there is"))?;
    anyhow::ensure!(
        !cfg!(debug_assertions) || effort == Effort::Quick,
        "the load generator is not optimised and would be measured instead; run `cargo xtask`, which builds for release"
    );
    let date = jiff::Timestamp::now().strftime("%Y-%m-%d").to_string();
    match entry.work {
        Work::Servers(prepare) => servers(select(prepare(effort)?, only)?, &date, effort, only.is_empty()),
        Work::Logs(plan, judge) => {
            anyhow::ensure!(only.is_empty(), "`{name}` compares no servers to choose from");
            logs(&plan(effort)?, judge, &date, effort)
        }
        Work::Policies => {
            anyhow::ensure!(only.is_empty(), "`{name}` compares no servers to choose from");
            let report = policies::run(&date, effort)?;
            publish(&report.markdown(), effort == Effort::Full, |pages| report.write(pages))
        }
        Work::Idle => {
            let report = idle::run(&date, effort, only)?;
            let whole = effort == Effort::Full && only.is_empty();
            publish(&report.markdown(), whole, |pages| report.write(pages))
        }
    }
}

/// Leaves the first contestant and those named. Errors: a name is no contestant's.
fn select(mut duel: Duel, only: &[String]) -> Result<Duel> {
    let names: Vec<String> = duel.contestants.iter().map(|contestant| contestant.name.clone()).collect();
    let unknown = only.iter().find(|name| !names.contains(name));
    anyhow::ensure!(
        unknown.is_none(),
        "no contestant `{}`: there are {}",
        unknown.map_or("", String::as_str),
        names.join(", ")
    );
    duel.contestants.retain(|it| only.is_empty() || it.name == names[0] || only.contains(&it.name));
    Ok(duel)
}

fn servers(duel: Duel, date: &str, effort: Effort, all: bool) -> Result<()> {
    let place = place::make()?;
    let duel = place::told(duel, place.path())?;
    let results = duel::run(&duel, place.path(), date, |step| println!("{step}"))?;
    publish(&results.markdown(), effort == Effort::Full && all, |pages| results.write(pages))
}

fn logs(plan: &Plan, judge: fn(&mut Results), date: &str, effort: Effort) -> Result<()> {
    // Not where temporary files go: that may be memory.
    let cache = cache::folder()?;
    std::fs::create_dir_all(&cache).with_context(|| format!("create {}", cache.display()))?;
    let folder = tempfile::Builder::new().prefix("duel-").tempdir_in(&cache);
    let folder = folder.context("make a folder for the logs")?;
    let mut results = bench::run(plan, folder.path(), date, &Stop::default(), |step| println!("{step}"))?;
    judge(&mut results);
    publish(&results.markdown(), effort == Effort::Full, |pages| results.write(pages))
}

/// Prints a page; one that is whole is also written.
fn publish(page: &str, whole: bool, write: impl Fn(&Path) -> Result<PathBuf>) -> Result<()> {
    println!("\n{page}");
    if whole {
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

#[cfg(test)]
mod tests {
    use mainstay_lab::duel::Contestant;

    use super::*;

    #[test]
    fn ours_and_the_named_peers_take_part() {
        let names = |only: &[&str]| {
            let contestant = |name: &str| Contestant {
                name: name.to_owned(),
                start: Box::new(|_| anyhow::bail!("nobody is started")),
            };
            let duel = Duel {
                name: String::new(),
                title: String::new(),
                about: String::new(),
                contestants: ["mainstay", "etcd", "nats"].map(contestant).into(),
                cells: Vec::new(),
                pairs: Vec::new(),
                claims: Vec::new(),
                samples: 1,
                strict: true,
                seed: 1,
            };
            let only: Vec<String> = only.iter().map(|name| (*name).to_owned()).collect();
            let selected = select(duel, &only)?;
            Ok::<_, anyhow::Error>(selected.contestants.into_iter().map(|it| it.name).collect::<Vec<_>>())
        };
        assert_eq!(names(&[]).unwrap(), ["mainstay", "etcd", "nats"]);
        assert_eq!(names(&["nats"]).unwrap(), ["mainstay", "nats"]);
        assert_eq!(names(&["mainstay", "etcd"]).unwrap(), ["mainstay", "etcd"]);
        let error = names(&["nats", "redis"]).unwrap_err().to_string();
        assert!(error.contains("redis") && error.contains("etcd"), "{error}");
    }
}
