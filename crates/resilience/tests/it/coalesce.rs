//! Coalescing in front of a service.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use mainstay_base::error::{Classify, Code, Retry};
use mainstay_base::units::Duration;
use mainstay_resilience::call::Inner;
use mainstay_resilience::coalesce::{Config, Layer};
use mainstay_resilience::{Call, Classified, Criticality, Decision, Error, Rejection, breaker};
use tower::{Layer as _, Service, ServiceExt, service_fn};

use crate::world::*;

/// Takes a second, and answers with how many calls it has had; zero is an error, and nine a panic.
fn service(
    asked: &Arc<AtomicU32>,
) -> impl Service<u32, Response = u32, Error = Failed, Future: Send> + Clone + Send + use<> {
    let asked = asked.clone();
    service_fn(move |request: u32| {
        let count = asked.fetch_add(1, Ordering::Relaxed) + 1;
        async move {
            pass(1_000).await;
            assert_ne!(request, 9, "as it was asked to");
            if request == 0 { Err(Failed(Code::BadGateway)) } else { Ok(count) }
        }
    })
}

/// Odd requests are shared with their like, and those that end in zero.
fn key(call: &Call<u32>) -> Option<u32> {
    (call.request % 2 == 1 || call.request == 0).then_some(call.request)
}

#[tokio::test(start_paused = true)]
async fn equal_calls_at_one_time_are_one_and_later_ones_are_not() {
    let (world, asked) = (World::new(), Arc::new(AtomicU32::new(0)));
    let layer = Layer::new(Config::default(), key, world.env.clone());
    let service = layer.layer(Inner::new(service(&asked)));
    let call = |request| service.clone().oneshot(world.call(request));
    assert_eq!(tokio::join!(call(1), call(1), call(1)), (Ok(1), Ok(1), Ok(1)));
    assert_eq!(world.count(Decision::Coalesced), 2);
    assert_eq!(call(1).await, Ok(2), "it comes later");
    assert_eq!(tokio::join!(call(1), call(3)), (Ok(3), Ok(4)), "they are not equal");
    assert_eq!(tokio::join!(call(2), call(2)), (Ok(5), Ok(6)), "they are not to be shared");
    let failed = Err(Error::Service(Failed(Code::BadGateway)));
    assert_eq!(tokio::join!(call(0), call(0)), (failed.clone(), failed), "errors are shared as well");
    assert_eq!(asked.load(Ordering::Relaxed), 7);
}

#[tokio::test(start_paused = true)]
async fn calls_of_different_classes_are_not_one() {
    let (world, asked) = (World::new(), Arc::new(AtomicU32::new(0)));
    let layer = Layer::new(Config::default(), key, world.env.clone());
    let service = layer.layer(Inner::new(service(&asked)));
    let mut batch = world.call(1);
    batch.facts.criticality = Criticality::Sheddable;
    let both = tokio::join!(service.clone().oneshot(batch), service.oneshot(world.call(1)));
    assert_eq!(both, (Ok(1), Ok(2)));
}

#[tokio::test(start_paused = true)]
async fn each_gives_up_at_its_own_deadline_and_leaves_the_answer_to_the_others() {
    let (world, asked) = (World::new(), Arc::new(AtomicU32::new(0)));
    let seen = Arc::new(AtomicU32::new(0));
    let inner = {
        let (seen, service) = (seen.clone(), Inner::new(service(&asked)));
        service_fn(move |call: Call<u32>| {
            seen.fetch_add(call.facts.deadline.is_some().into(), Ordering::Relaxed);
            service.clone().oneshot(call)
        })
    };
    let service = Layer::new(Config::default(), key, world.env.clone()).layer(inner);
    let due = |ms| {
        let mut call = world.call(1);
        call.facts = call.facts.due(world.now().checked_add(Duration::from_millis(ms)).unwrap());
        service.clone().oneshot(call)
    };
    let ended = |rejection: Rejection| Err(Error::Rejected(rejection));
    let answers = tokio::join!(due(300), due(2_000), due(500), due(0));
    let (given_up, late) = (ended(Rejection::GivenUp), ended(Rejection::DeadlinePassed));
    assert_eq!(answers, (given_up.clone(), Ok(1), given_up, late));
    assert_eq!((world.count(Decision::GivenUp), world.count(Decision::DeadlinePassed)), (2, 1));
    assert_eq!(seen.load(Ordering::Relaxed), 0, "what is shared has no deadline of one of them");
}

#[tokio::test(start_paused = true)]
async fn those_that_give_up_do_not_have_a_breaker_open_for_others() {
    let (world, asked) = (World::new(), Arc::new(AtomicU32::new(0)));
    let config = breaker::Config { minimum: NonZeroU32::MIN, ..breaker::Config::default() };
    let breaker = breaker::Handle::new(config, world.env.clone());
    let shared = Layer::new(Config::default(), key, world.env.clone()).layer(Inner::new(service(&asked)));
    let service = breaker::Layer::new(breaker.clone(), Classified).layer(shared);
    for _ in 0..10 {
        let mut call = world.call(1);
        call.facts = call.facts.due(world.now().checked_add(Duration::from_millis(1)).unwrap());
        assert_eq!(service.clone().oneshot(call).await, Err(Error::Rejected(Rejection::GivenUp)));
    }
    assert_eq!(breaker.state(), breaker::State::Closed);
    assert_eq!(service.oneshot(world.call(1)).await, Ok(11));
}

#[tokio::test(start_paused = true)]
async fn the_followers_of_a_call_that_panics_are_told() {
    let (world, asked) = (World::new(), Arc::new(AtomicU32::new(0)));
    let layer = Layer::new(Config::default(), key, world.env.clone());
    let service = layer.layer(Inner::new(service(&asked)));
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..3 {
        calls.spawn(service.clone().oneshot(world.call(9)));
    }
    let (mut panics, mut told) = (0, 0);
    while let Some(ended) = calls.join_next().await {
        match ended {
            Err(error) if error.is_panic() => panics += 1,
            Ok(Err(lost @ Error::Rejected(Rejection::FlightLost))) => {
                assert_eq!((lost.code(), lost.retry()), (Code::Internal, Retry::WithIdempotencyKey));
                told += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((panics, told), (1, 2));
}
