//! One shopper on its way through the shop, as its plan says: from the first page to an order that is final.
//!
//! A step is taken at its planned time, or as soon as the one before is done if that is later. What fails for a reason that may
//! pass is tried again, with the same basket, as long as patience lasts.

use std::sync::Arc;
use std::time::Duration;

use super::basket::{Chosen, choose};
use super::browser::{Ask, Browser, Page, Web};
use super::dice::Dice;
use super::marks::{Marks, OrderMark};
use super::plan::{Click, Shopper, Visit};
use super::record::{End, Record, Trouble};
use crate::http::encoded;
use crate::orders::order::State;

/// How long a browser waits for a page.
const PAGE_TIME: Duration = Duration::from_secs(5);

/// How long a shopper looks at all its orders in the end.
const LIST_TIME: Duration = Duration::from_secs(5);

/// Pauses between tries grow from the first to the last, and are spread.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// Pauses between two looks at an order's page.
const LOOK: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// The longest `Retry-After` that a shopper keeps to.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(5);

/// How often a line that is refused is tried with what a new page shows.
const LINE_TRIES: usize = 3;

/// Why a visit goes no further.
#[derive(Debug, PartialEq, Eq)]
enum Stop {
    /// There is no patience left.
    Patience,
    /// It would be refused again.
    Refused,
}

/// A shopper in the shop.
#[derive(Debug)]
pub(super) struct Visitor {
    browser: Browser,
    record: Arc<Record>,
    dice: Dice,
    patience: Duration,
}

impl Visitor {
    pub(super) fn new(web: Arc<Web>, record: Arc<Record>, shopper: &Shopper, patience: Duration) -> Self {
        let browser = Browser::new(web, shopper.currency.code());
        Self { browser, record, dice: Dice::new(shopper.number, 1), patience }
    }

    /// Does all that was planned.
    pub(super) async fn shop(mut self, shopper: Shopper) {
        for visit in &shopper.visits {
            let end = visit.clicks + self.patience;
            let seen = self.visit(visit, end).await;
            match (visit.click, seen) {
                (Click::Never, _) => self.record.abandoned(),
                (_, Ok((state, at))) => {
                    let end = match state {
                        State::Shipped => End::Shipped,
                        _ => End::Failed { as_meant: visit.is_too_much },
                    };
                    self.record.ended(end, visit.clicks, at);
                }
                (_, Err(_)) => self.record.ended(End::GaveUp, visit.clicks, self.record.now()),
            }
            if visit.lists_orders {
                let end = self.record.now() + LIST_TIME;
                // It was only curious.
                let _ = self.step(Ask::page("/orders"), end).await;
            }
        }
    }

    /// From the first page to the end of the order: its final state, and when it was shown.
    async fn visit(&mut self, visit: &Visit, end: Duration) -> Result<(State, Duration), Stop> {
        self.record.until(visit.begins).await;
        let front = self.front(end).await?;
        let mut basket = front.marks.basket.clone();
        for (place, chosen) in choose(&front.marks.products, visit).into_iter().enumerate() {
            let adds = visit.picks.get(place).map_or(visit.begins, |pick| pick.adds);
            self.record.until(adds).await;
            self.add(&chosen, &mut basket, end).await?;
        }
        self.record.until(visit.looks).await;
        let page = self.step(Ask::page("/basket"), end).await?;
        let total = page.marks.total;
        let basket = page.marks.basket.or(basket).ok_or(Stop::Refused)?;
        if visit.click == Click::Never {
            return Err(Stop::Refused);
        }
        self.record.until(visit.clicks).await;
        let (page, order) = self.checkout(visit.click, (&basket, total.as_deref()), end).await?;
        self.watch(visit.follows_events, page, &order, end).await
    }

    /// The first page, once there is something on it that can be put into a basket.
    async fn front(&mut self, end: Duration) -> Result<Page, Stop> {
        let mut pause = PAUSE.0;
        loop {
            let page = self.step(Ask::page("/"), end).await?;
            if page.marks.basket.is_some() {
                return Ok(page);
            }
            let spread = self.dice.around(pause);
            self.pause(spread, end).await?;
            pause = (pause * 2).min(PAUSE.1);
            self.record.retried();
        }
    }

    /// Puts a product into the basket. If that is refused the page may have been old: it is loaded anew.
    async fn add(&mut self, chosen: &Chosen, basket: &mut Option<String>, end: Duration) -> Result<(), Stop> {
        for _ in 0..LINE_TRIES {
            let quantity = chosen.quantity.to_string();
            let mut fields = vec![("sku", chosen.sku.as_str()), ("quantity", &quantity)];
            fields.extend(basket.as_deref().map(|basket| ("basket", basket)));
            match self.step(Ask::form("/basket/lines", &fields), end).await {
                Err(Stop::Refused) => *basket = self.front(end).await?.marks.basket,
                done => return done.map(|_| ()),
            }
        }
        Err(Stop::Refused)
    }

    /// Clicks on "buy", and again until the page of the order is there: that page, and the order.
    async fn checkout(
        &mut self,
        click: Click,
        (basket, total): (&str, Option<&str>),
        end: Duration,
    ) -> Result<(Page, String), Stop> {
        let mut fields = vec![("basket", basket)];
        fields.extend(total.map(|total| ("total", total)));
        let ask = Ask::form("/checkout", &fields);
        let page = match self.first_click(click, &ask, end).await {
            Some(page) => page,
            None => match self.step(ask, end).await {
                // Whatever is in the way of this click, an earlier one may have made the order.
                Err(Stop::Refused) => {
                    self.step(Ask::page(format!("/orders/{}", encoded(basket))), end).await?
                }
                other => other?,
            },
        };
        let order = page.path.strip_prefix("/orders/").unwrap_or(basket).to_owned();
        Ok((page, order))
    }

    /// The click of those who do not just click once; the page, if it came to one.
    async fn first_click(&mut self, click: Click, ask: &Ask, end: Duration) -> Option<Page> {
        let time = PAGE_TIME.min(self.left(end));
        let (mut ask, mut again) = (ask.clone(), ask.clone());
        let page = match click {
            Click::Never | Click::Once => return None,
            Click::Double => {
                let (first, second) =
                    tokio::join!(self.browser.load(&mut ask, time), self.browser.load(&mut again, time));
                let (first, second) = (self.judged(first), self.judged(second));
                second.or(first).ok()
            }
            Click::Impatient(moment) => {
                match tokio::time::timeout(moment, self.browser.load(&mut ask, time)).await {
                    Ok(page) => self.judged(page).ok(),
                    Err(_) => {
                        self.record.trouble(Trouble::BrokenOff);
                        None
                    }
                }
            }
        };
        if page.is_none() {
            self.record.retried();
        }
        page
    }

    /// Looks at an order until it is final.
    async fn watch(
        &mut self,
        follows_events: bool,
        page: Page,
        order: &str,
        end: Duration,
    ) -> Result<(State, Duration), Stop> {
        let path = format!("/orders/{}", encoded(order));
        let mut seen = final_state(&page.marks, order).map(|state| (state, page.ended));
        let mut pause = LOOK.0;
        loop {
            if let Some(seen) = seen {
                return Ok(seen);
            }
            if follows_events && let Some(seen) = self.follow(order, end).await {
                return Ok(seen);
            }
            self.pause(pause, end).await?;
            pause = (pause * 3 / 2).min(LOOK.1);
            let time = PAGE_TIME.min(self.left(end));
            let page = self.browser.load(&mut Ask::page(&path), time).await;
            if let Ok(page) = self.judged(page) {
                seen = final_state(&page.marks, order).map(|state| (state, page.ended));
            }
        }
    }

    /// Follows an order's events to the final one; none if they ended before.
    async fn follow(&self, order: &str, end: Duration) -> Option<(State, Duration)> {
        let opened = self.browser.events(order, PAGE_TIME.min(self.left(end))).await;
        let mut events = opened.map_err(|trouble| self.record.trouble(trouble)).ok()?;
        let to_the_end = async {
            loop {
                let (mark, at) = events.next().await?;
                if let Some(state) = final_of(&mark, order) {
                    return Some((state, at));
                }
            }
        };
        tokio::time::timeout(self.left(end), to_the_end).await.ok()?
    }

    /// Asks, and again while the reason for failing may pass.
    async fn step(&mut self, mut ask: Ask, end: Duration) -> Result<Page, Stop> {
        let mut pause = PAUSE.0;
        loop {
            let time = PAGE_TIME.min(self.left(end));
            if time.is_zero() {
                return Err(Stop::Patience);
            }
            let page = self.browser.load(&mut ask, time).await;
            let (trouble, retry_after) = match self.judged(page) {
                Ok(page) => return Ok(page),
                Err(failed) => failed,
            };
            if trouble == Trouble::Refused {
                return Err(Stop::Refused);
            }
            let spread = self.dice.around(pause);
            self.pause(spread.max(retry_after.min(RETRY_AFTER_MAX)), end).await?;
            pause = (pause * 2).min(PAUSE.1);
            self.record.retried();
        }
    }

    /// A page that is one; otherwise what is wrong, which is noted, and how long to wait.
    fn judged(&self, page: Result<Page, Trouble>) -> Result<Page, (Trouble, Duration)> {
        let failed = match page {
            Ok(page) => match page.trouble() {
                None => return Ok(page),
                Some(trouble) => (trouble, page.retry_after.unwrap_or_default()),
            },
            Err(trouble) => (trouble, Duration::ZERO),
        };
        self.record.trouble(failed.0);
        Err(failed)
    }

    async fn pause(&self, pause: Duration, end: Duration) -> Result<(), Stop> {
        let left = self.left(end);
        tokio::time::sleep(pause.min(left)).await;
        if pause < left { Ok(()) } else { Err(Stop::Patience) }
    }

    fn left(&self, end: Duration) -> Duration {
        end.saturating_sub(self.record.now())
    }
}

fn final_state(marks: &Marks, order: &str) -> Option<State> {
    marks.orders.iter().find_map(|mark| final_of(mark, order))
}

fn final_of(mark: &OrderMark, order: &str) -> Option<State> {
    (mark.order == order && mark.state.is_final()).then_some(mark.state)
}
