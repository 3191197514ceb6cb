//! Who is compared: the policies of `mainstay-resilience`, and what others make for the same end.

use std::hint::black_box;
use std::sync::Arc;

use failsafe::CircuitBreaker as _;
use mainstay_base::time::{Instant, SeededEntropy};
use mainstay_base::units::Duration;
use mainstay_resilience::breaker::{self, Breaker};
use mainstay_resilience::{Counts, Env, TokioClock, Verdict};

use super::{Cell, Subject};

/// What a core may take.
const CORE_NS_MAX: f64 = 50.0;

/// All decisions that are compared.
pub(super) fn cells() -> Vec<Cell> {
    vec![clock(), breaker_core(), breaker()]
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

fn breaker_core() -> Cell {
    let now = Instant::from_nanos(1_000_000_000);
    let entropy = SeededEntropy::new(1);
    let act = move |core: &mut Breaker| {
        let permit = core.ask(black_box(now)).0.expect("it is closed");
        let _ = core.tell(permit, black_box((Verdict::Success, Duration::ZERO)), now, &entropy);
    };
    let subject = Subject::alone("mainstay", || Breaker::new(breaker::Config::default()), act);
    Cell { name: "breaker, its core alone", ns_max: Some(CORE_NS_MAX), subjects: vec![subject] }
}

fn breaker() -> Cell {
    let env = env();
    let handle = breaker::Handle::new(breaker::Config::default(), env.clone());
    let theirs = failsafe::Config::new().build();
    Cell {
        name: "breaker, a call and its end",
        ns_max: None,
        subjects: vec![
            Subject::of("mainstay", move || {
                let held = handle.ask(env.now()).expect("it is closed");
                held.tell(black_box(Verdict::Success));
            }),
            Subject::of("failsafe", move || {
                theirs.call(|| black_box(Ok::<(), ()>(()))).expect("it is closed");
            }),
        ],
    }
}
