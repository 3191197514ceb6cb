//! Mappings whose keys users choose, such as collections by name: entries have no counterpart among the defaults.
//!
//! So what an entry leaves out is filled in from its schema, with the origin of defaults, and an empty value, which takes back
//! what earlier layers say, is a mistake where they say nothing: whoever writes it means an entry that is all defaults.

use std::collections::HashMap;

use serde_json::Value as Json;

use super::diagnostic::Diagnostic;
use super::schema;
use super::source::Origin;
use super::tree::{self, Node, Value};

/// Lays every entry over the defaults that its schema states.
pub fn with_defaults(node: &mut Node, schema: &Json) {
    let Value::Map(entries) = &mut node.value else { return };
    for entry in entries {
        let Some(inner) = schema::child(schema, &entry.key) else { continue };
        if schema::is_free(schema, &entry.key) && matches!(entry.node.value, Value::Map(_)) {
            let written = std::mem::replace(&mut entry.node, defaults(inner));
            entry.node.origin = written.origin;
            entry.node.merge(written);
        }
        with_defaults(&mut entry.node, inner);
    }
}

fn defaults(schema: &Json) -> Node {
    let named = schema::property_names(schema).into_iter().filter_map(|name| {
        let default = schema::child(schema, name)?.get("default")?;
        Some((name.to_owned(), default.clone()))
    });
    Node::from_json(&Json::Object(named.collect()), Origin::DEFAULT)
}

/// The empty values that take back entries which no earlier layer has.
pub fn nothing_to_take_back(schema: &Json, layers: &[Node]) -> Vec<Diagnostic> {
    let mut walk = Walk { path: Vec::new(), found: Vec::new() };
    let mut below = Node::empty(Origin::DEFAULT);
    for layer in layers {
        walk.node(schema, layer, Some(&below));
        below.merge(layer.clone());
    }
    walk.found
}

struct Walk {
    path: Vec<String>,
    found: Vec<Diagnostic>,
}

impl Walk {
    fn node(&mut self, schema: &Json, node: &Node, below: Option<&Node>) {
        let below: HashMap<_, _> =
            below.map_or(&[][..], Node::entries).iter().map(|it| (it.key.as_str(), &it.node)).collect();
        for entry in node.entries() {
            let Some(inner) = schema::child(schema, &entry.key) else { continue };
            let earlier = below.get(entry.key.as_str()).copied();
            let is_said = earlier.is_some_and(|it| it.value != Value::Null);
            self.path.push(entry.key.clone());
            if entry.node.value == Value::Null && schema::is_free(schema, &entry.key) && !is_said {
                let path = tree::display_path(&self.path);
                let message =
                    "an empty value takes back what earlier layers say, and none says anything of this";
                let help = format!("write `{}: {{}}` for one that is all defaults", entry.key);
                self.found.push(Diagnostic::error(entry.key_origin, path, message).help(help));
            }
            self.node(inner, &entry.node, earlier);
            self.path.pop();
        }
    }
}
