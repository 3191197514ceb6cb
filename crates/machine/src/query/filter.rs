//! What must hold for an item that is listed.

use mainstay_base::error::Code;

use crate::evaluate::index::text;
use crate::expression::{self, Expression};
use crate::item::Item;
use crate::outcome::Refusal;

/// Steps of the filter for each entry and item that a page may look at.
const STEPS_PER_READ: u64 = 100;

/// A filter with the steps that it may still take.
#[derive(Debug)]
pub(crate) struct Filter<'q> {
    expression: Option<&'q Expression>,
    steps: u64,
}

impl<'q> Filter<'q> {
    /// A filter for a page that may look at so much.
    pub(crate) fn new(expression: Option<&'q Expression>, reads_max: u64) -> Self {
        Self { expression, steps: reads_max.saturating_mul(STEPS_PER_READ) }
    }

    /// Whether an item passes. Errors: it has taken too many steps.
    pub(crate) fn passes(&mut self, item: &Item) -> Result<bool, Box<Refusal>> {
        let Some(expression) = self.expression else { return Ok(true) };
        let version = item.version.to_string();
        let subject = expression::Item { value: text(item), version: Some(&version), exists: true };
        match expression.holds(&subject, &mut self.steps) {
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
