//! Connections over which anything is spoken: where they go, and what they count as.

use std::net::SocketAddr;

use mainstay_base::brief::{Brief, Expand as _};
use mainstay_upstream::balance::Algorithm;
use mainstay_upstream::config::Balance;
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
        // The first choices have found them, and nobody tries again what is known.
        assert!(gone.state == State::Unreachable && gone.ended == 1 || gone.ended == 0, "{gone:?}");
    }
    assert_eq!(world.endpoint(there.address()).ended, 20);
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
    let tried: u64 = gone.iter().map(|address| world.endpoint(*address).ended).sum();
    assert_eq!(tried, 3);
    let registration = r#"{"registration": true}"#;
    let world = World::with(serde_json::from_str(registration).expect("a service"), "{}");
    let error = connect(&world.service, None, &world.env).await.expect_err("there is none");
    assert!(matches!(error, Error::NoEndpoint { .. }), "{error}");
}
