//! What a new version of a schema costs those who write and read meanwhile.

use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::beside::{Beside, RATES, Times};
use super::collection::{CLIENTS, define, ready, run, store};
use super::node::{Node, version};
use super::{Context, Experiment, scratch};
use crate::clock::Moment;
use crate::items::{Mix, Shape, Skew};
use crate::report::{Report, Table};
use crate::stats::{median, ratio_of_medians};

/// Renames a member of all documents of a collection, and gives them another, while it is written to.
#[derive(Debug, Clone, Copy)]
pub struct Evolution {
    /// Documents that are there.
    pub items: u64,
    /// Bytes of each.
    pub bytes: usize,
    /// How long is written before the version is defined, and after all are brought to it.
    pub around: Duration,
    /// How long it may take.
    pub done_max: Duration,
}

impl Evolution {
    /// What the command line runs.
    pub const DEFAULT: Self = Self {
        items: 300_000,
        bytes: 256,
        around: Duration::from_secs(12),
        done_max: Duration::from_secs(90),
    };
}

/// How much more CPU a read may take of a document that is yet to be brought to its version.
const READ_CPU_MAX_RATIO: f64 = 1.25;

/// How long documents are read, the first part not measured: before a version, and while nearly all are yet to be brought to it.
const READ_TIMES: (Duration, Duration) = (Duration::from_millis(200), Duration::from_millis(1_300));
const READ_ROUNDS: usize = 3;

const COLLECTION: &str = "docs";

const QUESTION: &str = "A new version of a schema renames a member and adds one with a default. Every document is read by it at once, and \
                        brought to it beside the traffic. What do writers lose meanwhile, how long does it take, and what does a read pay for a document of \
                        the version before?";

impl Experiment for Evolution {
    fn name(&self) -> &'static str {
        "evolution"
    }

    fn question(&self) -> &'static str {
        "C9"
    }

    fn about(&self) -> &'static str {
        "Renames a member of 300,000 documents beside 64 writers, and reads some before and after"
    }

    fn run(&self, context: &Context) -> Result<Report> {
        let folder = scratch(&context.out_dir)?;
        let node = Node::start(&context.exe, folder.path())?;
        let shape = Shape { bytes: self.bytes, fields: 1, fields_change: true };
        define(&node, COLLECTION, &definition(0))?;
        store(&node, COLLECTION, self.items, shape)?;
        let mix = |writes_ratio| Mix { items: self.items, skew: Skew::Uniform, writes_ratio, shape };
        let reads = || Ok::<_, anyhow::Error>(run(&node, COLLECTION, mix(0.0), READ_TIMES)?.cpu_us());
        let times = Times { around: self.around, done_max: self.done_max };
        let version_of = |number| define(&node, COLLECTION, &definition(number));
        let brought = |by| ready(&node, COLLECTION, "/schema", by);
        let beside = Beside::measure((&node, COLLECTION, mix(1.0)), times, || version_of(1), brought)?;
        let (mut settled, mut pending) = (Vec::new(), Vec::new());
        for round in 0..READ_ROUNDS {
            settled.push(reads()?);
            version_of(round + 2)?;
            pending.push(reads()?);
            brought(Moment::now().plus(self.done_max))?;
        }
        node.server.stop(Duration::from_secs(20))?;

        let mut report = context.report(self, "A new version of a schema beside writers", QUESTION);
        report.setting("binary", version(&context.exe)?);
        report.setting("documents", format!("{} of {} B", self.items, self.bytes));
        report.setting("clients", format!("{CLIENTS}, closed loop, items drawn uniformly"));
        report.setting(
            "reads",
            format!(
                "{READ_ROUNDS} times {:.1} s, before and after another version",
                READ_TIMES.1.as_secs_f64()
            ),
        );
        judge(&mut report, &beside, self.items)?;
        compare(&mut report, (&settled, &pending))?;
        beside.show(&mut report, RATES, ("version defined", "all brought to it"))?;
        Ok(report)
    }
}

fn judge(report: &mut Report, beside: &Beside, items: u64) -> Result<()> {
    beside.judge(report, "meanwhile")?;
    let took_s = beside.took_s();
    let mut table = Table::new("Bringing all documents to a version", &["documents", "s", "documents/s"]);
    table.row(vec![items.to_string(), format!("{took_s:.1}"), format!("{:.0}", items as f64 / took_s)]);
    report.tables.push(table);
    Ok(())
}

/// Compares reads of documents that are at their version with reads of those that are not.
fn compare(report: &mut Report, (settled, pending): (&[f64], &[f64])) -> Result<()> {
    let ratio = ratio_of_medians(pending, settled, 1).context("nothing was read")?;
    let middle = |samples: &[f64]| median(samples).context("nothing was read");
    let mut table = Table::new("CPU of a read", &["documents", "CPU us/read"]);
    table.row(vec!["at their version".to_owned(), format!("{:.1}", middle(settled)?)]);
    table.row(vec!["while they are brought to it".to_owned(), format!("{:.1}", middle(pending)?)]);
    report.tables.push(table);
    report.verdict.check(
        format!("a read takes at most {READ_CPU_MAX_RATIO} times the CPU while they are brought to it"),
        format!("{ratio} times, the bringing included"),
        ratio.value <= READ_CPU_MAX_RATIO,
    );
    Ok(())
}

/// The collection as of a version: in each, a member has another name than in the one before, and another one is filled in.
fn definition(version: usize) -> Value {
    let member = |version: usize| format!("name_{version}");
    let mut schema = json!({
        "type": "object",
        "properties": { member(version): {"type": "string"}, format!("added_{version}"): {"type": "integer", "default": 0} },
    });
    // The writers know nothing of it, as callers of an earlier version do not.
    schema["properties"]["number"] = json!({"type": "integer"});
    let renamed = match version {
        0 => json!({}),
        1 => json!({ format!("/{}", member(1)): "/f00" }),
        _ => json!({ format!("/{}", member(version)): format!("/{}", member(version - 1)) }),
    };
    json!({ "schema": { "json_schema": schema, "compatibility": "none", "evolution": { "renames": renamed } } })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_version_renames_what_the_one_before_has() {
        let renames = |version: usize| definition(version)["schema"]["evolution"]["renames"].clone();
        assert_eq!(renames(1), json!({"/name_1": "/f00"}));
        assert_eq!(renames(3), json!({"/name_3": "/name_2"}));
        assert!(definition(2)["schema"]["json_schema"]["properties"]["name_2"].is_object());
    }
}
