//! The books: all that the services keep of orders, money and goods, as it was read.

use std::collections::{BTreeMap, BTreeSet};

use crate::inventory::stock::{Product, Reservation, Stock};
use crate::orders::order::Order;
use crate::payments::ledger::{Account, Transfer};

/// An order, and whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// Whose it is.
    pub customer: String,
    /// Its id.
    pub id: String,
    /// The order.
    pub order: Order,
}

/// All that is kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Books {
    /// By ledger and id.
    pub accounts: BTreeMap<(String, String), Account>,
    /// By ledger and id.
    pub transfers: BTreeMap<(String, String), Transfer>,
    /// By SKU.
    pub products: BTreeMap<String, Product>,
    /// By SKU.
    pub stock: BTreeMap<String, Stock>,
    /// By SKU and order.
    pub reservations: BTreeMap<(String, String), Reservation>,
    /// In the order of their keys.
    pub orders: Vec<Placed>,
    /// By customer and order.
    pub receipts: BTreeSet<(String, String)>,
    /// Items that are none of these, with what is wrong: `<collection> <key>: <what>`.
    pub strange: Vec<String>,
    /// Orders that were still open when waiting for them ended.
    pub open: usize,
    /// Whether they moved while they were read, each time that they were: they are of no one moment.
    pub is_moving: bool,
}
