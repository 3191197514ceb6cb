//! How many bytes are written for each byte that callers give.

use std::time::Duration;

use anyhow::{Context as _, Result};

use super::collection::{CLIENTS, Run, define, run, settle, store};
use super::node::{Node, version};
use super::{Context, Experiment, scratch};
use crate::items::{DOCUMENT_KEY_BYTES, Mix, Shape, Skew};
use crate::plot::{self, Axis, Line};
use crate::report::{Report, Table};

/// Updates items of several sizes, uniformly and with a skew.
#[derive(Debug, Clone, Copy)]
pub struct WriteAmplification {
    /// Bytes of values.
    pub sizes: &'static [usize],
    /// Bytes of all values of a size together.
    pub data_bytes: u64,
    /// How long each is updated, the first part not measured.
    pub times: (Duration, Duration),
}

impl WriteAmplification {
    /// What the command line runs.
    pub const DEFAULT: Self = Self {
        sizes: &[100, 1 << 10, 10 << 10, 100 << 10],
        data_bytes: 64 << 20,
        times: (Duration::from_secs(2), Duration::from_secs(12)),
    };
}

const SKEWS: [(&str, Skew); 2] = [("uniform", Skew::Uniform), ("Zipf 0.99", Skew::Zipf(0.99))];

/// As many small values at most: more take longer to store than they change what is found.
const ITEMS_MAX: u64 = 400_000;

/// Stores so small that they are flushed and merged many times within seconds: 4 MiB of memory beside 64 MiB of data.
const SECTIONS: &str = "shards: 4\nstore: { memtable: 1MiB, memtables_max: 32MiB }\n";

/// What the log may add to what callers give, for values of a kibibyte and more.
const LOG_MAX_RATIO: f64 = 1.6;

const QUESTION: &str = "A byte that a caller gives is written to the log, to a table when memory is flushed, and again whenever tables are \
                        merged. How many bytes is that, by size of values and by how updates spread over items?";

impl Experiment for WriteAmplification {
    fn name(&self) -> &'static str {
        "write-amplification"
    }

    fn question(&self) -> &'static str {
        "C10"
    }

    fn about(&self) -> &'static str {
        "Bytes written by log, store and device for each byte given, by size and skew"
    }

    fn run(&self, context: &Context) -> Result<Report> {
        let columns = [
            "updates",
            "value B",
            "writes/s",
            "given MB",
            "log",
            "flushed",
            "compacted",
            "snapshots",
            "device",
        ];
        let mut table = Table::new("Bytes written for each byte given", &columns);
        let (mut lines, mut logs) = (Vec::new(), Vec::new());
        for (name, skew) in SKEWS {
            let mut points = Vec::new();
            for bytes in self.sizes {
                let written = self.written(context, *bytes, skew)?;
                points.extend(written.device.map(|ratio| (*bytes as f64, ratio)));
                logs.push((*bytes, written.log));
                table.row(written.row(name, *bytes));
            }
            lines.push(Line::new(name, points));
        }
        let mut report = context.report(self, "Write amplification", QUESTION);
        report.setting("binary", version(&context.exe)?);
        report.setting(
            "data",
            format!("{} MiB of each size, at most {ITEMS_MAX} items", self.data_bytes >> 20),
        );
        report.setting("node", SECTIONS.replace('\n', "; "));
        report.setting("clients", format!("{CLIENTS}, closed loop, each request one update"));
        report.setting("window", format!("{} s for each row", self.times.1.as_secs()));
        report.tables.push(table);
        let worst = logs.iter().filter(|(bytes, _)| *bytes >= 1024).map(|(_, log)| *log).fold(0.0, f64::max);
        report.verdict.check(
            format!(
                "the log writes at most {LOG_MAX_RATIO} bytes for each byte given in values of 1 KiB and more"
            ),
            format!("{worst:.2} in the worst case"),
            worst <= LOG_MAX_RATIO,
        );
        let (x, y) = (Axis::log("bytes of a value"), Axis::linear("bytes to the device by bytes given"));
        report.plot(
            "device",
            "Bytes written by bytes given",
            plot::lines("Write amplification", &x, &y, &lines)?,
        );
        report.notes.push(NOTE.to_owned());
        Ok(report)
    }
}

const NOTE: &str = "Given are the bytes of keys and values of updates in the window. The stores are made small so that their whole cycle fits into \
                    it: with the defaults (8 MiB of memory for each of 16 shards) flushes and merges come later, are fewer for the same data, \
                    and an item that is written again before the flush is flushed once. The device's \
                    count has what others wrote meanwhile, the file system's journal, and blocks that are written in part as whole ones, as at the end of \
                    each group of the log.";

/// What was written for each byte given.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Written {
    rate_per_s: f64,
    given_mb: f64,
    log: f64,
    flushed: f64,
    compacted: f64,
    snapshots: f64,
    /// None if there is no device to ask.
    device: Option<f64>,
}

impl Written {
    /// None if nothing was given.
    fn of(run: &Run, bytes: usize) -> Option<Self> {
        let given = run.outcome.ok_in_window as f64 * (bytes + DOCUMENT_KEY_BYTES) as f64;
        let by = |written: u64| written as f64 / given;
        let used = &run.used;
        (given > 0.0).then(|| Self {
            rate_per_s: run.outcome.rate_per_s(),
            given_mb: given / 1e6,
            log: by(used.log),
            flushed: by(used.flushed),
            compacted: by(used.compacted),
            snapshots: by(used.snapshots),
            device: used.device.map(by),
        })
    }

    fn row(self, skew: &str, bytes: usize) -> Vec<String> {
        let mut row = vec![
            skew.to_owned(),
            bytes.to_string(),
            format!("{:.0}", self.rate_per_s),
            format!("{:.0}", self.given_mb),
        ];
        let ratios = [self.log, self.flushed, self.compacted, self.snapshots].map(Some);
        let show = |ratio: Option<f64>| ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}"));
        row.extend(ratios.into_iter().chain([self.device]).map(show));
        row
    }
}

impl WriteAmplification {
    fn written(&self, context: &Context, bytes: usize, skew: Skew) -> Result<Written> {
        let folder = scratch(&context.out_dir)?;
        let node = Node::start_with(&context.exe, folder.path(), SECTIONS)?;
        let items = (self.data_bytes / bytes as u64).min(ITEMS_MAX);
        let shape = Shape { bytes, fields: 0, fields_change: false };
        let definition = serde_json::json!({ "content_type": "application/json" });
        define(&node, "docs", &definition)?;
        store(&node, "docs", items, shape)?;
        settle(&node);
        let mix = Mix { items, skew, writes_ratio: 1.0, shape };
        let run = run(&node, "docs", mix, self.times)?;
        node.server.stop(Duration::from_secs(20))?;
        Written::of(&run, bytes).context("nothing was written")
    }
}
