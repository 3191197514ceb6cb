//! Whether re-reading the configuration disturbs requests, and whether a broken file changes anything.

use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::process::Signal;
use serde_json::Value;

use super::node::{LIVE, Node, version};
use super::{Context, Experiment, scratch};
use crate::clock::{self, Moment, poll_until};
use crate::load::{self, Outcome, Pace, Plan};
use crate::plot;
use crate::report::{Report, Table};

/// Sends SIGHUP with good and broken files in turn while requests come in.
#[derive(Debug, Clone, Copy)]
pub struct Reload {
    /// Offered load, in requests per second.
    pub rate_per_s: f64,
    /// Over so many kept-alive connections.
    pub connections: usize,
    /// How long each of the two loads runs, without and with reloads.
    pub duration: Duration,
    /// Time between a reload's end and the next signal.
    pub pause: Duration,
}

impl Reload {
    /// What the command line runs.
    pub const DEFAULT: Self = Self {
        rate_per_s: 1_000.0,
        connections: 32,
        duration: Duration::from_secs(15),
        pause: Duration::from_millis(50),
    };
}

/// How much the 99th percentile may grow.
const P99_GROWTH_MAX_MS: f64 = 5.0;

/// How long one reload may take.
const RELOAD_DEADLINE: Duration = Duration::from_secs(5);

/// Files that must be refused: not YAML, an unknown key, a value of the wrong kind.
const BROKEN: [&str; 3] =
    ["telemetry: { logs: { level: info\n", "telemetri: {}\n", "telemetry: { logs: { level: 7 } }\n"];

impl Experiment for Reload {
    fn name(&self) -> &'static str {
        "reload"
    }

    fn question(&self) -> &'static str {
        "A18"
    }

    fn about(&self) -> &'static str {
        "Reloads good and broken configuration files under load and compares latency and effect"
    }

    fn run(&self, context: &Context) -> Result<Report> {
        let folder = scratch(&context.out_dir)?;
        let mut node = Node::start(&context.exe, folder.path())?;
        let plan = Plan {
            connections: self.connections,
            warm_up: Duration::from_secs(1),
            duration: self.duration,
            ..Plan::get(node.api, LIVE)
        };
        let quiet = load::open_loop(&plan, self.rate_per_s)?;
        let load = load::start(&plan, Pace::open(self.rate_per_s))?;
        let (begin, end) = load.window();
        clock::sleep_until(begin);
        let reloads = self.reload_until(end, &mut node)?;
        let busy = load.join()?;
        node.server.stop(Duration::from_secs(10))?;

        let mut report = context.report(self, "Reloading the configuration under load", QUESTION);
        report.setting("binary", version(&context.exe)?);
        report.setting("offered load", format!("{:.0} requests/s, open loop", self.rate_per_s));
        report.setting("connections", self.connections.to_string());
        report.setting("pause between reloads", format!("{} ms", self.pause.as_millis()));
        judge(&mut report, &quiet, &busy, &reloads);
        report.tables.push(figures(&quiet, &busy));
        let curves = [("without reloads", &quiet.latency), ("with reloads", &busy.latency)];
        report.plot(
            "latency",
            "Latency with and without reloads",
            plot::percentiles("Latency from due time", &curves)?,
        );
        Ok(report)
    }
}

const QUESTION: &str = "A node re-reads its configuration on SIGHUP and applies all of it or nothing. Does that fail \
                        or delay requests, and does a broken file change anything?";

/// What became of the signals.
#[derive(Debug, Default)]
struct Reloads {
    good: usize,
    applied: usize,
    broken: usize,
    refused_unchanged: usize,
}

impl Reload {
    fn reload_until(&self, end: Moment, node: &mut Node) -> Result<Reloads> {
        let mut reloads = Reloads::default();
        while Moment::now() < end {
            let level = if reloads.good % 2 == 0 { "warn" } else { "info" };
            let before = generation(&node.config()?)?;
            node.configure(level)?;
            node.server.signal(Signal::HUP)?;
            reloads.good += 1;
            let applied = wait_for(node, |config| Ok(generation(config)? == before + 1))?;
            reloads.applied += usize::from(applied);
            clock::sleep(self.pause);

            let before = node.config()?;
            node.write(BROKEN[reloads.broken % BROKEN.len()])?;
            node.server.signal(Signal::HUP)?;
            reloads.broken += 1;
            let refused = wait_for(node, |config| Ok(result(config) == Some("refused")))?;
            let unchanged = settings(&node.config()?) == settings(&before);
            reloads.refused_unchanged += usize::from(refused && unchanged);
            clock::sleep(self.pause);
        }
        Ok(reloads)
    }
}

/// Waits until the node's configuration satisfies `condition`; false if it does not in time.
fn wait_for(node: &Node, condition: impl Fn(&Value) -> Result<bool>) -> Result<bool> {
    let by = Moment::now().plus(RELOAD_DEADLINE);
    let found = poll_until(by, Duration::from_millis(2), || {
        match node.config().and_then(|config| condition(&config)) {
            Ok(true) => Some(Ok(true)),
            Ok(false) => None,
            Err(error) => Some(Err(error)),
        }
    });
    found.unwrap_or(Ok(false))
}

fn generation(config: &Value) -> Result<u64> {
    config["generation"].as_u64().context("the configuration has no generation")
}

fn result(config: &Value) -> Option<&str> {
    config["last_reload"]["result"].as_str()
}

fn settings(config: &Value) -> &Value {
    &config["settings"]
}

fn judge(report: &mut Report, quiet: &Outcome, busy: &Outcome, reloads: &Reloads) {
    let failed = busy.counts.failed() + busy.counts.rejected + busy.not_sent;
    report.verdict.check(
        "no request fails while the configuration is reloaded",
        format!("{failed} of {} failed during {} reloads", busy.counts.sent, reloads.good + reloads.broken),
        failed == 0 && reloads.good > 0,
    );
    report.verdict.check(
        "every good file is applied",
        format!("{} of {}", reloads.applied, reloads.good),
        reloads.applied == reloads.good,
    );
    report.verdict.check(
        "every broken file is refused and leaves the configuration as it was",
        format!("{} of {}", reloads.refused_unchanged, reloads.broken),
        reloads.refused_unchanged == reloads.broken,
    );
    let p99_ms = |outcome: &Outcome| outcome.latency.quantile_us(0.99) / 1e3;
    let growth = p99_ms(busy) - p99_ms(quiet);
    report.verdict.check(
        format!("the 99th percentile grows by less than {P99_GROWTH_MAX_MS:.0} ms"),
        format!("{:.2} ms without, {:.2} ms with reloads", p99_ms(quiet), p99_ms(busy)),
        growth < P99_GROWTH_MAX_MS,
    );
}

fn figures(quiet: &Outcome, busy: &Outcome) -> Table {
    let columns =
        ["load", "answers/s", "failed", "p50 ms", "p99 ms", "p99.9 ms", "max ms", "generator late p99 ms"];
    let mut table = Table::new("Latency from the due time", &columns);
    for (name, outcome) in [("without reloads", quiet), ("with reloads", busy)] {
        let latency = outcome.latency.percentiles();
        let mut row = vec![name.to_owned(), format!("{:.0}", outcome.rate_per_s())];
        row.push((outcome.counts.failed() + outcome.counts.rejected + outcome.not_sent).to_string());
        let late_us = outcome.lateness.quantile_us(0.99);
        let us = [latency.p50_us, latency.p99_us, latency.p999_us, latency.max_us, late_us];
        row.extend(us.map(|us| format!("{:.2}", us / 1e3)));
        table.row(row);
    }
    table
}
