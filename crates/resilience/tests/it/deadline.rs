//! Deadlines and timeouts: what is due is not begun, and what takes too long is given up.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use mainstay_base::error::{Classify, Retry};
use mainstay_base::time::Instant;
use mainstay_base::units::Duration;
use mainstay_resilience::deadline::{Config, Layer, TryLayer};
use mainstay_resilience::{Call, Decision, Error, Facts, Rejection};
use tower::{Layer as _, Service, ServiceExt, service_fn};

use crate::world::*;

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn config() -> Config {
    Config { timeout: ms(1_000), try_timeout: ms(400) }
}

/// How many calls a service was given, and how many of them are running.
#[derive(Debug, Clone, Default)]
struct Seen {
    begun: Arc<AtomicUsize>,
    running: Arc<AtomicUsize>,
}

impl Seen {
    fn get(&self) -> (usize, usize) {
        (self.begun.load(Ordering::Relaxed), self.running.load(Ordering::Relaxed))
    }
}

struct Running(Arc<AtomicUsize>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Takes as many milliseconds as it is asked to, and answers with the facts that it was given.
fn service(
    seen: &Seen,
) -> impl Service<Call<u64>, Response = Facts, Error = Error<Failed>, Future: Send> + Clone + use<> {
    let seen = seen.clone();
    service_fn(move |call: Call<u64>| {
        seen.begun.fetch_add(1, Ordering::Relaxed);
        seen.running.fetch_add(1, Ordering::Relaxed);
        let running = Running(seen.running.clone());
        async move {
            let _running = running;
            if call.request > 0 {
                pass(call.request).await;
            }
            Ok(call.facts)
        }
    })
}

fn within(world: &World, from: Instant) -> u64 {
    u64::try_from(world.now().saturating_since(from).as_std().as_millis()).expect("tests take seconds")
}

#[tokio::test(start_paused = true)]
async fn an_operation_is_given_up_at_its_deadline_and_what_it_runs_is_dropped() {
    let (world, seen) = (World::new(), Seen::default());
    let service = Layer::new(config(), world.env.clone()).layer(service(&seen));
    let begun = world.now();
    let facts = service.clone().oneshot(world.call(999)).await.unwrap();
    assert_eq!(facts.rest(begun), Some(ms(1_000)), "those below know the deadline");
    let begun = world.now();
    let mut call = std::pin::pin!(service.oneshot(world.call(5_000)));
    let error = call.as_mut().await.unwrap_err();
    assert_eq!(error, Error::Rejected(Rejection::GivenUp));
    assert_eq!(error.retry(), Retry::WithIdempotencyKey, "it was sent");
    assert!((1_000..=1_001).contains(&within(&world, begun)));
    assert_eq!(seen.get(), (2, 0), "dropped although whoever asked still holds the call");
    assert_eq!((world.count(Decision::GivenUp), world.count(Decision::TimedOut)), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn what_is_due_is_never_started() {
    let (world, seen) = (World::new(), Seen::default());
    let whole = Layer::new(config(), world.env.clone()).layer(service(&seen));
    let one_try = TryLayer::new(config(), world.env.clone()).layer(service(&seen));
    for deadline in [world.now(), Instant::from_nanos(0)] {
        let call = || {
            let call = world.call(0);
            Call { facts: call.facts.due(deadline), ..call }
        };
        for answer in [whole.clone().oneshot(call()).await, one_try.clone().oneshot(call()).await] {
            assert_eq!(answer, Err(Error::Rejected(Rejection::DeadlinePassed)));
        }
    }
    assert_eq!((seen.get(), world.count(Decision::DeadlinePassed)), ((0, 0), 4));
}

#[tokio::test(start_paused = true)]
async fn a_try_has_its_timeout_or_what_is_left_if_that_is_less() {
    let (world, seen) = (World::new(), Seen::default());
    let service = TryLayer::new(config(), world.env.clone()).layer(service(&seen));
    for (rest_ms, takes_ms, rejection) in [
        (Some(900), 400, Rejection::TimedOut { limit: ms(400) }),
        (None, 400, Rejection::TimedOut { limit: ms(400) }),
        (Some(150), 150, Rejection::GivenUp),
    ] {
        let mut call = world.call(10_000);
        call.facts.deadline = rest_ms.map(|rest| world.now().checked_add(ms(rest)).unwrap());
        let begun = world.now();
        assert_eq!(service.clone().oneshot(call).await, Err(Error::Rejected(rejection)));
        assert!((takes_ms..=takes_ms + 1).contains(&within(&world, begun)), "{rest_ms:?}");
    }
    assert_eq!((world.count(Decision::TimedOut), world.count(Decision::GivenUp)), (2, 1));
    let facts = service.oneshot(world.call(0)).await.unwrap();
    assert_eq!(facts.rest(world.now()), Some(ms(400)), "what is below stops when the try does");
}

#[tokio::test(start_paused = true)]
async fn one_end_is_counted_once_when_both_layers_see_it() {
    let (world, seen) = (World::new(), Seen::default());
    let short = Config { timeout: ms(100), try_timeout: ms(400) };
    let one_try = TryLayer::new(short, world.env.clone()).layer(service(&seen));
    let service = Layer::new(short, world.env.clone()).layer(one_try);
    let answer = service.oneshot(world.call(10_000)).await;
    assert_eq!(answer, Err(Error::Rejected(Rejection::GivenUp)));
    assert_eq!((world.count(Decision::TimedOut), world.count(Decision::GivenUp)), (0, 1));
    assert_eq!(seen.get(), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_call_whose_caller_goes_away_is_dropped_and_decides_nothing() {
    let (world, seen) = (World::new(), Seen::default());
    let service = Layer::new(config(), world.env.clone()).layer(service(&seen));
    let gone = tokio::time::timeout(ms(50).as_std(), service.oneshot(world.call(10_000))).await;
    assert!(gone.is_err());
    pass(2_000).await;
    assert_eq!((seen.get(), world.count(Decision::GivenUp)), ((1, 0), 0));
}
