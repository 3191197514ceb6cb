//! Faults in front of a service.

use std::num::NonZeroU32;

use mainstay_base::error::{Classify, Code, Retry};
use mainstay_base::units::{Duration, Ratio};
use mainstay_resilience::call::Inner;
use mainstay_resilience::fault::{
    Config, Delay, Fault, Faults, Handle, InstallError, Layer, Rule, Schedule, Slow, matches,
};
use mainstay_resilience::{Call, Decision, Error, Rejection};
use tower::{Layer as _, Service, ServiceExt, service_fn};

use crate::world::*;

/// A request with its label.
type Request = (&'static str, u32);

/// Answers with the number of the request.
fn service() -> impl Service<Request, Response = u32, Error = Failed> + Clone {
    service_fn(async |(_, number): Request| Ok(number))
}

fn is_for(call: &Call<Request>, calls: &str) -> bool {
    matches(calls, call.request.0)
}

fn delay(ms: u64) -> Rule {
    Rule::new("slow", Fault::Delay(Delay::Fixed(Duration::from_millis(ms))))
}

#[tokio::test(start_paused = true)]
async fn rules_act_on_the_calls_that_they_are_for_and_can_be_exchanged() {
    let world = World::new();
    let handle = Handle::new(Faults::Allowed, world.env.clone());
    let service = Layer::new(handle.clone(), is_for).layer(Inner::new(service()));
    let call = |label| service.clone().oneshot(world.call((label, 7)));
    assert_eq!((call("pay").await, handle.is_active()), (Ok(7), false));
    let error = Rule { calls: "pay*".to_owned(), ..Rule::new("errors", Fault::Error(Code::StorageFull)) };
    handle.install(vec![error.clone()]).unwrap();
    assert_eq!(handle.rules(), [error]);
    let injected = call("pay").await.unwrap_err();
    assert_eq!(injected, Error::Rejected(Rejection::Injected { code: Code::StorageFull }));
    assert_eq!((injected.code(), injected.retry()), (Code::StorageFull, Retry::Never));
    assert_eq!(call("ship").await, Ok(7));
    handle.install(vec![Rule::new("aborts", Fault::Abort)]).unwrap();
    let aborted = call("ship").await.unwrap_err();
    assert_eq!(aborted, Error::Rejected(Rejection::Aborted));
    assert_eq!((aborted.code(), aborted.retry()), (Code::BadGateway, Retry::WithIdempotencyKey));
    handle.clear();
    assert_eq!((call("pay").await, handle.is_active()), (Ok(7), false));
    assert_eq!(world.count(Decision::FaultInjected), 2);
}

#[tokio::test(start_paused = true)]
async fn a_delayed_call_is_made_after_that_and_told_its_own_now() {
    let world = World::new();
    let handle = Handle::new(Faults::Allowed, world.env.clone());
    let tells = service_fn(async |call: Call<Request>| Ok::<_, Error<Failed>>(call.facts.now.as_nanos()));
    let service = Layer::new(handle.clone(), is_for).layer(tells);
    handle.install(vec![delay(300)]).unwrap();
    let begun = world.now();
    let told = service.clone().oneshot(world.call(("pay", 7))).await.unwrap();
    assert_eq!(world.now().saturating_since(begun), Duration::from_millis(300));
    assert_eq!(told, world.now().as_nanos());
    let both = vec![delay(300), Rule::new("aborts", Fault::Abort)];
    handle.install(both).unwrap();
    let begun = world.now();
    let aborted = service.oneshot(world.call(("pay", 7))).await;
    assert_eq!(aborted, Err(Error::Rejected(Rejection::Aborted)));
    assert_eq!(world.now().saturating_since(begun), Duration::from_millis(300), "it waits and then ends");
}

#[tokio::test(start_paused = true)]
async fn one_that_hangs_is_never_answered() {
    let world = World::new();
    let handle = Handle::new(Faults::Allowed, world.env.clone());
    let service = Layer::new(handle.clone(), is_for).layer(Inner::new(service()));
    handle.install(vec![Rule::new("hangs", Fault::Hang)]).unwrap();
    let hangs = service.oneshot(world.call(("pay", 7)));
    assert!(tokio::time::timeout(Duration::from_secs(86_400).as_std(), hangs).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn bodies_are_slowed_by_whoever_has_them() {
    let world = World::new();
    let handle = Handle::new(Faults::Allowed, world.env.clone());
    let slow = Slow { bytes_per_second: NonZeroU32::new(9).unwrap() };
    handle.install(vec![Rule::new("slow", Fault::Slow(slow))]).unwrap();
    let layer = Layer::new(handle, is_for);
    let unslowed = layer.clone().layer(Inner::new(service()));
    assert_eq!(unslowed.oneshot(world.call(("pay", 7))).await, Ok(7));
    let slowed = layer.slowing(|answer: u32, slow: Slow| answer * slow.bytes_per_second.get());
    assert_eq!(slowed.layer(Inner::new(service())).oneshot(world.call(("pay", 7))).await, Ok(63));
}

#[tokio::test(start_paused = true)]
async fn schedules_begin_when_their_rules_are_installed() {
    let world = World::new();
    let handle = Handle::new(Faults::Allowed, world.env.clone());
    let service = Layer::new(handle.clone(), is_for).layer(Inner::new(service()));
    pass(12_345).await;
    let schedule = Schedule {
        from: Duration::from_millis(100),
        until: Some(Duration::from_millis(200)),
        ..Schedule::default()
    };
    handle.install(vec![Rule { schedule, ..Rule::new("aborts", Fault::Abort) }]).unwrap();
    let mut are_ok = Vec::new();
    for wait_ms in [99, 1, 99, 1] {
        pass(wait_ms).await;
        are_ok.push(service.clone().oneshot(world.call(("pay", 7))).await.is_ok());
    }
    assert_eq!(are_ok, [true, false, false, true]);
}

#[tokio::test(start_paused = true)]
async fn a_handle_that_refuses_says_how_to_allow_them_and_changes_nothing() {
    let world = World::new();
    let refuses = Handle::configured(Config::default(), world.env.clone()).unwrap();
    let service = Layer::new(refuses.clone(), is_for).layer(Inner::new(service()));
    let error = refuses.install(vec![Rule::new("aborts", Fault::Abort)]).unwrap_err();
    assert_eq!((error.code(), &error), (Code::Forbidden, &InstallError::Refused));
    assert!(error.to_string().contains("set `faults: allowed`"), "{error}");
    assert_eq!(service.oneshot(world.call(("pay", 7))).await, Ok(7));
    let rules = vec![Rule { ratio: Ratio::ONE, ..Rule::new("aborts", Fault::Abort) }];
    let config = Config { rules: rules.clone(), ..Config::default() };
    assert_eq!(Handle::configured(config, world.env.clone()).unwrap_err(), InstallError::Refused);

    let config = Config { faults: Faults::Allowed, rules: rules.clone() };
    let allows = Handle::configured(config, world.env.clone()).unwrap();
    let error = allows.install(vec![delay(1), delay(2)]).unwrap_err();
    assert!(error.to_string().contains("rename one"), "{error}");
    assert_eq!((error.code(), allows.rules()), (Code::Invalid, rules), "as they were");
}
