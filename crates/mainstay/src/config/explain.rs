//! The effective configuration with the origin of every value; and plain values, written alike.

use std::path::Path;

use serde::Serialize;
use serde_json::Value as Json;

use super::Loaded;
use super::source::{Origin, Sources};
use super::tree::{Node, Value, display_path};

/// One value of the effective configuration.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Setting {
    /// The key, as in `--set`.
    pub path: String,
    /// The value. A secret is its reference.
    pub value: Json,
    /// Where it was set: `default`, `mainstay.yaml:3:7`, a variable's name or `--set`.
    pub origin: String,
}

/// Every value, in the order of the configuration.
pub fn settings(loaded: &Loaded) -> Vec<Setting> {
    let mut out = Vec::new();
    walk(&loaded.tree, loaded.findings.sources(), &mut Vec::new(), &mut out);
    out
}

/// The effective configuration as YAML whose comments name the origins. It is itself a valid configuration.
pub fn yaml(loaded: &Loaded) -> String {
    let mut lines = Vec::new();
    write(&loaded.tree, loaded.findings.sources(), 0, &mut lines);
    let width = lines.iter().filter(|(_, origin)| origin.is_some()).map(|(text, _)| text.chars().count());
    let width = width.max().unwrap_or(0).min(60);
    let mut out = String::new();
    for (text, origin) in &lines {
        match origin {
            Some(origin) => {
                let gap = width.saturating_sub(text.chars().count());
                out.push_str(&format!("{text}{}  # {origin}\n", " ".repeat(gap)));
            }
            None => out.push_str(&format!("{text}\n")),
        }
    }
    out
}

/// The lines of a mapping as YAML, of which nothing but the value is known.
pub fn lines(value: &Json) -> Vec<String> {
    let mut lines = Vec::new();
    let (tree, nowhere) = (Node::from_json(value, Origin::DEFAULT), Sources::new(Path::new(".")));
    write(&tree, &nowhere, 0, &mut lines);
    lines.into_iter().map(|(text, _)| text).collect()
}

/// Every value of a mapping on a line of its own, behind its whole path.
pub fn flat(value: &Json) -> Vec<String> {
    fn walk(value: &Json, path: &mut Vec<String>, lines: &mut Vec<String>) {
        match value {
            Json::Object(members) if !members.is_empty() => {
                for (key, inner) in members {
                    path.push(key.clone());
                    walk(inner, path, lines);
                    path.pop();
                }
            }
            value => lines.push(format!("{}: {}", display_path(path), flow(value))),
        }
    }
    let mut lines = Vec::new();
    walk(value, &mut Vec::new(), &mut lines);
    lines
}

fn walk(node: &Node, sources: &Sources, path: &mut Vec<String>, out: &mut Vec<Setting>) {
    match &node.value {
        Value::Map(entries) if !entries.is_empty() => {
            for entry in entries {
                path.push(entry.key.clone());
                walk(&entry.node, sources, path, out);
                path.pop();
            }
        }
        _ => out.push(Setting {
            path: display_path(path),
            value: node.to_json(),
            origin: sources.place(node.origin),
        }),
    }
}

/// Lines with the origin of the value they hold, if they hold one.
fn write(node: &Node, sources: &Sources, depth: usize, lines: &mut Vec<(String, Option<String>)>) {
    let indent = "  ".repeat(depth);
    for entry in node.entries() {
        let key = plain_or_quoted(&entry.key);
        match &entry.node.value {
            Value::Map(inner) if !inner.is_empty() => {
                lines.push((format!("{indent}{key}:"), None));
                write(&entry.node, sources, depth + 1, lines);
            }
            _ => {
                let value = flow(&entry.node.to_json());
                lines.push((format!("{indent}{key}: {value}"), Some(sources.place(entry.node.origin))));
            }
        }
    }
}

/// A value on one line of YAML.
fn flow(value: &Json) -> String {
    match value {
        Json::String(text) => plain_or_quoted(text),
        other => other.to_string(),
    }
}

/// Text as a plain scalar where that is unmistakable, else in JSON's quotes, which YAML reads alike.
fn plain_or_quoted(text: &str) -> String {
    let plain = text.starts_with(|it: char| it.is_ascii_alphanumeric() || it == '.' || it == '/')
        && text.chars().all(|it| it.is_ascii_alphanumeric() || "./:_-".contains(it))
        && !text.ends_with(':')
        && !matches!(text, "true" | "false" | "null" | "True" | "False" | "Null" | "TRUE" | "FALSE" | "NULL")
        && text.parse::<f64>().is_err()
        && !text.starts_with("0x")
        && !text.starts_with("0o");
    if plain { text.to_owned() } else { Json::String(text.to_owned()).to_string() }
}
