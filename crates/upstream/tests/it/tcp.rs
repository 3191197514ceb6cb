//! Connections over which anything is spoken: where they go, and what they count as.

use std::net::SocketAddr;

use mainstay_base::brief::{Brief, Expand as _};
use mainstay_base::units::Duration;
use mainstay_upstream::balance::Algorithm;
use mainstay_upstream::config::Balance;
use mainstay_upstream::roster::Outcome;
use mainstay_upstream::tcp::{Connected, connect};
use mainstay_upstream::{Config, Error, State};
use tokio::io::AsyncReadExt as _;

use crate::world::*;

/// An address where nobody listens.
async fn nobody() -> SocketAddr {
    Script::new().await.address()
}

async fn connected(world: &World, key: Option<u64>) -> Connected {
    connect(&world.service, key, &world.env).await.expect("one of them is there")
}

#[tokio::test]
async fn endpoints_that_are_not_there_cost_no_connection() {
    let there = Script::new().await;
    let gone = [nobody().await, nobody().await];
    let world = World::with(at(&[gone[0], gone[1], there.address()]), "{}");
    for _ in 0..20 {
        let mut connected = connected(&world, None).await;
        assert_eq!(connected.running.endpoint().instance().address, there.address());
        there.accept().await.say("hi").await;
        let mut said = String::new();
        connected.stream.read_to_string(&mut said).await.expect("it ends");
        assert_eq!(said, "hi");
    }
    for gone in gone.map(|address| world.endpoint(address)) {
        // Whether the first choices have found them is chance.
        assert!([State::Unreachable, State::Healthy].contains(&gone.state), "{gone:?}");
    }
}

#[tokio::test]
async fn a_connection_counts_at_its_endpoint_until_it_ends() {
    let scripts = [Script::new().await, Script::new().await];
    let balance = Brief(Balance::expand(Algorithm::LeastRequests));
    let config = Config { balance, ..at(&scripts.each_ref().map(Script::address)) };
    let world = World::with(config, "{}");
    let mut open = Vec::new();
    for _ in 0..6 {
        open.push(connected(&world, None).await);
    }
    let running = || scripts.each_ref().map(|script| world.endpoint(script.address()).running);
    assert_eq!(running(), [3, 3]);
    let first = open[0].running.endpoint().instance().address;
    open.retain(|connected| connected.running.endpoint().instance().address != first);
    assert_eq!(world.endpoint(first).running, 0);
    let next = connected(&world, None).await;
    assert_eq!(next.running.endpoint().instance().address, first, "where the fewest are");
}

#[tokio::test]
async fn a_client_with_the_same_key_meets_the_same_endpoint() {
    let scripts = [Script::new().await, Script::new().await, Script::new().await];
    let balance = Brief(Balance::expand(Algorithm::Maglev));
    let world = World::with(Config { balance, ..at(&scripts.each_ref().map(Script::address)) }, "{}");
    let of = async |key: u64| connected(&world, Some(key)).await.running.endpoint().id();
    for key in (0..20).map(|n: u64| n.wrapping_mul(0x9e37_79b9_7f4a_7c15)) {
        assert_eq!(of(key).await, of(key).await);
    }
}

#[tokio::test]
async fn a_service_of_which_nobody_is_there_is_an_error_after_three_tries() {
    let gone = [nobody().await, nobody().await, nobody().await, nobody().await];
    let world = World::with(at(&gone), "{}");
    let error = connect(&world.service, None, &world.env).await.expect_err("nobody is there");
    assert!(matches!(error, Error::Connect { .. }), "{error}");
    let is_known = |address: &&SocketAddr| world.endpoint(**address).state == State::Unreachable;
    assert_eq!(gone.iter().filter(is_known).count(), 3);
    let registration = r#"{"registration": true}"#;
    let world = World::with(serde_json::from_str(registration).expect("a service"), "{}");
    let error = connect(&world.service, None, &world.env).await.expect_err("there is none");
    assert!(matches!(error, Error::NoEndpoint { .. }), "{error}");
}

#[tokio::test]
async fn a_connection_is_no_call_whether_it_was_made_or_not() {
    let (there, gone) = (Script::new().await, nobody().await);
    let world = World::with(at(&[there.address(), gone]), "{}");
    for _ in 0..20 {
        connected(&world, None).await;
    }
    let (there, gone) = (world.endpoint(there.address()), world.endpoint(gone));
    assert_eq!([there.ended, there.failed, gone.ended, gone.failed], [0; 4]);
    assert!(there.latency.is_some(), "how long it takes to connect is known");
    assert_eq!(gone.state, State::Unreachable);
}

#[tokio::test]
async fn failures_of_calls_in_a_row_are_not_forgotten_for_a_connection() {
    let script = Script::new().await;
    let other = Script::new().await;
    let world = World::with(at(&[script.address(), other.address()]), "{}");
    let roster = world.service.roster();
    let endpoints = roster.endpoints();
    let failing = endpoints.iter().find(|it| it.instance().address == script.address()).expect("it is there");
    for _ in 0..5 {
        let now = world.env.now();
        roster.ended(failing, Outcome::Failure(Duration::from_millis(1)), now);
        roster.connected(failing, Ok(Duration::from_millis(1)), now);
    }
    roster.settle(world.env.now());
    assert_eq!(world.endpoint(script.address()).state, State::Ejected);
}

#[tokio::test]
async fn an_endpoint_to_which_this_machine_cannot_connect_is_passed_over_and_not_blamed() {
    // Of no network in particular, so that there is no way to it from anywhere.
    let nowhere: SocketAddr = "[fe80::1]:9".parse().expect("an address");
    let there = Script::new().await;
    let world = World::with(at(&[nowhere, there.address()]), "{}");
    for _ in 0..20 {
        let connected = connected(&world, None).await;
        assert_eq!(connected.running.endpoint().instance().address, there.address());
    }
    assert_eq!(world.endpoint(nowhere).state, State::Healthy);
}
