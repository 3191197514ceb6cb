//! The configuration: one typed value, checked in full before anything starts.
//!
//! Each part of the program owns the struct of its section; this module owns how they are found, layered,
//! checked and explained. A [`Loaded`] configuration is right: every reference is resolved, every value is in
//! range. Whatever is wrong is in [`Findings`], all at once, each with its place.
//!
//! Nothing else in the program reads files or variables to configure itself.

pub mod check;
pub mod diagnostic;
pub mod explain;
pub mod layers;
pub mod names;
pub mod reference;
pub mod schema;
pub mod source;
pub mod tree;
pub mod value;
mod yaml;

use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use mainstay_base::id::NodeId;

pub use diagnostic::{Diagnostic, Findings};
pub use layers::Request;
use schema::Schema;
use source::{Origin, Sources};
use tree::{Node as Tree, Value};
use value::{Address, FilePath, Reference, Secret};

/// The configuration of one Mainstay node. An empty file is valid: a single node on loopback.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The directory of this node. It is made if it does not exist and locked while the node runs, so that
    /// two processes never share one. A relative path starts from the directory of the configuration file.
    /// Needs a restart to change.
    pub data: FilePath,
    /// What this node is.
    pub node: Node,
    /// What it listens on.
    pub listen: Listen,
    /// The API: building blocks and operations.
    pub api: crate::api::Config,
    /// What it tells about itself.
    pub telemetry: crate::telemetry::Config,
    /// How it stops.
    pub shutdown: crate::life::Config,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data: FilePath::new("./data"),
            node: Node::default(),
            listen: Listen::default(),
            api: crate::api::Config::default(),
            telemetry: crate::telemetry::Config::default(),
            shutdown: crate::life::Config::default(),
        }
    }
}

/// The `node` section.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Node {
    /// The node's name in logs, metrics and errors; unique among the nodes of one system. Needs a restart to
    /// change.
    pub id: NodeId,
}

impl Default for Node {
    fn default() -> Self {
        Self { id: "n1".parse().expect("a valid name") }
    }
}

/// The `listen` section.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Listen {
    /// Where the API listens. Loopback, unless `api.token` is set: whoever reaches the API operates the node.
    /// Port 0 lets the system choose; the log and the lock file name the port. Needs a restart to change.
    pub api: Address,
}

impl Default for Listen {
    fn default() -> Self {
        Self { api: Address::loopback(7070) }
    }
}

/// A rule that spans more than one value and is broken.
#[derive(Debug, PartialEq)]
pub struct Broken {
    /// The key to point at.
    pub path: &'static [&'static str],
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub help: String,
}

impl Config {
    /// The rules that the types cannot state.
    fn broken_rules(&self) -> Vec<Broken> {
        let mut broken = Vec::new();
        if !self.listen.api.socket().ip().is_loopback() && self.api.token.is_none() {
            broken.push(Broken {
                path: &["listen", "api"],
                message: format!("{} is open to other machines without authentication", self.listen.api),
                help: "set `api.token` to a secret that callers must send, or listen on 127.0.0.1".into(),
            });
        }
        if std::fs::metadata(self.data.as_path()).is_ok_and(|it| !it.is_dir()) {
            broken.push(Broken {
                path: &["data"],
                message: format!("{} exists and is not a directory", self.data),
                help: "name a directory; it is made if it does not exist".into(),
            });
        }
        broken.extend(self.api.broken_rules());
        broken
    }

    /// Every secret with its path and its shortest length in characters.
    fn secrets(&mut self) -> Vec<(&'static [&'static str], &mut Secret, usize)> {
        let token = self.api.token.as_mut();
        token.map(|it| (["api", "token"].as_slice(), it, crate::api::TOKEN_CHARS_MIN)).into_iter().collect()
    }

    /// The keys that differ in `next` and that a running process cannot change.
    pub fn needs_restart(&self, next: &Self) -> Vec<String> {
        let mut keys = Vec::new();
        let mut compare = |key: &str, now: &dyn ToString, next: &dyn ToString| {
            let (now, next) = (now.to_string(), next.to_string());
            if now != next {
                keys.push(format!("`{key}` ({now} -> {next})"));
            }
        };
        compare("data", &self.data, &next.data);
        compare("node.id", &self.node.id, &next.node.id);
        compare("listen.api", &self.listen.api, &next.listen.api);
        let format = |config: &Self| config.telemetry.logs.format;
        compare("telemetry.logs.format", &format(self), &format(next));
        keys
    }
}

/// A configuration that is right, and where each of its values came from.
#[derive(Debug)]
pub struct Loaded {
    /// The values.
    pub config: Config,
    /// The values with their places, defaults included.
    pub tree: Tree,
    /// Warnings, and the texts that `tree` points into.
    pub findings: Findings,
    /// The environment whose layer was used.
    pub env: Option<String>,
}

/// The schema that configurations are checked against.
pub fn schema() -> Schema {
    Schema::of::<Config>()
}

/// Reads, layers and checks. The error holds every mistake that was found.
pub fn load(request: &Request) -> Result<Loaded, Findings> {
    let schema = schema();
    let layers = layers::read(request, &schema);
    let (sources, mut diagnostics) = (layers.sources, layers.diagnostics);
    let defaults = serde_json::to_value(Config::default()).expect("the defaults are plain data");
    let mut tree = Tree::from_json(&defaults, Origin::DEFAULT);
    for layer in layers.trees {
        diagnostics.extend(check::layer(&schema, &layer, &sources));
        tree.merge(layer);
    }
    if diagnostics.iter().all(|it| it.severity == diagnostic::Severity::Warning) {
        diagnostics.extend(check::merged(&schema, &tree, &sources));
    }
    resolve_paths(&mut tree, schema.root(), &sources);
    let mut findings = Findings::new(sources, diagnostics);
    if findings.errors() > 0 {
        return Err(findings);
    }
    match typed(&tree, request) {
        Ok(config) => Ok(Loaded { config, tree, findings, env: layers.env }),
        Err(diagnostics) => {
            findings.add(diagnostics);
            Err(findings)
        }
    }
}

/// The typed value of a tree that fits the schema, with its secrets loaded.
fn typed(tree: &Tree, request: &Request) -> Result<Config, Vec<Diagnostic>> {
    let mut config: Config = serde_json::from_value(tree.to_json())
        .map_err(|error| vec![Diagnostic::error(tree.origin, "", error.to_string())])?;
    let at = |path: &[&str]| tree.follow(path.iter().copied()).0.origin;
    let mut found: Vec<_> = config
        .broken_rules()
        .into_iter()
        .map(|it| Diagnostic::error(at(it.path), tree::display_path(it.path), it.message).help(it.help))
        .collect();
    for (path, secret, chars_min) in config.secrets() {
        match read_secret(secret.reference(), request, chars_min) {
            Ok(value) => secret.load(&value),
            Err((message, help)) => {
                found.push(Diagnostic::error(at(path), tree::display_path(path), message).help(help));
            }
        }
    }
    if found.is_empty() { Ok(config) } else { Err(found) }
}

/// The value at a reference without its final line break, or what is wrong and what to do.
fn read_secret(
    reference: &Reference,
    request: &Request,
    chars_min: usize,
) -> Result<String, (String, String)> {
    let value = match reference {
        Reference::Environment(name) => request.variable(name).map(str::to_owned).ok_or_else(|| {
            let message = format!("the variable {name} is not set");
            (message, format!("export {name} for the process that starts Mainstay"))
        })?,
        Reference::File(path) => std::fs::read_to_string(path).map_err(|error| {
            let message = format!("{} cannot be read: {error}", path.display());
            (message, "relative paths start from the directory of the configuration file".to_owned())
        })?,
    };
    let value = value.strip_suffix('\n').unwrap_or(&value);
    let value = value.strip_suffix('\r').unwrap_or(value);
    let chars = value.chars().count();
    if chars < chars_min {
        let message =
            format!("the secret at {reference} has {chars} characters, at least {chars_min} are needed");
        return Err((message, "for example: `openssl rand -hex 32`".into()));
    }
    Ok(value.to_owned())
}

/// Makes relative paths start from the directory of the source that they were written in.
fn resolve_paths(node: &mut Tree, schema: &serde_json::Value, sources: &Sources) {
    let base = sources.of(node.origin).base.clone();
    let title = schema.get("title").and_then(serde_json::Value::as_str);
    match &mut node.value {
        Value::String(text) if title == Some("Path") => *text = joined(&base, text),
        Value::String(text) if title == Some("Secret") => {
            if let Ok(Reference::File(path)) = text.parse() {
                *text = Reference::File(joined(&base, &path.to_string_lossy()).into()).to_string();
            }
        }
        Value::Map(entries) => {
            for entry in entries {
                if let Some(inner) = schema::child(schema, &entry.key) {
                    resolve_paths(&mut entry.node, inner, sources);
                }
            }
        }
        Value::List(items) => {
            for item in items {
                if let Some(inner) = schema::child(schema, "0") {
                    resolve_paths(item, inner, sources);
                }
            }
        }
        _ => {}
    }
}

fn joined(base: &Path, path: &str) -> String {
    if Path::new(path).is_absolute() || base == Path::new(".") {
        return path.to_owned();
    }
    base.join(path.strip_prefix("./").unwrap_or(path)).display().to_string()
}

#[cfg(test)]
mod tests;
