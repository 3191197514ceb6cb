//! What the building of an index costs those who write meanwhile, and what queries by indexes read.

use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};

use super::beside::{Beside, Times};
use super::collection::{CLIENTS, define, ready, settle, store};
use super::index_reads;
use super::node::{Node, version};
use super::{Context, Experiment, scratch};
use crate::items::{Mix, Shape, Skew};
use crate::report::Report;

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

/// How long the index may take beside them.
const BUILD_MAX_S: f64 = 60.0;

const COLLECTION: &str = "docs";

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
        let mut report = context.report(self, "Building an index beside writers", QUESTION);
        report.setting("binary", version(&context.exe)?);
        report.setting("items", format!("{} of {} B", self.items, self.bytes));
        report.setting("writers", format!("{CLIENTS}, closed loop, items drawn uniformly"));
        report.setting("index", "one field of eight letters");
        for of in [Of::Staying, Of::Changing] {
            let folder = scratch(&context.out_dir)?;
            let node =
                Node::start_with(&context.exe, folder.path(), "limits: { query_reads_max: 100000 }\n")?;
            let beside = self.build(&node, of)?;
            self.judge(&mut report, of, &beside)?;
            beside.show(&mut report, of.shown(), ("index added", "index ready"))?;
            if of == Of::Changing {
                index_reads::count(&node, COLLECTION, self.items, &mut report)?;
            }
            node.server.stop(Duration::from_secs(20))?;
        }
        Ok(report)
    }
}

/// What of an index writers touch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Of {
    /// A field that they leave as it is: what they lose is the building's.
    Staying,
    /// A field that each write changes: it is the index's upkeep as well.
    Changing,
}

impl Of {
    fn shown(self) -> (&'static str, &'static str) {
        match self {
            Self::Staying => {
                ("staying", "Rate of writes around the building of an index of a field that they leave")
            }
            Self::Changing => {
                ("changing", "Rate of writes around the building of an index of a field that they change")
            }
        }
    }

    fn about(self) -> &'static str {
        match self {
            Self::Staying => "an index of a field that writes leave as it is",
            Self::Changing => "an index of a field that each write changes",
        }
    }
}

impl IndexBuild {
    fn build(&self, node: &Node, of: Of) -> Result<Beside> {
        let shape = Shape { bytes: self.bytes, fields: 1, fields_change: of == Of::Changing };
        define(node, COLLECTION, &definition(false))?;
        store(node, COLLECTION, self.items, shape)?;
        settle(node);
        let mix = Mix { items: self.items, skew: Skew::Uniform, writes_ratio: 1.0, shape };
        Beside::measure(
            (node, COLLECTION, mix),
            Times { around: self.around, done_max: self.build_max },
            || define(node, COLLECTION, &definition(true)),
            |by| ready(node, COLLECTION, "/indexes/by_f00", by),
        )
    }

    fn judge(&self, report: &mut Report, of: Of, beside: &Beside) -> Result<()> {
        beside.judge(report, &format!("while {} is built", of.about()))?;
        let build_s = beside.took_s();
        report.verdict.check(
            format!("it is built within {BUILD_MAX_S:.0} s beside them"),
            format!("{build_s:.1} s, {:.0} items/s", self.items as f64 / build_s),
            build_s <= BUILD_MAX_S,
        );
        Ok(())
    }
}

/// The collection without and with the index that is built; the others are there from the beginning, for the queries.
fn definition(is_indexed: bool) -> Value {
    let mut indexes = index_reads::indexes();
    if is_indexed {
        indexes.insert("by_f00".to_owned(), json!(["/f00"]));
    }
    json!({ "content_type": "application/json", "indexes": indexes })
}
