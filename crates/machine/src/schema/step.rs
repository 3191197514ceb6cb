//! Steps between the versions of a schema, as definitions keep them: all that a step does was worked out when it was defined.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::defaults::{Defaults, Member};
use super::evolution::{self, Evolution, Object, Renames, fill};
use super::{Compiled, Schema};
use crate::json::Malformed;

/// What brings documents from the version before it to a version of their schema.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// The version that documents have after it.
    pub to: u32,
    /// Whether it was shown that every document that was valid before is valid after it.
    pub is_proven: bool,
    passes: Vec<Pass>,
}

/// A part of a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Pass {
    /// Members are renamed, and those that are missing get their defaults.
    Up { renames: Renames, defaults: Defaults },
    /// Members that are as they were filled in go, and those that were renamed are given their names back.
    Down { filled: Defaults, renames: Renames },
}

impl Step {
    /// The step to a version with this schema: the renames are those that the version before did not have.
    pub(crate) fn up(to: u32, is_proven: bool, evolution: &Evolution, schema: &Schema) -> Self {
        let defaults = if evolution.defaults { schema.0.defaults.clone() } else { Defaults::default() };
        let pass = Pass::Up { renames: evolution.renames.clone(), defaults };
        Self { to, is_proven, passes: pass.or_nothing().into_iter().collect() }
    }

    /// The step that takes back these, the last of them first, and ends at a version with this schema, if it has one.
    ///
    /// A member that a step filled in is removed where its value is still the default, unless the schema knows it.
    pub(crate) fn back(to: u32, steps: &[&Self], (evolution, schema): (&Evolution, Option<&Schema>)) -> Self {
        let passes = steps.iter().flat_map(|step| step.passes.iter().rev());
        let undone = passes.filter_map(|pass| pass.inverse(schema).or_nothing());
        let up = schema.map(|schema| {
            let defaults = if evolution.defaults { schema.0.defaults.clone() } else { Defaults::default() };
            Pass::Up { renames: Renames::default(), defaults }
        });
        let passes = undone.chain(up.and_then(Pass::or_nothing)).collect();
        Self { to, is_proven: false, passes }
    }

    /// Whether it leaves every document as it is.
    pub fn is_nothing(&self) -> bool {
        self.passes.is_empty()
    }

    /// Whether it can change the value that these names lead to.
    pub(crate) fn touches(&self, names: &[String]) -> bool {
        self.passes.iter().any(|pass| match pass {
            Pass::Up { renames, defaults } | Pass::Down { renames, filled: defaults } => {
                renames.touch(names) || defaults.touch(names)
            }
        })
    }
}

/// The document after those of the steps that lead beyond a version. What is not JSON stays as it is.
pub(crate) fn upgrade<'d>(steps: &[Step], from: u32, document: &'d [u8]) -> Cow<'d, [u8]> {
    let Ok(text) = str::from_utf8(document) else { return Cow::Borrowed(document) };
    let mut upgraded: Option<String> = None;
    let passes = steps.iter().filter(|step| step.to > from).flat_map(|step| &step.passes);
    for pass in passes {
        match pass.apply(upgraded.as_deref().unwrap_or(text)) {
            Ok(None) => {}
            Ok(Some(next)) => upgraded = Some(next),
            Err(Malformed) => return Cow::Borrowed(document),
        }
    }
    upgraded.map_or(Cow::Borrowed(document), |text| Cow::Owned(text.into_bytes()))
}

impl Pass {
    fn or_nothing(self) -> Option<Self> {
        match &self {
            Self::Up { renames, defaults } | Self::Down { renames, filled: defaults } => {
                (!renames.is_empty() || !defaults.is_empty()).then_some(self)
            }
        }
    }

    fn inverse(&self, schema: Option<&Schema>) -> Self {
        match self {
            Self::Up { renames, defaults } => {
                let filled = schema.map_or_else(Defaults::default, |schema| {
                    unknown(defaults, &schema.0, Some(&schema.0.source), 0)
                });
                Self::Down { filled, renames: renames.reversed() }
            }
            Self::Down { renames, .. } => {
                Self::Up { renames: renames.reversed(), defaults: Defaults::default() }
            }
        }
    }

    /// The text afterwards; none when it stays as it is.
    fn apply(&self, text: &str) -> Result<Option<String>, Malformed> {
        match self {
            Self::Up { renames, defaults } => match evolution::raise(text, renames, defaults)? {
                Cow::Borrowed(_) => Ok(None),
                Cow::Owned(text) => Ok(Some(text)),
            },
            Self::Down { filled, renames } => {
                let stripped = strip(text, filled)?;
                let renamed =
                    evolution::raise(stripped.as_deref().unwrap_or(text), renames, &Defaults::default())?;
                match renamed {
                    Cow::Owned(text) => Ok(Some(text)),
                    Cow::Borrowed(_) => Ok(stripped),
                }
            }
        }
    }
}

/// The defaults of members that a schema does not know, as they are filled in; `node` is the schema of the object that they are in.
fn unknown(defaults: &Defaults, schema: &Compiled, node: Option<&Value>, above: usize) -> Defaults {
    let mut found = Defaults::default();
    for (name, member) in &defaults.members {
        let property = node.and_then(|node| property(schema, node, name));
        let member = match property {
            Some(property) => {
                Member { raw: None, below: unknown(&member.below, schema, Some(property), above + 1) }
            }
            None => {
                let filled = member.raw.as_ref().map(|raw| match fill(raw, &member.below, above + 1) {
                    Ok(Some(filled)) => filled.into(),
                    _ => raw.clone(),
                });
                let below = unknown(&member.below, schema, None, above + 1);
                Member { raw: filled, below }
            }
        };
        if member.raw.is_some() || !member.below.is_empty() {
            found.members.insert(name.clone(), member);
        }
    }
    found
}

/// What a schema says of a member, all references followed.
fn property<'s>(schema: &'s Compiled, node: &'s Value, name: &str) -> Option<&'s Value> {
    const REFERENCES_MAX: usize = 64;
    let mut node = node;
    for _ in 0..REFERENCES_MAX {
        if let Some(property) = node.get("properties").and_then(|all| all.get(name)) {
            return Some(property);
        }
        node = schema.source.pointer(schema.structure.target(node.get("$ref")?.as_str()?))?;
    }
    None
}

/// The text without members that are as they were filled in; none when it has none.
fn strip(text: &str, filled: &Defaults) -> Result<Option<String>, Malformed> {
    if filled.is_empty() {
        return Ok(None);
    }
    let Some(object) = Object::find(text, &[])? else { return Ok(None) };
    let (mut kept, mut is_changed) = (Vec::new(), false);
    for member in &object.members {
        let whole = &text[member.name_at..member.value_end];
        let Some(known) = filled.members.get(member.name.as_ref()) else {
            kept.push(Cow::Borrowed(whole));
            continue;
        };
        if known.raw.as_deref().is_some_and(|raw| is_same(raw, member.value)) {
            is_changed = true;
            continue;
        }
        match strip(member.value, &known.below)? {
            Some(value) => {
                is_changed = true;
                kept.push(Cow::Owned([&text[member.name_at..member.value_at], &value].concat()));
            }
            None => kept.push(Cow::Borrowed(whole)),
        }
    }
    Ok(is_changed.then(|| format!("{{{}}}", kept.join(","))))
}

/// Whether two texts are the same JSON value. Of one that cannot be told it is not.
fn is_same(one: &str, other: &str) -> bool {
    let value = |text| serde_json::from_str::<Value>(text).ok();
    value(one).is_some_and(|one| Some(one) == value(other))
}

#[cfg(test)]
mod tests;
