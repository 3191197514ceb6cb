//! The audit: whether money, goods, orders and what customers were shown agree.
//!
//! [`audit`] is a pure function of the [`Books`], which is all that the services keep, and of what customers were [`Told`]. It takes
//! nothing on trust that it can recompute: sums of accounts from transfers, stock from reservations. What it finds is a
//! [`Finding`] under a [`Rule`]; a sound shop at rest has none.

pub mod books;
pub mod cli;
mod read;
mod rules;
pub mod shown;
mod table;

use serde::Serialize;

pub use books::{Books, Placed};
pub use read::{read, read_at_rest, settle};
pub use rules::Rule;
pub use shown::{Acknowledged, Looked, Place, Shown, Sight, Told};

use rules::Checks;
use rules::view::View;

/// Findings of one rule that are kept to be read. All are counted.
const FINDINGS_MAX: usize = 100;

/// Something that is not as it must be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What it violates.
    pub rule: Rule,
    /// The order, account, transfer or product.
    pub subject: String,
    /// What is the case, and what would have to be.
    pub explanation: String,
}

/// How often a rule was applied, and violated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Count {
    /// The rule.
    pub rule: Rule,
    /// The things that it was applied to.
    pub checked: u64,
    /// Those that violate it.
    pub violations: u64,
}

/// What an audit found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Audit {
    /// Orders that were looked at.
    pub orders: u64,
    /// Transfers.
    pub transfers: u64,
    /// Reservations.
    pub reservations: u64,
    /// Times that a customer was shown an order.
    pub shown: u64,
    /// Checkouts that were answered by a redirect to their order.
    pub acknowledged: u64,
    /// Orders that were still open when waiting for them ended.
    pub open: usize,
    /// Whether the books moved while they were read, each time: they are of no one moment, and what is found may not be so.
    pub is_moving: bool,
    /// Each rule, in the order of [`Rule::ALL`].
    pub counts: Vec<Count>,
    /// What violates a rule; of each rule the first ones.
    pub findings: Vec<Finding>,
}

impl Audit {
    /// Whether no rule is violated, by books that are of one moment.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.violations() == 0 && !self.is_moving
    }

    /// All violations.
    #[must_use]
    pub fn violations(&self) -> u64 {
        self.counts.iter().map(|count| count.violations).sum()
    }
}

/// Compares all that is kept with itself, and with what customers were told.
#[must_use]
pub fn audit(books: &Books, told: &Told) -> Audit {
    let view = View::of(books);
    let mut checks = Checks::default();
    rules::orders::check(&view, &mut checks);
    rules::money::check(&view, &mut checks);
    rules::charges::check(&view, &mut checks);
    rules::goods::check(&view, &mut checks);
    rules::receipts::check(&view, &mut checks);
    rules::shown::check(&view, &told.shown, &mut checks);
    rules::stays::check(&view, told, &mut checks);
    let (counts, findings) = checks.into_parts();
    Audit {
        orders: books.orders.len() as u64,
        transfers: books.transfers.len() as u64,
        reservations: books.reservations.len() as u64,
        shown: told.shown.len() as u64,
        acknowledged: told.acknowledged.len() as u64,
        open: books.open,
        is_moving: books.is_moving,
        counts,
        findings,
    }
}
