//! What the building of an index costs those who write meanwhile, and what queries by indexes read.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use super::collection::{CLIENTS, check, define, plan, store};
use super::index_reads;
use super::node::{Node, version};
use super::{Context, Experiment, scratch};
use crate::clock::{self, Moment};
use crate::fetch;
use crate::items::{Mix, Shape, Skew};
use crate::load::{self, Outcome, Pace};
use crate::plot::{self, Axis, Line};
use crate::report::{Report, Table};
use crate::stats::Spread;

/// Adds an index to a large collection while it is written to.
#[derive(Debug, Clone, Copy)]
pub struct IndexBuild {
    /// Documents that are there.
    pub items: u64,
    /// Bytes of each.
    pub bytes: usize,
    /// How long is written before the index is added, and after it was built.
    pub around: Duration,
    /// How long it may take.
    pub build_max: Duration,
}

impl IndexBuild {
    /// What the command line runs.
    pub const DEFAULT: Self = Self {
        items: 1_000_000,
        bytes: 256,
        around: Duration::from_secs(15),
        build_max: Duration::from_secs(100),
    };
}

/// The largest share of the rate that writers may lose while the index is built.
const LOSS_MAX_RATIO: f64 = 0.30;

/// How long the index may take beside them.
const BUILD_MAX_S: f64 = 60.0;

/// The first part of the load, in which its connections and the node's caches become warm.
const WARM_UP: Duration = Duration::from_secs(3);

const COLLECTION: &str = "docs";

/// How often it is asked how far the index is: each answer is counted by the node from a row of every shard.
const INTERVAL: Duration = Duration::from_millis(200);

const QUESTION: &str = "An index that is added to a collection with a million items is built beside the traffic. How much do writers \
                        lose meanwhile, how long does it take, and what do queries read once it is there?";

impl Experiment for IndexBuild {
    fn name(&self) -> &'static str {
        "index-build"
    }

    fn question(&self) -> &'static str {
        "E9"
    }

    fn about(&self) -> &'static str {
        "Builds an index over a million items beside 64 writers, then counts what queries read"
    }

    fn run(&self, context: &Context) -> Result<Report> {
        let folder = scratch(&context.out_dir)?;
        let node = Node::start_with(&context.exe, folder.path(), "limits: { query_reads_max: 100000 }\n")?;
        let shape = Shape { bytes: self.bytes, fields: 1, fields_change: true };
        define(&node, COLLECTION, &definition(false))?;
        store(&node, COLLECTION, self.items, shape)?;
        let mix = Mix { items: self.items, skew: Skew::Uniform, writes_ratio: 1.0, shape };
        let longest = self.around * 2 + self.build_max;
        let load = load::start(&plan(&node, COLLECTION, mix, (WARM_UP, longest)), Pace::Closed)?;
        let (begin, _) = load.window();
        clock::sleep_until(begin.plus(self.around));
        let added = Moment::now();
        define(&node, COLLECTION, &definition(true))?;
        let ready = self.wait(&node)?;
        clock::sleep_until(ready.plus(self.around));
        let outcome = load.stop()?;
        check(&outcome)?;
        let span = Span { warm_up: WARM_UP, added: added.since(begin), ready: ready.since(begin) };
        let build_s = ready.since(added).as_secs_f64();

        let mut report = context.report(self, "Building an index beside writers", QUESTION);
        report.setting("binary", version(&context.exe)?);
        report.setting("items", format!("{} of {} B", self.items, self.bytes));
        report.setting("writers", format!("{CLIENTS}, closed loop, items drawn uniformly"));
        report.setting("index", "one field of eight letters, which each write changes");
        self.judge(&mut report, &outcome, span, build_s)?;
        report.plot("rate", "Rate of writes before, during and after", picture(&outcome, span)?);
        index_reads::count(&node, COLLECTION, self.items, &mut report)?;
        node.server.stop(Duration::from_secs(20))?;
        Ok(report)
    }
}

/// When the index was added and when it was ready, from the end of the warm-up.
#[derive(Debug, Clone, Copy)]
struct Span {
    warm_up: Duration,
    added: Duration,
    ready: Duration,
}

impl IndexBuild {
    /// Waits until the index is ready, and returns when that was.
    fn wait(&self, node: &Node) -> Result<Moment> {
        let by = Moment::now().plus(self.build_max);
        loop {
            let answer =
                fetch::get(node.api, &format!("/v1/collections/{COLLECTION}"), Duration::from_secs(10))?;
            let index = &answer.json()?["indexes"]["by_f00"];
            match index["state"].as_str() {
                Some("ready") => return Ok(Moment::now()),
                Some("building") if Moment::now() < by => clock::sleep(INTERVAL),
                _ => bail!("the index was not ready within {:?}: {index}", self.build_max),
            }
        }
    }

    fn judge(&self, report: &mut Report, outcome: &Outcome, span: Span, build_s: f64) -> Result<()> {
        let [before, during, after] = phases(outcome, span);
        let rate = |phase: &[f64]| Spread::of(phase).context("a part of the run is too short");
        let (before, during, after) = (rate(&before)?, rate(&during)?, rate(&after)?);
        let loss = 1.0 - during.median / before.median;
        report.verdict.check(
            format!("writers lose at most {:.0} % of their rate while it is built", LOSS_MAX_RATIO * 100.0),
            format!(
                "{:.0} %: {:.0} writes/s before, {:.0} during",
                loss * 100.0,
                before.median,
                during.median
            ),
            loss <= LOSS_MAX_RATIO,
        );
        report.verdict.check(
            format!("it is built within {BUILD_MAX_S:.0} s beside them"),
            format!("{build_s:.1} s, {:.0} items/s", self.items as f64 / build_s),
            build_s <= BUILD_MAX_S,
        );
        let columns = ["when", "writes/s, median", "lower quartile", "upper quartile", "by before", "slices"];
        let mut table = Table::new("Rate of writes before, during and after", &columns);
        for (name, spread) in [("before", before), ("while it is built", during), ("after", after)] {
            table.row(vec![
                name.to_owned(),
                format!("{:.0}", spread.median),
                format!("{:.0}", spread.lower_quartile),
                format!("{:.0}", spread.upper_quartile),
                format!("{:.2}", spread.median / before.median),
                spread.count.to_string(),
            ]);
        }
        report.tables.push(table);
        Ok(())
    }
}

/// Rates of each second before, during and after, in writes/s; the seconds in which something begins or ends belong to none.
fn phases(outcome: &Outcome, span: Span) -> [Vec<f64>; 3] {
    let mut phases = [const { Vec::new() }; 3];
    let (added, ready) = (span.added.as_secs_f64(), span.ready.as_secs_f64());
    let rates = rates(outcome, span.warm_up);
    for (begin, rate) in &rates[..rates.len().saturating_sub(1)] {
        let (begin, end) = (*begin, begin + 1.0);
        let phase = if begin >= 0.0 && end <= added {
            0
        } else if begin >= added && end <= ready {
            1
        } else if begin >= ready {
            2
        } else {
            continue;
        };
        phases[phase].push(*rate);
    }
    phases
}

/// When each second of the load began, from the end of the warm-up, and the rate in it.
fn rates(outcome: &Outcome, warm_up: Duration) -> Vec<(f64, f64)> {
    let slices = (1.0 / outcome.slice.as_secs_f64()).round() as usize;
    let seconds = outcome.timeline.chunks(slices).enumerate();
    let rate = |slices: &[load::Slice]| slices.iter().map(|slice| slice.ok).sum::<u64>() as f64;
    seconds.map(|(second, slices)| (second as f64 - warm_up.as_secs_f64(), rate(slices))).collect()
}

fn picture(outcome: &Outcome, span: Span) -> Result<String> {
    let rates: Vec<(f64, f64)> =
        rates(outcome, span.warm_up).into_iter().filter(|(begin, _)| *begin >= 0.0).collect();
    let peak = rates.iter().map(|(_, rate)| *rate).fold(0.0, f64::max);
    let mark = |name, at: Duration| Line::new(name, vec![(at.as_secs_f64(), 0.0), (at.as_secs_f64(), peak)]);
    let whole = rates.len().saturating_sub(1);
    let lines = [
        Line::new("writes", rates[..whole].to_vec()),
        mark("index added", span.added),
        mark("index ready", span.ready),
    ];
    let (x, y) = (Axis::linear("time (s)"), Axis::linear("writes/s"));
    plot::lines("Writes around the building of an index", &x, &y, &lines)
}

/// The collection without and with the index that is built; the others are there from the beginning, for the queries.
fn definition(is_indexed: bool) -> Value {
    let mut indexes = index_reads::indexes();
    if is_indexed {
        indexes.insert("by_f00".to_owned(), json!(["/f00"]));
    }
    json!({ "content_type": "application/json", "indexes": indexes })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::Plan;

    #[test]
    fn seconds_belong_to_the_part_they_lie_in_whole() {
        let plan = Plan::get(([127, 0, 0, 1], 9).into(), "/");
        let mut outcome = Outcome::new(Pace::Closed, plan.slice);
        // One second of warm-up, then 100 a slice for 3.5 s, 50 for 3 s, 90 for 3.5 s.
        let rates = [(10, 1), (35, 100), (30, 50), (35, 90)];
        let slices = rates.into_iter().flat_map(|(slices, ok)| std::iter::repeat_n(ok, slices));
        outcome.timeline = slices.map(|ok| load::Slice { ok, ..load::Slice::default() }).collect();
        let span = Span {
            warm_up: Duration::from_secs(1),
            added: Duration::from_millis(3_500),
            ready: Duration::from_millis(6_500),
        };
        let [before, during, after] = phases(&outcome, span);
        assert_eq!(before, [1_000.0; 3]);
        assert_eq!(during, [500.0; 2]);
        assert_eq!(after, [900.0; 2], "the last second may not be whole");
    }
}
