//! Which settings of the store suit which mix of reads and writes.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::collection::{CLIENTS, Run, define, run, settle, store};
use super::node::{Node, version};
use super::{Context, Experiment, scratch};
use crate::items::{DOCUMENT_KEY_BYTES, Mix, Shape, Skew};
use crate::plot::{self, Axis, Line};
use crate::report::{Report, Table};
use crate::stats::median;

/// Reads and writes in several mixes, of nodes whose stores are set differently.
#[derive(Debug, Clone, Copy)]
pub struct Mixes {
    /// Documents in each node.
    pub items: u64,
    /// Bytes of each.
    pub bytes: usize,
    /// How often each mix runs on each node, all of them in turn.
    pub rounds: usize,
    /// How long each time, the first part not measured.
    pub times: (Duration, Duration),
}

impl Mixes {
    /// What the command line runs.
    pub const DEFAULT: Self = Self {
        items: 200_000,
        bytes: 1024,
        rounds: 3,
        times: (Duration::from_millis(200), Duration::from_millis(900)),
    };
}

/// A name, and the share of writes.
const MIXES: [(&str, f64); 3] = [("read-heavy", 0.05), ("balanced", 0.5), ("write-heavy", 0.95)];

const SKEWS: [(&str, Skew); 2] = [("uniform", Skew::Uniform), ("Zipf 0.99", Skew::Zipf(0.99))];

/// A name, and the section of the configuration. The first is what the others are compared with.
const SETTINGS: [(&str, &str); 5] = [
    ("default", ""),
    ("cache: 1MiB", "store: { cache: 1MiB }\n"),
    ("cache: 512MiB", "store: { cache: 512MiB }\n"),
    ("memtable: 512KiB", "store: { memtable: 512KiB, memtables_max: 16MiB }\n"),
    ("memtable: 32MiB", "store: { memtable: 32MiB, memtables_max: 1GiB }\n"),
];

/// Below this gain over the default, a setting is not worth being named.
const GAIN_MIN_RATIO: f64 = 1.05;

const QUESTION: &str = "Traffic that mostly reads and traffic that mostly writes want other things of a store: memory for blocks that are \
                        read again, or for rows that wait for their flush. What does each setting give to each mix?";

/// By mix, skew and setting.
type Found = BTreeMap<(usize, usize, usize), Vec<Figures>>;

/// What one run has shown.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Figures {
    rate_per_s: f64,
    reads_ms: (f64, f64),
    writes_ms: (f64, f64),
    cpu_us: f64,
    /// Bytes written to the device for each that callers gave; none if there is no device to ask.
    written: Option<f64>,
}

impl Figures {
    fn of(run: &Run, mix: Mix) -> Self {
        let ms = |quantile, histogram: &crate::load::Histogram| histogram.quantile_us(quantile) / 1e3;
        let of = |histogram| (ms(0.5, histogram), ms(0.99, histogram));
        let given = run.outcome.ok_in_window as f64
            * mix.writes_ratio
            * (mix.shape.bytes + DOCUMENT_KEY_BYTES) as f64;
        Self {
            rate_per_s: run.outcome.rate_per_s(),
            reads_ms: of(&run.latencies.reads),
            writes_ms: of(&run.latencies.writes),
            cpu_us: run.cpu_us(),
            written: run.used.device.map(|bytes| bytes as f64 / given.max(1.0)),
        }
    }
}

impl Experiment for Mixes {
    fn name(&self) -> &'static str {
        "mixes"
    }

    fn question(&self) -> &'static str {
        "E3"
    }

    fn about(&self) -> &'static str {
        "Read-heavy, balanced and write-heavy traffic under several settings of the store"
    }

    fn run(&self, context: &Context) -> Result<Report> {
        let folder = scratch(&context.out_dir)?;
        let nodes = self.nodes(context, folder.path())?;
        let mut found = Found::new();
        for _ in 0..self.rounds {
            self.round(&nodes, &mut found)?;
        }
        for node in nodes {
            node.server.stop(Duration::from_secs(20))?;
        }
        let mut report = context.report(self, "Read-heavy and write-heavy traffic", QUESTION);
        report.setting("binary", version(&context.exe)?);
        report.setting("documents", format!("{} of {} B in each node", self.items, self.bytes));
        report.setting("clients", format!("{CLIENTS}, closed loop"));
        report.setting(
            "runs",
            format!("{} runs of {:.1} s for each row, interleaved", self.rounds, self.times.1.as_secs_f64()),
        );
        report.tables.push(choices(&found)?);
        for (nth, (name, _)) in SKEWS.iter().enumerate() {
            report.tables.push(table(nth, name, &found)?);
        }
        judge(&mut report, &found)?;
        report.plot("rates", "Rate by setting and mix", picture(&found)?);
        report.notes.push(NOTE.to_owned());
        Ok(report)
    }
}

const NOTE: &str = "All nodes run at once and are asked in turn. A read that the cache of the store does not have is read from the page cache of the \
                    operating system, which has all the data here: what a small cache costs with data beyond the machine's memory is not in these \
                    figures. Blocks of the lowest levels are compressed (LZ4), which is not a setting.";

impl Mixes {
    fn shape(&self) -> Shape {
        Shape { bytes: self.bytes, fields: 0, fields_change: false }
    }

    /// Sends every mix to every node once.
    fn round(&self, nodes: &[Node], found: &mut Found) -> Result<()> {
        for (nth_skew, (_, skew)) in SKEWS.into_iter().enumerate() {
            for (nth_mix, (_, writes_ratio)) in MIXES.into_iter().enumerate() {
                for (nth_setting, node) in nodes.iter().enumerate() {
                    let mix = Mix { items: self.items, skew, writes_ratio, shape: self.shape() };
                    let run = run(node, "docs", mix, self.times)?;
                    let of = found.entry((nth_mix, nth_skew, nth_setting)).or_default();
                    of.push(Figures::of(&run, mix));
                    settle(node);
                }
            }
        }
        Ok(())
    }

    /// A node with all documents for each setting.
    fn nodes(&self, context: &Context, folder: &Path) -> Result<Vec<Node>> {
        let mut nodes = Vec::new();
        for (nth, (_, sections)) in SETTINGS.iter().enumerate() {
            let node = Node::start_with(&context.exe, &folder.join(nth.to_string()), sections)?;
            define(&node, "docs", &serde_json::json!({ "content_type": "application/json" }))?;
            store(&node, "docs", self.items, self.shape())?;
            settle(&node);
            nodes.push(node);
        }
        Ok(nodes)
    }
}

/// The medians of all runs of a mix and setting.
fn figures(found: &Found, mix: usize, skew: usize, setting: usize) -> Result<Figures> {
    let runs = found.get(&(mix, skew, setting)).map_or(&[][..], Vec::as_slice);
    let middle =
        |of: fn(&Figures) -> f64| median(&runs.iter().map(of).collect::<Vec<_>>()).context("no run was made");
    let written: Vec<f64> = runs.iter().filter_map(|run| run.written).collect();
    Ok(Figures {
        rate_per_s: middle(|run| run.rate_per_s)?,
        reads_ms: (middle(|run| run.reads_ms.0)?, middle(|run| run.reads_ms.1)?),
        writes_ms: (middle(|run| run.writes_ms.0)?, middle(|run| run.writes_ms.1)?),
        cpu_us: middle(|run| run.cpu_us)?,
        written: median(&written),
    })
}

/// The setting with the highest rate for each mix and skew, if it is worth it.
fn choices(found: &Found) -> Result<Table> {
    let columns = ["mix", "updates and reads", "setting", "requests/s", "by default", "CPU us/request"];
    let mut table = Table::new("Which setting for which mix", &columns);
    for (nth_mix, (mix, _)) in MIXES.iter().enumerate() {
        for (nth_skew, (skew, _)) in SKEWS.iter().enumerate() {
            let (setting, gain) = choice(found, nth_mix, nth_skew)?;
            let best = figures(found, nth_mix, nth_skew, setting)?;
            table.row(vec![
                (*mix).to_owned(),
                (*skew).to_owned(),
                SETTINGS[setting].0.to_owned(),
                format!("{:.0}", best.rate_per_s),
                format!("{gain:.2}"),
                format!("{:.0}", best.cpu_us),
            ]);
        }
    }
    Ok(table)
}

/// The best setting, and its rate by that of the default; the default if nothing is better by enough.
fn choice(found: &Found, mix: usize, skew: usize) -> Result<(usize, f64)> {
    let default = figures(found, mix, skew, 0)?.rate_per_s;
    let mut best = (0, 1.0);
    for setting in 1..SETTINGS.len() {
        let gain = figures(found, mix, skew, setting)?.rate_per_s / default.max(1.0);
        if gain >= GAIN_MIN_RATIO && gain > best.1 {
            best = (setting, gain);
        }
    }
    Ok(best)
}

fn table(nth_skew: usize, skew: &str, found: &Found) -> Result<Table> {
    let columns = [
        "mix",
        "setting",
        "requests/s",
        "reads p50 ms",
        "reads p99 ms",
        "writes p50 ms",
        "writes p99 ms",
        "CPU us/request",
        "device B/given B",
    ];
    let mut table = Table::new(&format!("Figures: {skew}"), &columns);
    for (nth_mix, (mix, _)) in MIXES.iter().enumerate() {
        for (nth_setting, (setting, _)) in SETTINGS.iter().enumerate() {
            let it = figures(found, nth_mix, nth_skew, nth_setting)?;
            let ms = |value: f64| format!("{value:.2}");
            table.row(vec![
                (*mix).to_owned(),
                (*setting).to_owned(),
                format!("{:.0}", it.rate_per_s),
                ms(it.reads_ms.0),
                ms(it.reads_ms.1),
                ms(it.writes_ms.0),
                ms(it.writes_ms.1),
                format!("{:.0}", it.cpu_us),
                it.written.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.1}")),
            ]);
        }
    }
    Ok(table)
}

fn judge(report: &mut Report, found: &Found) -> Result<()> {
    let default = |mix| figures(found, mix, 0, 0);
    let (reads, writes) = (default(0)?, default(2)?);
    report.verdict.check(
        "a read costs less CPU than a write",
        format!(
            "{:.0} us for a request of the read-heavy mix, {:.0} us of the write-heavy",
            reads.cpu_us, writes.cpu_us
        ),
        reads.cpu_us < writes.cpu_us,
    );
    let mut largest = 1.0_f64;
    for mix in 0..MIXES.len() {
        for skew in 0..SKEWS.len() {
            largest = largest.max(choice(found, mix, skew)?.1);
        }
    }
    report.verdict.check(
        "the default has at least four fifths of the best setting's rate for every mix",
        format!("the best has {largest:.2} of the default's at most"),
        largest <= 1.25,
    );
    Ok(())
}

fn picture(found: &Found) -> Result<String> {
    let mut lines = Vec::new();
    for (nth_setting, (setting, _)) in SETTINGS.iter().enumerate() {
        let point = |(nth_mix, (_, ratio)): (usize, &(&str, f64))| {
            Ok((ratio * 100.0, figures(found, nth_mix, 0, nth_setting)?.rate_per_s))
        };
        let points = MIXES.iter().enumerate().map(point).collect::<Result<_>>()?;
        lines.push(Line::new(setting, points));
    }
    let (x, y) = (Axis::linear("share of writes (%)"), Axis::linear("requests/s"));
    plot::lines("Rate by share of writes, uniform", &x, &y, &lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIGURES: Figures = Figures {
        rate_per_s: 1_000.0,
        reads_ms: (1.0, 2.0),
        writes_ms: (1.0, 2.0),
        cpu_us: 10.0,
        written: Some(3.0),
    };

    #[test]
    fn a_setting_is_chosen_when_it_is_better_than_the_default_by_enough() {
        let mut found = Found::new();
        for setting in 0..SETTINGS.len() {
            found.insert((0, 0, setting), vec![FIGURES]);
        }
        assert_eq!(choice(&found, 0, 0).unwrap(), (0, 1.0));
        found.insert((0, 0, 2), vec![Figures { rate_per_s: 1_040.0, ..FIGURES }]);
        assert_eq!(choice(&found, 0, 0).unwrap().0, 0, "that may be chance");
        let lucky = [1_200.0, 900.0, 1_210.0].map(|rate_per_s| Figures { rate_per_s, ..FIGURES });
        found.insert((0, 0, 3), lucky.to_vec());
        found.insert((0, 0, 4), vec![Figures { rate_per_s: 1_100.0, ..FIGURES }]);
        assert_eq!(choice(&found, 0, 0).unwrap(), (3, 1.2));
        assert!(choice(&found, 1, 0).is_err(), "what was not measured is not chosen");
    }
}
