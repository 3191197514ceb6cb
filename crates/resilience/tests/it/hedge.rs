//! Hedges: a second try beside a slow first one.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};

use mainstay_base::error::Code;
use mainstay_base::units::{Duration, Ratio};
use mainstay_resilience::hedge::{Config, Handle, Layer};
use mainstay_resilience::{Call, Classified, Decision, Error, Facts, Rejection};
use tower::{Layer as _, Service, ServiceExt, service_fn};

use crate::world::*;

type Answer = Result<&'static str, Error<Failed>>;

const FAILED: Answer = Err(Error::Service(Failed(Code::BadGateway)));

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// What a service does with its calls in turn, and what became of those that it was given.
#[derive(Clone, Default)]
struct Script {
    answers: Arc<Mutex<VecDeque<(u64, Answer)>>>,
    seen: Arc<Mutex<Vec<Facts>>>,
    running: Arc<AtomicUsize>,
}

struct Running(Arc<AtomicUsize>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Script {
    /// Answers with these after so many milliseconds; with success after 10ms when there are none left.
    fn new(answers: impl IntoIterator<Item = (u64, Answer)>) -> Self {
        Self { answers: Arc::new(Mutex::new(answers.into_iter().collect())), ..Self::default() }
    }

    fn then(&self, answers: impl IntoIterator<Item = (u64, Answer)>) {
        self.answers.lock().expect("nothing panics while it holds this").extend(answers);
    }

    fn seen(&self) -> Vec<Facts> {
        std::mem::take(&mut *self.seen.lock().expect("nothing panics while it holds this"))
    }

    fn running(&self) -> usize {
        self.running.load(Ordering::Relaxed)
    }

    fn service(
        &self,
    ) -> impl Service<Call<()>, Response = &'static str, Error = Error<Failed>, Future: Send> + Clone + use<>
    {
        let script = self.clone();
        service_fn(move |call: Call<()>| {
            script.seen.lock().expect("nothing panics while it holds this").push(call.facts);
            let next = script.answers.lock().expect("nothing panics while it holds this").pop_front();
            let (takes_ms, answer) = next.unwrap_or((10, Ok("usual")));
            script.running.fetch_add(1, Ordering::Relaxed);
            let running = Running(script.running.clone());
            async move {
                let _running = running;
                pass(takes_ms).await;
                answer
            }
        })
    }
}

/// A call that may be done twice.
fn call(world: &World) -> Call<()> {
    let call = world.call(());
    Call { facts: Facts { is_idempotent: true, ..call.facts }, ..call }
}

/// A layer that has learned that calls take 10ms, so that a second try begins at 10 to 12ms.
async fn learned(world: &World, config: Config) -> Layer<Classified> {
    let layer = Layer::new(Handle::new(config, world.env.clone()), Classified);
    let service = layer.layer(Script::default().service());
    for _ in 0..100 {
        let _ = service.clone().oneshot(call(world)).await;
    }
    layer
}

/// A call whose first and second try do this. Returns the answer, after how long, and what the service has seen.
async fn race(world: &World, first: (u64, Answer), second: (u64, Answer)) -> (Answer, u64, Vec<Facts>) {
    let layer = learned(world, Config::default()).await;
    let script = Script::new([first, second]);
    let begun = world.now();
    let mut answer = std::pin::pin!(layer.layer(script.service()).oneshot(call(world)));
    let answer = answer.as_mut().await;
    assert_eq!(script.running(), 0, "the loser is dropped although the call is still held");
    let took = world.now().saturating_since(begun).as_std().as_millis();
    (answer, u64::try_from(took).expect("tests take seconds"), script.seen())
}

#[tokio::test(start_paused = true)]
async fn a_slow_call_is_asked_for_once_more_and_the_loser_is_dropped() {
    let world = World::new();
    let (answer, took_ms, seen) = race(&world, (1_000, Ok("first")), (20, Ok("second"))).await;
    assert_eq!(answer, Ok("second"));
    assert!((30..=34).contains(&took_ms), "{took_ms}");
    let [first, second] = seen[..] else { panic!("{seen:?}") };
    assert_eq!((first.attempt, second.attempt), (1, 2));
    let waited = second.now.saturating_since(first.now);
    assert!((ms(10)..=ms(13)).contains(&waited), "{waited}");
    assert_eq!((world.count(Decision::Hedged), world.count(Decision::HedgeWon)), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn the_first_try_may_still_win() {
    let world = World::new();
    let (answer, took_ms, seen) = race(&world, (50, Ok("first")), (500, Ok("second"))).await;
    assert_eq!((answer, seen.len()), (Ok("first"), 2));
    assert!((50..=51).contains(&took_ms), "{took_ms}");
    assert_eq!((world.count(Decision::Hedged), world.count(Decision::HedgeWon)), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_failure_waits_for_the_other_while_that_is_running() {
    let rejected = Err(Error::Rejected(Rejection::LimitReached { limit: 1 }));
    let invalid = Err(Error::Service(Failed(Code::Invalid)));
    let unavailable = Err(Error::Service(Failed(Code::Unavailable)));
    let cases = [
        ("the first fails", (30, FAILED), (40, Ok("second")), Ok("second"), 2),
        ("the second fails", (80, Ok("first")), (10, FAILED), Ok("first"), 2),
        ("a policy rejects the second", (80, Ok("first")), (0, rejected.clone()), Ok("first"), 2),
        ("both fail", (30, FAILED), (40, unavailable.clone()), unavailable.clone(), 2),
        ("both fail, the second first", (80, unavailable.clone()), (10, FAILED), unavailable, 2),
        ("the service's own failure says more", (30, FAILED), (40, rejected.clone()), FAILED, 2),
        ("in either order", (80, FAILED), (0, rejected), FAILED, 2),
        ("the caller's fault is no failure", (80, Ok("first")), (10, invalid.clone()), invalid, 2),
        ("there is no second try yet", (5, FAILED), (0, Ok("second")), FAILED, 1),
    ];
    for (name, first, second, expected, tries) in cases {
        let world = World::new();
        let (answer, _, seen) = race(&world, first, second).await;
        assert_eq!((answer, seen.len()), (expected, tries), "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn only_what_may_be_done_twice_and_is_known_and_not_due_is_done_twice() {
    let world = World::new();
    let layer = learned(&world, Config::default()).await;
    let script = Script::new(vec![(100, Ok("once")); 3]);
    let service = layer.layer(script.service());
    assert_eq!(service.clone().oneshot(world.call(())).await, Ok("once"));
    let mut due = call(&world);
    due.facts = due.facts.due(world.now().checked_add(ms(10)).unwrap());
    assert_eq!(service.oneshot(due).await, Ok("once"));
    let new = Layer::new(Handle::new(Config::default(), world.env.clone()), Classified);
    assert_eq!(new.layer(script.service()).oneshot(call(&world)).await, Ok("once"));
    assert_eq!((script.seen().len(), world.count(Decision::Hedged)), (3, 0));
}

#[tokio::test(start_paused = true)]
async fn hedges_stay_within_their_budget() {
    let world = World::new();
    let budget = Ratio::new(0.02).unwrap();
    let layer = learned(&world, Config { budget, ..Config::default() }).await;
    let script = Script::default();
    for _ in 0..4 {
        script.then([(100, Ok("first")), (100, Ok("second"))]);
        assert_eq!(layer.layer(script.service()).oneshot(call(&world)).await, Ok("first"));
        script.answers.lock().unwrap().clear();
    }
    assert_eq!((world.count(Decision::Hedged), world.count(Decision::HedgeBudgetSpent)), (2, 2));
    assert_eq!(script.seen().len(), 6, "2 of 104 calls");
}

#[tokio::test(start_paused = true)]
async fn a_call_whose_caller_goes_away_drops_both_tries_and_takes_nothing_before_the_second() {
    let world = World::new();
    let budget = Ratio::new(0.01).unwrap();
    let layer = learned(&world, Config { budget, ..Config::default() }).await;
    let script = Script::new(vec![(1_000, Ok("gone")); 20]);
    let service = layer.layer(script.service());
    for _ in 0..5 {
        let gone = tokio::time::timeout(ms(8).as_std(), service.clone().oneshot(call(&world))).await;
        assert!(gone.is_err() && script.running() == 0);
    }
    assert_eq!(world.count(Decision::Hedged), 0);
    let gone = tokio::time::timeout(ms(40).as_std(), service.clone().oneshot(call(&world))).await;
    assert!(gone.is_err() && script.running() == 0);
    assert_eq!(world.count(Decision::Hedged), 1, "the one there is was left to it");
}

#[tokio::test(start_paused = true)]
async fn first_tries_that_lose_or_are_left_count_as_slow_ones() {
    for is_left in [false, true] {
        let world = World::new();
        let handle = Handle::new(Config { budget: Ratio::ONE, ..Config::default() }, world.env.clone());
        let layer = Layer::new(handle.clone(), Classified);
        let script = Script::default();
        let service = layer.layer(script.service());
        for _ in 0..100 {
            assert_eq!(service.clone().oneshot(call(&world)).await, Ok("usual"));
        }
        let before = handle.delay().unwrap();
        for _ in 0..64 {
            script.then([(1_000, Ok("first")), (if is_left { 1_000 } else { 20 }, Ok("second"))]);
            let patience = ms(if is_left { 40 } else { 500 }).as_std();
            let answer = tokio::time::timeout(patience, service.clone().oneshot(call(&world))).await;
            assert_eq!(answer.ok(), (!is_left).then_some(Ok("second")));
        }
        let after = handle.delay().unwrap();
        assert!(before < ms(13) && after >= ms(30), "{before} and {after}");
    }
}

/// Takes its first call at once; a clone takes one only after a while.
struct Slow<S> {
    inner: S,
    wait_ms: u64,
    ready: Pin<Box<tokio::time::Sleep>>,
}

impl<S> Slow<S> {
    fn new(inner: S, wait_ms: u64) -> Self {
        Self { inner, wait_ms, ready: Box::pin(tokio::time::sleep(Duration::ZERO.as_std())) }
    }
}

impl<S: Clone> Clone for Slow<S> {
    fn clone(&self) -> Self {
        let ready = Box::pin(tokio::time::sleep(ms(self.wait_ms).as_std()));
        Self { inner: self.inner.clone(), wait_ms: self.wait_ms, ready }
    }
}

impl<S: Service<Call<()>>> Service<Call<()>> for Slow<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        ready!(self.ready.as_mut().poll(context));
        self.inner.poll_ready(context)
    }

    fn call(&mut self, call: Call<()>) -> S::Future {
        assert!(self.ready.is_elapsed(), "only what is ready is called");
        self.inner.call(call)
    }
}

#[tokio::test(start_paused = true)]
async fn a_second_try_waits_until_it_is_taken_and_is_not_begun_when_it_is_due_by_then() {
    for (wait_ms, rest_ms, tries) in [(30, None, 2), (30, Some(25), 1), (10_000, None, 1)] {
        let world = World::new();
        let layer = learned(&world, Config::default()).await;
        let script = Script::new([(100, Ok("first")), (100, Ok("second"))]);
        let mut service = layer.layer(Slow::new(script.service(), wait_ms));
        let mut call = call(&world);
        let due = rest_ms.and_then(|rest_ms| world.now().checked_add(ms(rest_ms)));
        call.facts.deadline = due;
        assert_eq!(service.ready().await.unwrap().call(call).await, Ok("first"));
        assert_eq!(script.seen().len(), tries, "{wait_ms}");
        assert_eq!(world.count(Decision::Hedged), tries as u64 - 1);
    }
}

/// Has one more reserved while it is ready to be called.
struct Reserving<S> {
    inner: S,
    reserved: Arc<AtomicUsize>,
    is_ready: bool,
}

impl<S> Reserving<S> {
    fn set(&mut self, is_ready: bool) {
        let was_ready = std::mem::replace(&mut self.is_ready, is_ready);
        self.reserved.fetch_add(is_ready.into(), Ordering::Relaxed);
        self.reserved.fetch_sub(was_ready.into(), Ordering::Relaxed);
    }
}

impl<S: Clone> Clone for Reserving<S> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), reserved: self.reserved.clone(), is_ready: false }
    }
}

impl<S> Drop for Reserving<S> {
    fn drop(&mut self) {
        self.set(false);
    }
}

impl<S: Service<Call<()>>> Service<Call<()>> for Reserving<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        ready!(self.inner.poll_ready(context))?;
        self.set(true);
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: Call<()>) -> S::Future {
        assert!(self.is_ready, "only what is ready is called");
        self.set(false);
        self.inner.call(call)
    }
}

#[tokio::test(start_paused = true)]
async fn a_second_try_that_the_budget_refuses_reserves_nothing() {
    let world = World::new();
    let layer = learned(&world, Config { budget: Ratio::new(0.001).unwrap(), ..Config::default() }).await;
    let script = Script::new([(100, Ok("first"))]);
    let reserved = Arc::new(AtomicUsize::new(0));
    let inner = Reserving { inner: script.service(), reserved: reserved.clone(), is_ready: false };
    let mut call = std::pin::pin!(layer.layer(inner).oneshot(call(&world)));
    assert!(tokio::time::timeout(ms(50).as_std(), call.as_mut()).await.is_err());
    assert_eq!(world.count(Decision::HedgeBudgetSpent), 1);
    assert_eq!(reserved.load(Ordering::Relaxed), 0, "while the first try is running");
    assert_eq!(call.await, Ok("first"));
}
