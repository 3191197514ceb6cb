//! What shoppers will do, fixed in advance by a seed: when each arrives, what each buys, how long each thinks, and its habits.
//!
//! Nothing here depends on how the shop does. Arrivals are a Poisson process; the times of a visit's steps are counted from the
//! arrival, so a shop that is slow is not offered less, and what it makes shoppers wait counts as latency.

use std::time::Duration;

use anyhow::ensure;
use serde::Serialize;

use super::dice::Dice;
use crate::money::Currency;
use crate::orders::calls::WELCOME;

/// The most checkouts that a plan may come to: what customers are told of each is kept in memory until the audit.
pub const CHECKOUTS_MAX: f64 = 1_000_000.0;

/// What a new customer has, in minor units of each currency.
pub const WALLET: u64 = WELCOME;

/// How often shoppers do what, each from 0 to 1.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Habits {
    /// Fill a basket and leave. They come in addition: they offer no checkout.
    pub abandon: f64,
    /// Click twice at once.
    pub double_click: f64,
    /// Break the checkout off after some milliseconds, and click again.
    pub impatient: f64,
    /// Spend most of what they have, and then order once more what they cannot pay.
    pub come_back: f64,
    /// Order what they cannot pay.
    pub overspend: f64,
    /// Pay in dollars.
    pub dollars: f64,
    /// Follow the order by events, and do not reload its page.
    pub follow_events: f64,
    /// Look at all their orders at the end.
    pub list_orders: f64,
}

impl Default for Habits {
    fn default() -> Self {
        Self {
            abandon: 0.10,
            double_click: 0.05,
            impatient: 0.05,
            come_back: 0.03,
            overspend: 0.03,
            dollars: 0.20,
            follow_events: 0.20,
            list_orders: 0.20,
        }
    }
}

/// The whole of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Plan {
    /// The shop, such as `http://127.0.0.1:8080`.
    pub shop: String,
    /// Checkouts that are offered in a second, on average.
    pub rate: f64,
    /// How long shoppers arrive.
    #[serde(serialize_with = "seconds")]
    pub duration: Duration,
    /// What fixes everything.
    pub seed: u64,
    /// How long a shopper thinks before each step, on average.
    #[serde(serialize_with = "seconds")]
    pub think: Duration,
    /// How long after the moment of its click a shopper waits for the order to be final.
    #[serde(serialize_with = "seconds")]
    pub patience: Duration,
    /// Shoppers in the shop at once. Those who come beyond that are not sent in, and their checkouts counted.
    pub at_once: usize,
    /// What shoppers do.
    pub habits: Habits,
}

fn seconds<S: serde::Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(time.as_secs_f64())
}

impl Plan {
    /// A plan for the shop at this address; the rest is as `shop customers` has it by default.
    #[must_use]
    pub fn new(shop: &str) -> Self {
        Self {
            shop: shop.to_owned(),
            rate: 20.0,
            duration: Duration::from_secs(60),
            seed: 1,
            think: Duration::from_millis(500),
            patience: Duration::from_secs(30),
            at_once: 20_000,
            habits: Habits::default(),
        }
    }

    /// Errors: it comes to more checkouts than [`CHECKOUTS_MAX`].
    pub fn check(&self) -> anyhow::Result<()> {
        let (rate, seconds) = (self.rate, self.duration.as_secs_f64());
        let checkouts = rate * seconds;
        ensure!(
            checkouts <= CHECKOUTS_MAX,
            "{rate} checkouts a second for {seconds} s are {checkouts:.0}, and at most {CHECKOUTS_MAX:.0} can be kept for the audit: \
             use a lower --rate or a shorter --duration"
        );
        Ok(())
    }

    /// All shoppers, in the order in which they arrive.
    pub fn shoppers(&self) -> impl Iterator<Item = Shopper> + '_ {
        let mut dice = Dice::new(self.seed, 0);
        let (mut number, mut at) = (0, Duration::ZERO);
        let rate = self.arrivals_a_second();
        std::iter::from_fn(move || {
            at += dice.until_next(rate);
            number += 1;
            (at < self.duration).then(|| self.shopper(number, at))
        })
    }

    /// So many arrive that those who buy, and those who do it twice, make up the rate.
    fn arrivals_a_second(&self) -> f64 {
        self.rate / ((1.0 - self.habits.abandon) * (1.0 + self.habits.come_back))
    }

    fn shopper(&self, number: u64, arrives: Duration) -> Shopper {
        let mut dice = Dice::new(self.seed, number);
        let habits = &self.habits;
        let currency = if dice.chance(habits.dollars) { Currency::Usd } else { Currency::Eur };
        let habit = dice.unit();
        let mut visits = Vec::new();
        if habit < habits.abandon {
            let visit = self.visit(&mut dice, arrives, Wish::Something);
            visits.push(Visit { click: Click::Never, ..visit });
        } else if dice.chance(habits.come_back) {
            let first = self.visit(&mut dice, arrives, Wish::MostOfWallet);
            let pause = dice.around(self.think * 4);
            let second = self.visit(&mut dice, first.clicks + pause, Wish::MostOfWallet);
            visits.extend([first, Visit { is_too_much: true, ..second }]);
        } else if dice.chance(habits.overspend) {
            visits.push(self.visit(&mut dice, arrives, Wish::MoreThanWallet));
        } else {
            visits.push(self.visit(&mut dice, arrives, Wish::Something));
        }
        Shopper { number, arrives, currency, visits }
    }

    fn visit(&self, dice: &mut Dice, begins: Duration, wish: Wish) -> Visit {
        let mut at = begins;
        let mut then = |dice: &mut Dice| {
            at += dice.around(self.think);
            at
        };
        let pick = |dice: &mut Dice, adds| Pick { draw: dice.number(), quantity: dice.from_to(1, 2), adds };
        let picks = (0..dice.from_to(1, 3)).map(|_| {
            let adds = then(dice);
            pick(dice, adds)
        });
        let picks: Vec<_> = picks.collect();
        let looks = then(dice);
        let clicks = then(dice);
        let habits = &self.habits;
        let click = match dice.unit() {
            habit if habit < habits.double_click => Click::Double,
            habit if habit < habits.double_click + habits.impatient => {
                Click::Impatient(Duration::from_millis(dice.from_to(5, 50)))
            }
            _ => Click::Once,
        };
        Visit {
            begins,
            wish,
            picks,
            looks,
            clicks,
            click,
            is_too_much: wish == Wish::MoreThanWallet,
            follows_events: dice.chance(habits.follow_events),
            lists_orders: dice.chance(habits.list_orders),
        }
    }
}

/// Somebody who comes to the shop. All times are counted from the start of the run.
#[derive(Debug, Clone, PartialEq)]
pub struct Shopper {
    /// Counted from 1.
    pub number: u64,
    /// When.
    pub arrives: Duration,
    /// What it pays in.
    pub currency: Currency,
    /// One, or two of the same customer.
    pub visits: Vec<Visit>,
}

impl Shopper {
    /// When each checkout is due that it offers.
    pub fn checkouts(&self) -> impl Iterator<Item = Duration> + '_ {
        self.visits.iter().filter(|visit| visit.click != Click::Never).map(|visit| visit.clicks)
    }
}

/// What a shopper wants to buy; products and prices are those that the page shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// One to three products that it can pay.
    Something,
    /// So much that it cannot be paid twice.
    MostOfWallet,
    /// What cannot be paid.
    MoreThanWallet,
}

/// How a shopper clicks on "buy".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Click {
    /// Not at all: the basket is left.
    Never,
    /// Once.
    Once,
    /// Twice at the same time.
    Double,
    /// Once with so little time, then once more.
    Impatient(Duration),
}

/// A product that is put into the basket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pick {
    /// Says which of the products that are shown.
    pub draw: u64,
    /// How many.
    pub quantity: u64,
    /// When.
    pub adds: Duration,
}

/// A way through the shop, from its first page to an order.
#[derive(Debug, Clone, PartialEq)]
pub struct Visit {
    /// When the first page is asked for.
    pub begins: Duration,
    /// What it wants.
    pub wish: Wish,
    /// What it picks.
    pub picks: Vec<Pick>,
    /// When it looks at its basket.
    pub looks: Duration,
    /// When its click is due. Latency is counted from here.
    pub clicks: Duration,
    /// How.
    pub click: Click,
    /// Whether the order is meant to be declined.
    pub is_too_much: bool,
    /// Whether it follows events.
    pub follows_events: bool,
    /// Whether it looks at all orders at the end.
    pub lists_orders: bool,
}
