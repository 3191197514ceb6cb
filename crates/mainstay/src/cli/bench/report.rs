//! What is told of commits and reads. Pure: figures from what was observed, as text and as a document.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::{Context as _, Result};
use mainstay_base::units::Size;
use mainstay_lab::bench::Place;
use mainstay_lab::duel::{CpuShares, FOREIGN_CORES_MAX};
use mainstay_lab::items::Operation;
use mainstay_lab::load::Percentiles;
use mainstay_lab::process::Machine;
use serde::Serialize;

use super::items::{Observed, Plan};
use super::today;

/// What a node has counted until some moment, or between two.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Counted {
    committed: f64,
    batches: f64,
    groups: f64,
    group_records: f64,
    logged_bytes: f64,
    table_bytes: f64,
    snapshot_bytes: f64,
}

/// The figures of a measurement.
#[derive(Debug, Serialize)]
pub struct Report {
    name: &'static str,
    date: String,
    machine: Machine,
    settings: BTreeMap<&'static str, String>,
    /// Operations that ended well within the window.
    operations: u64,
    operations_per_s: f64,
    latency: Percentiles,
    /// Of the node; of this process, clients included, if there is none.
    cpu_us_per_operation: f64,
    /// Of the process of the clients, if it is another.
    clients_cpu_us_per_operation: Option<f64>,
    commands_per_batch: Option<f64>,
    records_per_sync_group: Option<f64>,
    written_per_given: Option<Written>,
    rss_bytes: u64,
    cpu: CpuShares,
    /// What did not end well, also in the warm-up.
    pub errors: BTreeMap<String, u64>,
    notes: Vec<String>,
    #[serde(skip)]
    about: String,
}

/// Bytes written for each byte of committed values.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
struct Written {
    log: f64,
    tables: f64,
    snapshots: f64,
    all: f64,
}

const LEGEND: &str = "\
latency                 from the request to its answer, as its client sees it
commands per batch      evaluated together and appended as one record of their shard
records per sync group  of all shards, made durable by one sync
written                 by log, flushes, compactions and snapshots; the last three come in bursts: measure for longer to see them
";

impl Counted {
    /// Reads them from metrics in Prometheus's text format. Errors: one is not there.
    pub fn read(text: &str) -> Result<Self> {
        let value = |name: &str, label: &str| {
            value(text, name, label).with_context(|| format!("the metrics have no {name} {label}"))
        };
        let table_bytes = value("mainstay_store_bytes_total", "kind=\"flushed\"")?
            + value("mainstay_store_bytes_total", "kind=\"compacted\"")?;
        Ok(Self {
            committed: value("mainstay_shard_commands_total", "outcome=\"committed\"")?,
            batches: value("mainstay_shard_batches_total", "")?,
            groups: value("mainstay_log_group_records_count", "")?,
            group_records: value("mainstay_log_group_records_sum", "")?,
            logged_bytes: value("mainstay_log_bytes_total", "kind=\"written\"")?,
            table_bytes,
            snapshot_bytes: value("mainstay_shard_snapshot_bytes_total", "")?,
        })
    }

    /// Bytes that were written to the log.
    pub fn logged_bytes(self) -> u64 {
        self.logged_bytes as u64
    }

    /// What was counted between `earlier` and this.
    pub fn since(self, earlier: Self) -> Self {
        Self {
            committed: self.committed - earlier.committed,
            batches: self.batches - earlier.batches,
            groups: self.groups - earlier.groups,
            group_records: self.group_records - earlier.group_records,
            logged_bytes: self.logged_bytes - earlier.logged_bytes,
            table_bytes: self.table_bytes - earlier.table_bytes,
            snapshot_bytes: self.snapshot_bytes - earlier.snapshot_bytes,
        }
    }

    fn written(self, value_bytes: usize) -> Option<Written> {
        let given = self.committed * value_bytes as f64;
        let all = self.logged_bytes + self.table_bytes + self.snapshot_bytes;
        Some(Written {
            log: ratio(self.logged_bytes, given)?,
            tables: ratio(self.table_bytes, given)?,
            snapshots: ratio(self.snapshot_bytes, given)?,
            all: ratio(all, given)?,
        })
    }
}

/// The value of a metric with a label, as it stands in a line of its own.
fn value(text: &str, name: &str, label: &str) -> Option<f64> {
    text.lines().find_map(|line| {
        let rest =
            line.strip_prefix(name).filter(|rest| rest.starts_with(['{', ' ']) && rest.contains(label))?;
        rest.rsplit(' ').next()?.parse().ok()
    })
}

fn ratio(of: f64, to: f64) -> Option<f64> {
    (to > 0.0).then(|| of / to)
}

impl Report {
    /// Makes figures of what was observed.
    pub fn of(plan: &Plan, place: &Place, observed: &Observed) -> Self {
        let watched = &observed.watched;
        let (spent, counted) = (watched.spent, watched.counted);
        let per_operation_us =
            |cpu: std::time::Duration| cpu.as_secs_f64() * 1e6 / observed.operations.max(1) as f64;
        let cpu = CpuShares::of(watched.window, spent);
        let (own, node) = (per_operation_us(spent.load), per_operation_us(spent.server));
        Self {
            name: if plan.task.operation == Operation::Put { "commits" } else { "reads" },
            date: today(),
            machine: Machine::look(),
            settings: settings(plan, place),
            operations: observed.operations,
            operations_per_s: observed.operations as f64 / plan.duration.as_secs_f64(),
            latency: observed.latency,
            cpu_us_per_operation: if plan.embedded { own } else { node },
            clients_cpu_us_per_operation: (!plan.embedded).then_some(own),
            commands_per_batch: ratio(counted.committed, counted.batches),
            records_per_sync_group: ratio(counted.group_records, counted.groups),
            written_per_given: counted.written(plan.task.value_bytes),
            rss_bytes: watched.rss_bytes,
            cpu,
            errors: observed.errors.clone(),
            notes: notes(place, cpu),
            about: plan.sentence(),
        }
    }

    /// The figures for a person at a terminal.
    pub fn text(&self) -> String {
        let machine = &self.machine;
        let mut text = format!(
            "{} cores of {}, {}\nfile system {}, build {}, durability {}\n\n{}\n\n",
            machine.cores,
            machine.cpu_model,
            machine.kernel,
            self.settings["file_system"],
            self.settings["build"],
            self.settings["durability"],
            self.about,
        );
        for (name, value) in self.rows() {
            put(&mut text, &format!("{name:<22}  {value}"));
        }
        text.push('\n');
        text.push_str(LEGEND);
        if !self.notes.is_empty() {
            text.push_str("\nRead with care\n");
            self.notes.iter().for_each(|note| put(&mut text, &format!("  {note}")));
        }
        text
    }

    fn rows(&self) -> Vec<(&'static str, String)> {
        let latency = &self.latency;
        let figure = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.1}"));
        let (cpu, whose) = match self.clients_cpu_us_per_operation {
            Some(clients) => (format!("by the node, and {clients:.1} us by its clients"), "of the node"),
            None => ("by this process, its clients included".to_owned(), "of this process"),
        };
        let written = self.written_per_given.map_or_else(
            || "-".to_owned(),
            |Written { log, tables, snapshots, all }| {
                format!(
                    "{all:.2} bytes for each byte of values: log {log:.2}, tables {tables:.2}, snapshots {snapshots:.2}"
                )
            },
        );
        let errors: Vec<String> = self.errors.iter().map(|(what, count)| format!("{count} {what}")).collect();
        let errors = if errors.is_empty() { "none".to_owned() } else { errors.join(", ") };
        vec![
            ("operations/s", format!("{:.0}", self.operations_per_s)),
            (
                "latency",
                format!(
                    "p50 {:.0} us, p99 {:.0} us, max {:.0} us",
                    latency.p50_us, latency.p99_us, latency.max_us
                ),
            ),
            ("CPU per operation", format!("{:.1} us {cpu}", self.cpu_us_per_operation)),
            ("commands per batch", figure(self.commands_per_batch)),
            ("records per sync group", figure(self.records_per_sync_group)),
            ("written", written),
            ("memory", format!("{} MiB {whose}", self.rss_bytes >> 20)),
            ("errors", errors),
        ]
    }
}

fn put(text: &mut String, line: &str) {
    writeln!(text, "{line}").expect("writing to memory cannot fail");
}

fn settings(plan: &Plan, place: &Place) -> BTreeMap<&'static str, String> {
    let value = Size::from_bytes(plan.task.value_bytes as u64);
    let build = if cfg!(debug_assertions) { "debug" } else { "release" };
    [
        ("build", build.to_owned()),
        ("clients", plan.clients.to_string()),
        ("clients_threads", if plan.embedded { "-".to_owned() } else { plan.threads().to_string() }),
        ("durability", "synced".to_owned()),
        ("file_system", format!("{} on {}", place.file_system, place.source)),
        ("items", plan.task.items.to_string()),
        ("mode", if plan.embedded { "embedded" } else { "http" }.to_owned()),
        ("seconds", plan.duration.as_secs().to_string()),
        ("shards", plan.shards.to_string()),
        ("value", value.to_string()),
    ]
    .into()
}

/// What makes figures doubtful.
pub fn notes(place: &Place, cpu: CpuShares) -> Vec<String> {
    let mut notes = place.notes();
    for (cores, who) in [(cpu.foreign, "Other processes"), (cpu.stolen, "The virtual machine's host")] {
        if cores > FOREIGN_CORES_MAX {
            notes.push(format!("{who} used {:.0} % of a core meanwhile.", cores * 100.0));
        }
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;

    const METRICS: &str = "\
# TYPE mainstay_shard_batches_total counter
mainstay_shard_commands_total{node=\"n1\",outcome=\"committed\"} 400
mainstay_shard_commands_total{node=\"n1\",outcome=\"refused\"} 7
mainstay_shard_batches_total{node=\"n1\"} 100
mainstay_log_group_records_bucket{node=\"n1\",le=\"1\"} 9
mainstay_log_group_records_sum{node=\"n1\"} 100
mainstay_log_group_records_count{node=\"n1\"} 50
mainstay_log_bytes_total{kind=\"given\",node=\"n1\"} 1
mainstay_log_bytes_total{kind=\"written\",node=\"n1\"} 8000
mainstay_store_bytes_total{kind=\"flushed\",node=\"n1\"} 1000
mainstay_store_bytes_total{kind=\"compacted\",node=\"n1\"} 2000
mainstay_shard_snapshot_bytes_total{node=\"n1\"} 1000
";

    #[test]
    fn counts_are_read_from_metrics_and_become_ratios() {
        let counted = Counted::read(METRICS).unwrap();
        assert_eq!(ratio(counted.committed, counted.batches), Some(4.0));
        assert_eq!(ratio(counted.group_records, counted.groups), Some(2.0));
        let written = Written { log: 2.0, tables: 0.75, snapshots: 0.25, all: 3.0 };
        assert_eq!(counted.written(10), Some(written));
        let nothing = counted.since(counted);
        assert_eq!((nothing.written(10), ratio(nothing.committed, nothing.batches)), (None, None));
    }

    #[test]
    fn a_metric_that_is_missing_is_named() {
        let error = Counted::read("").unwrap_err().to_string();
        assert!(error.contains("mainstay_store_bytes_total"), "{error}");
    }
}
