//! A breaker around a service.

use std::num::NonZeroU32;

use mainstay_base::error::{Classify, Code, Retry};
use mainstay_base::units::Duration;
use mainstay_resilience::breaker::{Config, Forced, Handle, Layer, State};
use mainstay_resilience::call::Inner;
use mainstay_resilience::{Call, Classified, Decision, Error, Rejection};
use tower::{Layer as _, Service, ServiceExt, service_fn};

use crate::world::*;

fn config() -> Config {
    Config { minimum: NonZeroU32::MIN.saturating_add(1), probes: 1, ..Config::default() }
}

/// Answers as it is asked to: with a code, an error of it; never if it is asked to hang.
fn service() -> impl Service<Option<Code>, Response = &'static str, Error = Failed> + Clone {
    service_fn(async |request: Option<Code>| match request {
        None => Ok("done"),
        Some(Code::Internal) => std::future::pending().await,
        Some(code) => Err(Failed(code)),
    })
}

#[tokio::test(start_paused = true)]
async fn it_opens_after_failures_rejects_with_a_time_and_closes_by_a_probe() {
    let world = World::new();
    let handle = Handle::new(config(), world.env.clone());
    let mut service = Layer::new(handle.clone(), Classified).layer(Inner::new(service()));
    for code in [Code::BadGateway, Code::Invalid, Code::BadGateway] {
        let answer = service.ready().await.unwrap().call(world.call(Some(code))).await;
        assert_eq!(answer, Err(Error::Service(Failed(code))));
    }
    let rejected = service.ready().await.unwrap().call(world.call(None)).await.unwrap_err();
    let Error::Rejected(Rejection::BreakerOpen { after }) = rejected else { panic!("{rejected:?}") };
    assert!((1_000..=1_200).contains(&after.as_std().as_millis()), "{after}");
    assert_eq!((rejected.code(), rejected.retry()), (Code::Unavailable, Retry::After(after.up_to_millis())));
    tokio::time::sleep(after.as_std()).await;
    assert_eq!(handle.state(), State::HalfOpen);
    assert_eq!(service.ready().await.unwrap().call(world.call(None)).await, Ok("done"));
    assert_eq!(handle.state(), State::Closed);
    let decided = [
        (Decision::BreakerOpened, 1),
        (Decision::BreakerRejected, 1),
        (Decision::BreakerHalfOpened, 1),
        (Decision::BreakerClosed, 1),
    ];
    for (decision, count) in decided {
        assert_eq!(world.count(decision), count, "{decision:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_probe_whose_caller_goes_away_leaves_its_place_to_another() {
    let world = World::new();
    let handle = Handle::new(config(), world.env.clone());
    let mut service = Layer::new(handle.clone(), Classified).layer(Inner::new(service()));
    for _ in 0..2 {
        let _ = service.ready().await.unwrap().call(world.call(Some(Code::BadGateway))).await;
    }
    pass(6_000).await;
    let hangs = service.ready().await.unwrap().call(world.call(Some(Code::Internal)));
    let gone = tokio::time::timeout(Duration::from_secs(1).as_std(), hangs).await;
    assert!(gone.is_err() && handle.state() == State::HalfOpen);
    assert_eq!(service.ready().await.unwrap().call(world.call(None)).await, Ok("done"));
    assert_eq!(handle.state(), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn services_with_one_handle_have_one_breaker() {
    let world = World::new();
    let handle = Handle::new(config(), world.env.clone());
    let layer = Layer::new(handle.clone(), Classified);
    let one = layer.layer(Inner::new(service()));
    let two = layer.layer(Inner::new(service()));
    handle.force(Some(Forced::Open));
    for service in [one.clone(), two] {
        let answer = service.oneshot(world.call(None)).await;
        assert!(matches!(answer, Err(Error::Rejected(_))));
    }
    handle.force(None);
    let call: Call<Option<Code>> = world.call(None);
    assert_eq!(one.oneshot(call).await, Ok("done"));
}
