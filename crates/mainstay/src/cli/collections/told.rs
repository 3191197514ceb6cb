//! Definitions and their changes as people read them.
//!
//! Pure: from what a node has answered to text.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};

use mainstay_base::id::Name;
use serde::Deserialize;
use serde_json::Value;

use crate::cli::told::{below, columns, difference};
use crate::config::explain;

/// A collection's definition as of one version.
#[derive(Debug, Clone, Deserialize)]
pub struct Defined {
    name: String,
    version: String,
    changed: String,
    #[serde(flatten)]
    origin: Origin,
    retired: bool,
    active: Option<String>,
    #[serde(default)]
    indexes: BTreeMap<String, Progress>,
    #[serde(default)]
    references: BTreeMap<String, Progress>,
    schema: Option<SchemaProgress>,
    definition: Value,
}

/// How far documents are brought to the version of their schema.
#[derive(Debug, Clone, Deserialize)]
struct SchemaProgress {
    version: u32,
    #[serde(flatten)]
    progress: Progress,
}

/// How far an index is, a reference, or a schema.
#[derive(Debug, Clone, Deserialize)]
struct Progress {
    state: String,
    ready: String,
    #[serde(default)]
    items: u64,
    #[serde(default)]
    misfits: u64,
    misfit: Option<String>,
    reason: Option<String>,
}

/// Where a definition was written.
#[derive(Debug, Clone, Deserialize)]
struct Origin {
    origin: String,
    file: Option<String>,
    line: Option<u32>,
    caller: Option<String>,
}

/// What a definition was, the latest first.
#[derive(Debug, Default, Deserialize)]
pub struct History {
    versions: Vec<Defined>,
}

/// What a change would come to.
#[derive(Debug, Deserialize)]
pub struct Rehearsal {
    changes: bool,
    version: Option<String>,
    sample: Option<Sample>,
}

/// What items that are there would be under another version of their schema.
#[derive(Debug, Deserialize)]
struct Sample {
    items: u64,
    failing: u64,
    #[serde(default)]
    examples: Vec<Example>,
}

/// An item that would not be valid.
#[derive(Debug, Deserialize)]
struct Example {
    key: String,
    reason: String,
}

impl Sample {
    fn lines(&self) -> Vec<String> {
        let head = format!("of {} items that were looked at {} would not be valid", self.items, self.failing);
        let examples =
            self.examples.iter().map(|it| format!("  {:?}: {}", it.key, it.reason.replace('\n', " ")));
        std::iter::once(head).chain(examples).collect()
    }
}

/// What a purge would come to.
#[derive(Debug, Deserialize)]
pub struct Stock {
    items: u64,
    held: u64,
}

/// How far a purge is.
#[derive(Debug, Deserialize)]
pub struct Purging {
    state: String,
    done: String,
    removed: u64,
    held: u64,
}

impl Defined {
    /// What it says, unless it is retired.
    fn served(&self) -> Option<&Value> {
        (!self.retired).then_some(&self.definition)
    }
}

impl History {
    /// What is served now.
    pub fn now(&self) -> Option<&Value> {
        self.versions.first().and_then(Defined::served)
    }

    /// What was served as of a version.
    pub fn said(&self, version: &str) -> Option<Value> {
        self.versions.iter().find(|it| it.version == version).and_then(Defined::served).cloned()
    }
}

impl Display for Origin {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match (&self.file, self.line, &self.caller) {
            (Some(file), Some(line), _) => write!(f, "{file}:{line}"),
            (Some(file), None, _) => f.write_str(file),
            (None, _, Some(caller)) => write!(f, "{} ({caller})", self.origin),
            (None, _, None) => f.write_str(&self.origin),
        }
    }
}

/// Collections, one a line.
pub fn listed(all: &[Defined]) -> String {
    if all.is_empty() {
        return "there are no collections\n".to_owned();
    }
    let head = ["NAME", "VERSION", "ACTIVE", "ORIGIN", "CHANGED"].map(str::to_owned);
    let rows = all.iter().map(|it| {
        let active = it.active.clone().unwrap_or_default();
        [it.name.clone(), it.version.clone(), active, it.origin.to_string(), it.changed.clone()]
    });
    columns(&std::iter::once(head).chain(rows).collect::<Vec<_>>())
}

/// A definition that can be put again, below what there is to know of it.
pub fn shown(defined: &Defined) -> String {
    let Defined { name, version, changed, origin, active, definition, .. } = defined;
    let active = active.as_ref().map(|active| format!(", active in {active} shards")).unwrap_or_default();
    let head = format!("# {name}: version {version} of {changed}, {origin}{active}\n");
    let indexes = defined.indexes.iter().map(|(name, index)| format!("# index {name}: {index}"));
    let references =
        defined.references.iter().map(|(name, reference)| format!("# reference {name}: {reference}"));
    let schema = defined.schema.iter().map(|it| format!("# schema version {}: {}", it.version, it.progress));
    head + &below("", indexes.chain(references).chain(schema).chain(explain::lines(definition)).collect())
}

impl Display for Progress {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}, ready in {} shards", self.state, self.ready)?;
        if self.items > 0 {
            write!(f, ", {} items gone through", self.items)?;
        }
        if let (Some(item), Some(reason)) = (&self.misfit, &self.reason) {
            // A line break would end the comment.
            let reason = reason.replace('\n', " ");
            write!(f, "; items that do not fit: {}, such as {item:?}: {reason}", self.misfits)?;
        }
        Ok(())
    }
}

/// What a change has come to.
pub fn changed(Defined { name, version, retired, active, .. }: &Defined) -> String {
    if *retired {
        return format!("the collection {name} is retired as of version {version}; its items stay\n");
    }
    let active = active.as_ref().map(|active| format!(", active in {active} shards")).unwrap_or_default();
    format!("the collection {name} has version {version}{active}\n")
}

/// What a change would come to, between what is served and what would be.
pub fn rehearsed(name: &Name, rehearsal: &Rehearsal, now: Option<&Value>, next: Option<&Value>) -> String {
    match (rehearsal.changes, &rehearsal.version) {
        (true, Some(version)) => {
            let what = if next.is_some() { "have" } else { "be retired as of" };
            let head = format!("nothing was changed; the collection {name} would {what} version {version}\n");
            let sample = rehearsal.sample.as_ref().map(Sample::lines).unwrap_or_default();
            head + &below("", next.map(|next| difference(now, next)).unwrap_or_default()) + &below("", sample)
        }
        (_, Some(version)) => format!("the collection {name} has version {version}, and would keep it\n"),
        (_, None) => format!("the collection {name} is not served, and would not be\n"),
    }
}

/// What a purge would come to.
pub fn stock(name: &Name, Stock { items, held }: &Stock) -> String {
    let refused = if *held > 0 { format!(", and be refused: {held} are held") } else { String::new() };
    format!("nothing was changed; a purge of {name} would remove {}{refused}\n", counted(*items))
}

/// How far a purge is.
pub fn purging(name: &Name, Purging { state, done, removed, held }: &Purging) -> String {
    let kept = if *held > 0 { format!(", {held} are held and stay") } else { String::new() };
    format!("the collection {name} is {state}: done in {done} shards, {} removed{kept}\n", counted(*removed))
}

fn counted(items: u64) -> String {
    if items == 1 { "1 item".to_owned() } else { format!("{items} items") }
}

/// Versions, each with what is different from the one before.
pub fn history(history: &History) -> String {
    let versions = &history.versions;
    let width = versions.iter().map(|it| it.version.len()).max().unwrap_or(0);
    let indent = " ".repeat(width + 2);
    let earlier = versions.iter().skip(1).map(Some).chain([None]);
    let told = versions.iter().zip(earlier).map(|(version, earlier)| {
        let Defined { version: number, changed, origin, .. } = version;
        let (state, lines) = step(earlier, version);
        format!("{number:width$}  {changed}  {origin}{state}\n{}", below(&indent, lines))
    });
    told.collect()
}

/// What has become of a definition from one version to the next. Of the earliest that is kept, all is told.
fn step(earlier: Option<&Defined>, version: &Defined) -> (&'static str, Vec<String>) {
    match earlier {
        _ if version.retired => (", retired", Vec::new()),
        None => ("", explain::flat(&version.definition)),
        Some(earlier) if earlier.retired => {
            (", served again", difference(Some(&earlier.definition), &version.definition))
        }
        Some(earlier) => ("", difference(Some(&earlier.definition), &version.definition)),
    }
}
