//! How many connections there are, whose they are, and who waits for one.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use futures_util::StreamExt as _;
use futures_util::future::{join, join_all};
use futures_util::stream::FuturesUnordered;
use http::{Method, Response};
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use mainstay_base::switch::Switch;
use mainstay_base::units::Duration;
use mainstay_resilience::{Error, Rejection};
use mainstay_upstream::config::{Connections, Idle, Protocol, Registration};
use mainstay_upstream::endpoint::Instance;
use mainstay_upstream::roster::{Described, Source};
use mainstay_upstream::{Config, Payload};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::world::*;

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

fn connections(max: u32) -> Connections {
    Connections { max: NonZeroU32::new(max), max_wait: Duration::from_secs(10), ..Connections::default() }
}

fn bounded(script: &Script, max: u32) -> Config {
    Config { connections: connections(max), ..at(&[script.address()]) }
}

async fn reads_whole(world: &World) {
    let (status, body, _) = world.get().await.expect("it is answered");
    assert_eq!((status, body.as_str()), (200, "ok"));
}

#[tokio::test]
async fn no_more_connections_are_there_than_there_may_be_and_the_others_wait() {
    let script = Script::new().await;
    let world = World::with(bounded(&script, 2), "{}");
    let other = world.beside();
    // Answers are given once it is known that no third call has come.
    let (heads, go) = (Cell::new(0), Semaphore::new(0));
    let serve = async {
        let (mut serving, heads, go) = (FuturesUnordered::new(), &heads, &go);
        loop {
            tokio::select! {
                mut connection = script.accept() => serving.push(async move {
                    loop {
                        connection.until("\r\n\r\n").await;
                        heads.set(heads.get() + 1);
                        go.acquire().await.expect("it is open").forget();
                        connection.say(OK).await;
                    }
                }),
                Some(()) = serving.next() => {}
            }
        }
    };
    let calls = async {
        let all = join(
            join_all((0..4).map(|_| reads_whole(&world))),
            join_all((0..4).map(|_| reads_whole(&other))),
        );
        let watch = async {
            for done in 0..8 {
                while world.service.waiting() + 2 + done < 8 {
                    tokio::task::yield_now().await;
                }
                while heads.get() < (done + 2).min(8) {
                    tokio::task::yield_now().await;
                }
                assert_eq!(world.endpoint(script.address()).connections, 2);
                assert!(heads.get() <= done + 2, "{} at {done}", heads.get());
                go.add_permits(1);
            }
        };
        join(all, watch).await;
    };
    tokio::select! { () = serve => {}, () = calls => {} }
    assert_eq!(world.service.waiting(), 0);
}

#[tokio::test]
async fn a_thread_takes_over_what_lies_idle_with_another() {
    let script = Script::new().await;
    let world = World::with(bounded(&script, 1), "{}");
    let other = world.beside();
    let serve = async {
        let mut connection = script.accept().await;
        connection.answer_all(|| OK).await;
        panic!("it is the only one, and stays open");
    };
    let calls = async {
        for _ in 0..10 {
            reads_whole(&world).await;
            reads_whole(&other).await;
        }
    };
    tokio::select! { () = serve => {}, () = calls => {} }
}

#[tokio::test]
async fn who_finds_no_room_to_wait_or_not_in_time_is_told_so() {
    let script = Script::new().await;
    let queue = Connections { queue: 1, max_wait: Duration::from_millis(50), ..connections(1) };
    let world = World::with(Config { connections: queue, ..bounded(&script, 1) }, r#"{"retry": false}"#);
    let serve = async {
        let mut connection = script.accept().await;
        connection.until("\r\n\r\n").await;
        std::future::pending::<()>().await;
    };
    let call = || world.call(Method::GET, Payload::Empty);
    let rejection = |answered: mainstay_upstream::Answered| match answered {
        Err(Error::Rejected(rejection)) => rejection,
        other => panic!("{other:?}"),
    };
    let calls = async {
        let hangs = call();
        let others = async {
            while world.endpoint(script.address()).connections == 0 {
                tokio::task::yield_now().await;
            }
            let (waits, full) = join(call(), call()).await;
            assert!(matches!(rejection(waits), Rejection::BulkheadWaited { .. }));
            assert!(matches!(rejection(full), Rejection::BulkheadFull { concurrent: 1, waiting: 1 }));
        };
        tokio::select! { _ = hangs => panic!("nothing answers"), () = others => {} }
    };
    tokio::select! { () = serve => {}, () = calls => {} }
}

#[tokio::test]
async fn a_full_endpoint_is_passed_over_and_a_call_waits_only_if_all_are() {
    let scripts = [Script::new().await, Script::new().await];
    let all = scripts.each_ref().map(Script::address);
    let world = World::with(Config { connections: connections(1), ..at(&all) }, "{}");
    let go = Semaphore::new(0);
    let serve = |script| {
        let go: &Semaphore = &go;
        async move {
            let script: &Script = script;
            let mut connection = script.accept().await;
            connection.until("\r\n\r\n").await;
            go.acquire().await.expect("it is open").forget();
            connection.answer_all(|| OK).await;
        }
    };
    let calls = async {
        let calls = join_all((0..2).map(|_| reads_whole(&world)));
        let watch = async {
            while all.iter().any(|address| world.endpoint(*address).running == 0) {
                tokio::task::yield_now().await;
            }
            assert_eq!(world.service.waiting(), 0);
        };
        tokio::select! { _ = calls => panic!("nothing answers yet"), () = watch => {} }
    };
    tokio::select! { _ = join_all(scripts.iter().map(serve)) => {}, () = calls => {} }
}

#[tokio::test]
async fn calls_that_run_on_where_none_are_taken_any_more_take_no_room_elsewhere() {
    let (leaving, stays) = (Script::new().await, Script::new().await);
    let registration = Switch::On(Registration::default());
    let config = Config { registration, connections: connections(1), ..at(&[stays.address()]) };
    let world = World::with(config, "{}");
    let lease = |is_leaving| {
        let described = Described { instance: Instance::at(leaving.address()), is_leaving };
        world
            .service
            .leases()
            .put(described, Duration::from_secs(60), world.env.now())
            .expect("there is room");
    };
    let serve = join(
        async {
            let mut connection = leaving.accept().await;
            connection.until("\r\n\r\n").await;
            std::future::pending::<()>().await;
        },
        stays.serve(|| OK),
    );
    let calls = async {
        lease(false);
        let hangs = async {
            // One of the first two goes there.
            let _ = join(world.get(), world.get()).await;
            panic!("one has no answer");
        };
        let others = async {
            while world.endpoint(leaving.address()).running == 0 {
                tokio::task::yield_now().await;
            }
            lease(true);
            for _ in 0..50 {
                reads_whole(&world).await;
            }
            assert!(world.service.leases().remove(leaving.address(), world.env.now()));
            for _ in 0..50 {
                reads_whole(&world).await;
            }
        };
        tokio::select! { () = hangs => {}, () = others => {} }
    };
    tokio::select! { _ = serve => {}, () = calls => {}, () = world.tend() => {} }
}

#[tokio::test]
async fn an_old_connection_carries_no_more_calls() {
    let script = Script::new().await;
    let old = Connections { age_max: Duration::from_secs(60), ..Connections::default() };
    let idle = Idle { timeout: Duration::from_secs(600), ..Idle::default() };
    let world = World::with(Config { connections: old, idle, ..at(&[script.address()]) }, "{}");
    let serve = async {
        for calls in [2, 1] {
            let mut connection = script.accept().await;
            for _ in 0..calls {
                connection.until("\r\n\r\n").await;
                connection.say(OK).await;
            }
        }
    };
    let calls = async {
        reads_whole(&world).await;
        world.worker.sweep();
        reads_whole(&world).await;
        tokio::time::pause();
        for _ in 0..2 {
            tokio::time::advance(std::time::Duration::from_secs(31)).await;
        }
        tokio::time::resume();
        world.worker.sweep();
        assert_eq!(world.endpoint(script.address()).connections, 0);
        reads_whole(&world).await;
    };
    join(serve, calls).await;
}

#[tokio::test]
async fn a_call_waits_for_those_that_began_by_an_earlier_definition() {
    let script = Script::new().await;
    let world = World::with(bounded(&script, 1), r#"{"retry": false}"#);
    let go = Semaphore::new(0);
    let serve = async {
        let mut connection = script.accept().await;
        connection.until("\r\n\r\n").await;
        go.acquire().await.expect("it is open").forget();
        connection.say(OK).await;
        connection.answer_all(|| OK).await;
    };
    let calls = async {
        let first = reads_whole(&world);
        let second = async {
            while world.endpoint(script.address()).running == 0 {
                tokio::task::yield_now().await;
            }
            let queue = Connections { queue: 7, ..connections(1) };
            let later = world.changed(Config { connections: queue, ..bounded(&script, 1) });
            let waits = async {
                while later.service.waiting() == 0 {
                    tokio::task::yield_now().await;
                }
                go.add_permits(1);
            };
            join(reads_whole(&later), waits).await;
        };
        join(first, second).await;
    };
    tokio::select! { () = serve => {}, _ = calls => {} }
}

#[tokio::test]
async fn a_connection_that_serves_another_definition_is_closed_for_one_that_does() {
    let script = Script::new().await;
    let world = World::with(bounded(&script, 1), r#"{"retry": false}"#);
    let later = Config { protocol: Protocol::Http2, ..bounded(&script, 1) };
    let serve = async {
        let mut plain = script.accept().await;
        plain.until("\r\n\r\n").await;
        plain.say(OK).await;
        let mut preface = script.accept().await;
        preface.until("PRI * HTTP/2.0\r\n\r\n").await;
        plain.swallow().await;
    };
    let calls = async {
        reads_whole(&world).await;
        let other = world.changed(later).beside();
        let _ = other.get().await;
        panic!("nothing is answered");
    };
    tokio::select! { () = serve => {}, () = calls => {} }
}

#[tokio::test]
async fn calls_of_an_earlier_definition_go_to_no_endpoint_that_is_spoken_to_in_another_way() {
    let (plain, other) = (Script::new().await, Script::new().await);
    let world = World::with(at(&[plain.address()]), r#"{"retry": false}"#);
    let calls = async {
        let later = world.changed(Config { protocol: Protocol::Http2, ..at(&[other.address()]) });
        reads_whole(&world).await;
        assert!(
            later.service.roster().picture().endpoints().all(|it| it.instance().address == other.address())
        );
    };
    tokio::select! { () = plain.serve(|| OK) => {}, _ = other.accept() => panic!("it does not understand"), () = calls => {} }
}

#[tokio::test]
async fn connections_that_carry_anything_take_no_room_of_calls() {
    let script = Script::new().await;
    let world = World::with(bounded(&script, 1), r#"{"retry": false}"#);
    let calls = async {
        let held =
            mainstay_upstream::tcp::connect(&world.service, None, &world.env).await.expect("it listens");
        for _ in 0..3 {
            reads_whole(&world).await;
        }
        assert_eq!(world.endpoint(script.address()).running, 1, "{held:?}");
    };
    tokio::select! { () = script.serve(|| OK) => {}, () = calls => {} }
}

#[tokio::test]
async fn an_endpoint_that_comes_back_is_another_one() {
    let script = Script::new().await;
    let world = World::with(bounded(&script, 1), r#"{"retry": false}"#);
    let calls = async {
        reads_whole(&world).await;
        let described = vec![Described { instance: Instance::at(script.address()), is_leaving: false }];
        for endpoints in [Vec::new(), described] {
            world.service.roster().describe(Source::Defined, endpoints, world.env.now());
        }
        reads_whole(&world).await;
        assert_eq!(world.endpoint(script.address()).connections, 1);
    };
    tokio::select! { () = script.serve(|| OK) => {}, () = calls => {} }
}

/// A server of HTTP/2 that answers once it may, and counts the requests that it has, in all and on each connection.
struct Http2 {
    listener: TcpListener,
    connections: RefCell<Vec<Arc<AtomicU32>>>,
    requests: Arc<AtomicU32>,
    go: Arc<Semaphore>,
}

impl Http2 {
    async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let go = Arc::new(Semaphore::new(0));
        Self { listener, connections: RefCell::default(), requests: Arc::default(), go }
    }

    fn config(&self, connections: Connections) -> Config {
        let address = self.listener.local_addr().expect("it listens");
        Config { connections, protocol: Protocol::Http2, ..at(&[address]) }
    }

    async fn serve(&self) {
        let mut serving = FuturesUnordered::new();
        loop {
            tokio::select! {
                accepted = self.listener.accept() => {
                    let (stream, _) = accepted.expect("a connection");
                    let of_connection: Arc<AtomicU32> = Arc::default();
                    self.connections.borrow_mut().push(Arc::clone(&of_connection));
                    let (requests, go) = (Arc::clone(&self.requests), Arc::clone(&self.go));
                    let service = service_fn(move |_| {
                        of_connection.fetch_add(1, Ordering::Relaxed);
                        requests.fetch_add(1, Ordering::Relaxed);
                        let go = Arc::clone(&go);
                        async move {
                            go.acquire().await.expect("it is open").forget();
                            Ok::<_, Infallible>(Response::new(String::from("ok")))
                        }
                    });
                    let builder = http2::Builder::new(TokioExecutor::new());
                    serving.push(builder.serve_connection(TokioIo::new(stream), service));
                }
                Some(_) = serving.next() => {}
            }
        }
    }
}

#[tokio::test]
async fn calls_over_http2_share_connections_as_far_as_they_may_and_then_those_of_other_threads() {
    for (max, expected) in [(None, [2, 1, 2, 1].as_slice()), (NonZeroU32::new(3), &[2, 2, 2])] {
        let server = Http2::new().await;
        let streams = NonZeroU32::new(2).expect("it is not zero");
        let world = World::with(server.config(Connections { max, streams, ..connections(1) }), "{}");
        let other = world.beside();
        let until = async |requests| {
            while server.requests.load(Ordering::Relaxed) < requests {
                tokio::task::yield_now().await;
            }
        };
        let three = |from| join_all((0..3).map(move |_| reads_whole(from)));
        let calls = async {
            let then = async {
                until(3).await;
                let watch = async {
                    until(6).await;
                    let each = server
                        .connections
                        .borrow()
                        .iter()
                        .map(|it| it.load(Ordering::Relaxed))
                        .collect::<Vec<_>>();
                    assert_eq!(each, expected);
                    server.go.add_permits(6);
                };
                join(three(&other), watch).await;
            };
            join(three(&world), then).await;
        };
        tokio::select! { () = server.serve() => {}, _ = calls => {} }
    }
}

#[tokio::test]
async fn a_connection_over_http2_that_is_old_makes_room_for_another_though_it_has_calls() {
    let server = Http2::new().await;
    let one = Connections { age_max: Duration::from_secs(2), ..connections(1) };
    let world = World::with(server.config(one), r#"{"retry": false}"#);
    let calls = async {
        let long = reads_whole(&world);
        let others = async {
            while server.requests.load(Ordering::Relaxed) == 0 {
                tokio::task::yield_now().await;
            }
            tokio::time::pause();
            tokio::time::advance(std::time::Duration::from_secs(3)).await;
            tokio::time::resume();
            world.worker.sweep();
            let another = async {
                while server.requests.load(Ordering::Relaxed) < 2 {
                    tokio::task::yield_now().await;
                }
                let endpoint = world.service.roster().view(world.env.now()).remove(0);
                assert_eq!((endpoint.running, endpoint.connections), (2, 1), "the old one counts no more");
                server.go.add_permits(2);
            };
            join(reads_whole(&world), another).await;
        };
        join(long, others).await;
    };
    tokio::select! { () = server.serve() => {}, _ = calls => {} }
    assert_eq!(server.connections.borrow().len(), 2);
}
