//! Which bytes of a configuration text are never shown.
//!
//! Decided from what was read, before anything is said about it, so that no message and no neighbour on the same
//! line can bring a secret out. Hidden are, by place:
//! - values whose schema is a secret, unless they are a reference as they should be;
//! - values under a key that is not known, unless a harmless key was clearly meant;
//! - a single value where a section belongs that holds a secret.
//!
//! And by name, where nothing was read (comments, inside of text, everything after a syntax error): what
//! follows a word that is, or is nearly, the name of a secret.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use serde_json::Value as Json;

use super::names;
use super::schema::{self, Schema};
use super::source::Origin;
use super::tree::{Node, Value};
use super::value::Reference;
use super::yaml::Parsed;

/// The hidden ranges of `text`, in which `parsed` was read from byte `from` on.
pub fn hidden(schema: &Schema, text: &str, from: usize, parsed: &Parsed) -> Vec<Range<usize>> {
    let mut duplicates: HashMap<Origin, Vec<&Node>> = HashMap::new();
    for (first, node) in &parsed.duplicates {
        duplicates.entry(*first).or_default().push(node);
    }
    let names = Names::of(schema.root());
    let mut mask = Mask { names, duplicates, keys: HashSet::new(), hidden: Vec::new() };
    if let Some(node) = &parsed.node {
        mask.value(Some(schema.root()), node);
    }
    for node in &parsed.refused {
        mask.value(None, node);
    }
    mask.words(text, from, parsed.broken);
    mask.hidden
}

/// The last words of the paths of a schema.
struct Names<'a> {
    secret: HashSet<&'a str>,
    harmless: HashSet<&'a str>,
}

impl<'a> Names<'a> {
    fn of(schema: &'a Json) -> Self {
        let mut names = Self { secret: HashSet::new(), harmless: HashSet::new() };
        names.collect(schema);
        names
    }

    fn collect(&mut self, schema: &'a Json) {
        for name in schema::property_names(schema) {
            let Some(inner) = schema::child(schema, name) else { continue };
            let secret = schema::is_secret(inner) || schema::each(inner).is_some_and(schema::is_secret);
            if secret {
                self.secret.insert(name)
            } else {
                self.harmless.insert(name)
            };
            self.collect(inner);
        }
        if let Some(each) = schema::each(schema) {
            self.collect(each);
        }
    }

    /// Whether `word` is nearly the name of a secret or contains one, as `api_token` does.
    fn like_secret(&self, word: &str) -> bool {
        let folded = word.to_lowercase();
        self.secret.iter().any(|name| folded.contains(name))
            || names::nearest(word, self.secret.iter().copied()).is_some()
    }

    fn like_harmless(&self, word: &str) -> bool {
        self.harmless.contains(word) || names::nearest(word, self.harmless.iter().copied()).is_some()
    }

    /// The schema of the value under `key`, or under the harmless key that was clearly meant.
    fn meant<'s>(&self, schema: &'s Json, key: &str) -> Option<&'s Json> {
        schema::child(schema, key).or_else(|| {
            let known = schema::property_names(schema);
            let nearest = names::nearest(key, known).filter(|_| !self.like_secret(key))?;
            schema::child(schema, &nearest)
        })
    }
}

struct Mask<'a> {
    names: Names<'a>,
    /// Values under a key that was there already, by the place of the first key.
    duplicates: HashMap<Origin, Vec<&'a Node>>,
    /// Where the keys that were read begin.
    keys: HashSet<usize>,
    hidden: Vec<Range<usize>>,
}

impl Mask<'_> {
    /// Hides what must be in `node`. A value without a schema might be anything.
    fn value(&mut self, schema: Option<&Json>, node: &Node) {
        let Some(schema) = schema else { return self.hidden.push(node.origin.range()) };
        match &node.value {
            Value::Null => {}
            _ if schema::is_secret(schema) => {
                let is_reference =
                    matches!(&node.value, Value::String(text) if text.parse::<Reference>().is_ok());
                if !is_reference {
                    self.hidden.push(node.origin.range());
                }
            }
            Value::Map(entries) => {
                for entry in entries {
                    self.keys.insert(entry.key_origin.range().start);
                    let meant = self.names.meant(schema, &entry.key);
                    self.value(meant, &entry.node);
                    for again in self.duplicates.remove(&entry.key_origin).unwrap_or_default() {
                        self.value(meant, again);
                    }
                }
            }
            Value::List(items) => {
                for item in items {
                    self.value(Some(schema::each(schema).unwrap_or(schema)), item);
                }
            }
            Value::Bool(_) | Value::Number(_) | Value::String(_) => {
                if schema::holds_secret(schema) {
                    self.hidden.push(node.origin.range());
                }
            }
        }
    }

    /// Hides what follows the name of a secret; with `strict`, also what follows a name that is not known.
    fn words(&mut self, text: &str, from: usize, strict: bool) {
        let mut hidden_to = from;
        for (at, _) in text.match_indices([':', '=']) {
            if at < hidden_to {
                continue;
            }
            let Some(word) = word_before(text, at) else { continue };
            // The place of a quoted key is that of its quote.
            if self.keys.contains(&word.start) || self.keys.contains(&word.start.saturating_sub(1)) {
                continue;
            }
            let name = &text[word.clone()];
            let is_key = text[at + 1..].chars().next().is_none_or(char::is_whitespace);
            if self.names.like_secret(name) || strict && is_key && !self.names.like_harmless(name) {
                hidden_to = value_end(text, word.start, at + 1);
                let space = text[at + 1..].len() - text[at + 1..].trim_start_matches([' ', '\t']).len();
                self.hidden.push(at + 1 + space..hidden_to);
            }
        }
    }
}

/// The word before the sign at `at`, which spaces and a closing quote may separate from it.
fn word_before(text: &str, at: usize) -> Option<Range<usize>> {
    let before = text[..at].trim_end_matches([' ', '\t']).trim_end_matches(['"', '\'']);
    let is_part = |it: char| it.is_alphanumeric() || it == '_' || it == '-';
    let start = before.trim_end_matches(is_part).len();
    let is_word = before[start..].starts_with(|it: char| it.is_alphabetic() || it == '_');
    is_word.then_some(start..before.len())
}

/// Where the value ends that begins at `at`, as far as this can be told without reading YAML: not before the end
/// of the line, of a quoted text, and of the lines that are indented deeper than the one with the key.
fn value_end(text: &str, key: usize, at: usize) -> usize {
    let line_end = |from: usize| text[from..].find('\n').map_or(text.len(), |length| from + length);
    let value = text[at..].trim_start_matches([' ', '\t']);
    let mut end = line_end(at);
    if let Some(quote) = value.chars().next().filter(|it| ['"', '\''].contains(it)) {
        let opened = text.len() - value.len() + 1;
        end = end.max(text[opened..].find(quote).map_or(text.len(), |length| line_end(opened + length)));
    }
    let indent = |line: &str| line.len() - line.trim_start_matches([' ', '\t', '-']).len();
    let line_start = text[..key].rfind('\n').map_or(0, |before| before + 1);
    let own = indent(&text[line_start..]);
    while end < text.len() {
        let next = &text[end + 1..line_end(end + 1)];
        if !next.trim().is_empty() && indent(next) <= own {
            break;
        }
        end += 1 + next.len();
    }
    end
}
