//! What indexes cost writes.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::{Map, Value, json};

use super::collection::{CLIENTS, define, run, store};
use super::node::{Node, version};
use super::samples::Samples;
use super::{Context, Experiment, scratch};
use crate::items::{Mix, Shape, Skew};
use crate::plot::{self, Axis, Line};
use crate::report::{Report, Table};
use crate::stats::Ratio;

/// Writes to collections that differ in how many indexes they have.
#[derive(Debug, Clone, Copy)]
pub struct Indexes {
    /// How many, the first being none.
    pub counts: &'static [usize],
    /// Documents in each collection.
    pub items: u64,
    /// Bytes of each.
    pub bytes: usize,
    /// How often each collection is written to, all of them in turn.
    pub rounds: usize,
    /// How long each time, the first part not measured.
    pub times: (Duration, Duration),
}

impl Indexes {
    /// What the command line runs.
    pub const DEFAULT: Self = Self {
        counts: &[0, 1, 2, 4, 8, 16],
        items: 20_000,
        bytes: 1024,
        rounds: 5,
        times: (Duration::from_millis(400), Duration::from_secs(2)),
    };
}

const QUESTION: &str = "Each index is an entry that a write has to keep right. How much slower do writes become with the \
                        number of indexes, and how many more bytes do they write?";

/// Whether a write changes what the indexes are on.
const CASES: [(&str, bool); 2] = [("indexed fields change", true), ("indexed fields stay", false)];

/// By case, then by number of indexes.
type Found = BTreeMap<(usize, usize), Samples>;

impl Experiment for Indexes {
    fn name(&self) -> &'static str {
        "indexes"
    }

    fn question(&self) -> &'static str {
        "E9"
    }

    fn about(&self) -> &'static str {
        "Writes documents of a kibibyte with 0 to 16 indexes, whose fields change or stay"
    }

    fn run(&self, context: &Context) -> Result<Report> {
        let folder = scratch(&context.out_dir)?;
        let node = Node::start(&context.exe, folder.path())?;
        for (case, (_, fields_change)) in CASES.iter().enumerate() {
            for count in self.counts {
                let name = collection(case, *count);
                define(&node, &name, &definition(*count))?;
                store(&node, &name, self.items, self.shape(*fields_change))?;
            }
        }
        let mut found = Found::new();
        for _ in 0..self.rounds {
            for (case, (_, fields_change)) in CASES.iter().enumerate() {
                let shape = self.shape(*fields_change);
                let mix = Mix { items: self.items, skew: Skew::Uniform, writes_ratio: 1.0, shape };
                for count in self.counts {
                    let run = run(&node, &collection(case, *count), mix, self.times)?;
                    found.entry((case, *count)).or_default().add(&run);
                }
            }
        }
        node.server.stop(Duration::from_secs(20))?;
        let mut report = context.report(self, "Indexes and the rate of writes", QUESTION);
        report.setting("binary", version(&context.exe)?);
        report.setting("documents", format!("{} of {} B in each collection", self.items, self.bytes));
        report.setting("clients", format!("{CLIENTS}, closed loop"));
        report.setting(
            "runs",
            format!("{} of {:.1} s of each collection, interleaved", self.rounds, self.times.1.as_secs_f64()),
        );
        for (case, (name, _)) in CASES.iter().enumerate() {
            report.tables.push(self.table(case, name, &found)?);
        }
        self.judge(&mut report, &found)?;
        report.plot("rates", "Writes by number of indexes", self.picture(&found)?);
        report.notes.push(NOTE.to_owned());
        Ok(report)
    }
}

const NOTE: &str = "Each index is on one field of eight letters, the fields are as many as indexes at most, and all documents have all of \
                    them, so that only the indexes differ. Load and node share the processors: rates fall less than the node's CPU for a write grows.";

impl Indexes {
    fn shape(&self, fields_change: bool) -> Shape {
        let fields = self.counts.iter().copied().max().unwrap_or(0);
        Shape { bytes: self.bytes, fields, fields_change }
    }

    fn table(&self, case: usize, name: &str, found: &Found) -> Result<Table> {
        let of = |count: &usize| {
            let samples = found.get(&(case, *count)).context("no run was made")?;
            Ok((count.to_string(), samples))
        };
        let all = self.counts.iter().map(of).collect::<Result<Vec<_>>>()?;
        Samples::table(&format!("Writes by number of indexes: {name}"), "indexes", all)
    }

    /// The rate with so many indexes by that without.
    fn ratio(&self, case: usize, count: usize, found: &Found) -> Result<Ratio> {
        let of = |count| found.get(&(case, count)).context("no run was made");
        of(count)?.ratio(of(self.counts[0])?)
    }

    fn judge(&self, report: &mut Report, found: &Found) -> Result<()> {
        let one = self.ratio(0, self.counts[1], found)?;
        report.verdict.check(
            "the first index costs less than a quarter of the rate when its field changes",
            format!("{one} of the rate without"),
            one.value > 0.75,
        );
        let most = self.counts[self.counts.len() - 1];
        let stay = self.ratio(1, most, found)?;
        let change = self.ratio(0, most, found)?;
        report.verdict.check(
            format!("{most} indexes whose fields stay cost less than those whose fields change"),
            format!("{stay} of the rate without, and {change}"),
            stay.value > change.value,
        );
        let rows = |count| found.get(&(1, count)).context("no run was made").and_then(Samples::row_bytes);
        let (without, with) = (rows(self.counts[0])?, rows(most)?);
        report.verdict.check(
            "an index whose field stays writes nothing",
            format!("{with:.0} B of rows for a write with {most} indexes, {without:.0} B without"),
            with < without * 1.02,
        );
        Ok(())
    }

    fn picture(&self, found: &Found) -> Result<String> {
        let mut lines = Vec::new();
        for (case, (name, _)) in CASES.iter().enumerate() {
            let points =
                self.counts.iter().map(|count| Ok((*count as f64, self.ratio(case, *count, found)?.value)));
            lines.push(Line::new(name, points.collect::<Result<_>>()?));
        }
        let (x, y) = (Axis::linear("indexes"), Axis::linear("rate by that without indexes"));
        plot::lines("Rate of writes by number of indexes", &x, &y, &lines)
    }
}

fn collection(case: usize, count: usize) -> String {
    format!("case{case}-indexes{count}")
}

/// A collection with so many indexes, each on one field.
fn definition(count: usize) -> Value {
    let index = |nth: usize| (format!("by_f{nth:02}"), json!([format!("/f{nth:02}")]));
    let indexes: Map<String, Value> = (0..count).map(index).collect();
    json!({ "content_type": "application/json", "indexes": indexes })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_definition_has_as_many_indexes_as_asked_for_on_fields_that_documents_have() {
        let definition = definition(16);
        let indexes = definition["indexes"].as_object().unwrap();
        assert_eq!(indexes.len(), 16);
        assert_eq!(indexes["by_f15"], json!(["/f15"]));
    }

    #[test]
    fn ratios_are_to_the_collection_without_indexes_of_the_same_case() {
        let mut found = Found::new();
        for (case, count, rate) in [(0, 0, 100.0), (0, 1, 80.0), (1, 0, 50.0), (1, 1, 50.0)] {
            found.entry((case, count)).or_default().rates = vec![rate; 3];
        }
        let experiment = Indexes { counts: &[0, 1], ..Indexes::DEFAULT };
        let ratio = |case| experiment.ratio(case, 1, &found).unwrap().value;
        assert_eq!((ratio(0), ratio(1)), (0.8, 1.0));
        assert!(experiment.ratio(0, 2, &found).is_err());
    }
}
