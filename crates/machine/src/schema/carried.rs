//! Schemas as evolution leaves them: what is compared is what readers get.

use serde_json::{Map, Value};

use super::evolution::Renames;
use super::{Error, Schema};

/// A schema of the documents that were valid under another, after these renames, as far as they lead through `properties`.
///
/// It says too much of documents that had a member of the new name already: what is shown with it holds for others only.
pub(super) fn carried(schema: &Schema, renames: &Renames) -> Result<Schema, Error> {
    let mut carried = schema.source().clone();
    for (new, old) in renames.pairs() {
        rename(&mut carried, new, old);
    }
    Schema::parse(&carried.to_string())
}

/// A schema that does not require what is filled in.
pub(super) fn lenient(schema: &Schema) -> Result<Schema, Error> {
    let mut lenient = schema.source().clone();
    leave_out_filled(&mut lenient);
    Schema::parse(&lenient.to_string())
}

fn rename(schema: &mut Value, new: &[String], old: &[String]) {
    let (Some((new, new_parent)), Some((old, old_parent))) = (new.split_last(), old.split_last()) else {
        return;
    };
    let is_there = parent(schema, new_parent).is_some();
    let Some(from) = parent(schema, old_parent).filter(|_| is_there) else { return };
    let Some(property) = from.get_mut("properties").and_then(|all| all.as_object_mut()?.remove(old)) else {
        return;
    };
    let was_required = take_required(from, old);
    let Some(to) = parent(schema, new_parent) else { return };
    let properties = to.entry("properties").or_insert_with(|| Value::Object(Map::new()));
    if let Some(properties) = properties.as_object_mut() {
        properties.entry(new.clone()).or_insert(property);
    }
    if was_required && new_parent == old_parent {
        let required = to.entry("required").or_insert_with(|| Value::Array(Vec::new()));
        if let Some(required) = required.as_array_mut() {
            required.push(new.clone().into());
        }
    }
}

/// The schema of the object that these names lead to.
fn parent<'s>(schema: &'s mut Value, names: &[String]) -> Option<&'s mut Map<String, Value>> {
    let found = names.iter().try_fold(schema, |schema, name| schema.get_mut("properties")?.get_mut(name));
    found?.as_object_mut()
}

/// Whether the member was required, which it is no more.
fn take_required(schema: &mut Map<String, Value>, name: &str) -> bool {
    let Some(required) = schema.get_mut("required").and_then(Value::as_array_mut) else { return false };
    let before = required.len();
    required.retain(|required| required != name);
    required.len() < before
}

fn leave_out_filled(schema: &mut Value) {
    let Some(schema) = schema.as_object_mut() else { return };
    let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) else { return };
    let filled = properties.iter().filter(|(_, property)| property.get("default").is_some());
    let filled: Vec<String> = filled.map(|(name, _)| name.clone()).collect();
    properties.values_mut().for_each(leave_out_filled);
    for name in filled {
        take_required(schema, &name);
    }
}
