//! What inventory keeps: products, how many of each there are, and reservations by orders.
//!
//! All that concerns one product is one partition, by its SKU. At every moment `received = available + reserved + shipped`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::money::Currency;

/// The collection of products: `<sku>`.
pub const PRODUCTS: &str = "products";

/// The collection of stock: `<sku>`.
pub const STOCK: &str = "stock";

/// The collection of reservations: `<sku>/<order>`.
pub const RESERVATIONS: &str = "reservations";

/// The key of a reservation.
#[must_use]
pub fn reservation_key(sku: &str, order: &str) -> String {
    format!("{sku}/{order}")
}

/// A product.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Product {
    /// What it is called.
    pub name: String,
    /// A sentence about it.
    pub about: String,
    /// Its price by currency, in minor units.
    pub prices: BTreeMap<Currency, u64>,
}

/// How many of a product there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stock {
    /// All that ever came in.
    pub received: u64,
    /// What can be reserved.
    pub available: u64,
    /// What is set aside for orders.
    pub reserved: u64,
    /// What went out.
    pub shipped: u64,
}

/// What became of a reservation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    /// Set aside.
    Reserved,
    /// Gone out. Final.
    Shipped,
    /// Available again, or never set aside. Final.
    Released,
}

/// A reservation. One that was released before it was made has a quantity of 0, and keeps one that is still on its way from being made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reservation {
    /// How many.
    pub quantity: u64,
    /// What became of it.
    pub standing: Standing,
}

/// A product as it is listed: with what is available.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// Its id.
    pub sku: String,
    /// What it is.
    #[serde(flatten)]
    pub product: Product,
    /// How many can be reserved; a moment old.
    pub available: u64,
}
