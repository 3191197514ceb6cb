//! Objects.

use std::collections::BTreeSet;

use serde_json::Value;

use super::super::document::escape;
use super::containment::{Clause, Containment, all};
use super::facts::{At, Facts, Types};
use super::scalars::{count, follows_count, keeps};
use super::words::Change;

impl<'a> Containment<'a> {
    pub(super) fn follows_object(&mut self, facts: &Facts<'a>, clause: Clause<'_, 'a>) -> bool {
        let Clause { wide, keyword, value } = clause;
        match keyword {
            "properties" => all(wide.names(keyword), |name| self.follows_property(facts, wide, name)),
            "patternProperties" => {
                all(wide.names(keyword), |pattern| self.follows_pattern(facts, wide, pattern))
            }
            "additionalProperties" => self.follows_additional(facts, wide),
            "required" => {
                let names = value.as_array().into_iter().flatten().filter_map(Value::as_str);
                all(names, |name| {
                    facts.is_required(name) || self.refuse_member(wide, name, &Change::Required)
                })
            }
            "dependentRequired" => all(wide.names(keyword), |name| self.follows_dependent(facts, wide, name)),
            "dependentSchemas" => all(wide.names(keyword), |name| {
                let schema = wide.named(keyword, name).expect("the name is there");
                let known = facts.parts.iter().filter_map(|part| part.named(keyword, name));
                let with = known.fold(facts.clone(), |facts, known| facts.and(known));
                facts.member(name).is_never() || self.contains(&with, &schema)
            }),
            "propertyNames" => {
                let schema = wide.child(keyword).expect("there is the keyword");
                let known = facts.parts.iter().filter_map(|part| part.child(keyword));
                self.contains(&Facts::of(known).with_types(Types::STRING), &schema)
            }
            "minProperties" | "maxProperties" => {
                let required = facts.parts.iter().filter_map(|part| part.get("required")?.as_array());
                let required: BTreeSet<&str> = required.flatten().filter_map(Value::as_str).collect();
                let has_enough = keyword == "minProperties"
                    && count(value).is_some_and(|limit| keeps(keyword, required.len() as u64, limit));
                has_enough || follows_count(facts, keyword, value) || self.refuse_limit(facts, clause)
            }
            _ => self.refuse_undecided(clause),
        }
    }

    fn follows_property(&mut self, facts: &Facts<'a>, wide: &At<'a>, name: &str) -> bool {
        let property = wide.named("properties", name).expect("the name is there");
        let known = facts.member(name);
        if known.parts.is_empty() && !known.is_never() {
            return self.tries(&known, &property) || self.refuse(&property, &Change::OpenMember);
        }
        self.contains(&known, &property)
    }

    fn follows_pattern(&mut self, facts: &Facts<'a>, wide: &At<'a>, pattern: &str) -> bool {
        let property = wide.named("patternProperties", pattern).expect("the pattern is there");
        let known = Facts::of(facts.parts.iter().filter_map(|part| part.named("patternProperties", pattern)));
        if self.tries(&known, &property) {
            return true;
        }
        if known.parts.is_empty() {
            return self.refuse(&property, &Change::Undecided { keyword: "patternProperties" });
        }
        self.contains(&known, &property)
    }

    /// The members that the wide schema has neither by name nor by pattern.
    fn follows_additional(&mut self, facts: &Facts<'a>, wide: &At<'a>) -> bool {
        let additional = wide.child("additionalProperties").expect("there is the keyword");
        let named: BTreeSet<&str> = wide.names("properties").collect();
        let known_names: BTreeSet<&str> = facts
            .parts
            .iter()
            .flat_map(|part| part.names("properties"))
            .filter(|name| !named.contains(name))
            .collect();
        let mut is_contained = true;
        for name in known_names {
            let member = facts.member(name);
            is_contained &=
                self.tries(&member, &additional) || self.refuse_member(wide, name, &Change::Forbidden);
        }
        let patterns: BTreeSet<&str> = wide.names("patternProperties").collect();
        let is_covered = facts.parts.iter().any(|part| self.covers_additional(part, &patterns, &additional));
        let is_covered = is_covered || self.tries(&Facts::any(Types::ALL), &additional);
        is_contained & (is_covered || self.refuse(&additional, &Change::OpenMembers))
    }

    /// Whether one schema says enough of the members that neither schema names.
    fn covers_additional(&mut self, part: &At<'a>, patterns: &BTreeSet<&str>, additional: &At<'a>) -> bool {
        let Some(known) = part.child("additionalProperties") else { return false };
        let matched = part.names("patternProperties").filter(|pattern| !patterns.contains(pattern));
        let matched = matched.filter_map(|pattern| part.named("patternProperties", pattern));
        [known].into_iter().chain(matched).all(|known| self.tries(&Facts::of([known]), additional))
    }

    fn follows_dependent(&mut self, facts: &Facts<'a>, wide: &At<'a>, name: &'a str) -> bool {
        if facts.member(name).is_never() {
            return true;
        }
        let names = |part: &At<'a>| part.object("dependentRequired")?.get(name)?.as_array();
        let known: BTreeSet<&str> =
            facts.parts.iter().filter_map(names).flatten().filter_map(Value::as_str).collect();
        let wanted = names(wide).into_iter().flatten().filter_map(Value::as_str);
        all(wanted, |wanted| {
            let is_known = known.contains(wanted) || facts.is_required(wanted) || wanted == name;
            is_known || self.refuse_member(wide, wanted, &Change::RequiredWith { other: name })
        })
    }

    fn refuse_member(&mut self, wide: &At<'a>, name: &str, change: &Change<'_>) -> bool {
        self.refuse_at(format!("{}/properties/{}", wide.pointer, escape(name)), change)
    }
}
