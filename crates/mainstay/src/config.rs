//! The configuration: one typed value, checked in full before anything starts.
//!
//! Each part of the program owns the struct of its section; this module owns how they are found, layered,
//! checked and explained. A [`Loaded`] configuration is right: every reference is resolved, every value is in
//! range. Whatever is wrong is in [`Findings`], all at once, each with its place.
//!
//! Nothing else in the program reads files or variables to configure itself.

mod assign;
pub mod check;
pub mod diagnostic;
pub(crate) mod directory;
pub mod document;
mod entries;
pub mod explain;
pub(crate) mod file;
pub mod layers;
mod mask;
pub mod names;
pub mod reference;
pub mod request;
pub mod schema;
pub mod schemas;
pub mod secret;
pub mod source;
pub mod tcp;
pub mod tree;
pub mod value;
mod yaml;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_path_to_error::Segment;

use mainstay_base::id::{Name, NodeId, Tenant};
use mainstay_base::switch::Switch;
use mainstay_gateway::config::{Route, Settings};
use mainstay_gateway::proxy_protocol;
use mainstay_log::Durability;
use mainstay_machine::settings::{Limits, Retention};
use mainstay_machine::task::Declare;
use mainstay_machine::{Collection, definition};
use mainstay_resilience::fault::Faults;
use mainstay_resilience::policy::Policy;
use mainstay_upstream::Config as Service;

pub use diagnostic::{Diagnostic, Findings};
pub use request::Request;
use schema::Schema;
use secret::Rule;
use source::{Origin, Sources};
use tree::{Node as Tree, Value};
use value::{Address, FilePath, Place, Reference, Secret};

use crate::shards::config::{Backups, Inbox, Snapshots, Store};
use crate::tls;

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
    /// The log that everything durable goes through.
    pub log: crate::log::Config,
    /// How many shards the data is divided into, each with an order of commits of its own. One core serves several, and more
    /// nodes than shards have nothing to do: the default leaves room to grow. Needs a restart to change, and
    /// is fixed once the data directory is made, since every item's shard follows from it.
    #[schemars(range(min = 1, max = 256))]
    pub shards: u32,
    /// The collections of items, by name. An empty mapping (`carts: {}`) is a collection with the defaults. One that is taken out
    /// is not served any more; its items stay, and are there again when it is.
    pub collections: BTreeMap<Name, Collection>,
    /// How large commits and what they leave behind may be.
    pub limits: Limits,
    /// How long a repeated request gets the answer of the first.
    pub idempotency: Retention,
    /// The requests that wait for a shard, fair between tenants.
    pub inbox: Inbox,
    /// The rows that the log has made: derived from it, and made again from it when they are lost.
    pub store: Store,
    /// The gateway: how it treats its clients.
    pub gateway: Settings,
    /// Policies by name: what guards calls to services. `default` guards where none is named.
    pub policies: BTreeMap<Name, Policy>,
    /// The application's services, by name.
    pub services: BTreeMap<Name, Service>,
    /// Which requests the gateway sends to which service. Their order does not count.
    pub routes: Vec<Route>,
    /// Whether faults may be injected, by routes and by `/v1/faults`: `refused` or `allowed`. By default `refused`: where users are served it takes a decision. Needs a restart
    /// to change.
    pub faults: Faults,
    /// Copies of a shard's rows, from which a store is made again and with which the log is trimmed.
    pub snapshots: Snapshots,
    /// Copies to restore from, best kept where the loss of the data directory does not reach them.
    pub backups: Backups,
    /// The object store that places such as `s3://bucket/prefix` are in: AWS S3, or another that speaks its protocol.
    pub s3: crate::s3::Config,
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
            log: crate::log::Config::default(),
            shards: 16,
            collections: BTreeMap::new(),
            limits: Limits::default(),
            idempotency: Retention::default(),
            inbox: Inbox::default(),
            store: Store::default(),
            gateway: Settings::default(),
            policies: BTreeMap::new(),
            services: BTreeMap::new(),
            routes: Vec::new(),
            faults: Faults::Refused,
            snapshots: Snapshots::default(),
            backups: Backups::default(),
            s3: crate::s3::Config::default(),
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
    /// The zone that it is in: calls go to endpoints of the same zone, as long as most of them take calls. By default zones are of no account. Needs a restart to change.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone: Option<Name>,
}

impl Default for Node {
    fn default() -> Self {
        Self { id: "n1".parse().expect("a valid name"), zone: None }
    }
}

/// The `listen` section.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Listen {
    /// Where the API listens. Loopback, unless `api.token` is set: whoever reaches the API operates the node.
    /// Port 0 lets the system choose; the log and the lock file name the port. Needs a restart to change.
    pub api: Address,
    /// Where the gateway listens for the application's clients, at most 64 addresses. By default nowhere.
    pub gateway: Vec<Listener>,
    /// Where connections come in that are passed on as they are, whatever they speak: databases, mail, TLS that a service ends. At most 64 addresses together with those of `gateway`. By default nowhere.
    pub tcp: Vec<tcp::Listener>,
}

/// A listener of the gateway.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Listener {
    /// Its address. Port 0 lets the system choose; the log names the port.
    pub address: Address,
    /// Its name, unique among these, by which routes (`match.listeners`) and programs (`run.gateway`) name it. By default it has none, and takes requests of routes that are for any listener.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Name>,
    /// TLS, with HTTP/2 or HTTP/1.1 over it. By default the listener speaks HTTP in the clear.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<tls::Config>,
    /// The PROXY protocol, version 2, by which a balancer says whom a connection is from. By default the listener does not speak it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy_protocol: Option<proxy_protocol::Config>,
}

impl Default for Listen {
    fn default() -> Self {
        Self { api: Address::loopback(7070), gateway: Vec::new(), tcp: Vec::new() }
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

impl Loaded {
    /// The collections that it defines, and where.
    pub fn declare(&self) -> Declare {
        let sources = self.findings.sources();
        let written = self.tree.entry("collections");
        let source = |name: &Name| {
            let entry = written.and_then(|all| all.node.entry(name.as_str()));
            let (file, line) = sources.file_line(entry.map_or(Origin::DEFAULT, |entry| entry.key_origin));
            definition::Source { file, line }
        };
        let all =
            self.config.collections.iter().map(|(name, collection)| {
                ((Tenant::DEFAULT, name.clone()), (collection.clone(), source(name)))
            });
        Declare { collections: all.collect(), ..Declare::default() }
    }
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
        if let Some((message, help)) = directory::problem(self.data.as_path()) {
            broken.push(Broken { path: &["data"], message, help });
        }
        let (linger, drain) = (self.shutdown.linger, self.shutdown.drain);
        if linger > drain {
            let default = linger == crate::life::Config::default().linger;
            broken.push(Broken {
                path: if default { &["shutdown", "drain"] } else { &["shutdown", "linger"] },
                message: format!("`linger` ({linger}) is part of `drain` ({drain}) and longer"),
                help: format!("let `shutdown.linger` be at most {drain}, or drain longer"),
            });
        }
        broken.extend(self.log.broken_rules());
        broken.extend(self.api.broken_rules());
        broken.extend(crate::shards::config::broken_rules(self));
        broken.extend(self.s3.broken_rules());
        broken
    }

    /// Every secret with its path and what it must be like.
    fn secrets(&mut self) -> Vec<(Vec<String>, &mut Secret, Rule)> {
        let (of_api, of_store) = (Rule::header(crate::api::TOKEN_CHARS_MIN), Rule::header(1));
        let found = [
            (["api", "token"], &mut self.api.token, of_api),
            (["s3", "access_key"], &mut self.s3.access_key, of_store),
            (["s3", "secret_key"], &mut self.s3.secret_key, of_store),
            (["s3", "session_token"], &mut self.s3.session_token, of_store),
        ];
        let given = found.into_iter().filter_map(|(path, secret, rule)| {
            Some((path.map(str::to_owned).to_vec(), secret.as_mut()?, rule))
        });
        let keys = self.listen.tls_mut().flat_map(|(path, section)| {
            section.secrets().enumerate().map(move |(key, (secret, rule))| {
                let rest = ["certificates", &key.to_string(), "key"].map(str::to_owned);
                (path.iter().cloned().chain(rest).collect(), secret, rule)
            })
        });
        let services = self.services.iter_mut().filter_map(|(name, service)| {
            let Switch::On(tls) = &mut service.tls else { return None };
            let path = ["services", name.as_str(), "tls", "key"].map(str::to_owned).to_vec();
            Some((path, tls.key.as_mut()?, Rule::document()))
        });
        given.chain(keys).chain(services).collect()
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
        let durability = |config: &Self| Durability::from(config.log.durability);
        let workers = |config: &Self| {
            config.gateway.workers.map_or_else(|| "one for each core".to_owned(), |it| it.to_string())
        };
        compare("gateway.workers", &workers(self), &workers(next));
        let faults = |config: &Self| match config.faults {
            Faults::Refused => "refused",
            Faults::Allowed => "allowed",
        };
        compare("faults", &faults(self), &faults(next));
        compare("log.durability", &durability(self), &durability(next));
        compare("log.pin_bytes_max", &self.log.pin_bytes_max, &next.log.pin_bytes_max);
        let format = |config: &Self| config.telemetry.logs.format;
        compare("telemetry.logs.format", &format(self), &format(next));
        compare("shards", &self.shards, &next.shards);
        compare("inbox.waiting_max", &self.inbox.waiting_max, &next.inbox.waiting_max);
        compare("inbox.size_max", &self.inbox.size_max, &next.inbox.size_max);
        for ((key, now), (_, next)) in self.store.options().into_iter().zip(next.store.options()) {
            compare(&format!("store.{key}"), &now, &next);
        }
        let shown = |to: &Option<Place>| to.as_ref().map_or_else(|| "in `data`".to_owned(), Place::to_string);
        for ((key, now), (_, next)) in self.s3.options().into_iter().zip(next.s3.options()) {
            compare(&format!("s3.{key}"), &now, &next);
        }
        compare("snapshots.to", &shown(&self.snapshots.to), &shown(&next.snapshots.to));
        compare("backups.to", &shown(&self.backups.to), &shown(&next.backups.to));
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
    /// The files that were read, in the order of their layers.
    pub files: Vec<PathBuf>,
    /// The request with what it left open decided: the file that was found and the environment. What is loaded
    /// from it again misses that file rather than falling back to the defaults without it.
    pub request: Request,
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
    for layer in &layers.trees {
        diagnostics.extend(check::layer(&schema, layer, &sources));
    }
    diagnostics.extend(entries::nothing_to_take_back(schema.root(), &layers.trees));
    let mut findings = Findings::new(sources, diagnostics);
    if findings.errors() > 0 {
        return Err(findings);
    }
    let tree = effective(&schema, layers.trees, findings.sources());
    match typed(&schema, &tree, request, findings.sources()) {
        Ok((config, warnings)) => {
            findings.add(warnings);
            let request = Request { file: layers.file, env: layers.env.clone(), ..request.clone() };
            Ok(Loaded { config, tree, findings, env: layers.env, files: layers.files, request })
        }
        Err(diagnostics) => {
            findings.add(diagnostics);
            Err(findings)
        }
    }
}

/// The layers laid over the defaults.
fn effective(schema: &Schema, layers: Vec<Tree>, sources: &Sources) -> Tree {
    let mut written = Tree::empty(Origin::DEFAULT);
    for layer in layers {
        written.merge(layer);
    }
    let defaults = serde_json::to_value(Config::default()).expect("the defaults are plain data");
    let mut tree = Tree::from_json(&defaults, Origin::DEFAULT);
    tree.merge(written.without_nulls(schema.root()));
    entries::with_defaults(&mut tree, schema.root());
    resolve_paths(&mut tree, schema.root(), sources);
    tree
}

/// The typed value of a tree, with its secrets loaded and the files that it names read, and what is odd in it.
fn typed(
    schema: &Schema,
    tree: &Tree,
    request: &Request,
    sources: &Sources,
) -> Result<(Config, Vec<Diagnostic>), Vec<Diagnostic>> {
    let missing = check::merged(schema, tree, sources);
    if !missing.is_empty() {
        return Err(missing);
    }
    let mut config: Config = deserialize(tree)?;
    let at = |path: &[&str]| tree.follow(path.iter().copied()).0.origin;
    let mut found: Vec<_> = config
        .broken_rules()
        .into_iter()
        .map(|it| Diagnostic::error(at(it.path), tree::display_path(it.path), it.message).help(it.help))
        .collect();
    let placed = |path: &[String], message: String, help: Option<String>| {
        let keys: Vec<_> = path.iter().map(String::as_str).collect();
        help.into_iter().fold(Diagnostic::error(at(&keys), tree.display(path), message), Diagnostic::help)
    };
    found
        .extend(crate::gateway::misfits(&config).into_iter().map(|it| placed(&it.path, it.message, it.help)));
    for (path, secret, rule) in config.secrets() {
        match secret::read(secret.reference(), request, rule) {
            Ok(value) => secret.load(&value),
            Err((message, help)) => found.push(placed(&path, message, Some(help))),
        }
    }
    let (mistakes, odd) = crate::gateway::read_certificates(&mut config);
    found.extend(mistakes.into_iter().map(|it| placed(&it.path, it.message, it.help)));
    let warnings = odd.into_iter().map(|it| placed(&it.path, it.message, it.help).warning()).collect();
    for (name, collection) in &mut config.collections {
        if let Err((message, help)) = schemas::read(collection, Path::new("")) {
            let path = ["collections", name.as_str(), "schema", "file"];
            found.push(Diagnostic::error(at(&path), tree::display_path(&path), message).help(help));
        }
    }
    if found.is_empty() { Ok((config, warnings)) } else { Err(found) }
}

/// The value of type `T` that a tree is. What a type refuses though its schema does not is refused at its place.
fn deserialize<T: serde::de::DeserializeOwned>(tree: &Tree) -> Result<T, Vec<Diagnostic>> {
    serde_path_to_error::deserialize(tree.to_json()).map_err(|error| {
        let segments = error.path().iter().filter_map(|segment| match segment {
            Segment::Seq { index } => Some(index.to_string()),
            Segment::Map { key } => Some(key.clone()),
            Segment::Enum { .. } | Segment::Unknown => None,
        });
        let path: Vec<_> = segments.collect();
        let at = tree.follow(path.iter().map(String::as_str)).0.origin;
        vec![Diagnostic::error(at, tree.display(&path), error.inner().to_string())]
    })
}

/// Makes relative paths start from the directory of the source that they were written in.
fn resolve_paths(node: &mut Tree, schema: &serde_json::Value, sources: &Sources) {
    let base = sources.of(node.origin).base.clone();
    let title = schema.get("title").and_then(serde_json::Value::as_str);
    match &mut node.value {
        Value::String(text) if title == Some("Path") => *text = joined(&base, text),
        Value::String(text) if title == Some("Place") => {
            if let Ok(Place::Folder(_)) = text.parse() {
                *text = joined(&base, text);
            }
        }
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
                if let Some(inner) = schema::each(schema) {
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
