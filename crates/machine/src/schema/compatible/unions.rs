//! Alternatives, negation and conditions.

use serde_json::Value;

use super::containment::{Clause, Containment};
use super::facts::{At, Facts, Types, contains};
use super::words::Change;

impl<'a> Containment<'a> {
    pub(super) fn follows_alternatives(&mut self, facts: &Facts<'a>, clause: Clause<'_, 'a>) -> bool {
        let Clause { wide, keyword, .. } = clause;
        let alternatives = wide.list(keyword);
        let is_one = keyword == "anyOf" || are_disjoint(&alternatives);
        if is_one && self.fits_one(facts, &alternatives) {
            return true;
        }
        let change = if is_one { Change::Alternatives { keyword } } else { Change::Undecided { keyword } };
        self.refuse_clause(clause, &change)
    }

    /// Whether an alternative takes the value, perhaps another one for each of its types or values.
    fn fits_one(&mut self, facts: &Facts<'a>, alternatives: &[At<'a>]) -> bool {
        if alternatives.iter().any(|alternative| self.tries(facts, alternative)) {
            return true;
        }
        let cases: Vec<Facts<'a>> = match &facts.values {
            Some(values) if values.len() > 1 => values.iter().map(|value| facts.with_value(value)).collect(),
            Some(_) => return false,
            None => facts.types.each().map(|one| facts.with_types(one)).collect(),
        };
        cases.len() > 1
            && cases.iter().all(|case| alternatives.iter().any(|alternative| self.tries(case, alternative)))
    }

    pub(super) fn follows_not(&mut self, facts: &Facts<'a>, clause: Clause<'_, 'a>) -> bool {
        let not = clause.wide.below(clause.keyword, clause.value);
        let is_known =
            facts.parts.iter().filter_map(|part| part.child("not")).any(|known| self.is_same(&known, &not));
        is_known || exclude(facts, &Facts::of([not])) || self.refuse_undecided(clause)
    }

    pub(super) fn follows_if(&mut self, facts: &Facts<'a>, clause: Clause<'_, 'a>) -> bool {
        let wide = clause.wide;
        let is_known = |part: &At<'a>| {
            ["if", "then", "else"].iter().all(|keyword| match (part.child(keyword), wide.child(keyword)) {
                (Some(one), Some(other)) => self.is_same(&one, &other),
                (None, None) => true,
                _ => false,
            })
        };
        if facts.parts.iter().any(is_known) {
            return true;
        }
        let follows =
            |this: &mut Self, keyword: &str| wide.child(keyword).is_none_or(|part| this.tries(facts, &part));
        follows(self, "then") && follows(self, "else") || self.refuse_undecided(clause)
    }
}

/// Whether no value is allowed by two of the schemas.
fn are_disjoint(schemas: &[At<'_>]) -> bool {
    let facts: Vec<Facts<'_>> = schemas.iter().map(|schema| Facts::of([schema.clone()])).collect();
    facts.iter().enumerate().all(|(place, one)| facts[..place].iter().all(|other| exclude(one, other)))
}

/// Whether no value has both facts: by its types, its values, or those of a member that both require.
fn exclude(one: &Facts<'_>, other: &Facts<'_>) -> bool {
    if !one.types.has_any(other.types) || have_no_value(one, other) {
        return true;
    }
    if one.types.and(other.types) != Types::OBJECT {
        return false;
    }
    let required = one.parts.iter().filter_map(|part| part.get("required")?.as_array()).flatten();
    let mut both = required.filter_map(Value::as_str).filter(|name| other.is_required(name));
    both.any(|name| {
        let (one, other) = (one.member(name), other.member(name));
        !one.types.has_any(other.types) || have_no_value(&one, &other)
    })
}

fn have_no_value(one: &Facts<'_>, other: &Facts<'_>) -> bool {
    match (&one.values, &other.values) {
        (Some(one), Some(other)) => !one.iter().any(|value| contains(other, value)),
        _ => false,
    }
}
