//! How long a start takes, and what an idle node costs.

use std::time::Duration;

use anyhow::{Context as _, Result};

use super::node::{Node, version};
use super::{Context, Experiment, scratch};
use crate::clock;
use crate::plot::{self, Axis, Line};
use crate::process::memory;
use crate::report::{Report, Table};
use crate::stats::Spread;

const START_LIMIT_MS: f64 = 100.0;
const IDLE_LIMIT_MIB: f64 = 30.0;

/// Starts the binary many times, each with an empty data directory.
#[derive(Debug, Clone, Copy)]
pub struct Start {
    /// How many times.
    pub runs: usize,
    /// In how many of them memory is measured as well.
    pub idle_runs: usize,
    /// How long a node idles before its memory is measured.
    pub settle: Duration,
}

impl Start {
    /// What the command line runs.
    pub const DEFAULT: Self = Self { runs: 30, idle_runs: 5, settle: Duration::from_secs(2) };
}

impl Experiment for Start {
    fn name(&self) -> &'static str {
        "start"
    }

    fn question(&self) -> &'static str {
        "A18"
    }

    fn about(&self) -> &'static str {
        "Time from starting the process until it is ready, and the memory of an idle node"
    }

    fn run(&self, context: &Context) -> Result<Report> {
        let (mut start_ms, mut rss_mib, mut pss_mib) = (Vec::new(), Vec::new(), Vec::new());
        for run in 0..self.runs {
            let folder = scratch(&context.out_dir)?;
            let node = Node::start(&context.exe, folder.path())?;
            start_ms.push(node.ready_after.as_secs_f64() * 1e3);
            if run < self.idle_runs {
                clock::sleep(self.settle);
                let memory = memory(&[node.server.pid()]);
                rss_mib.push(memory.rss_bytes as f64 / f64::from(1 << 20));
                pss_mib.extend(memory.pss_bytes.map(|bytes| bytes as f64 / f64::from(1 << 20)));
            }
            node.server.stop(Duration::from_secs(10))?;
        }
        let start = Spread::of(&start_ms).context("no run was made")?;
        let rss = Spread::of(&rss_mib).context("no run measured memory")?;
        let mut report = context.report(self, "Cold start and idle memory", QUESTION);
        report.setting("binary", version(&context.exe)?);
        report.setting("starts", self.runs.to_string());
        report.setting("starts with memory measured", self.idle_runs.to_string());
        report.setting("idle time before memory is measured", format!("{} s", self.settle.as_secs_f64()));
        report.verdict.check(
            format!("the median start takes less than {START_LIMIT_MS:.0} ms"),
            format!("{:.1} ms (slowest of {}: {:.1} ms)", start.median, start.count, start.max),
            start.median < START_LIMIT_MS,
        );
        report.verdict.check(
            format!("an idle node has less than {IDLE_LIMIT_MIB:.0} MiB resident"),
            format!("{:.1} MiB (largest of {}: {:.1} MiB)", rss.median, rss.count, rss.max),
            rss.max < IDLE_LIMIT_MIB,
        );
        report.tables.push(table(&[
            ("start (ms)", Some(start)),
            ("idle RSS (MiB)", Some(rss)),
            ("idle PSS (MiB)", Spread::of(&pss_mib)),
        ]));
        report.plot("times", "Start times of all runs", picture(&start_ms)?);
        report.notes.push(
            "The files of the binary are in the page cache from the second start on; the data directory is empty \
             each time. Readiness is asked for about once a millisecond, on the same processors."
                .to_owned(),
        );
        Ok(report)
    }
}

const QUESTION: &str = "How long does it take from starting the process until it reports ready, and how much memory \
                        does a node hold that does nothing?";

/// A figure that could not be read is printed as such.
fn table(rows: &[(&str, Option<Spread>)]) -> Table {
    let columns = ["figure", "min", "lower quartile", "median", "upper quartile", "max", "samples"];
    let mut table = Table::new("Figures", &columns);
    for (name, spread) in rows {
        let values = spread.map(|it| [it.min, it.lower_quartile, it.median, it.upper_quartile, it.max]);
        let mut row = vec![(*name).to_owned()];
        let show = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.1}"));
        row.extend((0..5).map(|nth| show(values.map(|values| values[nth]))));
        row.push(spread.map_or(0, |spread| spread.count).to_string());
        table.row(row);
    }
    table
}

fn picture(start_ms: &[f64]) -> Result<String> {
    let points = start_ms.iter().enumerate().map(|(run, ms)| ((run + 1) as f64, *ms)).collect();
    let (x, y) = (Axis::linear("run"), Axis::linear("time until ready (ms)"));
    let limit = Line::new("limit", vec![(1.0, START_LIMIT_MS), (start_ms.len() as f64, START_LIMIT_MS)]);
    plot::lines("Time from process start to ready", &x, &y, &[Line::new("start", points), limit])
}
