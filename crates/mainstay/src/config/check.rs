//! Everything that can be wrong with a tree of configuration, found in one pass.
//!
//! The JSON Schema decides about structure; the types' own parsers decide about text, because they say more
//! than "does not match the pattern". Both end as diagnostics at the place where the value was written.

use std::collections::HashSet;

use jsonschema::error::ValidationErrorKind as Violation;
use serde_json::Value as Json;

use mainstay_base::id::Name;
use mainstay_base::units::{Duration, Size};
use mainstay_gateway::network::Network;
use mainstay_machine::content::ContentType;

use super::diagnostic::Diagnostic;
use super::names;
use super::schema::{self, Schema};
use super::source::{Origin, Sources};
use super::tree::{self, Entry, Node, Value};
use super::value::{self, Address, FilePath, Secret};

/// Checks one layer: whatever is written must be right, whatever is missing may come from another layer.
pub fn layer(schema: &Schema, node: &Node, sources: &Sources) -> Vec<Diagnostic> {
    check(schema, node, sources, false)
}

/// Checks the merged layers: what is required must be there.
pub fn merged(schema: &Schema, node: &Node, sources: &Sources) -> Vec<Diagnostic> {
    check(schema, node, sources, true)
}

fn check(schema: &Schema, node: &Node, sources: &Sources, complete: bool) -> Vec<Diagnostic> {
    let json = node.to_json();
    let mut found = Vec::new();
    for violation in schema.violations(&json) {
        let pointer = violation.instance_path().to_string();
        let place = Place::new(schema, node, sources, tree::pointer_segments(&pointer));
        found.extend(place.explain(violation.kind(), complete));
    }
    Texts { sources, root: node, found: &mut found, path: Vec::new() }.check(schema.root(), node);
    found
}

/// The value a violation is about.
struct Place<'a> {
    schema: &'a Schema,
    sources: &'a Sources,
    root: &'a Node,
    segments: Vec<String>,
    node: &'a Node,
    /// The schema of the value at the place.
    own: Option<&'a Json>,
}

impl<'a> Place<'a> {
    fn new(schema: &'a Schema, root: &'a Node, sources: &'a Sources, segments: Vec<String>) -> Self {
        let node = root.follow(segments.iter().map(String::as_str)).0;
        let own = schema.at(segments.iter().map(String::as_str));
        Self { schema, sources, root, segments, node, own }
    }

    fn explain(&self, violation: &Violation, complete: bool) -> Vec<Diagnostic> {
        match violation {
            Violation::AdditionalProperties { unexpected } => {
                let unexpected: HashSet<_> = unexpected.iter().map(String::as_str).collect();
                let entries = self.node.entries().iter();
                let unknown = entries.filter(|entry| unexpected.contains(entry.key.as_str()));
                unknown.map(|entry| self.unknown_key(entry)).collect()
            }
            Violation::Required { property } if complete => {
                let message = format!("the key `{}` is missing", schema::bare(property));
                vec![self.error(message)]
            }
            Violation::Required { .. } => Vec::new(),
            Violation::Pattern { .. } | Violation::MinLength { .. } | Violation::MaxLength { .. }
                if self.own.is_some_and(|it| parser(it).is_some()) =>
            {
                Vec::new()
            }
            Violation::PropertyNames { error } => {
                let key = schema::bare(error.instance());
                let origin = self.node.entry(&key).map_or(self.node.origin, |it| it.key_origin);
                let message = match key.parse::<Name>() {
                    Err(error) => error.to_string(),
                    Ok(_) => format!("`{key}` is not a valid name here"),
                };
                vec![Diagnostic::error(origin, self.path(), message)]
            }
            _ => vec![self.mismatch()],
        }
    }

    fn unknown_key(&self, Entry { key, key_origin, .. }: &Entry) -> Diagnostic {
        let known = self.own.map(schema::property_names).unwrap_or_default();
        let nearest = names::nearest(key, known.iter().copied());
        let mut help = format!("known here: {}", known.join(", "));
        if nearest.is_none() {
            let elsewhere = places_of(self.schema.root(), key);
            if !elsewhere.is_empty() {
                help = format!("`{key}` belongs at {}", elsewhere.join(" or "));
            }
        }
        let mut segments = self.segments.clone();
        segments.push(key.clone());
        let it = Diagnostic::error(*key_origin, self.root.display(&segments), "unknown key");
        it.nearest(nearest).help(help)
    }

    /// A value of the wrong kind, or outside what is allowed.
    fn mismatch(&self) -> Diagnostic {
        let expected = self.own.map_or_else(|| "another kind of value".to_owned(), schema::expectation);
        if self.own.is_some_and(schema::is_secret) {
            return self.error("this is not a reference to a secret").expected(expected).help(SECRET_HELP);
        }
        let written = (!self.sources.hides(self.node.origin)).then(|| self.sources.text(self.node.origin));
        let found = match (&self.node.value, &written) {
            (Value::Null, _) => "nothing is written here".to_owned(),
            (Value::List(_), _) => "this is a list".to_owned(),
            (Value::Map(_), _) => "this is a mapping".to_owned(),
            (_, None) => HIDDEN.to_owned(),
            (_, Some(written)) => format!("`{written}` does not fit"),
        };
        let it = self.error(found).expected(expected);
        let Some(written) = written else { return it };
        let nearest = match (&self.node.value, self.own.and_then(schema::words)) {
            (Value::String(text), Some(words)) => names::nearest(text, words),
            _ => None,
        };
        let it = it.nearest(nearest);
        match self.remedy(&written) {
            Some(remedy) => it.help(remedy),
            None => it,
        }
    }

    /// What to write instead of a single value of the wrong kind.
    fn remedy(&self, written: &str) -> Option<String> {
        let own = self.own?;
        let text = |key: &str| own.get(key).and_then(Json::as_str);
        match (&self.node.value, text("type")?, text("title")) {
            (Value::String(_) | Value::Number(_) | Value::Bool(_), "array", _) => {
                Some(format!("write `[{written}]`"))
            }
            (Value::Number(_) | Value::Bool(_), "string", title) => Some(match title {
                Some("Duration" | "Size") if written.starts_with('-') => "it cannot be negative".to_owned(),
                Some("Duration") => format!("add a unit: `{written}ms` or `{written}s`"),
                Some("Size") => match written.parse().map(Size::from_bytes) {
                    // So many are hardly anything else than bytes.
                    Ok(bytes) if bytes >= Size::from_kib(64) => {
                        format!("add a unit: `{written}B` is {bytes}")
                    }
                    _ => format!("add a unit: `{written}KiB` or `{written}MiB`"),
                },
                _ => format!("quote it to make it text: \"{written}\""),
            }),
            _ => None,
        }
    }

    fn error(&self, message: impl Into<String>) -> Diagnostic {
        Diagnostic::error(self.node.origin, self.path(), message)
    }

    fn path(&self) -> String {
        self.root.display(&self.segments)
    }
}

/// Said of a value that is hidden.
const HIDDEN: &str = "the value does not fit";

const SECRET_HELP: &str =
    "keep the secret in a file or a variable and name it: `${file:secrets/token}` or `${env:API_TOKEN}`";

/// Walks tree and schema together and lets every text be judged by the parser of its type.
struct Texts<'a> {
    sources: &'a Sources,
    root: &'a Node,
    found: &'a mut Vec<Diagnostic>,
    path: Vec<String>,
}

impl Texts<'_> {
    fn check(&mut self, schema: &Json, node: &Node) {
        match &node.value {
            Value::String(text) => self.found.extend(self.problem(schema, text, node.origin)),
            Value::Map(entries) => {
                for entry in entries {
                    self.below(schema::child(schema, &entry.key), || entry.key.clone(), &entry.node);
                }
            }
            Value::List(items) => {
                for (index, item) in items.iter().enumerate() {
                    self.below(schema::each(schema), || index.to_string(), item);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn below(&mut self, schema: Option<&Json>, segment: impl FnOnce() -> String, node: &Node) {
        let Some(schema) = schema else { return };
        self.path.push(segment());
        self.check(schema, node);
        self.path.pop();
    }

    fn problem(&self, schema: &Json, text: &str, origin: Origin) -> Option<Diagnostic> {
        let path = || self.root.display(&self.path);
        let secret = schema::is_secret(schema);
        if !secret && (text.contains("${env:") || text.contains("${file:")) {
            let it = Diagnostic::error(origin, path(), "references are for secrets, and this is not one");
            let steps = self.root.steps(&self.path);
            let keys = steps.into_iter().take_while(|(_, is_index)| !is_index).map(|(key, _)| key);
            let variable = super::assign::variable_for(keys);
            return Some(it.help(format!("to set it from the environment use the variable {variable}")));
        }
        let problem = parser(schema)?(text).err()?;
        // A secret's parser never quotes it; any other quotes what an alias may have brought here.
        let problem = if secret || !self.sources.hides(origin) { problem } else { HIDDEN.to_owned() };
        let it = Diagnostic::error(origin, path(), problem).expected(schema::expectation(schema));
        Some(if secret { it.help(SECRET_HELP) } else { it })
    }
}

/// Reads text as one of the types; the error says what is wrong and never quotes a secret.
type Parser = fn(&str) -> Result<(), String>;

/// The parser of the type that a schema's title names.
fn parser(schema: &Json) -> Option<Parser> {
    fn parse<T: std::str::FromStr<Err: std::fmt::Display>>(text: &str) -> Result<(), String> {
        text.parse::<T>().map(drop).map_err(|error| error.to_string())
    }
    match schema.get("title")?.as_str()? {
        "Address" => Some(parse::<Address>),
        "Content type" => Some(parse::<ContentType>),
        "Duration" => Some(parse::<Duration>),
        "Name" => Some(parse::<Name>),
        "Network" => Some(parse::<Network>),
        "Path" => Some(parse::<FilePath>),
        "Place" => Some(parse::<value::Place>),
        "Secret" => Some(parse::<Secret>),
        "Size" => Some(parse::<Size>),
        "URL" => Some(parse::<value::Url>),
        _ => None,
    }
}

/// Every place in the schema where `key` is a known name, as paths.
fn places_of(root: &Json, key: &str) -> Vec<String> {
    fn walk<'a>(schema: &'a Json, key: &str, path: &mut Vec<&'a str>, found: &mut Vec<String>) {
        for (name, inner) in schema::members(schema) {
            path.push(name);
            if name == key {
                found.push(format!("`{}`", tree::display_path(path)));
            }
            walk(inner, key, path, found);
            path.pop();
        }
    }
    let mut found = Vec::new();
    walk(root, key, &mut Vec::new(), &mut found);
    found
}
