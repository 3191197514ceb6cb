//! Who is compared: the policies of `mainstay-resilience`, and what others make for the same end.

use std::convert::Infallible;
use std::future::{Future, Ready, ready};
use std::hint::black_box;
use std::num::NonZeroU32;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};

use failsafe::CircuitBreaker as _;
use governor::{Quota, RateLimiter};
use mainstay_base::time::{Instant, SeededEntropy};
use mainstay_base::units::Duration;
use mainstay_resilience::adaptive::{self, Adaptive};
use mainstay_resilience::breaker::{self, Breaker};
use mainstay_resilience::bulkhead::{self, Asked, Bulkhead};
use mainstay_resilience::limit::{self, Gcra, Moments};
use mainstay_resilience::policy::{Guard, Policy};
use mainstay_resilience::retry::{Allowance, Budget};
use mainstay_resilience::{Classified, Counts, Env, Facts, Key, TokioClock, Verdict};
use tokio::runtime::Handle;
use tower::retry::budget::{Budget as _, TpsBudget};
use tower::{Layer as _, Service, ServiceBuilder};

use super::{Cell, Subject};

/// What a core may take, and a whole stack.
const CORE_NS_MAX: f64 = 50.0;
const STACK_NS_MAX: f64 = 1_000.0;

/// Different callers, as of a busy service.
const CALLERS: u64 = 10_000;

/// All decisions that are compared. Layers with timers need a runtime.
pub(super) fn cells(runtime: &Handle) -> Vec<Cell> {
    [vec![clock()], cores(), vec![breaker(), limit(), stack(runtime)]].into_iter().flatten().collect()
}

fn env() -> Env {
    let (clock, entropy) = (Arc::new(TokioClock::new()), Arc::new(SeededEntropy::new(1)));
    Env::new(clock, entropy, Arc::new(Counts::new("duel")))
}

/// What all that need the time pay at least.
fn clock() -> Cell {
    let env = env();
    let run = move || {
        black_box(env.now());
    };
    Cell { name: "a reading of the clock", ns_max: None, subjects: vec![Subject::of("mainstay", run)] }
}

fn core<S: 'static>(
    name: &'static str,
    make: impl Fn() -> S + Sync + 'static,
    act: impl Fn(&mut S, Instant) + Sync + 'static,
) -> Cell {
    let now = Instant::from_nanos(1_000_000_000);
    let subject = Subject::alone("mainstay", make, move |core: &mut S| act(core, black_box(now)));
    Cell { name, ns_max: Some(CORE_NS_MAX), subjects: vec![subject] }
}

/// Decisions without clocks, locks and futures.
fn cores() -> Vec<Cell> {
    let entropy = SeededEntropy::new(1);
    let done = (Verdict::Success, Duration::from_millis(1));
    let of_breaker = move |core: &mut Breaker, now| {
        let permit = core.ask(now).0.expect("it is closed");
        let _ = core.tell(permit, black_box(done), now, &entropy);
    };
    let of_bulkhead = |core: &mut Bulkhead, now| {
        let Ok(Asked::Passed(permit)) = core.ask(&Facts::new(now)) else { unreachable!("nothing else runs") };
        let _ = core.release(permit, now);
    };
    let of_adaptive = |core: &mut Adaptive, now| {
        let permit = core.ask(now).expect("nothing else runs");
        core.tell(permit, black_box(Verdict::Success), now);
    };
    let of_gcra = |(core, moments): &mut (Gcra, Moments), now| {
        *moments = Moments::default();
        let _ = black_box(core.take(moments, 1, now));
    };
    vec![
        core(
            "breaker, its core: a call and its end",
            || Breaker::new(breaker::Config::default()),
            of_breaker,
        ),
        core("retry budget, its core: a first try", || Budget::new(Allowance::default()), Budget::first),
        core(
            "bulkhead, its core: a call and its end",
            || Bulkhead::new(bulkhead::Config::default()),
            of_bulkhead,
        ),
        core(
            "adaptive limit, its core: a call and its end",
            || Adaptive::new(adaptive::Config::default()),
            of_adaptive,
        ),
        core("rate limit, its core", || (Gcra::new(&rate()), Moments::default()), of_gcra),
    ]
}

/// A rate that nobody reaches.
fn rate() -> limit::Config {
    serde_json::from_str(r#"{"rate": "1000000/s", "burst": 1000000}"#).expect("it is a limit")
}

fn breaker() -> Cell {
    let env = env();
    let handle = breaker::Handle::new(breaker::Config::default(), env.clone());
    let theirs = failsafe::Config::new().build();
    let ours = move || {
        let held = handle.ask(env.now()).expect("it is closed");
        held.tell(black_box(Verdict::Success));
    };
    let theirs = move || theirs.call(|| black_box(Ok::<(), ()>(()))).expect("it is closed");
    Cell {
        name: "breaker, shared: a call and its end",
        ns_max: None,
        subjects: vec![Subject::of("mainstay", ours), Subject::of("failsafe", theirs)],
    }
}

fn limit() -> Cell {
    let env = env();
    let handle = limit::Handle::new(&rate(), env.clone());
    let most = NonZeroU32::new(1_000_000).expect("it is above zero");
    let theirs = RateLimiter::keyed(Quota::per_second(most));
    let (ours_next, theirs_next) = (AtomicU64::new(0), AtomicU64::new(0));
    let caller = |next: &AtomicU64| next.fetch_add(1, Ordering::Relaxed) % CALLERS;
    let ours = move || {
        let key = Key::of(7, &caller(&ours_next).to_le_bytes());
        black_box(handle.ask(key, 1, env.now())).expect("nobody reaches it");
    };
    let theirs = move || black_box(theirs.check_key(&caller(&theirs_next))).expect("nobody reaches it");
    Cell {
        name: "rate limit, shared: one of 10,000 callers",
        ns_max: None,
        subjects: vec![Subject::of("mainstay", ours), Subject::of("governor", theirs)],
    }
}

/// Answers at once.
#[derive(Clone)]
struct Noop;

impl Service<u64> for Noop {
    type Response = u64;
    type Error = Infallible;
    type Future = Ready<Result<u64, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: u64) -> Self::Future {
        ready(Ok(request))
    }
}

/// Never tries again, which is what is measured, and has a budget for it.
#[derive(Clone)]
struct Patient(Arc<TpsBudget>);

impl<E> tower::retry::Policy<u64, u64, E> for Patient {
    type Future = Ready<()>;

    fn retry(&mut self, _: &mut u64, answer: &mut Result<u64, E>) -> Option<Ready<()>> {
        match answer {
            Ok(_) => {
                self.0.deposit();
                None
            }
            Err(_) => self.0.withdraw().then(|| ready(())),
        }
    }

    fn clone_request(&mut self, request: &u64) -> Option<u64> {
        Some(*request)
    }
}

fn stack(runtime: &Handle) -> Cell {
    let env = env();
    let guard = Guard::new(&Policy::default(), env.clone());
    let facts = move |_: &u64| Facts { is_idempotent: true, ..Facts::new(env.now()) };
    let ours = guard.layer(facts, Classified).layer(Noop);
    let patient = Patient(Arc::new(TpsBudget::default()));
    let theirs = ServiceBuilder::new()
        .timeout(std::time::Duration::from_secs(30))
        .retry(patient)
        .concurrency_limit(256)
        .timeout(std::time::Duration::from_secs(10))
        .service(Noop);
    Cell {
        name: "a whole stack around nothing",
        ns_max: Some(STACK_NS_MAX),
        subjects: vec![
            called("mainstay", ours, runtime),
            called("tower, without a breaker", theirs, runtime),
        ],
    }
}

/// Calls a service that answers at once.
fn called<S>(name: &'static str, service: S, runtime: &Handle) -> Subject
where
    S: Service<u64, Response = u64> + Clone + Send + Sync + 'static,
    S::Error: std::fmt::Debug,
{
    let runtime = runtime.clone();
    let run = move |times| {
        let _within = runtime.enter();
        let mut service = service.clone();
        let mut context = Context::from_waker(Waker::noop());
        for number in 0..times {
            assert!(service.poll_ready(&mut context).is_ready(), "nothing else runs");
            let answer = pin!(service.call(black_box(number))).poll(&mut context);
            let Poll::Ready(Ok(found)) = answer else { panic!("it answers at once") };
            black_box(found);
        }
    };
    Subject { name, run: Box::new(run) }
}
