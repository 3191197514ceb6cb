//! Endpoints that die, hang, are checked and come back.

use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::join_all;
use http::Method;
use mainstay_base::brief::{Brief, Expand as _};
use mainstay_base::units::Duration;
use mainstay_upstream::balance::Algorithm;
use mainstay_upstream::config::{Balance, By, Health};
use mainstay_upstream::{Config, Payload, State};

use crate::world::*;

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
const BAD: &str = "HTTP/1.1 500 Oh\r\ncontent-length: 2\r\n\r\nno";

fn ok() -> &'static str {
    OK
}

/// Does this while that goes on, which does not end.
async fn during<T>(goes_on: impl Future<Output = ()>, done: impl Future<Output = T>) -> T {
    tokio::select! {
        () = goes_on => panic!("it goes on without end"),
        done = done => done,
    }
}

#[tokio::test]
async fn a_dead_endpoint_costs_one_call_that_is_sent_again_and_comes_back() {
    let scripts = [Script::new().await, Script::new().await, Script::new().await];
    let dead = Script::new().await;
    let address = dead.address();
    drop(dead);
    let mut all: Vec<_> = scripts.iter().map(Script::address).collect();
    all.push(address);
    let world = World::with(at(&all), "{}");
    let serve = async { drop(join_all(scripts.iter().map(|script| script.serve(ok))).await) };
    let goes_on = async {
        tokio::join!(serve, world.tend());
    };
    let call = async {
        for _ in 0..400 {
            // One that is not safe to be sent twice: it was not sent.
            let answer = world.call(Method::POST, Payload::Empty).await.expect("three are there");
            assert_eq!(answer.status(), 200);
        }
        let dead = world.endpoint(address);
        assert_eq!((dead.state, dead.ended, dead.failed), (State::Unreachable, 1, 1), "{dead:?}");
        assert!(dead.why.is_some_and(|why| why.contains("refused")));
        let again = Script::again(address).await;
        let back = async {
            world.until(address, State::Healthy).await;
            while world.endpoint(address).ended < 2 {
                assert!(world.get().await.is_ok());
            }
        };
        during(again.serve(ok), back).await;
    };
    during(goes_on, call).await;
}

#[tokio::test]
async fn an_endpoint_that_hangs_is_taken_out() {
    let (good, hangs) = (Script::new().await, Script::new().await);
    // The others would hardly call it again.
    let balance = Brief(Balance::expand(Algorithm::RoundRobin));
    let config = Config { balance, ..at(&[good.address(), hangs.address()]) };
    let world = World::with(
        config,
        r#"{"timeout": "10s", "try_timeout": "30ms", "retry": {"base": "1ms"}, "breaker": false}"#,
    );
    let serve = async {
        let (mut silent, good) = (Vec::new(), good.serve(ok));
        let accept = async {
            loop {
                silent.push(hangs.accept().await);
            }
        };
        tokio::join!(good, accept);
    };
    let call = async {
        while world.endpoint(hangs.address()).state != State::Ejected {
            assert_eq!(world.get().await.map(|answer| answer.0), Ok(200));
        }
        let view = world.endpoint(hangs.address());
        assert_eq!(view.why.as_deref(), Some("5 failures in a row"));
        assert_eq!((view.failed, view.running), (5, 0), "whoever went away runs there no more");
        for _ in 0..50 {
            assert!(world.get().await.is_ok());
        }
        assert_eq!(world.endpoint(hangs.address()).ended, 5);
    };
    during(
        async {
            tokio::join!(serve, world.tend());
        },
        call,
    )
    .await;
}

#[tokio::test]
async fn checks_take_an_endpoint_out_and_back() {
    let (good, changing) = (Script::new().await, Script::new().await);
    let is_well = AtomicBool::new(true);
    let health = Health { path: "/health".into(), every: Duration::from_millis(10), ..Health::default() };
    let config = Config { health: Some(health), ..at(&[good.address(), changing.address()]) };
    let world = World::with(config, "{}");
    let say = || if is_well.load(Ordering::Relaxed) { OK } else { BAD };
    let serve = async {
        tokio::join!(good.serve(ok), changing.serve(say), world.tend());
    };
    let watch = async {
        let address = changing.address();
        world.until(address, State::Healthy).await;
        is_well.store(false, Ordering::Relaxed);
        let failing = world.until(address, State::Failing).await;
        assert_eq!(
            failing.why.as_deref(),
            Some("the check of /health was answered 500 Internal Server Error")
        );
        let ended = world.endpoint(address).ended;
        for _ in 0..50 {
            assert_eq!(world.get().await.map(|answer| answer.0), Ok(200));
        }
        assert_eq!(world.endpoint(address).ended, ended, "checks are no calls, and there were none");
        is_well.store(true, Ordering::Relaxed);
        world.until(address, State::Healthy).await;
    };
    during(serve, watch).await;
}

#[tokio::test]
async fn a_check_by_connecting_and_one_that_takes_too_long() {
    let silent = Script::new().await;
    let address = silent.address();
    let accept = async {
        let mut connections = Vec::new();
        loop {
            connections.push(silent.accept().await);
        }
    };
    let with = |by, timeout| Health {
        by,
        every: Duration::from_millis(10),
        timeout: Duration::from_millis(timeout),
        ..Health::default()
    };
    let by_tcp = World::with(Config { health: Some(with(By::Tcp, 5_000)), ..at(&[address]) }, "{}");
    let by_http = World::with(Config { health: Some(with(By::Http, 20)), ..at(&[address]) }, "{}");
    let goes_on = async {
        tokio::join!(accept, by_tcp.tend(), by_http.tend());
    };
    let watch = async {
        by_tcp.until(address, State::Healthy).await;
        let failing = by_http.until(address, State::Failing).await;
        assert_eq!(failing.why.as_deref(), Some("the check took more than 20ms"));
    };
    during(goes_on, watch).await;
}

#[tokio::test]
async fn calls_run_at_an_endpoint_until_their_answers_are_read() {
    let script = Script::new().await;
    let world = World::new(&[script.address()], "{}");
    let call = async {
        let first = world.call(Method::GET, Payload::Empty).await.expect("an answer");
        assert_eq!(first.body().endpoint().map(|it| it.instance().address), Some(script.address()));
        assert_eq!(world.endpoint(script.address()).running, 1);
        let second = world.call(Method::GET, Payload::Empty).await.expect("an answer");
        assert_eq!(world.endpoint(script.address()).running, 2);
        drop(first);
        drop(second);
        let view = world.endpoint(script.address());
        assert_eq!((view.running, view.ended, view.failed), (0, 2, 0));
        assert!(view.latency.is_some());
    };
    during(script.serve(ok), call).await;
}

#[tokio::test]
async fn a_service_without_endpoints_says_so() {
    let config: Config = at(&[]);
    assert!(config.check().is_err(), "a definition names some");
    let script = Script::new().await;
    let world = World::new(&[script.address()], r#"{"retry": false}"#);
    let roster = world.service.roster();
    roster.describe(mainstay_upstream::roster::Source::Defined, Vec::new(), world.env.now());
    let error = world.call(Method::GET, Payload::Empty).await.expect_err("there is none");
    assert_eq!(error.to_string(), "the service `test` has no endpoints");
}
