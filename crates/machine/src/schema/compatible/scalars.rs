//! Types, values, numbers and strings.

use std::cmp::Ordering;

use serde_json::Value;

use super::super::document::Number;
use super::containment::{Clause, Containment};
use super::facts::{Facts, Types, contains};
use super::words::Change;
use crate::text::shown;

impl<'a> Containment<'a> {
    pub(super) fn follows_kind(&mut self, facts: &Facts<'a>, clause: Clause<'_, 'a>) -> bool {
        let Clause { keyword, value, .. } = clause;
        if keyword == "type" {
            let is_within = facts.types.is_within(Types::of_keyword(value));
            return is_within || self.refuse_clause(clause, &Change::Type);
        }
        let allowed: Vec<&Value> = match (keyword, value) {
            ("enum", Value::Array(values)) => values.iter().collect(),
            _ => vec![value],
        };
        const BOUNDED: [Value; 3] = [Value::Null, Value::Bool(false), Value::Bool(true)];
        let is_within = match &facts.values {
            Some(values) => values.iter().all(|value| contains(&allowed, value)),
            None if !facts.types.is_within(Types::BOUNDED) => false,
            None => {
                let mut possible =
                    BOUNDED.iter().filter(|value| Types::of_value(value).is_within(facts.types));
                possible.all(|value| contains(&allowed, value))
            }
        };
        is_within || self.refuse_clause(clause, &Change::Values)
    }

    pub(super) fn follows_number(&mut self, facts: &Facts<'a>, clause: Clause<'_, 'a>) -> bool {
        let Clause { keyword, value, .. } = clause;
        let Value::Number(limit) = value else { return true };
        let limit = Number::of(limit);
        let follows = match keyword {
            "multipleOf" => follows_multiple(facts, limit),
            _ => follows_bound(facts, keyword, limit),
        };
        follows || self.refuse_limit(facts, clause)
    }

    pub(super) fn follows_string(&mut self, facts: &Facts<'a>, clause: Clause<'_, 'a>) -> bool {
        let Clause { keyword, value, .. } = clause;
        let follows = match keyword {
            "pattern" => facts.parts.iter().any(|part| part.get("pattern") == Some(value)),
            _ => match &facts.values {
                Some(values) => values.iter().filter_map(|value| value.as_str()).all(|text| {
                    let length = text.chars().count() as u64;
                    count(value).is_some_and(|limit| keeps(keyword, length, limit))
                }),
                None => follows_count(facts, keyword, value),
            },
        };
        follows || self.refuse_limit(facts, clause)
    }

    /// Refuses a keyword that says more than what is known.
    pub(super) fn refuse_limit(&mut self, facts: &Facts<'a>, clause: Clause<'_, 'a>) -> bool {
        let Clause { keyword, value, .. } = clause;
        let is_known = facts.parts.iter().any(|part| part.get(keyword).is_some());
        let limit = value.as_str().map_or_else(|| value.to_string(), shown);
        let change = match keyword {
            "pattern" | "multipleOf" if is_known => Change::Undecided { keyword },
            _ if is_known => Change::Narrower { keyword, limit },
            _ => Change::Added { keyword, limit },
        };
        self.refuse_clause(clause, &change)
    }
}

/// Whether a limit of lengths or counts follows from those that are known.
pub(super) fn follows_count(facts: &Facts<'_>, keyword: &str, value: &Value) -> bool {
    let Some(limit) = count(value) else { return false };
    let mut known = facts.parts.iter().filter_map(|part| count(part.get(keyword)?));
    limit == 0 && keyword.starts_with("min") || known.any(|known| keeps(keyword, known, limit))
}

/// A count as a schema has it: `2` and `2.0` are one.
pub(super) fn count(value: &Value) -> Option<u64> {
    match Number::of(value.as_number()?) {
        Number::Whole(whole) => whole.try_into().ok(),
        Number::Double(_) => None,
    }
}

pub(super) fn keeps(keyword: &str, found: u64, limit: u64) -> bool {
    if keyword.starts_with("min") { found >= limit } else { found <= limit }
}

fn follows_bound(facts: &Facts<'_>, keyword: &str, limit: Number) -> bool {
    let is_kept = |found: &Number| match keyword {
        "minimum" => found.cmp(&limit).is_ge(),
        "exclusiveMinimum" => found.cmp(&limit).is_gt(),
        "maximum" => found.cmp(&limit).is_le(),
        _ => found.cmp(&limit).is_lt(),
    };
    if let Some(values) = &facts.values {
        return values.iter().filter_map(|value| value.as_number()).all(|value| is_kept(&Number::of(value)));
    }
    let (inclusive, exclusive, beyond) = match keyword {
        "minimum" | "exclusiveMinimum" => ("minimum", "exclusiveMinimum", Ordering::Greater),
        _ => ("maximum", "exclusiveMaximum", Ordering::Less),
    };
    let is_whole = !facts.types.has_any(Types::FRACTION);
    facts.parts.iter().any(|part| {
        let number = |keyword: &str| part.get(keyword).and_then(Value::as_number).map(Number::of);
        number(inclusive).is_some_and(|known| is_kept(&known))
            || number(exclusive).is_some_and(|known| {
                let order = known.cmp(&limit);
                order.is_eq()
                    || order == beyond
                    || is_whole && next(known, beyond).is_some_and(|known| is_kept(&known))
            })
    })
}

/// The whole number after a whole one.
fn next(number: Number, beyond: Ordering) -> Option<Number> {
    match number {
        Number::Whole(whole) => Some(Number::Whole(if beyond.is_gt() { whole + 1 } else { whole - 1 })),
        Number::Double(_) => None,
    }
}

fn follows_multiple(facts: &Facts<'_>, of: Number) -> bool {
    /// Up to here the validator divides whole numbers exactly.
    const EXACT_MAX: i128 = 1 << 53;
    if matches!(of, Number::Whole(1)) && !facts.types.has_any(Types::FRACTION) {
        return true;
    }
    let known = facts.parts.iter().filter_map(|part| part.get("multipleOf")?.as_number()).map(Number::of);
    known.into_iter().any(|known| match (known, of) {
        (Number::Whole(known), Number::Whole(of)) => {
            known == of || of > 0 && known.max(of) <= EXACT_MAX && known % of == 0
        }
        _ => known.cmp(&of).is_eq(),
    })
}
