//! What customers were shown: each time that a page or an event told of an order, and what.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::money::Currency;
use crate::orders::order::State;

/// Where a customer saw an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Place {
    /// The page of one order.
    Order,
    /// The list of a customer's orders.
    Orders,
    /// The events of one order.
    Events,
    /// What is answered to a checkout itself.
    Checkout,
    /// Any other page.
    Other,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Order => "the order's page",
            Self::Orders => "the list of orders",
            Self::Events => "the order's events",
            Self::Checkout => "the checkout",
            Self::Other => "another page",
        })
    }
}

/// What a customer was once shown of an order. Those of one request stand in the order in which they came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shown {
    /// To whom: the cookie.
    pub customer: String,
    /// The order.
    pub order: String,
    /// How far it was said to be.
    pub state: State,
    /// What it was said to cost, in minor units.
    pub total: u64,
    /// In which currency.
    pub currency: Currency,
    /// Where.
    pub place: Place,
    /// The request whose answer said so; its number is used once.
    pub request: u64,
    /// When that request began, since the start of the run. Of an event: when its stream was asked for.
    pub began: Duration,
    /// When the page was there as a whole, or the event.
    pub ended: Duration,
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (state, total) = (self.state.name(), self.currency.show(self.total));
        let (place, ended) = (self.place, self.ended.as_secs_f64());
        write!(f, "`{state}` and {total} by {place} at {ended:.3} s")
    }
}
