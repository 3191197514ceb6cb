//! Shedding in front of what has a queue, or a limit.

use std::num::NonZeroU32;

use mainstay_base::error::{Classify, Code, Retry};
use mainstay_base::switch::Switch;
use mainstay_base::units::{Duration, Ratio};
use mainstay_resilience::call::Inner;
use mainstay_resilience::shed::{Config, Handle, Layer};
use mainstay_resilience::{Call, Classified, Criticality, Decision, Error, Rejection, adaptive, bulkhead};
use tokio::task::JoinSet;
use tower::{Layer as _, Service, ServiceExt, service_fn};

use crate::world::*;

fn config() -> Config {
    let (calm, calm_max) = (Duration::from_secs(1), Duration::from_secs(4));
    Config { steps: NonZeroU32::MIN, calm, calm_max, ..Config::default() }
}

/// Takes as many milliseconds as it is asked to.
fn service() -> impl Service<u64, Response = (), Error = Failed, Future: Send> + Clone {
    service_fn(async |ms: u64| {
        pass(ms).await;
        Ok(())
    })
}

fn call(world: &World, criticality: Criticality, ms: u64) -> Call<u64> {
    let mut call = world.call(ms);
    call.facts.criticality = criticality;
    call
}

#[tokio::test(start_paused = true)]
async fn the_least_critical_are_shed_with_a_time_until_it_is_calm() {
    let world = World::new();
    let handle = Handle::new(config(), world.env.clone());
    let service = Layer::new(handle.clone()).layer(Inner::new(service()));
    for _ in 0..2 {
        handle.began(Duration::from_millis(50), world.now());
        pass(100).await;
    }
    service.clone().oneshot(call(&world, Criticality::Critical, 0)).await.unwrap();
    for criticality in [Criticality::Sheddable, Criticality::SheddablePlus] {
        let rejected = service.clone().oneshot(call(&world, criticality, 0)).await.unwrap_err();
        let Error::Rejected(Rejection::Shed { criticality: of, after }) = rejected else {
            panic!("{rejected:?}")
        };
        assert_eq!(
            (of, rejected.code(), rejected.retry()),
            (criticality, Code::Overloaded, Retry::After(after.up_to_millis()))
        );
        assert!((2_000..4_000).contains(&after.as_std().as_millis()), "{after}");
        assert_eq!(handle.share(criticality), Ratio::ONE);
    }
    pass(2_000).await;
    service.oneshot(call(&world, Criticality::Sheddable, 0)).await.unwrap();
    let decided = [(Decision::SheddingRaised, 2), (Decision::Shed, 2), (Decision::SheddingLowered, 1)];
    for (decision, count) in decided {
        assert_eq!(world.count(decision), count, "{decision:?}");
    }
}

/// Sends a call of each of two classes every so often for a while, and says how many of each were answered.
async fn load<S>(world: &World, service: &S, every_ms: u64, ms: u64) -> [usize; 2]
where
    S: Service<Call<u64>, Response = (), Error = Error<Failed>, Future: Send> + Clone + Send + 'static,
{
    let classes = [Criticality::Sheddable, Criticality::CriticalPlus];
    let mut calls = JoinSet::new();
    for _ in 0..1_000 {
        for (number, class) in classes.into_iter().enumerate() {
            let answer = service.clone().oneshot(call(world, class, ms));
            calls.spawn(async move { answer.await.is_ok().then_some(number) });
        }
        pass(every_ms).await;
    }
    let mut answered = [0; 2];
    while let Some(number) = calls.join_next().await {
        if let Some(number) = number.expect("no call panics") {
            answered[number] += 1;
        }
    }
    answered
}

#[tokio::test(start_paused = true)]
async fn in_front_of_a_bulkhead_it_sheds_while_calls_wait_there() {
    let world = World::new();
    let handle = Handle::new(Config { utilisation: Switch::Off, ..config() }, world.env.clone());
    let limits = bulkhead::Config { concurrent: NonZeroU32::MIN, queue: 4, ..bulkhead::Config::default() };
    let bulkhead = bulkhead::Handle::new(limits, world.env.clone()).telling(handle.clone());
    let inner = bulkhead::Layer::new(bulkhead).layer(Inner::new(service()));
    let service = Layer::new(handle.clone()).layer(inner);
    assert_eq!(load(&world, &service, 50, 10).await, [1_000, 1_000], "two in turn do not wait for too long");
    assert_eq!(world.count(Decision::SheddingRaised), 0);
    let [sheddable, critical_plus] = load(&world, &service, 12, 10).await;
    assert!(critical_plus > 950 && sheddable < 250, "{sheddable} and {critical_plus}");
}

#[tokio::test(start_paused = true)]
async fn whatever_becomes_of_those_that_wait_tells_that_they_did() {
    for (max_wait_ms, gives_up_ms) in [(20, 1_000), (1_000, 20)] {
        let world = World::new();
        let handle = Handle::new(Config { utilisation: Switch::Off, ..config() }, world.env.clone());
        let max_wait = Duration::from_millis(max_wait_ms);
        let limits =
            bulkhead::Config { concurrent: NonZeroU32::MIN, max_wait, ..bulkhead::Config::default() };
        let bulkhead = bulkhead::Handle::new(limits, world.env.clone()).telling(handle.clone());
        let service = bulkhead::Layer::new(bulkhead).layer(Inner::new(service()));
        let _hangs = service.clone().call(world.call(1_000_000));
        pass(100).await;
        for _ in 0..5 {
            let waits = service.clone().oneshot(world.call(0));
            let gives_up = std::time::Duration::from_millis(gives_up_ms);
            let _ = tokio::time::timeout(gives_up, waits).await;
            pass(100).await;
        }
        assert_eq!(world.count(Decision::SheddingRaised), 4, "{max_wait_ms} {gives_up_ms}");
    }
}

#[tokio::test(start_paused = true)]
async fn in_front_of_limits_it_sheds_while_they_are_in_use() {
    let world = World::new();
    let four = NonZeroU32::MIN.saturating_add(3);
    let handle = Handle::new(Config { target: Switch::Off, ..config() }, world.env.clone());
    let limits = bulkhead::Config { concurrent: four, queue: 0, ..bulkhead::Config::default() };
    let bulkhead = bulkhead::Handle::new(limits, world.env.clone()).telling(handle.clone());
    let within_bulkhead = bulkhead::Layer::new(bulkhead).layer(Inner::new(service()));
    let limits =
        adaptive::Config { initial: four, minimum: four, maximum: four, ..adaptive::Config::default() };
    let limit = adaptive::Handle::new(limits, world.env.clone()).telling(handle.clone());
    let within_limit = adaptive::Layer::new(limit, Classified).layer(Inner::new(service()));
    for is_bulkhead in [true, false] {
        let mut calls = JoinSet::new();
        for turn in 0..30 {
            // The first four hang, so that all that come after find everything to be in use.
            let call = world.call(if turn < 4 { 290 } else { 0 });
            if is_bulkhead {
                calls.spawn(within_bulkhead.clone().oneshot(call));
            } else {
                calls.spawn(within_limit.clone().oneshot(call));
            }
            pass(10).await;
        }
        calls.join_all().await;
        assert!(handle.share(Criticality::Sheddable) == Ratio::ONE, "{is_bulkhead}");
        pass(10_000).await;
        handle.utilised(Ratio::ZERO, world.now());
        assert_eq!(handle.share(Criticality::Sheddable), Ratio::ZERO);
    }
}
