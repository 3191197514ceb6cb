//! Who is compared: the policies of `mainstay-resilience`, and what others make for the same end.

use std::future::{Ready, ready};
use std::hint::black_box;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use failsafe::CircuitBreaker as _;
use governor::{Quota, RateLimiter};
use mainstay_resilience::{Env, TokioClock};
use tokio::runtime::Handle;
use tower::ServiceBuilder;
use tower::retry::budget::{Budget as _, TpsBudget};

use super::Cell;
use crate::subjects::{self, Noop, Subject};

/// What a core may take, and a whole stack.
const CORE_NS_MAX: f64 = 50.0;
const STACK_NS_MAX: f64 = 1_000.0;

/// All decisions that are compared. Layers with timers need a runtime.
pub(super) fn cells(runtime: &Handle) -> Vec<Cell> {
    let env = subjects::env(TokioClock::new());
    let alone = |ours, ns_max| Cell { ns_max, ours, peers: Vec::new() };
    let cores = subjects::cores().into_iter().map(|core| alone(core, Some(CORE_NS_MAX)));
    let mut cells = vec![alone(subjects::clock(&env), None)];
    cells.extend(cores);
    cells.extend([breaker(&env), limit(&env), stack(&env, runtime)]);
    cells
}

fn breaker(env: &Env) -> Cell {
    let theirs = failsafe::Config::new().build();
    let theirs = move || theirs.call(|| black_box(Ok::<(), ()>(()))).expect("it is closed");
    Cell { ns_max: None, ours: subjects::breaker(env), peers: vec![Subject::of("failsafe", theirs)] }
}

fn limit(env: &Env) -> Cell {
    let most = NonZeroU32::new(1_000_000).expect("it is above zero");
    let theirs = RateLimiter::keyed(Quota::per_second(most));
    let next = AtomicU64::new(0);
    let theirs = move || black_box(theirs.check_key(&subjects::caller(&next))).expect("nobody reaches it");
    Cell { ns_max: None, ours: subjects::limit(env), peers: vec![Subject::of("governor", theirs)] }
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

fn stack(env: &Env, runtime: &Handle) -> Cell {
    let patient = Patient(Arc::new(TpsBudget::default()));
    let theirs = ServiceBuilder::new()
        .timeout(std::time::Duration::from_secs(30))
        .retry(patient)
        .concurrency_limit(256)
        .timeout(std::time::Duration::from_secs(10))
        .service(Noop);
    let theirs = Subject::called("tower, without a breaker", theirs, 0, runtime);
    Cell { ns_max: Some(STACK_NS_MAX), ours: subjects::stack(env, runtime), peers: vec![theirs] }
}
