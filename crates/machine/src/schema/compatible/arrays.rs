//! Arrays.

use serde_json::Value;

use super::containment::{Clause, Containment, all};
use super::facts::{At, Facts};
use super::scalars::{count, follows_count};

impl<'a> Containment<'a> {
    pub(super) fn follows_array(&mut self, facts: &Facts<'a>, clause: Clause<'_, 'a>) -> bool {
        let Clause { wide, keyword, value } = clause;
        match keyword {
            "prefixItems" => {
                let list = wide.list(keyword);
                let elements = list.iter().enumerate().filter(|(place, _)| may_have(facts, *place));
                all(elements, |(place, element)| self.contains(&facts.element(place), element))
            }
            "items" => self.follows_items(facts, wide),
            "uniqueItems" => {
                let is_known = facts.parts.iter().any(|part| part.get(keyword) == Some(&Value::Bool(true)));
                value == &Value::Bool(false)
                    || is_known
                    || !may_have(facts, 1)
                    || self.refuse_limit(facts, clause)
            }
            "minItems" | "maxItems" => {
                follows_count(facts, keyword, value) || self.refuse_limit(facts, clause)
            }
            "contains" => {
                let is_known = |part: &At<'a>| {
                    ["minContains", "maxContains"].iter().all(|limit| part.get(limit) == wide.get(limit))
                        && part
                            .child(keyword)
                            .zip(wide.child(keyword))
                            .is_some_and(|(one, other)| self.is_same(&one, &other))
                };
                facts.parts.iter().any(is_known) || self.refuse_undecided(clause)
            }
            _ => self.refuse_undecided(clause),
        }
    }

    /// The elements after those that the wide schema has one by one.
    fn follows_items(&mut self, facts: &Facts<'a>, wide: &At<'a>) -> bool {
        let items = wide.child("items").expect("there is the keyword");
        let from = wide.list("prefixItems").len();
        let one_by_one = facts.parts.iter().map(|part| part.list("prefixItems").len()).max().unwrap_or(0);
        // The last stands for all that follow.
        let places = (from..=one_by_one.max(from)).filter(|place| may_have(facts, *place));
        all(places, |place| self.contains(&facts.element(place), &items))
    }
}

/// Whether there may be an element at a place.
fn may_have(facts: &Facts<'_>, place: usize) -> bool {
    let mut limits = facts.parts.iter().filter_map(|part| count(part.get("maxItems")?));
    !limits.any(|limit| limit <= place as u64)
}
