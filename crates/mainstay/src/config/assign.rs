//! Layers of one value: a variable `MAINSTAY__A__B=value`, an argument `--set a.b=value`.

use std::collections::HashSet;
use std::ops::Range;
use std::path::Path;

use mainstay_base::id::Name;

use super::diagnostic::Diagnostic;
use super::layers::{ENV_VARIABLE, Layers};
use super::mask;
use super::request::Request;
use super::schema::{self, Schema};
use super::source::{Kind, Origin, Source};
use super::tree::{self, Entry, Node, Value};
use super::value::Reference;
use super::yaml::{self, Parsed};

/// Starts the name of every variable that sets a value.
const PREFIX: &str = "MAINSTAY__";
/// Starts the name of variables that someone may have meant to set a value.
const NEAR_PREFIX: &str = "MAINSTAY_";

/// The variable that sets the value at `path`.
pub fn variable_for<S: AsRef<str>>(path: impl IntoIterator<Item = S>) -> String {
    let keys: Vec<_> = path.into_iter().map(|key| key.as_ref().to_uppercase()).collect();
    format!("{PREFIX}{}", keys.join("__"))
}

/// Adds a layer for each variable that sets a value.
pub fn variables(layers: &mut Layers<'_>, request: &Request) {
    let own = |name: &[u8]| name.starts_with(PREFIX.as_bytes());
    for (name, value) in request.variables.iter().filter(|(name, _)| own(name.as_encoded_bytes())) {
        let shown = name.to_string_lossy();
        match (name.to_str(), value.to_str()) {
            (Some(name), Some(value)) => variable(layers, name, value, &request.directory),
            (Some(_), None) => {
                let it = layers.about(&shown, &shown, "the value is not UTF-8");
                layers.diagnostics.push(it);
            }
            (None, _) => {
                let it = layers.about(&shown, &shown, "the name of this variable is not UTF-8");
                layers.diagnostics.push(it);
            }
        }
    }
}

fn variable(layers: &mut Layers<'_>, name: &str, value: &str, base: &Path) {
    let value_at = name.len() + 1;
    let source = Source::new(Kind::Environment, name, format!("{name}={value}"), base);
    let source = layers.sources.add(source.assigning(value_at));
    let mut at = PREFIX.len();
    let mut keys = Vec::new();
    for part in name[at..].split("__") {
        keys.push((part.to_lowercase(), layers.sources.origin(source, at..at + part.len())));
        at += part.len() + "__".len();
    }
    assign(layers, source, &keys, value_at);
}

/// Adds the layer of one `--set`.
pub fn argument(layers: &mut Layers<'_>, text: &str, base: &Path) {
    let set = |text: &str| Source::new(Kind::Argument, "--set", text, base);
    match argument_path(text) {
        Some((keys, value_at)) => {
            let source = layers.sources.add(set(text).assigning(value_at));
            let key =
                |range: Range<usize>| (text[range.clone()].to_owned(), layers.sources.origin(source, range));
            let keys: Vec<_> = keys.into_iter().map(key).collect();
            assign(layers, source, &keys, value_at);
        }
        None => {
            // What stands behind the first equals sign may be a secret wherever the mistake is.
            let shown = text.split('=').next().unwrap_or_default();
            let source = layers.sources.add(set(shown));
            let unread = Parsed { broken: true, ..Parsed::default() };
            layers.sources.hide(source, mask::hidden(layers.schema, shown, 0, &unread));
            let origin = layers.sources.origin(source, 0..shown.len());
            let it = Diagnostic::error(origin, "", "this is not an assignment");
            layers.diagnostics.push(it.expected("`key.key=value`"));
        }
    }
}

/// The places of the keys of `a."b.c"=value` and where the value begins.
fn argument_path(text: &str) -> Option<(Vec<Range<usize>>, usize)> {
    let mut keys = Vec::new();
    let mut at = 0;
    loop {
        let rest = &text[at..];
        let (key, end) = if let Some(quoted) = rest.strip_prefix('"') {
            let length = quoted.find('"')?;
            (at + 1..at + 1 + length, at + length + 2)
        } else {
            let length = rest.find(['.', '='])?;
            (at..at + length, at + length)
        };
        if key.is_empty() {
            return None;
        }
        keys.push(key);
        match text[end..].bytes().next()? {
            b'=' => return Some((keys, end + 1)),
            b'.' => at = end + 1,
            _ => return None,
        }
    }
}

/// Adds a layer that holds one value. Where the schema wants text, the value is text as written: a shell has no
/// good way to write YAML's quotes. Who writes them all the same means them.
fn assign(layers: &mut Layers<'_>, source: usize, keys: &[(String, Origin)], value_at: usize) {
    let whole = layers.sources.origin(source, value_at..usize::MAX);
    let raw = layers.sources.raw(whole);
    let as_written = |value| Node { value, origin: whole };
    let wanted = layers.schema.at(keys.iter().map(|(key, _)| key.as_str()));
    let takes_text = wanted.is_none_or(|it| takes_text(it) && !raw.starts_with(['"', '\'']));
    let mut parsed =
        if takes_text { Parsed::default() } else { yaml::parse(&layers.sources, source, value_at) };
    let node = match parsed.node.take() {
        _ if raw.is_empty() => as_written(Value::Null),
        Some(node) => node,
        None => as_written(Value::String(raw.to_owned())),
    };
    let tree = keys.iter().rev().fold(node, |node, (key, key_origin)| Node {
        value: Value::Map(vec![Entry { key: key.clone(), key_origin: *key_origin, node }]),
        origin: whole,
    });
    parsed.node = Some(tree);
    let text = layers.sources.raw(layers.sources.origin(source, 0..usize::MAX));
    let hidden = mask::hidden(layers.schema, text, value_at, &parsed);
    layers.sources.hide(source, hidden);
    layers.diagnostics.extend(parsed.diagnostics);
    layers.trees.extend(parsed.node.filter(|_| !parsed.broken));
}

fn takes_text(schema: &serde_json::Value) -> bool {
    schema.get("type").is_some_and(|it| it == "string") || schema::words(schema).is_some()
}

/// Warns of variables whose name is that of a value but for an underscore. Other names that begin like ours
/// belong to someone else, and so do those that a reference uses.
pub fn near_misses(layers: &mut Layers<'_>, request: &Request) {
    let mut used = HashSet::new();
    for tree in &layers.trees {
        collect_references(tree, &mut used);
    }
    let known = paths(layers.schema);
    for (name, _) in &request.variables {
        let Some(name) = name.to_str().filter(|it| *it != ENV_VARIABLE && !used.contains(*it)) else {
            continue;
        };
        let Some(rest) = name.strip_prefix(NEAR_PREFIX).filter(|it| !it.starts_with('_')) else { continue };
        let folded = rest.to_lowercase().replace("__", "_");
        let Some(path) = known.iter().find_map(|path| meant(path, &folded)) else { continue };
        let message = format!("the variable {name} sets nothing");
        let it = layers.about(name, name, message).warning();
        let help = format!("to set `{}` name it {}", tree::display_path(&path), variable_for(&path));
        layers.diagnostics.push(it.help(help));
    }
}

/// The path with the key that a user chose, if the keys with an underscore between them are `folded`.
fn meant(path: &[&str], folded: &str) -> Option<Vec<String>> {
    let owned = |keys: &[&str]| keys.iter().map(|key| (*key).to_owned()).collect::<Vec<_>>();
    let Some(at) = path.iter().position(|key| *key == schema::FREE) else {
        return (path.join("_") == folded).then(|| owned(path));
    };
    let (before, after) = (path[..at].join("_"), path[at + 1..].join("_"));
    let name = folded.strip_prefix(&before)?.strip_prefix('_')?.strip_suffix(&after)?.strip_suffix('_')?;
    name.parse::<Name>().ok()?;
    Some([owned(&path[..at]), vec![name.to_owned()], owned(&path[at + 1..])].concat())
}

/// The variables that are named by references in the tree.
fn collect_references(node: &Node, found: &mut HashSet<String>) {
    match &node.value {
        Value::String(text) => {
            if let Ok(Reference::Environment(name)) = text.parse() {
                found.insert(name);
            }
        }
        Value::List(items) => items.iter().for_each(|item| collect_references(item, found)),
        Value::Map(entries) => entries.iter().for_each(|entry| collect_references(&entry.node, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// The paths of all single values that the schema names.
fn paths(schema: &Schema) -> Vec<Vec<&str>> {
    fn walk<'a>(schema: &'a serde_json::Value, path: &mut Vec<&'a str>, found: &mut Vec<Vec<&'a str>>) {
        let members = schema::members(schema);
        if members.is_empty() {
            found.push(path.clone());
        }
        for (name, inner) in members {
            path.push(name);
            walk(inner, path, found);
            path.pop();
        }
    }
    let mut found = Vec::new();
    walk(schema.root(), &mut Vec::new(), &mut found);
    found
}
