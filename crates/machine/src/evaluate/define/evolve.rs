//! The version of a definition's schema: whether it is another one, whether it goes with the last, and what brings items to it.

use mainstay_base::error::Code;
use serde_json::Value;

use super::Subject;
use crate::collection::{Collection, Documents};
use crate::definition::{Definition, Evolved};
use crate::outcome::Refusal;
use crate::schema::{Evolution, Finding, Incompatible, Schema, Step, follows};

/// How many versions items may be behind.
const STEPS_MAX: usize = 8;

/// How a definition comes to say something else.
pub(super) enum Way {
    /// It is given.
    Forward,
    /// It is what it was before these steps, of which the last comes first.
    Back(Vec<Step>),
}

/// Where a definition that says this stands, when all items are known to be at the version `settled`.
pub(super) fn evolve(
    subject: &Subject<'_>,
    next: &Collection,
    way: &Way,
    settled: u32,
) -> Result<Evolved, Refusal> {
    let Some(before) = &subject.before else { return Ok(Evolved::first(next)) };
    let steps: Vec<Step> = before.steps_after(settled).cloned().collect();
    let kept = Evolved { schema: before.schema, steps };
    let to = before.schema + 1;
    let step = match (way, &next.schema) {
        (Way::Back(undone), documents) if !undone.is_empty() => {
            let undone: Vec<&Step> = undone.iter().collect();
            let evolution =
                documents.as_ref().map(|documents| documents.evolution.clone()).unwrap_or_default();
            Some(Step::back(to, &undone, (&evolution, documents.as_ref().and_then(Documents::schema))))
        }
        (_, Some(documents)) => forward(subject, before, documents)?,
        (_, None) => None,
    };
    let Some(step) = step else { return Ok(kept) };
    if kept.steps.len() == STEPS_MAX {
        let detail = format!(
            "has items that are {STEPS_MAX} versions of its schema behind: wait until they are brought up, or mend those that \
             cannot be"
        );
        return Err(subject.refuse(Code::Conflict, &detail).fact("behind", STEPS_MAX));
    }
    let mut steps = kept.steps;
    steps.push(step);
    Ok(Evolved { schema: to, steps })
}

/// The step to the next version, if it is another one.
fn forward(
    subject: &Subject<'_>,
    before: &Definition,
    documents: &Documents,
) -> Result<Option<Step>, Refusal> {
    let Some(schema) = documents.schema() else { return Ok(None) };
    let last = before.collection.schema.as_ref();
    let known = last.map(|last| last.evolution.renames.clone()).unwrap_or_default();
    let evolution = Evolution {
        renames: documents.evolution.renames.beyond(&known),
        defaults: documents.evolution.defaults,
    };
    let last_schema = before.collection.json_schema();
    let fills_now = evolution.defaults && last.is_some_and(|last| !last.evolution.defaults);
    if last_schema == Some(schema) && evolution.renames.is_empty() && !fills_now {
        return Ok(None);
    }
    let is_proven = match last_schema {
        Some(last) => check(subject, (last, schema), documents, &evolution)?,
        None => false,
    };
    Ok(Some(Step::up(before.schema + 1, is_proven, &evolution, schema)))
}

fn check(
    subject: &Subject<'_>,
    (last, next): (&Schema, &Schema),
    documents: &Documents,
    evolution: &Evolution,
) -> Result<bool, Refusal> {
    let compatibility = documents.compatibility;
    follows(last, next, compatibility, evolution).map_err(|Incompatible { findings, more }| {
        let first = &findings[0];
        let detail = format!(
            "has a schema that is not {} compatible with the last version: {first}{}; change it, or declare another \
             `compatibility`",
            compatibility.as_str(),
            match findings.len() - 1 + more {
                0 => String::new(),
                others => format!(", and {others} other places"),
            }
        );
        let told = |finding: &Finding| serde_json::to_value(finding).unwrap_or(Value::Null);
        let all: Vec<Value> = findings.iter().map(told).collect();
        let refusal = subject.refuse(Code::Conflict, &detail).fact("compatibility", compatibility.as_str());
        let refusal = refusal.fact("findings", all);
        if more == 0 { refusal } else { refusal.fact("more_findings", more) }
    })
}
