//! What it costs to have documents checked.

use std::time::Duration;

use anyhow::Result;
use serde_json::{Map, Value, json};

use super::collection::{CLIENTS, define, run, store};
use super::node::{Node, version};
use super::samples::Samples;
use super::{Context, Experiment, scratch};
use crate::items::{Mix, Shape, Skew};
use crate::report::Report;

/// Writes to collections that differ in what they check.
#[derive(Debug, Clone, Copy)]
pub struct Integrity {
    /// Documents in each collection.
    pub items: u64,
    /// Bytes of each.
    pub bytes: usize,
    /// Fields of each beside four fixed ones.
    pub fields: usize,
    /// How often each collection is written to, all of them in turn.
    pub rounds: usize,
    /// How long each time, the first part not measured.
    pub times: (Duration, Duration),
}

impl Integrity {
    /// What the command line runs.
    pub const DEFAULT: Self = Self {
        items: 20_000,
        bytes: 1024,
        fields: 16,
        rounds: 5,
        times: (Duration::from_millis(400), Duration::from_secs(2)),
    };
}

/// How much more CPU a write of a document may take whose every member a schema checks.
const SCHEMA_CPU_MAX_RATIO: f64 = 1.5;

const QUESTION: &str = "Documents that are checked when they are written need no checks by those who read them. What does a write pay \
                        for a schema, for patterns in it, and for a value that only one item may have?";

/// What each collection checks; the first checks nothing.
const KINDS: [&str; 5] =
    ["nothing", "content type", "schema of types", "schema with patterns", "schema and a unique value"];

impl Experiment for Integrity {
    fn name(&self) -> &'static str {
        "integrity"
    }

    fn question(&self) -> &'static str {
        "C6"
    }

    fn about(&self) -> &'static str {
        "Writes documents of a kibibyte under schemas, patterns and unique values"
    }

    fn run(&self, context: &Context) -> Result<Report> {
        let folder = scratch(&context.out_dir)?;
        let node = Node::start(&context.exe, folder.path())?;
        for kind in 0..KINDS.len() {
            define(&node, &collection(kind), &self.definition(kind))?;
            store(&node, &collection(kind), self.items, self.shape())?;
        }
        let mix = Mix { items: self.items, skew: Skew::Uniform, writes_ratio: 1.0, shape: self.shape() };
        let mut found: [Samples; KINDS.len()] = std::array::from_fn(|_| Samples::default());
        for _ in 0..self.rounds {
            for (kind, samples) in found.iter_mut().enumerate() {
                samples.add(&run(&node, &collection(kind), mix, self.times)?);
            }
        }
        node.server.stop(Duration::from_secs(20))?;
        let mut report = context.report(self, "Checks of documents and the rate of writes", QUESTION);
        report.setting("binary", version(&context.exe)?);
        report.setting(
            "documents",
            format!("{} of {} B and {} members in each collection", self.items, self.bytes, self.fields + 4),
        );
        report.setting("clients", format!("{CLIENTS}, closed loop"));
        let (rounds, each) = (self.rounds, self.times.1.as_secs_f64());
        report.setting("runs", format!("{rounds} of {each:.1} s of each collection, interleaved"));
        let all = KINDS.iter().map(|kind| (*kind).to_owned()).zip(&found);
        report.tables.push(Samples::table("Writes by what is checked", "checked", all)?);
        let ratio = found[2].cpu_us()? / found[0].cpu_us()?;
        report.verdict.check(
            format!("a schema of types costs a write at most {SCHEMA_CPU_MAX_RATIO} times the CPU"),
            format!("{ratio:.2} times"),
            ratio <= SCHEMA_CPU_MAX_RATIO,
        );
        report.notes.push(NOTE.to_owned());
        Ok(report)
    }
}

const NOTE: &str = "Every member of the documents is named by the schemas, and no other is allowed. Load and node share the processors: \
                    rates fall less than the node's CPU for a write grows.";

impl Integrity {
    fn shape(&self) -> Shape {
        Shape { bytes: self.bytes, fields: self.fields, fields_change: true }
    }

    fn definition(&self, kind: usize) -> Value {
        match KINDS[kind] {
            "nothing" => json!({}),
            "content type" => json!({ "content_type": "application/json" }),
            "schema of types" => json!({ "schema": self.schema(&json!({"type": "string"})) }),
            "schema with patterns" => {
                json!({ "schema": self.schema(&json!({"type": "string", "pattern": "^[A-Za-z0-9_-]{8}$"})) })
            }
            _ => json!({
                "schema": self.schema(&json!({"type": "string"})),
                "indexes": { "by_number": { "on": ["/number"], "unique": true } },
            }),
        }
    }

    /// A schema in which each of the fields is of this kind.
    fn schema(&self, field: &Value) -> Value {
        let fields = (0..self.fields).map(|number| (format!("f{number:02}"), field.clone()));
        let fixed = json!({
            "number": {"type": "integer", "minimum": 0},
            "group": {"type": "integer", "minimum": 0},
            "tags": {"type": "array", "items": {"type": "string", "maxLength": 8}, "maxItems": 4},
            "pad": {"type": "string"},
        });
        let fixed = fixed.as_object().cloned().unwrap_or_default();
        let properties: Map<String, Value> = fixed.into_iter().chain(fields).collect();
        let required: Vec<&String> = properties.keys().collect();
        json!({
            "json_schema": {
                "type": "object", "required": required, "properties": properties, "additionalProperties": false,
            },
        })
    }
}

fn collection(kind: usize) -> String {
    format!("checked-{kind}")
}
