//! Items of a node that is started for it and asked over HTTP.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use mainstay_lab::bench::Stop;
use mainstay_lab::fetch;
use mainstay_lab::items::{self, Http, Operation, Work};
use mainstay_lab::load::{self, Counts, Expect, Pace, Wire};
use mainstay_lab::process::{Probe, Server, free_port};

use super::items::{Observed, Plan, watch};
use crate::node::allow_open_files;

/// How long a node may take to start; a slow disk makes its first files slowly.
const READY_MAX: Duration = Duration::from_secs(60);

/// How long a node may take to stop, longer than it takes to give up by itself.
const STOP_MAX: Duration = Duration::from_secs(60);

/// How long an answer about the node may take, beside its load.
const ANSWER_MAX: Duration = Duration::from_secs(30);

/// Measures with files in `folder`. Errors: the node does not start, work or stop as it should, or `stop` was asked for.
pub fn measure(plan: &Plan, folder: &Path, stop: &Stop) -> Result<Observed> {
    let api = free_port()?;
    let file = plan.configure(folder, api)?;
    let mut server = Server::spawn(command(&file)?, &folder.join("output"))?;
    server.wait_ready(&Probe::Http(api, "/v1/health/ready".to_owned()), READY_MAX)?;
    let observed = put_under_load(plan, &server, api, stop);
    let told = server.log_end();
    let stopped = server.stop(STOP_MAX)?;
    let observed = observed.with_context(|| format!("the node said: {told:?}"))?;
    ensure!(stopped.status.success(), "the node did not stop in order: {}", stopped.status);
    Ok(observed)
}

/// This binary as a node that knows nothing but its file.
fn command(file: &Path) -> Result<Command> {
    let mut command = Command::new(std::env::current_exe().context("find this binary")?);
    command.arg("up").arg(file);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("MAINSTAY_") {
            command.env_remove(name);
        }
    }
    // A Ctrl-C at the terminal is for this process, which stops the node when the load has ended.
    command.process_group(0);
    Ok(command)
}

fn put_under_load(plan: &Plan, server: &Server, api: SocketAddr, stop: &Stop) -> Result<Observed> {
    allow_open_files(plan.clients as u64, false);
    let expect = match plan.task.operation {
        Operation::Put => Expect::default(),
        Operation::Get => {
            items::fill(Wire(Http::new(api, Work::in_turn(plan.task))), plan.task.items, stop)?;
            Expect { status: Some(200), body_bytes: Some(plan.task.value_bytes as u64) }
        }
    };
    let load = load::Plan {
        connections: plan.clients,
        threads: plan.threads(),
        warm_up: plan.warm_up,
        duration: plan.duration,
        expect,
        ..load::Plan::new(Wire(Http::new(api, Work::at_random(plan.task))))
    };
    let running = load::start(&load, Pace::Closed)?;
    let scrape = || {
        let answer = fetch::get(api, "/metrics", ANSWER_MAX)?;
        ensure!(answer.status == 200, "/metrics answers {}", answer.status);
        String::from_utf8(answer.body.into()).context("read the metrics")
    };
    let watched = watch(running.window(), &[server.pid()], scrape, stop)?;
    let outcome = running.join()?;
    let mut errors = BTreeMap::new();
    for counts in [&outcome.warm_up, &outcome.counts] {
        add(&mut errors, counts);
    }
    Ok(Observed { operations: outcome.ok_in_window, latency: outcome.latency.percentiles(), errors, watched })
}

/// Adds what did not end well.
fn add(errors: &mut BTreeMap<String, u64>, counts: &Counts) {
    let mut add = |what: String, count: u64| {
        if count > 0 {
            *errors.entry(what).or_default() += count;
        }
    };
    for (failure, count) in &counts.failures {
        add(failure.to_string(), *count);
    }
    let others = counts.status_classes.iter().filter(|(class, _)| **class != 2);
    let mut unexpected = counts.rejected;
    for (class, count) in others {
        add(format!("status {class}xx"), *count);
        unexpected = unexpected.saturating_sub(*count);
    }
    add("an answer of another length".to_owned(), unexpected);
}

impl Plan {
    /// Threads that make the load: one for four processors, which otherwise would be the node's.
    pub fn threads(&self) -> usize {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        (cores / 4).clamp(1, 8).min(self.clients)
    }
}

#[cfg(test)]
mod tests {
    use mainstay_lab::load::Failure;

    use super::*;

    #[test]
    fn whatever_did_not_end_well_is_counted_once() {
        let counts = Counts {
            sent: 20,
            ok: 10,
            rejected: 7,
            failures: [(Failure::Closed, 3)].into(),
            status_classes: [(2, 12), (4, 1), (5, 4)].into(),
            body_bytes: 0,
        };
        let mut errors = BTreeMap::new();
        add(&mut errors, &counts);
        assert_eq!(errors.values().sum::<u64>(), 10);
        assert_eq!((errors["status 5xx"], errors["an answer of another length"]), (4, 2));
    }
}
