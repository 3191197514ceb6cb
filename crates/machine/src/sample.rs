//! What items that are there would be under another version of their schema: some of them, looked at and left as they are.

use mainstay_base::id::{Name, Tenant};
use mainstay_base::key::{Key, Slot};

use crate::collection::Collection;
use crate::definition::Definition;
use crate::item::{self, Listed};
use crate::schema::Step;
use crate::state::{self, State};

/// Some items of a collection, looked at under another version of their schema.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sample {
    /// How many were looked at.
    pub items: u64,
    /// How many would not be valid.
    pub failing: u64,
    /// The first of these, and why they would not be; at most [`Sample::EXAMPLES_MAX`].
    pub examples: Vec<(Key, String)>,
}

/// Items that are looked at as a definition has them that is not in force.
#[derive(Debug)]
pub struct Sampling {
    next: Definition,
    sample: Sample,
}

impl Sample {
    /// The most failing items that are told one by one.
    pub const EXAMPLES_MAX: usize = 5;
}

impl Sampling {
    /// Items of one slot that are looked at.
    const SLOT_ITEMS_MAX: usize = 8;

    /// Items under the definition that would be in force; none if its schema has the same version.
    pub fn of(before: &Definition, next: Definition) -> Option<Self> {
        let is_other = next.schema != before.schema && next.collection.schema.is_some();
        is_other.then(|| Self { next, sample: Sample::default() })
    }

    /// Items under a definition that was refused.
    pub fn of_refused(before: &Definition, next: &Collection) -> Option<Self> {
        let documents = next.schema.as_ref()?;
        let schema = documents.schema()?;
        if before.collection.json_schema() == Some(schema) {
            return None;
        }
        let to = before.schema + 1;
        let mut next = Definition { collection: next.clone(), schema: to, ..before.clone() };
        next.steps.push(Step::up(to, false, &documents.evolution, schema));
        Some(Self { next, sample: Sample::default() })
    }

    /// Looks at the first items of a slot. Errors: [`state::Error`].
    pub fn look(
        &mut self,
        state: &dyn State,
        (slot, tenant, name): (Slot, &Tenant, &Name),
    ) -> Result<(), state::Error> {
        for Listed { key, item } in item::list(state, (slot, tenant, name), "", None, Self::SLOT_ITEMS_MAX)? {
            self.sample.items += 1;
            if let Err(why) = self.next.check(&self.next.upgraded(item)) {
                self.sample.failing += 1;
                if self.sample.examples.len() < Sample::EXAMPLES_MAX {
                    self.sample.examples.push((key, why));
                }
            }
        }
        Ok(())
    }

    /// How many items were looked at.
    pub fn items(&self) -> u64 {
        self.sample.items
    }

    /// What was found.
    pub fn finish(self) -> Sample {
        self.sample
    }
}
