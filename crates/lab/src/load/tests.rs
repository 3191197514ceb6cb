//! The generator against small servers of its own, good and bad.

use std::convert::Infallible;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::sync::oneshot;

use super::*;

/// A server on its own thread, which ends when this is dropped.
struct Served {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Served {
    /// Hands each accepted connection to `serve`, all on one thread.
    fn start<F, Fut>(serve: F) -> Self
    where
        F: Fn(TcpStream) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + 'static,
    {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let serve = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let accept = async {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                let mut connections = tokio::task::JoinSet::new();
                loop {
                    let (stream, _) = listener.accept().await.unwrap();
                    connections.spawn_local(serve(stream));
                }
            };
            tokio::task::LocalSet::new().block_on(&runtime, async {
                tokio::select! { _ = stopped => {}, () = accept => {} }
            });
        };
        let thread = std::thread::Builder::new().name("lab-served".to_owned()).spawn(serve).unwrap();
        Self { address, stop: Some(stop), thread: Some(thread) }
    }

    /// Answers each request with what `answer` makes of its number, counted from zero.
    fn http<F, Fut>(answer: F) -> Self
    where
        F: Fn(u64) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Response<Full<Bytes>>> + 'static,
    {
        let served = Arc::new(AtomicU64::new(0));
        Self::start(move |stream| {
            let (served, answer) = (Arc::clone(&served), answer.clone());
            async move {
                let service = hyper::service::service_fn(move |_: Request<Incoming>| {
                    let answer = answer(served.fetch_add(1, Ordering::Relaxed));
                    async { Ok::<_, Infallible>(answer.await) }
                });
                let http = hyper::server::conn::http1::Builder::new();
                let _ = http.serve_connection(TokioIo::new(stream), service).await;
            }
        })
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.stop.take();
        self.thread.take().unwrap().join().unwrap();
    }
}

fn body(text: &'static str) -> Response<Full<Bytes>> {
    Response::new(Full::new(Bytes::from_static(text.as_bytes())))
}

fn short(address: SocketAddr) -> Plan {
    Plan {
        connections: 4,
        threads: 2,
        warm_up: Duration::from_millis(50),
        duration: Duration::from_millis(400),
        ..Plan::get(address, "/")
    }
}

fn assert_adds_up(outcome: &Outcome) {
    let counts = &outcome.counts;
    assert_eq!(counts.sent, counts.ok + counts.rejected + counts.failed(), "{counts:?}");
    assert_eq!(counts.ok, outcome.latency.len());
    let in_slices: u64 = outcome.timeline.iter().map(|slice| slice.ok + slice.failed + slice.unsent).sum();
    assert_eq!(in_slices, counts.sent + outcome.warm_up.sent);
}

#[test]
fn a_closed_loop_keeps_its_connections_and_counts_all() {
    let server = Served::http(|_| async { body("hello") });
    let outcome = closed_loop(&short(server.address)).unwrap();
    assert_adds_up(&outcome);
    assert_eq!(outcome.doubts(), Vec::<String>::new());
    assert_eq!(outcome.connects, 4);
    assert_eq!(outcome.counts.body_bytes, outcome.counts.ok * 5);
    assert_eq!(outcome.counts.status_classes, [(2, outcome.counts.ok)].into());
    assert!(outcome.rate_per_s() > 0.0, "{:?}", outcome.summary());
    assert!(outcome.lateness.is_empty());
}

#[test]
fn an_open_loop_sends_what_is_due_and_nothing_else() {
    let server = Served::http(|_| async { body("") });
    let outcome = open_loop(&short(server.address), 1_000.0).unwrap();
    assert_adds_up(&outcome);
    assert_eq!(outcome.not_sent, 0);
    assert_eq!((outcome.warm_up.sent, outcome.counts.sent), (50, 400));
    assert_eq!(outcome.lateness.len(), 400);
}

#[test]
fn lateness_is_that_of_every_due_request_however_few_the_wake_ups() {
    let server = Served::http(|_| async { body("") });
    // Far more per second than one thread can be woken for.
    let rate_per_s = 500_000.0;
    let plan = Plan {
        threads: 1,
        warm_up: Duration::ZERO,
        duration: Duration::from_millis(100),
        timeout: Duration::from_millis(100),
        ..short(server.address)
    };
    let outcome = start(&plan, Pace::Open { rate_per_s, backlog_max: 10 }).unwrap().join().unwrap();
    assert_eq!(outcome.lateness.len(), 50_000);
    assert_eq!(outcome.not_sent + outcome.counts.sent, 50_000);
}

#[test]
fn connections_that_hang_from_the_warm_up_on_are_doubted() {
    let server = Served::http(|number| async move {
        if number < 2 {
            std::future::pending::<()>().await;
        }
        body("")
    });
    // Long enough for every connection to have sent its first request, also where there is little processor time.
    let warm_up = Duration::from_secs(1);
    let plan = Plan { warm_up, timeout: Duration::from_secs(3), ..short(server.address) };
    let outcome = closed_loop(&plan).unwrap();
    assert_adds_up(&outcome);
    assert_eq!((outcome.counts.failed(), outcome.warm_up.failed()), (0, 2));
    let doubts = outcome.doubts();
    assert!(doubts.len() == 1 && doubts[0].starts_with("2 requests due in the warm-up failed"), "{doubts:?}");
}

#[test]
fn arrivals_are_dealt_to_threads_in_turn() {
    let of = |first| worker::Arrivals { started: Moment::from_ns(1_000), rate_per_s: 1e6, first, step: 2 };
    let (even, odd) = (of(0), of(1));
    assert_eq!([even.at(0), odd.at(0), even.at(1)].map(Moment::ns), [1_000, 2_000, 3_000]);
    // No drift after a day.
    assert_eq!(even.at(43_200_000_000).ns(), 1_000 + 86_400_000_000_000);
}

/// The point of an open loop: one stall of 300 ms is one slow request per connection in a closed loop, but 300 in an
/// open one at 1,000/s.
#[test]
fn a_stall_is_paid_by_every_request_that_was_due_in_it() {
    let stall_once = |number| async move {
        if number == 200 {
            // The whole server stalls, not only this connection.
            crate::clock::sleep(Duration::from_millis(300));
        }
        body("")
    };
    let plan = |server: &Served| Plan {
        warm_up: Duration::ZERO,
        threads: 1,
        duration: Duration::from_secs(1),
        ..short(server.address)
    };

    let server = Served::http(stall_once);
    let closed = closed_loop(&plan(&server)).unwrap().summary();
    let server = Served::http(stall_once);
    let open = open_loop(&plan(&server), 1_000.0).unwrap().summary();

    assert!(open.latency.p90_us > 50_000.0, "{open:?}");
    assert!(
        closed.latency.p99_us < 150_000.0 && closed.latency.p99_us < open.latency.p99_us / 2.0,
        "{closed:?}"
    );
    assert!(closed.latency.max_us > 250_000.0, "{closed:?}");
    // The connections themselves saw at most one slow answer each.
    assert!(open.service.p90_us < open.latency.p90_us / 5.0, "{open:?}");
}

#[test]
fn what_does_not_fit_the_backlog_is_counted_and_doubted() {
    let server = Served::http(|_| async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        body("")
    });
    let plan = Plan { timeout: Duration::from_secs(5), ..short(server.address) };
    let outcome = start(&plan, Pace::Open { rate_per_s: 2_000.0, backlog_max: 10 }).unwrap().join().unwrap();
    assert_adds_up(&outcome);
    assert!(outcome.not_sent > 0);
    assert_eq!(outcome.not_sent + outcome.counts.sent + outcome.warm_up.sent, 900);
    assert!(outcome.doubts()[0].contains("were due and not sent"), "{:?}", outcome.doubts());
}

#[test]
fn a_connection_closed_without_an_answer_is_a_failure() {
    let server = Served::start(|mut stream| async move {
        let _ = stream.read(&mut [0; 1024]).await;
    });
    let outcome = open_loop(&short(server.address), 200.0).unwrap();
    assert_adds_up(&outcome);
    assert_eq!(outcome.counts.failures, [(Failure::Closed, outcome.counts.sent)].into());
    assert_eq!(outcome.counts.failed_before_send(), 0);
}

#[test]
fn an_answer_cut_short_is_a_failure_of_its_own() {
    let server = Served::start(|mut stream| async move {
        use tokio::io::AsyncWriteExt as _;
        let _ = stream.read(&mut [0; 1024]).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf").await;
    });
    let outcome = open_loop(&short(server.address), 200.0).unwrap();
    assert_adds_up(&outcome);
    assert_eq!(outcome.counts.failures, [(Failure::Truncated, outcome.counts.sent)].into());
}

#[test]
fn a_server_that_never_answers_times_out() {
    let server = Served::start(|held| async move {
        let _held = held;
        std::future::pending::<()>().await;
    });
    let plan = Plan { timeout: Duration::from_millis(50), ..short(server.address) };
    let outcome = open_loop(&plan, 20.0).unwrap();
    assert_adds_up(&outcome);
    assert_eq!(outcome.counts.failures.get(&Failure::TimedOut), Some(&outcome.counts.sent));
}

#[test]
fn unwanted_answers_are_rejected_and_not_timed() {
    let server = Served::http(|number| async move {
        let mut answer = body(if number % 2 == 0 { "right" } else { "wrong size" });
        if number % 4 == 0 {
            *answer.status_mut() = http::StatusCode::SERVICE_UNAVAILABLE;
        }
        answer
    });
    let plan = Plan { expect: Expect { status: Some(200), body_bytes: Some(5) }, ..short(server.address) };
    let outcome = open_loop(&plan, 1_000.0).unwrap();
    assert_adds_up(&outcome);
    assert!(
        outcome.counts.ok.abs_diff(100) <= 8 && outcome.counts.rejected.abs_diff(300) <= 8,
        "{:?}",
        outcome.counts
    );
    assert!(outcome.counts.status_classes[&5].abs_diff(100) <= 8);
}

#[test]
fn a_server_that_closes_each_connection_costs_connects_but_no_request() {
    let server = Served::http(|_| async {
        let mut answer = body("bye");
        answer.headers_mut().insert("connection", http::HeaderValue::from_static("close"));
        answer
    });
    let outcome = open_loop(&short(server.address), 200.0).unwrap();
    assert_adds_up(&outcome);
    assert_eq!(outcome.doubts(), Vec::<String>::new());
    assert!(outcome.connects >= outcome.counts.sent, "{} {}", outcome.connects, outcome.counts.sent);
}

#[test]
fn a_listener_that_goes_away_is_told_apart_from_a_broken_request() {
    let server = Served::http(|_| async { body("") });
    let plan = Plan { duration: Duration::from_secs(30), ..short(server.address) };
    let running = start(&plan, Pace::open(500.0)).unwrap();
    let (window, _) = running.window();
    crate::clock::sleep_until(window.plus(Duration::from_millis(500)));
    drop(server);
    crate::clock::sleep(Duration::from_millis(500));
    let outcome = running.stop().unwrap();
    assert_adds_up(&outcome);
    assert!(outcome.counts.ok > 0);
    assert!(outcome.counts.failures[&Failure::Refused] > 0, "{:?}", outcome.counts);
    assert!(outcome.window < Duration::from_secs(20));
}

#[test]
fn nothing_to_connect_to_is_an_error_and_not_an_outcome() {
    let unused = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
    let error = closed_loop(&short(unused)).unwrap_err();
    assert!(error.to_string().contains("connection refused"), "{error}");
}

#[test]
fn impossible_plans_are_refused() {
    let unused = SocketAddr::from((Ipv4Addr::LOCALHOST, 9));
    for (plan, pace) in [
        (Plan { threads: 0, ..short(unused) }, Pace::Closed),
        (Plan { connections: 1, ..short(unused) }, Pace::Closed),
        (Plan { duration: Duration::ZERO, ..short(unused) }, Pace::Closed),
        (short(unused), Pace::open(0.0)),
        (short(unused), Pace::open(f64::NAN)),
    ] {
        assert!(start(&plan, pace).is_err());
    }
}
