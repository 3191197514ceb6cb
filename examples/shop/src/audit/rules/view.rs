//! The books as the rules look at them: orders by id, and what happened to each order's money.

use std::collections::HashMap;

use crate::audit::{Books, Placed};
use crate::payments::ledger::{Kind, Transfer};

/// What the id of an order's pending transfer ends with.
const PAY: &str = "-pay";

/// A transfer, and where it is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry<'a> {
    pub(super) ledger: &'a str,
    pub(super) id: &'a str,
    pub(super) transfer: &'a Transfer,
}

impl Entry<'_> {
    pub(super) fn name(&self) -> String {
        format!("{}/{}", self.ledger, self.id)
    }
}

/// The money of one order.
#[derive(Debug, Default)]
pub(super) struct Charges<'a> {
    /// What was set aside.
    pub(super) pending: Vec<Entry<'a>>,
    /// What was charged: posts.
    pub(super) posted: Vec<Entry<'a>>,
}

/// The books, with ways through them.
#[derive(Debug)]
pub(crate) struct View<'a> {
    pub(super) books: &'a Books,
    orders: HashMap<&'a str, &'a Placed>,
    charges: HashMap<&'a str, Charges<'a>>,
    resolutions: HashMap<(&'a str, &'a str), Vec<Entry<'a>>>,
}

impl<'a> View<'a> {
    pub(crate) fn of(books: &'a Books) -> Self {
        let orders = books.orders.iter().map(|placed| (placed.id.as_str(), placed)).collect();
        let mut view = Self { books, orders, charges: HashMap::new(), resolutions: HashMap::new() };
        for entry in entries(books) {
            view.file(entry);
        }
        view
    }

    fn file(&mut self, entry: Entry<'a>) {
        let Entry { ledger, id, transfer } = entry;
        if let Some(pending) = &transfer.pending {
            self.resolutions.entry((ledger, pending)).or_default().push(entry);
        }
        if let Some(order) = order_of(id, transfer) {
            let charges = self.charges.entry(order).or_default();
            match transfer.kind {
                Kind::Pending => charges.pending.push(entry),
                Kind::Post => charges.posted.push(entry),
                Kind::Transfer | Kind::Void | Kind::Blocked => {}
            }
        }
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = Entry<'a>> + use<'a> {
        entries(self.books)
    }

    pub(super) fn order(&self, id: &str) -> Option<&'a Placed> {
        self.orders.get(id).copied()
    }

    /// The transfer that a post or void is of.
    pub(super) fn pending_of(&self, entry: Entry<'_>) -> Option<&'a Transfer> {
        let id = entry.transfer.pending.clone()?;
        self.books.transfers.get(&(entry.ledger.to_owned(), id))
    }

    /// What posts and voids there are of a transfer.
    pub(super) fn resolutions(&self, of: Entry<'a>) -> &[Entry<'a>] {
        self.resolutions.get(&(of.ledger, of.id)).map_or(&[], Vec::as_slice)
    }

    /// What happened to an order's money.
    pub(super) fn charges(&self, order: &str) -> Option<&Charges<'a>> {
        self.charges.get(order)
    }
}

fn entries(books: &Books) -> impl Iterator<Item = Entry<'_>> {
    books.transfers.iter().map(|((ledger, id), transfer)| Entry { ledger, id, transfer })
}

/// The order that a transfer is for, as its name or that of its pending transfer says.
pub(super) fn order_of<'a>(id: &'a str, transfer: &'a Transfer) -> Option<&'a str> {
    transfer.pending.as_deref().unwrap_or(id).strip_suffix(PAY)
}
