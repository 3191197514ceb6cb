//! Customers: shoppers who use the shop's pages as people do, at a rate that the shop cannot slow down.
//!
//! The load is open: who comes when, and wants what, is fixed in advance by a seed ([`plan`]). Latency is counted from the moment
//! at which a click was *due*, which is the arrival and the times to think, to the first answer that shows the order shipped or
//! failed. So everything that the shop makes a shopper wait counts, on the pages before the click too, and a second order's
//! latency has in it what the first one took too long. Percentiles are of checkouts that were completed; those whose
//! shoppers ran out of patience are counted beside them.
//!
//! A checkout is completed when its shopper was shown a final state, `failed` as well as `shipped`: to say no is an answer, and some
//! are meant to be declined. All that a shopper is ever shown of an order is kept for the audit, and so is
//! that a checkout was acknowledged, which is a promise before anything was shown.

mod basket;
mod browser;
pub mod cli;
pub mod dice;
pub mod marks;
pub mod outcome;
pub mod plan;
pub mod progress;
pub mod record;
mod shopper;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

pub use outcome::Outcome;
pub use plan::{Habits, Plan};
pub use progress::Progress;

use browser::Web;
use plan::Shopper;
use record::{Record, SLICE};
use shopper::Visitor;

/// What a shopper's panic is told as: without it the figures are not those of the plan.
const DEFECT: &str = "a shopper did not come to its end";

/// Sends in the shoppers of a plan, until all have left. When `stop` is done nobody comes any more, and who is there goes on.
///
/// `progress` has how it is going, four times a second. Errors: the plan's address is none, it is too
/// much, or a shopper has a defect.
pub async fn run(
    plan: &Plan,
    progress: &watch::Sender<Progress>,
    stop: impl Future<Output = ()>,
) -> Result<Outcome> {
    plan.check()?;
    let record = Arc::new(Record::start());
    let web = Arc::new(Web::new(&plan.shop, Arc::clone(&record))?);
    let mut shop = Shop { web, record, room: Arc::new(Semaphore::new(plan.at_once)), inside: JoinSet::new() };
    let mut ticks = tokio::time::interval(SLICE);
    let mut shoppers = plan.shoppers().peekable();
    tokio::pin!(stop);
    while let Some(next) = shoppers.peek() {
        let arrives = next.arrives;
        tokio::select! {
            () = &mut stop => break,
            () = shop.record.until(arrives) => {
                shop.admit(shoppers.next(), plan.patience);
            }
            _ = ticks.tick() => {
                progress.send_replace(shop.record.progress());
            }
        }
        while let Some(left) = shop.inside.try_join_next() {
            left.context(DEFECT)?;
        }
    }
    while !shop.inside.is_empty() {
        tokio::select! {
            Some(left) = shop.inside.join_next() => left.context(DEFECT)?,
            _ = ticks.tick() => {
                progress.send_replace(shop.record.progress());
            }
        }
    }
    progress.send_replace(shop.record.progress());
    Ok(shop.record.finish())
}

/// The shop with those who are in it.
struct Shop {
    web: Arc<Web>,
    record: Arc<Record>,
    room: Arc<Semaphore>,
    inside: JoinSet<()>,
}

impl Shop {
    fn admit(&mut self, shopper: Option<Shopper>, patience: Duration) {
        let Some(shopper) = shopper else { return };
        let place = Arc::clone(&self.room).try_acquire_owned();
        self.record.arrived(&shopper, place.is_ok());
        let Ok(place) = place else { return };
        let visitor = Visitor::new(Arc::clone(&self.web), Arc::clone(&self.record), &shopper, patience);
        self.inside.spawn(async move {
            visitor.shop(shopper).await;
            drop(place);
        });
    }
}
