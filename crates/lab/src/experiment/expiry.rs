//! What it costs to have items removed whose end has come.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::json;

use super::beside::{Beside, RATES, Times};
use super::collection::{CLIENTS, define, store};
use super::node::{Node, version};
use super::{Context, Experiment, scratch};
use crate::clock::{self, Moment};
use crate::fetch;
use crate::items::{Mix, Shape, Skew, document_key};
use crate::report::{Report, Table};

/// Items that end all at once, beside writers of another collection.
#[derive(Debug, Clone, Copy)]
pub struct Expiry {
    /// Items that end.
    pub items: u64,
    /// Bytes of each.
    pub bytes: usize,
    /// How long they are there after they were stored: as long as storing them and writing for a while takes.
    pub ttl: Duration,
    /// How long is written before they end, at least, and after all were removed.
    pub around: Duration,
    /// How long removing them may take.
    pub done_max: Duration,
}

impl Expiry {
    /// What the command line runs.
    pub const DEFAULT: Self = Self {
        items: 300_000,
        bytes: 256,
        ttl: Duration::from_secs(35),
        around: Duration::from_secs(12),
        done_max: Duration::from_secs(80),
    };
}

const ENDING: &str = "ending";
const WRITTEN: &str = "written";

const INTERVAL: Duration = Duration::from_millis(200);
const ANSWER_DEADLINE: Duration = Duration::from_secs(10);

const QUESTION: &str = "Items that end are absent for every reader from their end on; their rows are removed afterwards, beside the \
                        traffic. What do writers lose while 300,000 of them are removed, and how long does that take?";

impl Experiment for Expiry {
    fn name(&self) -> &'static str {
        "expiry"
    }

    fn question(&self) -> &'static str {
        "C11"
    }

    fn about(&self) -> &'static str {
        "Lets 300,000 items end beside 64 writers"
    }

    fn run(&self, context: &Context) -> Result<Report> {
        let folder = scratch(&context.out_dir)?;
        let node = Node::start(&context.exe, folder.path())?;
        let shape = Shape { bytes: self.bytes, fields: 0, fields_change: false };
        define(&node, ENDING, &json!({ "ttl": format!("{}s", self.ttl.as_secs()) }))?;
        define(&node, WRITTEN, &json!({}))?;
        store(&node, WRITTEN, self.items, shape)?;
        let stored = Moment::now();
        store(&node, ENDING, self.items, shape)?;
        let storing = Moment::now().since(stored);
        ensure!(
            storing + self.around < self.ttl,
            "storing took {storing:?}: the items end before anything is measured"
        );
        let mix = Mix { items: self.items, skew: Skew::Uniform, writes_ratio: 1.0, shape };
        let mut lag = Duration::ZERO;
        let beside = Beside::measure(
            (&node, WRITTEN, mix),
            Times { around: self.around, done_max: self.done_max },
            || gone(&node, 0, stored.plus(self.ttl * 2)),
            |by| {
                gone(&node, self.items - 1, by)?;
                let all_over = Moment::now();
                let done = removed(&node, by)?;
                lag = done.since(all_over);
                Ok(done)
            },
        )?;
        node.server.stop(Duration::from_secs(20))?;

        let mut report = context.report(self, "Items that end beside writers", QUESTION);
        report.setting("binary", version(&context.exe)?);
        report.setting("items that end", format!("{} of {} B, after {:?}", self.items, self.bytes, self.ttl));
        report.setting(
            "writers",
            format!("{CLIENTS}, closed loop, items of another collection drawn uniformly"),
        );
        beside.judge(&mut report, "meanwhile")?;
        let took_s = beside.took_s();
        let columns =
            ["items", "s from the first end to the last removed", "items/s", "s after the last end"];
        let mut table = Table::new("Removing items whose end has come", &columns);
        table.row(vec![
            self.items.to_string(),
            format!("{took_s:.1}"),
            format!("{:.0}", self.items as f64 / took_s),
            format!("{:.1}", lag.as_secs_f64()),
        ]);
        report.tables.push(table);
        beside.show(&mut report, RATES, ("first end", "all removed"))?;
        Ok(report)
    }
}

/// Waits until the item of this number is absent for readers.
fn gone(node: &Node, number: u64, by: Moment) -> Result<()> {
    let path = format!("/v1/collections/{ENDING}/items/{}", document_key(number));
    loop {
        let request = http::Request::get(&path).body(bytes::Bytes::new()).context("build the request")?;
        if fetch::send(node.api, request, ANSWER_DEADLINE)?.status == 404 {
            return Ok(());
        }
        ensure!(Moment::now() < by, "item {number} is there after its end");
        clock::sleep(INTERVAL);
    }
}

/// Waits until the rows of all items are removed, and returns when that was.
fn removed(node: &Node, by: Moment) -> Result<Moment> {
    loop {
        let answer = fetch::get(node.api, &format!("/v1/collections/{ENDING}/usage"), ANSWER_DEADLINE)?;
        match answer.json()?["items"]["count"].as_u64() {
            Some(0) => return Ok(Moment::now()),
            Some(_) if Moment::now() < by => clock::sleep(INTERVAL),
            left => bail!("the items were not removed in time: {left:?} are left"),
        }
    }
}
