//! An adaptive limit around a service.

use std::num::NonZeroU32;

use mainstay_base::error::{Classify, Code, Retry};
use mainstay_resilience::adaptive::{Aimd, Config, Handle, Layer, Limiter};
use mainstay_resilience::call::Inner;
use mainstay_resilience::{Classified, Decision, Error, Rejection};
use tokio::task::JoinSet;
use tower::{Layer as _, Service, ServiceExt, service_fn};

use crate::world::*;

fn config(limiter: Limiter) -> Config {
    let four = NonZeroU32::MIN.saturating_add(3);
    Config { limiter, initial: four, minimum: NonZeroU32::MIN, samples: four, ..Config::default() }
}

/// Takes as many milliseconds as it is asked to, and fails if it is asked to.
fn service() -> impl Service<(u64, bool), Response = (), Error = Failed, Future: Send> + Clone {
    service_fn(async |(ms, fails): (u64, bool)| {
        pass(ms).await;
        if fails { Err(Failed(Code::BadGateway)) } else { Ok(()) }
    })
}

#[tokio::test(start_paused = true)]
async fn calls_above_the_limit_are_rejected_at_once() {
    let world = World::new();
    let handle = Handle::new(config(Config::default().limiter), world.env.clone());
    let mut service = Layer::new(handle.clone(), Classified).layer(Inner::new(service()));
    let mut calls = JoinSet::new();
    for _ in 0..4 {
        calls.spawn(service.call(world.call((100, false))));
    }
    assert_eq!((handle.limit(), handle.running(), handle.utilisation().get()), (4, 4, 1.0));
    let rejected = service.call(world.call((100, false))).await.unwrap_err();
    assert_eq!(rejected, Error::Rejected(Rejection::LimitReached { limit: 4 }));
    assert_eq!((rejected.code(), rejected.retry()), (Code::Overloaded, Retry::Safe));
    assert_eq!(world.count(Decision::LimitReached), 1);
    while let Some(answer) = calls.join_next().await {
        assert_eq!(answer.unwrap(), Ok(()));
    }
    assert_eq!((handle.running(), handle.utilisation().get()), (0, 0.0));
    service.oneshot(world.call((100, false))).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_limit_follows_how_calls_end() {
    for limiter in [Config::default().limiter, Limiter::Aimd(Aimd::default())] {
        let world = World::new();
        let handle = Handle::new(config(limiter), world.env.clone());
        let service = Layer::new(handle.clone(), Classified).layer(Inner::new(service()));
        let mut limits = Vec::new();
        for (ms, fails) in [(100, false), (2_000, true)] {
            for _ in 0..100 {
                let mut calls = JoinSet::new();
                for _ in 0..handle.limit() {
                    calls.spawn(service.clone().oneshot(world.call((ms, fails))));
                }
                calls.join_all().await;
            }
            limits.push(handle.limit());
        }
        assert!(limits[0] > 10 && limits[1] < limits[0] / 2, "{limits:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_goes_away_leaves_its_place_and_how_long_it_took() {
    let world = World::new();
    let handle = Handle::new(config(Config::default().limiter), world.env.clone());
    let mut service = Layer::new(handle.clone(), Classified).layer(Inner::new(service()));
    for _ in 0..48 {
        service.call(world.call((300, false))).await.unwrap();
    }
    let hang = (0..4).map(|_| service.call(world.call((60_000, false)))).collect::<Vec<_>>();
    let limit = handle.limit();
    pass(10_000).await;
    assert_eq!(handle.running(), 4);
    drop(hang);
    assert_eq!(handle.running(), 0);
    assert!(handle.limit() < limit, "{} of {limit}", handle.limit());
}
