//! A rate limit around a service.

use std::num::NonZeroU32;

use mainstay_base::error::{Classify, Code, Retry};
use mainstay_base::units::Duration;
use mainstay_resilience::call::Inner;
use mainstay_resilience::limit::{Config, Handle, Layer, Standing, Window};
use mainstay_resilience::{Call, Decision, Error, Key, Rejection};
use tower::{Layer as _, Service, ServiceExt, service_fn};

use crate::world::*;

fn config() -> Config {
    let and = vec![Window { rate: "6/m".parse().expect("a rate"), burst: None }];
    Config { rate: "2/s".parse().expect("a rate"), burst: NonZeroU32::new(4), and, ..Config::default() }
}

/// Answers with what it was sent, and room for how the caller stands.
fn service() -> impl Service<u32, Response = (u32, Option<Standing>), Error = Failed> + Clone {
    service_fn(async |request: u32| Ok((request, None)))
}

fn from(world: &World, key: &str, request: u32) -> Call<u32> {
    let mut call = world.call(request);
    call.facts.key = Key::of(1, key.as_bytes());
    call
}

#[tokio::test(start_paused = true)]
async fn it_rejects_what_is_above_the_rate_and_tells_when_to_come_again() {
    let world = World::new();
    let mut service = Layer::new(Handle::new(&config(), world.env.clone())).layer(Inner::new(service()));
    for _ in 0..4 {
        let answer = service.ready().await.unwrap().call(from(&world, "one", 7)).await;
        assert_eq!(answer, Ok((7, None)));
    }
    let rejected = service.ready().await.unwrap().call(from(&world, "one", 7)).await.unwrap_err();
    let expected = Rejection::RateLimited {
        quota: 4,
        window: Duration::from_secs(2),
        remaining: 0,
        reset: Duration::from_secs(2),
        after: Duration::from_millis(500),
    };
    assert_eq!(rejected, Error::Rejected(expected));
    assert_eq!(rejected.code(), Code::RateLimited);
    assert_eq!(rejected.retry(), Retry::After(Duration::from_millis(500)));
    assert!(service.ready().await.unwrap().call(from(&world, "two", 7)).await.is_ok(), "others are not");
    pass(500).await;
    assert!(service.ready().await.unwrap().call(from(&world, "one", 7)).await.is_ok());
    assert_eq!(world.count(Decision::RateLimited), 1);
    assert_eq!(world.count(Decision::RateLimitShared), 0);
}

#[tokio::test(start_paused = true)]
async fn answers_tell_how_the_caller_stands_after_what_the_call_has_cost() {
    let world = World::new();
    let handle = Handle::new(&config(), world.env.clone());
    let layer = Layer::new(handle.clone())
        .costing(|call: &Call<u32>| call.request)
        .telling(|answer: &mut (u32, Option<Standing>), standing| answer.1 = Some(standing));
    let service = layer.layer(Inner::new(service()));
    let (_, told) = service.clone().oneshot(from(&world, "one", 3)).await.unwrap();
    let standing = Standing {
        quota: 4,
        window: Duration::from_secs(2),
        remaining: 1,
        reset: Duration::from_millis(1_500),
    };
    assert_eq!(told, Some(standing));
    assert_eq!(handle.standing(Key::of(1, b"one")), standing);
    let rejected = service.oneshot(from(&world, "one", 5)).await;
    assert_eq!(rejected, Err(Error::Rejected(Rejection::CostAboveBurst { cost: 5, burst: 4 })));
}

#[tokio::test(start_paused = true)]
async fn callers_without_room_share_and_that_is_told() {
    let world = World::new();
    let handle = Handle::new(&Config { keys_max: 1, ..config() }, world.env.clone());
    let service = Layer::new(handle.clone()).layer(Inner::new(service()));
    for number in 0..9 {
        let _ = service.clone().oneshot(from(&world, &number.to_string(), 1)).await;
    }
    assert_eq!(handle.keys(), 1);
    assert_eq!(world.count(Decision::RateLimitShared), 8);
    assert_eq!(world.count(Decision::RateLimited), 4, "of those that share, a burst is let through");
}
