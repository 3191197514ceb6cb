//! A bulkhead around a service.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake};

use mainstay_base::error::{Classify, Code, Retry};
use mainstay_base::units::Duration;
use mainstay_resilience::bulkhead::{Config, Handle, Layer};
use mainstay_resilience::{Call, Decision, Error, Facts, Key, Rejection};
use tokio::task::JoinSet;
use tower::{Layer as _, Service, ServiceExt, service_fn};

use crate::world::*;

fn config(concurrent: u32, queue: u32) -> Config {
    let concurrent = concurrent.try_into().expect("tests have one at least");
    Config { concurrent, queue, ..Config::default() }
}

/// Takes as many milliseconds as it is asked to, and answers with what it knew of the call.
fn service() -> impl Service<Call<u64>, Response = Facts, Error = Error<Failed>, Future: Send> + Clone {
    service_fn(async |call: Call<u64>| {
        pass(call.request).await;
        Ok(call.facts)
    })
}

/// A future that is polled by hand.
struct Polled<F> {
    future: Pin<Box<F>>,
    flag: Arc<Flag>,
}

#[derive(Default)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl<F: Future> Polled<F> {
    fn new(future: F) -> Self {
        Self { future: Box::pin(future), flag: Arc::default() }
    }

    fn poll(&mut self) -> Poll<F::Output> {
        self.future.as_mut().poll(&mut Context::from_waker(&self.flag.clone().into()))
    }

    fn is_woken(&self) -> bool {
        self.flag.0.load(Ordering::Relaxed)
    }
}

/// A service that is only called if it has said that it is ready, which its clones have not.
struct Strict<S> {
    inner: S,
    is_ready: bool,
}

impl<S: Clone> Clone for Strict<S> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), is_ready: false }
    }
}

impl<R, S: Service<R>> Service<R> for Strict<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.is_ready = true;
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: R) -> S::Future {
        assert!(std::mem::take(&mut self.is_ready), "it did not say that it is ready");
        self.inner.call(request)
    }
}

#[tokio::test(start_paused = true)]
async fn calls_run_at_the_same_time_up_to_the_limit_and_others_wait() {
    let world = World::new();
    let handle = Handle::new(config(2, 2), world.env.clone());
    let mut service = Layer::new(handle.clone()).layer(service());
    let start = world.now();
    let calls = [(); 5].map(|()| service.call(world.call(50)));
    assert_eq!((handle.running(), handle.waiting(), handle.utilisation().get()), (2, 2, 1.0));
    let [one, two, three, four, five] = calls;
    let rejected = five.await.unwrap_err();
    assert_eq!(rejected, Error::Rejected(Rejection::BulkheadFull { concurrent: 2, waiting: 2 }));
    assert_eq!((rejected.code(), rejected.retry()), (Code::Overloaded, Retry::Safe));
    let (one, two, three, four) = tokio::join!(one, two, three, four);
    let began_ms = [one, two, three, four].map(|answer| {
        let now = answer.unwrap().now;
        now.saturating_since(start).as_std().as_millis()
    });
    assert_eq!(began_ms, [0, 0, 50, 50], "who has waited knows what time it is");
    assert_eq!((handle.running(), handle.waiting()), (0, 0));
    assert_eq!(world.count(Decision::BulkheadQueued), 2);
    assert_eq!(world.count(Decision::BulkheadRejected), 1);
}

#[tokio::test(start_paused = true)]
async fn callers_take_turns() {
    let world = World::new();
    let handle = Handle::new(config(1, 16), world.env.clone());
    let mut service = Layer::new(handle.clone()).layer(service());
    let runs = service.call(world.call(10));
    let mut calls = JoinSet::new();
    for (number, of) in [1_u8, 1, 1, 2, 2, 3].into_iter().enumerate() {
        let mut call = world.call(10);
        call.facts.key = Key::of(7, &[of]);
        let answer = service.call(call);
        calls.spawn(async move { answer.await.map(|_| number) });
    }
    runs.await.unwrap();
    let mut turns = Vec::new();
    while let Some(number) = calls.join_next().await {
        turns.push(number.unwrap().unwrap());
    }
    assert_eq!(turns, [0, 3, 5, 1, 4, 2]);
}

#[tokio::test(start_paused = true)]
async fn one_that_is_displaced_is_told_at_once() {
    let world = World::new();
    let mut service = Layer::new(Handle::new(config(1, 2), world.env.clone())).layer(service());
    let _runs = service.call(world.call(1_000));
    let _first = service.call(world.call(0));
    let mut newest = Polled::new(service.call(world.call(0)));
    assert!(newest.poll().is_pending());
    let mut call = world.call(0);
    call.facts.key = Key::of(7, b"other");
    let mut other = Polled::new(service.call(call));
    assert!(newest.is_woken(), "it need not wait for its timer");
    let Poll::Ready(Err(Error::Rejected(Rejection::BulkheadFull { .. }))) = newest.poll() else {
        panic!("it was displaced")
    };
    assert!(other.poll().is_pending());
}

#[tokio::test(start_paused = true)]
async fn nothing_waits_longer_than_it_may_or_past_its_deadline() {
    let world = World::new();
    let handle = Handle::new(config(1, 2), world.env.clone());
    let mut service = Layer::new(handle.clone()).layer(service());
    let _runs = service.call(world.call(1_000));
    let start = world.now();
    let waits = service.call(world.call(0));
    let mut due = world.call(0);
    due.facts = due.facts.due(start.checked_add(Duration::from_millis(30)).unwrap());
    let due = service.call(due);
    assert_eq!(due.await, Err(Error::Rejected(Rejection::DeadlinePassed)));
    assert_eq!(world.now().saturating_since(start).as_std().as_millis(), 30);
    assert_eq!(handle.waiting(), 1);
    let limit = Duration::from_millis(100);
    assert_eq!(waits.await, Err(Error::Rejected(Rejection::BulkheadWaited { concurrent: 1, limit })));
    assert_eq!(world.now().saturating_since(start).as_std().as_millis(), 100);
    assert_eq!(handle.waiting(), 0);
    assert_eq!((world.count(Decision::DeadlinePassed), world.count(Decision::BulkheadRejected)), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn one_whose_turn_came_in_time_is_not_begun_if_it_looks_when_it_is_due() {
    let world = World::new();
    let handle = Handle::new(config(1, 2), world.env.clone());
    let mut service = Layer::new(handle.clone()).layer(service());
    let runs = service.call(world.call(1_000));
    let mut due = world.call(0);
    due.facts = due.facts.due(world.now().checked_add(Duration::from_millis(30)).unwrap());
    let mut due = Polled::new(service.call(due));
    let next = service.call(world.call(0));
    drop(runs);
    assert_eq!((handle.running(), handle.waiting()), (1, 1));
    pass(40).await;
    assert_eq!(due.poll(), Poll::Ready(Err(Error::Rejected(Rejection::DeadlinePassed))));
    next.await.unwrap();
    assert_eq!(handle.running(), 0);
}

#[tokio::test(start_paused = true)]
async fn whoever_goes_away_gives_back_its_place_or_its_turn() {
    let world = World::new();
    let handle = Handle::new(config(1, 3), world.env.clone());
    let mut service = Layer::new(handle.clone()).layer(service());
    let runs = service.call(world.call(1_000));
    let gone = service.call(world.call(0));
    let mut turn = Polled::new(service.call(world.call(0)));
    let mut next = Polled::new(service.call(world.call(10)));
    assert!(turn.poll().is_pending() && next.poll().is_pending());
    drop(gone);
    assert_eq!(handle.waiting(), 2, "taken out at once");
    drop(runs);
    assert!(turn.is_woken() && !next.is_woken());
    assert_eq!((handle.running(), handle.waiting()), (1, 1), "the turn is given before it is taken");
    drop(turn);
    assert!(next.is_woken(), "one that goes away with its turn leaves it to the next");
    assert!(next.poll().is_pending(), "its service has not answered");
    assert_eq!((handle.running(), handle.waiting()), (1, 0));
    drop(next);
    assert_eq!((handle.running(), handle.waiting()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn the_next_runs_when_one_has_answered_and_not_when_it_is_dropped() {
    let world = World::new();
    let handle = Handle::new(config(1, 0), world.env.clone());
    let mut service = Layer::new(handle.clone()).layer(service());
    let mut runs = Polled::new(service.call(world.call(0)));
    while runs.poll().is_pending() {
        pass(1).await;
    }
    assert_eq!(handle.running(), 0);
    service.call(world.call(0)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn only_a_service_that_said_it_is_ready_is_called() {
    let world = World::new();
    let inner = Strict { inner: service(), is_ready: false };
    let mut service = Layer::new(Handle::new(config(1, 2), world.env.clone())).layer(inner);
    let one = service.ready().await.unwrap().call(world.call(10));
    let two = service.ready().await.unwrap().call(world.call(10));
    let three = service.ready().await.unwrap().call(world.call(10));
    let (one, two, three) = tokio::join!(one, two, three);
    assert!(one.is_ok() && two.is_ok() && three.is_ok());
}
