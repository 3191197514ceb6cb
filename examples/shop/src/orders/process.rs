//! The process of an order: from wherever it is, one state after the other, until it is final.
//!
//! Two processes of one order do no harm: what they ask of other services has ids by which it happens once, and a state is left by a
//! commit under the condition that the order is as it was read. The two decisions that exclude each other, to charge and to
//! fail, are such commits, made before anything is done that follows from them.

use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::sync::{Semaphore, SemaphorePermit, watch};
use tokio::time::MissedTickBehavior;

use super::calls::{Failed, Services};
use super::order::{Fraud, ORDERS, Order, State};
use crate::http::{Client, Deadline, encoded};
use crate::inventory::stock::Listed;
use crate::mainstay::{Error, Item, Mainstay, merge_patch, version};
use crate::service::{self, Problem, now_ms};

/// How many orders an instance works on at a time; others wait for its repair.
const AT_ONCE: usize = 512;

/// How long a process goes on with one order, until it leaves it to a later repair.
const PATIENCE: Duration = Duration::from_secs(15);

/// Pauses after a step that could not be made.
const PAUSE_MIN: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// How often what was left behind is looked for, and how long ago it must have changed last.
const REPAIR_EVERY: Duration = Duration::from_secs(1);
const LEFT_BEHIND: Duration = Duration::from_secs(3);

/// How long it is tried to reserve and to authorize, until the order fails.
const GIVE_UP: Duration = Duration::from_secs(30);

/// From this score on an order is declined, and up to this total one is let pass without a score.
const SCORE_MAX: u64 = 90;
const UNCHECKED_MAX: u64 = 15_000;

/// How old prices may be, while inventory can be asked.
const PRICES: Duration = Duration::from_secs(2);

/// Products as they were read, and when.
type Prices = Option<(Instant, Arc<BTreeMap<String, Listed>>)>;

/// What an instance of orders is doing.
#[derive(Debug)]
pub struct Process {
    api: Mainstay,
    services: Services,
    /// Those at work, by the order's key. Senders are dropped at their ends.
    running: Mutex<HashMap<String, watch::Sender<()>>>,
    places: Arc<Semaphore>,
    prices: Mutex<Prices>,
    /// Has one place: who reads prices anew.
    reading: Semaphore,
}

/// What a state leads to.
#[derive(Debug, PartialEq, Eq)]
struct Step {
    to: State,
    fraud: Option<Fraud>,
    reason: Option<String>,
}

impl Step {
    const fn to(to: State) -> Self {
        Self { to, fraud: None, reason: None }
    }

    fn fail(reason: &str) -> Self {
        Self { to: State::Failing, fraud: None, reason: Some(reason.to_owned()) }
    }
}

impl Process {
    /// One without orders.
    #[must_use]
    pub fn new(api: Mainstay, gateway: Client) -> Arc<Self> {
        Arc::new(Self {
            api,
            services: Services::new(gateway),
            running: Mutex::default(),
            places: Arc::new(Semaphore::new(AT_ONCE)),
            prices: Mutex::default(),
            reading: Semaphore::new(1),
        })
    }

    /// The API.
    #[must_use]
    pub const fn api(&self) -> &Mainstay {
        &self.api
    }

    /// All products, as they were a moment ago. One request at a time reads them anew; others take what there is, or wait for the first.
    pub async fn products(&self, deadline: Deadline) -> Result<Arc<BTreeMap<String, Listed>>, Problem> {
        let known = self.known();
        if let Some((read, products)) = &known
            && read.elapsed() < PRICES
        {
            return Ok(Arc::clone(products));
        }
        let reading = match (self.reading.try_acquire(), known) {
            (Ok(reading), _) => reading,
            (Err(_), Some((_, old))) => return Ok(old),
            (Err(_), None) => self.reading.acquire().await.expect("it is never closed"),
        };
        let read = match self.known() {
            // It was read while this request waited.
            Some((read, products)) if read.elapsed() < PRICES => return Ok(products),
            _ => self.services.products(deadline).await,
        };
        // What things cost hardly ever changes: an old price list is better than no order.
        let products = match (read, self.known()) {
            (Ok(products), _) => Arc::new(products),
            (Err(_), Some((_, old))) => old,
            (Err(reason), None) => {
                let detail = format!("what things cost is not known, nothing was done: try again ({reason})");
                return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", detail));
            }
        };
        *self.prices.lock().expect("nobody panics with it") = Some((Instant::now(), Arc::clone(&products)));
        drop(reading);
        Ok(products)
    }

    fn known(&self) -> Prices {
        self.prices.lock().expect("nobody panics with it").clone()
    }

    /// Has the order with this key worked on, unless it is already. What is returned is closed when that has ended.
    pub fn begin(self: &Arc<Self>, key: &str) -> watch::Receiver<()> {
        let mut running = self.running.lock().expect("nobody panics with it");
        if let Some(at_work) = running.get(key) {
            return at_work.subscribe();
        }
        let (sender, ended) = watch::channel(());
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else { return ended };
        running.insert(key.to_owned(), sender);
        let (process, key) = (Arc::clone(self), key.to_owned());
        tokio::spawn(async move {
            let _place = place;
            let _ended = Ended { process: &process, key: &key };
            process.work(&key).await;
        });
        ended
    }

    /// Takes up what was left behind, for ever.
    pub async fn repair(self: Arc<Self>) -> Infallible {
        let mut every = tokio::time::interval(REPAIR_EVERY);
        every.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut is_told = false;
        loop {
            every.tick().await;
            let left = self.left_behind().await;
            if let (Err(error), false) = (&left, is_told) {
                service::log(&format!("open orders cannot be read for now: {error}"));
            }
            is_told = left.is_err();
            for key in left.unwrap_or_default() {
                drop(self.begin(&key));
            }
        }
    }

    /// Open orders that nobody has worked on for a while, as many as there is room for. An index has those that are open and nothing else.
    async fn left_behind(&self) -> Result<Vec<String>, Error> {
        let (mut left, mut cursor) = (Vec::new(), String::new());
        let since = now_ms().saturating_sub(LEFT_BEHIND.as_millis() as u64);
        loop {
            let query = format!("filter=value.open%3D%3Dtrue&limit=200{cursor}");
            // Also one that is no order: who works on it tells.
            let page = self.api.page::<Value>(ORDERS, &query, Deadline::after(PATIENCE)).await?;
            let is_left = |value: &Value| value["changed_at"].as_u64().is_none_or(|changed| changed < since);
            left.extend(page.items.into_iter().filter(|item| is_left(&item.value)).map(|item| item.key));
            match page.next {
                Some(next) if left.len() < AT_ONCE => cursor = format!("&cursor={}", encoded(&next)),
                _ => return Ok(left),
            }
        }
    }

    /// Waits until what is worked on has ended, and no longer than `patience`. Nothing is begun any more.
    pub async fn finish(&self, patience: Duration) {
        let all = self.places.acquire_many(AT_ONCE as u32);
        // What is left another instance takes up.
        let _ = tokio::time::timeout(patience, all).await.map(|places| places.map(SemaphorePermit::forget));
    }

    /// Goes from state to state until the order is final, or time is over.
    async fn work(&self, key: &str) {
        let deadline = Deadline::after(PATIENCE);
        let mut pause = PAUSE_MIN;
        while !deadline.is_over() {
            let Later(reason) = match self.go_on(key, deadline).await {
                Ok(true) => return,
                Ok(false) => {
                    pause = PAUSE_MIN;
                    continue;
                }
                Err(later) => later,
            };
            if deadline.left() < pause {
                return service::log(&format!("the order {key} is left for later: {reason}"));
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    /// One step; tells whether the order is final.
    async fn go_on(&self, key: &str, deadline: Deadline) -> Result<bool, Later> {
        let read =
            self.api.get::<Order>(ORDERS, key, deadline).await.map_err(|error| Later(error.to_string()))?;
        // Where there is none somebody has removed it, and there is nothing left to do for it.
        let Some(item) = read.filter(|item| !item.value.state.is_final()) else { return Ok(true) };
        let state = item.value.state.name();
        let (customer, id) = key.split_once('/').unwrap_or((key, ""));
        let step = match self.step((customer, id), &item.value).await {
            Ok(step) => step,
            Err(Failed::Against(reason)) if may_fail(item.value.state) => Step::fail(&reason),
            Err(Failed::Against(reason)) => {
                return Err(Later(format!("it is {state}, and cannot fail any more; {reason}")));
            }
            Err(Failed::Later(reason)) if is_given_up(&item.value, now_ms()) => {
                service::log(&format!("the order {key} was {state} for too long, and fails: {reason}"));
                Step::fail("we could not complete it in time")
            }
            Err(Failed::Later(reason)) => return Err(Later(format!("it is {state}; {reason}"))),
        };
        match self.leave(&item, &step, deadline).await {
            Ok(()) => Ok(step.to.is_final()),
            // Another process of it was quicker: the next reading tells where it is.
            Err(error) if error.condition().is_some() => Ok(false),
            Err(error) => Err(Later(format!("it is {state}; {error}"))),
        }
    }

    /// Does what the order's state asks for, all of which may have been done before.
    async fn step(&self, name: (&str, &str), order: &Order) -> Result<Step, Failed> {
        let (_, id) = name;
        let all = |results: Vec<Result<(), Failed>>| results.into_iter().collect::<Result<(), Failed>>();
        match order.state {
            State::Placed => {
                all(join_all(order.lines.iter().map(|line| self.services.reserve(id, line))).await)?;
                Ok(Step::to(State::Reserved))
            }
            State::Reserved => {
                let fraud = self.services.score(name, order).await;
                judge(fraud, order.total)?;
                self.services.authorize(name, order).await?;
                Ok(Step { fraud: Some(fraud), ..Step::to(State::Charging) })
            }
            State::Charging => {
                self.services.post(id, order).await?;
                Ok(Step::to(State::Paid))
            }
            State::Paid => {
                all(join_all(order.lines.iter().map(|line| self.services.ship(id, line))).await)?;
                Ok(Step::to(State::Shipped))
            }
            State::Failing => {
                self.services.void(id, order).await?;
                all(join_all(order.lines.iter().map(|line| self.services.release(id, line))).await)?;
                Ok(Step::to(State::Failed))
            }
            State::Shipped | State::Failed => Ok(Step::to(order.state)),
        }
    }

    /// Leaves a state, if the order is as it was read.
    async fn leave(&self, item: &Item<Order>, step: &Step, deadline: Deadline) -> Result<(), Error> {
        let Item { key, version: read, .. } = item;
        let (partition, _) = key.split_once('/').unwrap_or((key, ""));
        let operations = [merge_patch(ORDERS, key, &patch(step, now_ms()))];
        self.api.commit(partition, &[version(ORDERS, key, read)], &operations, deadline).await
    }
}

fn patch(step: &Step, now: u64) -> Value {
    let mut patch = json!({"state": step.to, "changed_at": now});
    if step.to.is_final() {
        patch["open"] = Value::Null;
    }
    if let Some(fraud) = step.fraud {
        patch["fraud"] = json!(fraud);
    }
    if let Some(reason) = &step.reason {
        patch["reason"] = json!(reason);
    }
    patch
}

/// Whether the score, or that there is none, speaks against it.
fn judge(fraud: Fraud, total: u64) -> Result<(), Failed> {
    match fraud {
        Fraud::Score(score) if score >= SCORE_MAX => {
            Err(Failed::Against("our check of payments has declined it".to_owned()))
        }
        Fraud::Unchecked if total > UNCHECKED_MAX => Err(Failed::Against(
            "we cannot check orders of this size at the moment: try again later".to_owned(),
        )),
        Fraud::Score(_) | Fraud::Unchecked => Ok(()),
    }
}

/// Whether it is not decided yet.
const fn may_fail(state: State) -> bool {
    matches!(state, State::Placed | State::Reserved)
}

/// Whether it was tried for long enough, and may still fail.
fn is_given_up(order: &Order, now: u64) -> bool {
    may_fail(order.state) && now.saturating_sub(order.placed_at) > GIVE_UP.as_millis() as u64
}

/// A step that was not made, and why.
struct Later(String);

/// Tells those who wait, also when the process panics.
struct Ended<'a> {
    process: &'a Process,
    key: &'a str,
}

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.process.running.lock().expect("nobody panics with it").remove(self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::money::Currency;

    fn order(state: State) -> Order {
        Order {
            customer: "c-1".to_owned(),
            state,
            currency: Currency::Eur,
            lines: Vec::new(),
            total: 100,
            placed_at: 1_000,
            changed_at: 1_000,
            open: Some(true),
            fraud: None,
            reason: None,
        }
    }

    #[test]
    fn only_what_is_not_decided_is_given_up() {
        let late = 1_000 + 31_000;
        for state in State::ALL {
            let expected = matches!(state, State::Placed | State::Reserved);
            assert_eq!(is_given_up(&order(state), late), expected, "{state:?}");
            assert!(!is_given_up(&order(state), 2_000), "{state:?} is young");
        }
    }

    #[test]
    fn without_a_score_small_orders_pass() {
        assert!(judge(Fraud::Score(89), 1_000_000).is_ok());
        assert!(judge(Fraud::Score(90), 1).is_err());
        assert!(judge(Fraud::Unchecked, UNCHECKED_MAX).is_ok());
        assert!(judge(Fraud::Unchecked, UNCHECKED_MAX + 1).is_err());
    }

    #[test]
    fn a_final_order_leaves_the_index_of_open_ones() {
        assert_eq!(patch(&Step::to(State::Shipped), 5)["open"], Value::Null);
        assert!(patch(&Step::to(State::Paid), 5).get("open").is_none());
        let fail = patch(&Step::fail("sold out"), 5);
        assert_eq!((fail["state"].as_str(), fail["reason"].as_str()), (Some("failing"), Some("sold out")));
    }
}
