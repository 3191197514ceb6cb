//! A configuration as a tree whose every node knows where it was written.
//!
//! Layers are trees; [`Node::merge`] lays one over another. Mappings merge key by key and everything else
//! replaces, `null` too: it takes back what earlier layers say. Laid over the defaults is what remains
//! [`Node::without_nulls`], so that a key set to `null` is at its default.

use std::collections::HashMap;

use serde_json::Value as Json;

use super::schema;
use super::source::Origin;

/// A value and its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// The value.
    pub value: Value,
    /// Where it was written.
    pub origin: Origin,
}

/// The value of a [`Node`]; YAML's core schema without anything JSON cannot say.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// `null`, `~` or nothing at all.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// An integer or a finite float.
    Number(serde_json::Number),
    /// Text.
    String(String),
    /// A sequence.
    List(Vec<Node>),
    /// A mapping in the order it was written; keys are unique.
    Map(Vec<Entry>),
}

/// One key of a mapping.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// Where the key was written.
    pub key_origin: Origin,
    /// Its value.
    pub node: Node,
}

impl Node {
    /// An empty mapping at `origin`.
    pub fn empty(origin: Origin) -> Self {
        Self { value: Value::Map(Vec::new()), origin }
    }

    /// A tree of `json` in which every node has the same origin.
    pub fn from_json(json: &Json, origin: Origin) -> Self {
        let value = match json {
            Json::Null => Value::Null,
            Json::Bool(it) => Value::Bool(*it),
            Json::Number(it) => Value::Number(it.clone()),
            Json::String(it) => Value::String(it.clone()),
            Json::Array(items) => {
                Value::List(items.iter().map(|item| Self::from_json(item, origin)).collect())
            }
            Json::Object(members) => Value::Map(
                members
                    .iter()
                    .filter(|(_, value)| !value.is_null())
                    .map(|(key, value)| Entry {
                        key: key.clone(),
                        key_origin: origin,
                        node: Self::from_json(value, origin),
                    })
                    .collect(),
            ),
        };
        Self { value, origin }
    }

    /// The tree as JSON. Keys with a `null` value are left out.
    pub fn to_json(&self) -> Json {
        match &self.value {
            Value::Null => Json::Null,
            Value::Bool(it) => Json::Bool(*it),
            Value::Number(it) => Json::Number(it.clone()),
            Value::String(it) => Json::String(it.clone()),
            Value::List(items) => items.iter().map(Self::to_json).collect(),
            Value::Map(entries) => Json::Object(
                entries
                    .iter()
                    .filter(|entry| entry.node.value != Value::Null)
                    .map(|entry| (entry.key.clone(), entry.node.to_json()))
                    .collect(),
            ),
        }
    }

    /// The entries of a mapping; nothing for any other value.
    pub fn entries(&self) -> &[Entry] {
        match &self.value {
            Value::Map(entries) => entries,
            _ => &[],
        }
    }

    /// The entry under `key`, if this is a mapping that has it.
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries().iter().find(|entry| entry.key == key)
    }

    /// Follows `path` (mapping keys and list indexes) as far as it exists; returns the last node reached and
    /// whether that was the end of the path.
    pub fn follow<'a>(&self, path: impl IntoIterator<Item = &'a str>) -> (&Self, bool) {
        let mut node = self;
        for segment in path {
            let next = match &node.value {
                Value::Map(_) => node.entry(segment).map(|entry| &entry.node),
                Value::List(items) => segment.parse::<usize>().ok().and_then(|index| items.get(index)),
                _ => None,
            };
            let Some(next) = next else { return (node, false) };
            node = next;
        }
        (node, true)
    }

    /// The segments of a path into this tree, each with whether it is the index of a list.
    pub fn steps<'a, S: AsRef<str>>(&self, path: &'a [S]) -> Vec<(&'a str, bool)> {
        let parent = |depth: usize| self.follow(path[..depth].iter().map(AsRef::as_ref));
        let is_index = |depth| matches!(parent(depth), (Self { value: Value::List(_), .. }, true));
        path.iter().enumerate().map(|(depth, segment)| (segment.as_ref(), is_index(depth))).collect()
    }

    /// Writes a path into this tree as [`display_path`] does, with brackets around indexes.
    pub fn display<S: AsRef<str>>(&self, path: &[S]) -> String {
        let mut out = String::new();
        for (segment, is_index) in self.steps(path) {
            if is_index {
                out.push_str(&format!("[{segment}]"));
            } else {
                push_key(&mut out, segment);
            }
        }
        out
    }

    /// Lays `over` on top of this tree.
    pub fn merge(&mut self, over: Self) {
        let (Value::Map(under), Value::Map(_)) = (&mut self.value, &over.value) else {
            *self = over;
            return;
        };
        let Value::Map(over) = over.value else { return };
        let places: HashMap<String, usize> =
            under.iter().enumerate().map(|(at, entry)| (entry.key.clone(), at)).collect();
        for entry in over {
            match places.get(&entry.key) {
                Some(at) => under[*at].node.merge(entry.node),
                None => under.push(entry),
            }
        }
    }

    /// The tree without the keys whose value is `null`.
    pub fn without_nulls(mut self, schema: &Json) -> Self {
        if schema::is_verbatim(schema) {
            return self;
        }
        if let Value::Map(entries) = &mut self.value {
            let written = std::mem::take(entries).into_iter().filter(|entry| entry.node.value != Value::Null);
            let inner = |key: &str| schema::child(schema, key).unwrap_or(&Json::Null);
            *entries = written
                .map(|entry| Entry { node: entry.node.without_nulls(inner(&entry.key)), ..entry })
                .collect();
        }
        self
    }
}

/// Splits a JSON pointer into its segments, undoing `~0` and `~1`.
pub fn pointer_segments(pointer: &str) -> Vec<String> {
    pointer.split('/').skip(1).map(|it| it.replace("~1", "/").replace("~0", "~")).collect()
}

/// Writes a path of keys the way people write it in `--set`: dots between keys, quotes around keys that hold a dot.
pub fn display_path<S: AsRef<str>>(keys: &[S]) -> String {
    let mut out = String::new();
    keys.iter().for_each(|key| push_key(&mut out, key.as_ref()));
    out
}

fn push_key(out: &mut String, key: &str) {
    if !out.is_empty() {
        out.push('.');
    }
    if key.contains('.') {
        out.push_str(&format!("\"{key}\""));
    } else {
        out.push_str(key);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn tree(json: &Json) -> Node {
        Node::from_json(json, Origin::DEFAULT)
    }

    fn yaml_null(mut node: Node, key: &str) -> Node {
        let Value::Map(entries) = &mut node.value else { panic!("a mapping") };
        entries.push(Entry {
            key: key.into(),
            key_origin: Origin::DEFAULT,
            node: Node { value: Value::Null, origin: Origin::DEFAULT },
        });
        node
    }

    #[test]
    fn mappings_merge_and_everything_else_replaces() {
        let mut base = tree(&json!({"a": {"x": 1, "y": [1, 2]}, "b": "keep"}));
        base.merge(tree(&json!({"a": {"y": [3]}, "c": true})));
        assert_eq!(base.to_json(), json!({"a": {"x": 1, "y": [3]}, "b": "keep", "c": true}));
    }

    #[test]
    fn a_null_takes_back_what_earlier_layers_say() {
        let mut layers = tree(&json!({"a": {"x": 1}, "b": 2}));
        layers.merge(yaml_null(tree(&json!({})), "a"));
        let mut defaults = tree(&json!({"a": {"x": 0, "y": 0}, "b": 0}));
        defaults.merge(layers.clone().without_nulls(&Json::Null));
        assert_eq!(defaults.to_json(), json!({"a": {"x": 0, "y": 0}, "b": 2}));
        layers.merge(tree(&json!({"a": {"y": 3}})));
        defaults.merge(layers.without_nulls(&Json::Null));
        assert_eq!(defaults.to_json(), json!({"a": {"x": 0, "y": 3}, "b": 2}));
    }

    #[test]
    fn a_path_is_followed_as_far_as_it_exists() {
        let node = tree(&json!({"a": [{"b": 1}]}));
        assert!(node.follow(["a", "0", "b"]).1);
        let (reached, complete) = node.follow(["a", "0", "missing", "deeper"]);
        assert!(!complete);
        assert_eq!(reached.to_json(), json!({"b": 1}));
    }

    #[test]
    fn paths_are_written_as_people_write_them() {
        let node = tree(&json!({"services": {"orders.v2": {"endpoints": [{"to": 1}]}, "7": {}}}));
        let path = ["services", "orders.v2", "endpoints", "0", "to"];
        assert_eq!(node.display(&path), "services.\"orders.v2\".endpoints[0].to");
        assert_eq!(node.display(&["services", "7", "none", "0"]), "services.7.none.0");
        assert_eq!(display_path(&["services", "orders.v2", "7"]), "services.\"orders.v2\".7");
        assert_eq!(pointer_segments("/a~1b/c~0d/0"), ["a/b", "c~d", "0"]);
    }
}
