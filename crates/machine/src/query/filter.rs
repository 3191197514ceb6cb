//! What must hold for an item that is listed.

use mainstay_base::error::Code;
use mainstay_base::time::Timestamp;

use crate::expression::{self, Expression};
use crate::item::Item;
use crate::outcome::Refusal;
use crate::shards::Search;

/// Steps of the filter for each entry and item that a page may look at.
const STEPS_PER_READ: u64 = 100;

/// A filter with the steps that it may still take.
#[derive(Debug)]
pub(crate) struct Filter<'q> {
    now: Timestamp,
    expression: Option<&'q Expression>,
    steps: u64,
}

impl<'q> Filter<'q> {
    /// A filter for a page of what is there now.
    pub(crate) fn new(search: &'q Search, now: Timestamp) -> Self {
        let steps = search.reads_max.saturating_mul(STEPS_PER_READ);
        Self { now, expression: search.filter.as_ref(), steps }
    }

    /// Whether an item passes. Errors: it has taken too many steps.
    pub(crate) fn passes(&mut self, item: &Item) -> Result<bool, Box<Refusal>> {
        if item.is_over(self.now) {
            return Ok(false);
        }
        let Some(expression) = self.expression else { return Ok(true) };
        match item.satisfies(expression, &mut self.steps) {
            Ok(holds) => Ok(holds),
            Err(expression::Error::Steps) => {
                let detail =
                    "the filter has taken too many steps for a page: ask for fewer items, or filter by less";
                Err(Box::new(Refusal::new(Code::Invalid, detail).fact("parameter", "filter")))
            }
            // What cannot be evaluated for an item does not hold for it.
            Err(_) => Ok(false),
        }
    }
}
