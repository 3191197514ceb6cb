//! A whole policy around a service.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use mainstay_base::error::Code;
use mainstay_base::switch::Switch;
use mainstay_base::units::Duration;
use mainstay_resilience::call::Inner;
use mainstay_resilience::policy::{Guard, Policy};
use mainstay_resilience::{Call, Classified, Decision, Error, Facts, Rejection, breaker, bulkhead, retry};
use tower::{ServiceExt, service_fn};

use crate::world::*;

fn policy(json: &str) -> Policy {
    let policy: Policy = serde_json::from_str(json).expect("it is a policy");
    policy.check().expect("it can work");
    policy
}

#[test]
fn what_is_not_said_is_the_default_and_null_is_none() {
    assert_eq!(policy("{}"), Policy::default());
    let read = policy(
        r#"{"timeout": "2s",
            "retry": {"attempts": 4, "backoff": "exponential", "base": "100ms", "cap": "2s", "jitter": "full",
                      "budget": {"ratio": 0.2, "floor_per_s": 3}},
            "breaker": {"failure_ratio": 0.5, "window": "10s", "minimum": 20, "open": "5s"},
            "bulkhead": {"concurrent": 256, "queue": 64, "max_wait": "100ms"}}"#,
    );
    assert_eq!(read.retry, Switch::On(retry::Config::default()));
    assert_eq!(read.breaker.on().map(|breaker| breaker.open), Some(Duration::from_secs(5)));
    assert_eq!(policy(r#"{"retry": false}"#).retry, Switch::Off);
    let wrong: Policy = serde_json::from_str(r#"{"breaker": {"open": "0s"}}"#).unwrap();
    assert!(wrong.check().unwrap_err().starts_with("`breaker` has an `open` of no time"));
    let wrong: Policy = serde_json::from_str(r#"{"timeout": "1s", "try_timeout": "2s"}"#).unwrap();
    assert!(wrong.check().unwrap_err().contains("above `timeout`"));
    assert!(serde_json::from_str::<Policy>(r#"{"timeouts": "1s"}"#).is_err());
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_tried_again_within_the_deadline_and_the_breaker_sees_each_try() {
    let world = World::new();
    let tries = Arc::new(AtomicU32::new(0));
    let count = tries.clone();
    let service = service_fn(move |()| {
        let number = count.fetch_add(1, Ordering::Relaxed);
        async move { if number < 2 { Err(Failed(Code::BadGateway)) } else { Ok(number) } }
    });
    let guard = Guard::new(&Policy::default(), world.env.clone());
    let service = guard.guard(Inner::new(service), &Classified);
    let call = Call { request: (), facts: Facts { is_idempotent: true, ..Facts::new(world.now()) } };
    assert_eq!(service.oneshot(call).await, Ok(2));
    assert_eq!((tries.load(Ordering::Relaxed), world.count(Decision::Retried)), (3, 2));
    assert_eq!(guard.bulkhead().map(bulkhead::Handle::running), Some(0));
}

#[tokio::test(start_paused = true)]
async fn what_hangs_is_given_up_opens_the_breaker_and_ends_by_the_deadline() {
    let world = World::new();
    let policy = Policy {
        timeout: Duration::from_secs(3),
        retry: Switch::Off,
        breaker: Switch::On(breaker::Config {
            consecutive: Some(std::num::NonZeroU32::MIN),
            ..breaker::Config::default()
        }),
        ..Policy::default()
    };
    let guard = Guard::new(&policy, world.env.clone());
    let hangs = service_fn(async |(): ()| std::future::pending::<Result<(), Failed>>().await);
    let service = guard.guard(Inner::new(hangs), &Classified);
    let begun = world.now();
    let answer = service.clone().oneshot(world.call(())).await;
    assert_eq!(answer, Err(Error::Rejected(Rejection::TimedOut { limit: Duration::from_secs(3) })));
    assert_eq!(
        world.now().saturating_since(begun),
        Duration::from_secs(3),
        "there is no other try to leave time for"
    );
    assert_eq!(guard.breaker().map(breaker::Handle::state), Some(breaker::State::Open));
    let answer = service.oneshot(world.call(())).await;
    assert!(matches!(answer, Err(Error::Rejected(Rejection::BreakerOpen { .. }))));
}
