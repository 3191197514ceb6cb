//! Whether a new version of a schema goes with the last one.
//!
//! A version is backward compatible when every document that was valid is, and forward compatible when every document that is valid was.
//! Both are one question: whether all that a narrow schema allows is allowed by a wide one. It is answered by the
//! schemas' structure and never too kindly: what cannot be shown is refused, with the place and what to do.
//!
//! An object without `additionalProperties: false` may have had any member. So a property that is added to it with a type is
//! no backward compatible change: documents written before may have something else under that name.

use std::fmt::{self, Display, Formatter};

use mainstay_base::error::{Classify, Code};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::carried::{carried, lenient};
use super::{Evolution, Schema};

mod arrays;
mod containment;
mod facts;
mod objects;
mod scalars;
mod unions;
mod words;

use containment::Containment;

/// What a new version of a schema owes the last one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Compatibility {
    /// Documents that were valid are: who reads by the new version can read what was written by the last one.
    #[default]
    Backward,
    /// Documents that are valid were: who reads by the last version can read what is written by the new one.
    Forward,
    /// Both.
    Full,
    /// Nothing.
    None,
}

/// Which of the two promises is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Documents written before are valid.
    Backward,
    /// Documents written from now on are valid for readers of the last version.
    Forward,
}

/// One change that breaks a promise, or that cannot be shown to keep it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The place in the schema, as a JSON Pointer: in the new version for [`Direction::Backward`], in the last one otherwise.
    pub pointer: String,
    /// The promise.
    pub direction: Direction,
    /// What changed, and why it matters.
    pub reason: String,
}

/// A new version that does not go with the last one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Incompatible {
    /// At least one, and at most [`Incompatible::FINDINGS_MAX`].
    pub findings: Vec<Finding>,
    /// How many more there are.
    pub more: usize,
}

impl Compatibility {
    /// Its word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Backward => "backward",
            Self::Forward => "forward",
            Self::Full => "full",
            Self::None => "none",
        }
    }
}

impl Incompatible {
    /// The most findings that are told one by one.
    pub const FINDINGS_MAX: usize = 32;
}

/// Whether a new version of a schema goes with the last one. Errors: [`Incompatible`], with the changes that do not.
///
/// Cost: in proportion to both schemas as a rule; schemas of many alternatives are refused after some thousand comparisons.
pub fn compatible(old: &Schema, new: &Schema, compatibility: Compatibility) -> Result<(), Incompatible> {
    let mut findings = Vec::new();
    let (is_backward, is_forward) = match compatibility {
        Compatibility::Backward => (true, false),
        Compatibility::Forward => (false, true),
        Compatibility::Full => (true, true),
        Compatibility::None => (false, false),
    };
    if old != new && is_backward {
        findings.extend(Containment::new(old, new, Direction::Backward).findings());
    }
    if old != new && is_forward {
        findings.extend(Containment::new(new, old, Direction::Forward).findings());
    }
    if findings.is_empty() {
        return Ok(());
    }
    let more = findings.len().saturating_sub(Incompatible::FINDINGS_MAX);
    findings.truncate(Incompatible::FINDINGS_MAX);
    Err(Incompatible { findings, more })
}

/// Whether a new version of a schema goes with the last one, when documents of the last one are brought up by this evolution before
/// anyone reads them. The renames are those that the last one did not have.
///
/// Returns whether it was shown for every document, so that none has to be looked at: of documents that renames and defaults change it
/// is shown for most. Errors: [`Incompatible`].
pub fn follows(
    old: &Schema,
    new: &Schema,
    compatibility: Compatibility,
    evolution: &Evolution,
) -> Result<bool, Incompatible> {
    let is_backward = matches!(compatibility, Compatibility::Backward | Compatibility::Full);
    let unchanged = compatible(old, new, compatibility);
    if unchanged.is_ok() || !is_backward {
        return unchanged.map(|()| is_backward);
    }
    let carried = carried(old, &evolution.renames);
    let lenient = if evolution.defaults { lenient(new) } else { Ok(new.clone()) };
    let (Ok(carried), Ok(lenient)) = (carried, lenient) else { return unchanged.map(|()| false) };
    compatible(&carried, &lenient, Compatibility::Backward)?;
    if compatibility == Compatibility::Full {
        compatible(old, new, Compatibility::Forward)?;
    }
    Ok(false)
}

impl Display for Finding {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let place = if self.pointer.is_empty() { "the schema" } else { &self.pointer };
        write!(f, "{place}: {}", self.reason)
    }
}

impl Display for Incompatible {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (index, finding) in self.findings.iter().enumerate() {
            write!(f, "{}{finding}", if index == 0 { "" } else { "; " })?;
        }
        match self.more {
            0 => Ok(()),
            more => write!(f, "; and {more} more"),
        }
    }
}

impl Classify for Incompatible {
    fn code(&self) -> Code {
        Code::Invalid
    }
}

#[cfg(test)]
mod tests;
