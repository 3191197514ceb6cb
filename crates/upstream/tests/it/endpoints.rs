//! Endpoints that die, hang, are checked and come back.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::StreamExt as _;
use futures_util::future::join_all;
use futures_util::stream::FuturesUnordered;
use http::Method;
use mainstay_base::brief::{Brief, Expand as _};
use mainstay_base::switch::Switch;
use mainstay_base::units::Duration;
use mainstay_upstream::balance::Algorithm;
use mainstay_upstream::config::{Balance, By, Health, Idle, Registration};
use mainstay_upstream::endpoint::Instance;
use mainstay_upstream::roster::{Described, Source};
use mainstay_upstream::{Config, Payload, State};
use tokio::net::TcpListener;

use crate::world::*;

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
const BAD: &str = "HTTP/1.1 500 Oh\r\ncontent-length: 2\r\n\r\nno";

fn ok() -> &'static str {
    OK
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
    roster.describe(Source::Defined, Vec::new(), world.env.now());
    let error = world.call(Method::GET, Payload::Empty).await.expect_err("there is none");
    assert_eq!(error.to_string(), "the service `test` has no endpoints");
}

/// Answers on each address of this machine with that address.
async fn serve_everywhere(listener: &TcpListener) {
    let mut serving = FuturesUnordered::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let mut connection = Conversation(accepted.expect("a connection").0);
                serving.push(async move {
                    let address = connection.0.local_addr().expect("it is connected").to_string();
                    // It may be tried whether a connection can be made, and nothing said.
                    if connection.0.peek(&mut [0]).await.unwrap_or(0) == 0 {
                        return;
                    }
                    connection.until("\r\n\r\n").await;
                    let length = address.len();
                    connection.say(&format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{address}")).await;
                    connection.swallow().await;
                });
            }
            Some(()) = serving.next() => {}
        }
    }
}

#[tokio::test]
async fn a_thousand_endpoints_come_and_go_while_calls_are_made() {
    const ENDPOINTS: usize = 1_000;
    let listener = TcpListener::bind("0.0.0.0:0").await.expect("a port");
    let port = listener.local_addr().expect("it listens").port();
    // All of 127.0.0.0/8 is this machine.
    let nth = |n: usize| SocketAddr::from(([127, 1, (n / 250) as u8, (n % 250 + 1) as u8], port));
    for (algorithm, changes) in [(Algorithm::PeakEwma, 400), (Algorithm::Maglev, 10)] {
        let balance = Brief(Balance { algorithm, ..Balance::default() });
        let (registration, idle) = (Switch::On(Registration::default()), Idle { max: 0, ..Idle::default() });
        let world = World::with(Config { registration, balance, idle, ..Config::default() }, "{}");
        let put = |n: usize, is_leaving| {
            let described = Described { instance: Instance::at(nth(n)), is_leaving };
            let length = Duration::from_secs(300);
            world.service.leases().put(described, length, world.env.now()).expect("there is room");
        };
        let first: Vec<_> =
            (0..ENDPOINTS).map(|n| Described { instance: Instance::at(nth(n)), is_leaving: false }).collect();
        // The others one by one.
        world.service.roster().describe(Source::Dns, first[..ENDPOINTS - 100].to_vec(), world.env.now());
        (ENDPOINTS - 100..ENDPOINTS).for_each(|n| put(n, false));
        let change = async {
            let mut there: VecDeque<usize> = (ENDPOINTS - 100..ENDPOINTS).collect();
            for next in ENDPOINTS..ENDPOINTS + changes {
                let gone = there.pop_front().expect("there are a hundred");
                put(gone, true);
                put(next, false);
                there.push_back(next);
                let (status, by, _) = world.get().await.expect("a thousand are there");
                let is_fit = |n: &usize| nth(*n).to_string() == by;
                assert!(
                    status == 200 && ((0..ENDPOINTS - 100).any(|n| is_fit(&n)) || there.iter().any(is_fit)),
                    "{by}"
                );
                assert!(world.service.leases().remove(nth(gone), world.env.now()));
            }
            assert_eq!(world.service.roster().endpoints().len(), ENDPOINTS);
        };
        let others = async {
            loop {
                assert!(world.get().await.is_ok());
            }
        };
        let goes_on = async {
            tokio::join!(serve_everywhere(&listener), world.tend(), others);
        };
        during(goes_on, change).await;
    }
}
