//! What orders keeps: a customer's basket, and the customer's orders with how far each is.
//!
//! All of one customer is one partition. An order goes through its states one commit at a time, each under the condition that it is
//! still in the state before; who finds it in any state can go on from there.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::money::Currency;

/// The collection of baskets: `<customer>`.
pub const BASKETS: &str = "baskets";

/// The collection of orders: `<customer>/<order>`.
pub const ORDERS: &str = "orders";

/// The key of an order.
#[must_use]
pub fn order_key(customer: &str, order: &str) -> String {
    format!("{customer}/{order}")
}

/// A basket. Its id becomes that of the order: it can be checked out once, however often it is tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Basket {
    /// The id of the order that it will be: `<customer>.<name>`.
    pub id: String,
    /// What it is to be paid in.
    pub currency: Currency,
    /// How many of each product, by SKU.
    #[serde(default)]
    pub lines: BTreeMap<String, u64>,
}

/// How far an order is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Taken from the basket.
    Placed,
    /// All of it is set aside.
    Reserved,
    /// It is decided that it is paid: from here on it only goes forward.
    Charging,
    /// The money has moved.
    Paid,
    /// All of it went out. Final.
    Shipped,
    /// It is decided that it fails: what was set aside is freed, money and goods.
    Failing,
    /// Nothing of it is left. Final.
    Failed,
}

impl State {
    /// All states, in the order above.
    pub const ALL: [Self; 7] = [
        Self::Placed,
        Self::Reserved,
        Self::Charging,
        Self::Paid,
        Self::Shipped,
        Self::Failing,
        Self::Failed,
    ];

    /// As it stands in documents and pages.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Placed => "placed",
            Self::Reserved => "reserved",
            Self::Charging => "charging",
            Self::Paid => "paid",
            Self::Shipped => "shipped",
            Self::Failing => "failing",
            Self::Failed => "failed",
        }
    }

    /// Whether nothing changes any more.
    #[must_use]
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Shipped | Self::Failed)
    }
}

/// Some of one product.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// The product.
    pub sku: String,
    /// What it was called.
    pub name: String,
    /// How many.
    pub quantity: u64,
    /// What one cost, in minor units.
    pub price: u64,
}

/// What the fraud service said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fraud {
    /// Its score, from 0 (harmless) to 100.
    Score(u64),
    /// It could not be asked: what costs little is let pass.
    Unchecked,
}

/// An order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// Whose it is: an index finds a customer's orders by it, the newest first.
    #[serde(default)]
    pub customer: String,
    /// How far it is.
    pub state: State,
    /// What it is paid in.
    pub currency: Currency,
    /// What was bought, in the order of SKUs.
    pub lines: Vec<Line>,
    /// Minor units: the sum of all lines.
    pub total: u64,
    /// When it was placed, in milliseconds since 1970.
    pub placed_at: u64,
    /// When its state last changed.
    pub changed_at: u64,
    /// `true` as long as the state is not final; then absent, so that an index has only those that are open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open: Option<bool>,
    /// What the fraud service said, once it was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fraud: Option<Fraud>,
    /// Why it fails, for its customer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// An order with its id, as it is answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answered {
    /// Its id.
    pub id: String,
    /// The order.
    #[serde(flatten)]
    pub order: Order,
}
