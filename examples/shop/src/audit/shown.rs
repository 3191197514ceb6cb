//! What customers were told: each time that a page or an event showed an order and what, that a checkout was acknowledged, and that an
//! answer said of an order that it is not there.

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

/// All that customers were told in a run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// Each time that somebody was shown an order.
    pub shown: Vec<Shown>,
    /// Each checkout whose answer led to its order.
    pub acknowledged: Vec<Acknowledged>,
    /// Each answer by which orders are there or not.
    pub looked: Vec<Looked>,
}

/// A checkout that was answered by a redirect to its order, which the shop sends only when the order is committed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledged {
    /// To whom: the cookie.
    pub customer: String,
    /// The order.
    pub order: String,
    /// The checkout.
    pub request: u64,
    /// When the checkout was sent, since the start of the run.
    pub began: Duration,
    /// When its answer was there.
    pub ended: Duration,
}

/// An answer by which orders are there or not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Looked {
    /// Who was answered: the cookie.
    pub customer: String,
    /// What the answer says.
    pub sight: Sight,
    /// The request.
    pub request: u64,
    /// When it began, since the start of the run.
    pub began: Duration,
    /// When its answer was there as a whole.
    pub ended: Duration,
}

/// What an answer says of which orders there are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sight {
    /// There is no such order: 404.
    Missing(String),
    /// These are the customer's, the newest ones of many: the whole list.
    Listed(Vec<String>),
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
