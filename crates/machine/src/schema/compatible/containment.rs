//! Whether all that a narrow schema allows is allowed by a wide one.
//!
//! Each keyword of the wide schema is to follow from what is known of the value. Schemas that refer to themselves are compared
//! once: a pair under comparison is taken for granted, which is sound since references are followed only into smaller
//! values (Amadio and Cardelli, "Subtyping Recursive Types", 1993); whatever was shown with the help of a pair that fails
//! is forgotten with it.

use std::collections::HashSet;

use serde_json::Value;

use super::super::Schema;
use super::facts::{At, Facts, Types};
use super::words::Change;
use super::{Direction, Finding};

pub(super) struct Containment<'a> {
    narrow: &'a Schema,
    wide: &'a Schema,
    direction: Direction,
    findings: Vec<Finding>,
    /// What is taken for granted or has been shown.
    assumed: HashSet<(String, String)>,
    /// The same in the order in which it came.
    order: Vec<(String, String)>,
    comparisons_left: usize,
    depth: usize,
}

/// A keyword of the wide schema.
#[derive(Clone, Copy)]
pub(super) struct Clause<'c, 'a> {
    pub(super) wide: &'c At<'a>,
    pub(super) keyword: &'c str,
    pub(super) value: &'a Value,
}

/// How many pairs are compared.
const COMPARISONS_MAX: usize = 20_000;

/// How deep pairs are compared. The deepest schemas are nested half as deep as documents.
const DEPTH_MAX: usize = 100;

impl<'a> Containment<'a> {
    pub(super) fn new(narrow: &'a Schema, wide: &'a Schema, direction: Direction) -> Self {
        Self {
            narrow,
            wide,
            direction,
            findings: Vec::new(),
            assumed: HashSet::new(),
            order: Vec::new(),
            comparisons_left: COMPARISONS_MAX,
            depth: 0,
        }
    }

    /// What stands against the containment; nothing when it is shown.
    pub(super) fn findings(mut self) -> Vec<Finding> {
        let facts = Facts::of([At::root(self.narrow)]);
        let is_contained = self.contains(&facts, &At::root(self.wide));
        assert_eq!(is_contained, self.findings.is_empty(), "what is refused has a reason");
        let mut findings = self.findings;
        let mut seen = HashSet::new();
        findings.retain(|finding| seen.insert((finding.pointer.clone(), finding.reason.clone())));
        findings
    }

    /// Whether every value with these facts is allowed by the schema. Adds the findings that are against it.
    pub(super) fn contains(&mut self, facts: &Facts<'a>, wide: &At<'a>) -> bool {
        if facts.is_never() || wide.value == &Value::Bool(true) {
            return true;
        }
        if self.comparisons_left == 0 || self.depth == DEPTH_MAX {
            return self.refuse(wide, &Change::TooLarge);
        }
        self.comparisons_left -= 1;
        let pair = (facts.key(), wide.pointer.clone());
        if !self.assumed.insert(pair.clone()) {
            return true;
        }
        let before = self.order.len();
        self.order.push(pair);
        self.depth += 1;
        let is_contained = self.contains_keywords(facts, wide);
        self.depth -= 1;
        if !is_contained {
            for pair in self.order.drain(before..) {
                self.assumed.remove(&pair);
            }
        }
        is_contained
    }

    /// The same without a trace when it is not so.
    pub(super) fn tries(&mut self, facts: &Facts<'a>, wide: &At<'a>) -> bool {
        let before = self.findings.len();
        let is_contained = self.contains(facts, wide);
        if !is_contained {
            self.findings.truncate(before);
        }
        is_contained
    }

    fn contains_keywords(&mut self, facts: &Facts<'a>, wide: &At<'a>) -> bool {
        let Value::Object(keywords) = wide.value else {
            return self.refuse(wide, &Change::Forbidden);
        };
        let before = self.findings.len();
        if all(keywords, |(keyword, value)| self.follows(facts, Clause { wide, keyword, value })) {
            return true;
        }
        if facts.parts.iter().any(|part| self.is_same(part, wide)) {
            self.findings.truncate(before);
            return true;
        }
        match facts.alternatives() {
            Some((place, alternatives)) => {
                self.findings.truncate(before);
                self.contains_each(facts, &place, alternatives, wide)
            }
            None => false,
        }
    }

    /// Whether the schema allows the value whichever of the alternatives it is.
    fn contains_each(
        &mut self,
        facts: &Facts<'a>,
        place: &str,
        alternatives: Vec<At<'a>>,
        wide: &At<'a>,
    ) -> bool {
        all(alternatives, |alternative| {
            let mut case = facts.and(alternative);
            case.decided.push(place.to_owned());
            self.contains(&case, wide)
        })
    }

    /// Whether a keyword of the wide schema follows.
    fn follows(&mut self, facts: &Facts<'a>, clause: Clause<'_, 'a>) -> bool {
        let Clause { wide, keyword, .. } = clause;
        match keyword {
            "$ref" => {
                let target = wide.target().expect("there is a reference");
                self.contains(facts, &target)
            }
            "allOf" => all(wide.list("allOf"), |part| self.contains(facts, &part)),
            "anyOf" | "oneOf" => self.follows_alternatives(facts, clause),
            "not" => self.follows_not(facts, clause),
            "if" => self.follows_if(facts, clause),
            "type" | "enum" | "const" => self.follows_kind(facts, clause),
            "minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum" | "multipleOf" => {
                !facts.types.has_any(Types::NUMBER) || self.follows_number(facts, clause)
            }
            "minLength" | "maxLength" | "pattern" => {
                !facts.types.has_any(Types::STRING) || self.follows_string(facts, clause)
            }
            "items" | "prefixItems" | "minItems" | "maxItems" | "uniqueItems" | "contains"
            | "unevaluatedItems" => !facts.types.has_any(Types::ARRAY) || self.follows_array(facts, clause),
            "properties"
            | "patternProperties"
            | "additionalProperties"
            | "required"
            | "minProperties"
            | "maxProperties"
            | "propertyNames"
            | "dependentRequired"
            | "dependentSchemas"
            | "unevaluatedProperties" => {
                !facts.types.has_any(Types::OBJECT) || self.follows_object(facts, clause)
            }
            // Annotations, and what stands beside a keyword that is looked at: then, else, minContains, maxContains.
            _ => true,
        }
    }

    /// Whether two subschemas say the same, with what they refer to.
    pub(super) fn is_same(&self, narrow: &At<'a>, wide: &At<'a>) -> bool {
        let mut open = vec![(narrow.value, wide.value)];
        let mut seen = HashSet::new();
        while let Some((one, other)) = open.pop() {
            if one != other {
                return false;
            }
            let mut references = Vec::new();
            find_references(one, &mut references);
            for reference in references.into_iter().filter(|reference| seen.insert(*reference)) {
                match (self.narrow.find(reference), self.wide.find(reference)) {
                    (Some(one), Some(other)) => open.push((one, other)),
                    (None, None) => {}
                    _ => return false,
                }
            }
        }
        true
    }

    /// Notes why it is not contained; false.
    pub(super) fn refuse(&mut self, wide: &At<'_>, change: &Change<'_>) -> bool {
        self.refuse_at(wide.pointer.clone(), change)
    }

    /// The same because of a keyword.
    pub(super) fn refuse_clause(&mut self, clause: Clause<'_, 'a>, change: &Change<'_>) -> bool {
        self.refuse_at(format!("{}/{}", clause.wide.pointer, clause.keyword), change)
    }

    /// The same because of a keyword that says something else, of which it is not known what follows.
    pub(super) fn refuse_undecided(&mut self, clause: Clause<'_, 'a>) -> bool {
        self.refuse_clause(clause, &Change::Undecided { keyword: clause.keyword })
    }

    pub(super) fn refuse_at(&mut self, pointer: String, change: &Change<'_>) -> bool {
        let reason = change.reason(self.direction);
        self.findings.push(Finding { pointer, direction: self.direction, reason });
        false
    }
}

/// Whether it holds for all. Asks each, so that every finding is told.
pub(super) fn all<T>(items: impl IntoIterator<Item = T>, mut holds: impl FnMut(T) -> bool) -> bool {
    items.into_iter().map(&mut holds).filter(|holds| !holds).count() == 0
}

impl Schema {
    /// What a text refers to, if it is a reference of this schema.
    fn find(&self, reference: &str) -> Option<&Value> {
        let pointer = self.0.structure.find(reference)?;
        self.source().pointer(pointer)
    }
}

fn find_references<'v>(value: &'v Value, found: &mut Vec<&'v str>) {
    match value {
        Value::Array(elements) => elements.iter().for_each(|element| find_references(element, found)),
        Value::Object(members) => {
            found.extend(members.get("$ref").and_then(Value::as_str));
            members.values().for_each(|member| find_references(member, found));
        }
        _ => {}
    }
}
