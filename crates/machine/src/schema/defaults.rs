//! The defaults that a schema has for members, gathered once so that reading a document need not look for them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Error;
use super::structure::Structure;
use crate::json::DEPTH_MAX;

/// The defaults of an object's members.
///
/// A reference is followed once on a way: below the second schema of a recursion there are none, or there would be no end.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Defaults {
    pub(super) members: BTreeMap<String, Member>,
}

/// What a schema has for a member.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Member {
    /// The default, as it is written into a document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) raw: Option<Box<str>>,
    /// Of the member's own members.
    #[serde(default, skip_serializing_if = "Defaults::is_empty")]
    pub(super) below: Defaults,
}

/// How many subschemas are looked at for defaults, all references followed.
const VISITS_MAX: usize = 100_000;

impl Defaults {
    /// Those of `properties`, of what they refer to, and below them. Errors: there are too many.
    pub(super) fn of(source: &Value, structure: &Structure) -> Result<Self, Error> {
        let mut gather = Gather { source, structure, open: vec![""], visits: 0 };
        let mut defaults = Self::default();
        if structure.has_defaults() {
            gather.add(source, 0, &mut defaults)?;
        }
        Ok(defaults)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Whether one of them can change the value that these names lead to.
    pub(super) fn touch(&self, names: &[String]) -> bool {
        let Some((name, rest)) = names.split_first() else { return !self.is_empty() };
        self.members.get(name).is_some_and(|member| member.raw.is_some() || member.below.touch(rest))
    }
}

struct Gather<'a> {
    source: &'a Value,
    structure: &'a Structure,
    /// The targets of the references on the way here.
    open: Vec<&'a str>,
    visits: usize,
}

impl<'a> Gather<'a> {
    fn add(&mut self, schema: &'a Value, depth: usize, defaults: &mut Defaults) -> Result<(), Error> {
        if depth == DEPTH_MAX {
            return Ok(());
        }
        self.visits += 1;
        if self.visits > VISITS_MAX {
            let reason = format!(
                "more than {VISITS_MAX} properties are to be searched for defaults, all references followed: refer to fewer"
            );
            return Err(Error::Invalid { pointer: String::new(), reason });
        }
        for (name, property) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
            let mut member = Member { raw: self.default_of(property), ..Member::default() };
            self.add(property, depth + 1, &mut member.below)?;
            if member.raw.is_none() && member.below.is_empty() {
                continue;
            }
            defaults.members.entry(name.clone()).or_insert(member);
        }
        match self.target_of(schema) {
            Some((pointer, target)) if !self.open.contains(&pointer) => {
                self.open.push(pointer);
                self.add(target, depth, defaults)?;
                self.open.pop();
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// The default beside the reference goes before the one that it leads to.
    fn default_of(&self, schema: &'a Value) -> Option<Box<str>> {
        match schema.get("default") {
            Some(default) => Some(default.to_string().into()),
            None => self.default_of(self.target_of(schema)?.1),
        }
    }

    fn target_of(&self, schema: &Value) -> Option<(&'a str, &'a Value)> {
        let pointer = self.structure.target(schema.get("$ref")?.as_str()?);
        Some((pointer, self.source.pointer(pointer).expect("references lead to subschemas")))
    }
}
