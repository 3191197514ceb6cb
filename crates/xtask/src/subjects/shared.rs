//! What many share, asked without a layer.

use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};

use mainstay_resilience::{Env, Key, Verdict, breaker as breakers, limit as limits};

use super::{Subject, rate};

/// Different callers, as of a busy service.
const CALLERS: u64 = 10_000;

/// What all that need the time pay at least.
pub(crate) fn clock(env: &Env) -> Subject {
    let env = env.clone();
    let act = move || {
        black_box(env.now());
    };
    Subject::of("a reading of the clock", act)
}

pub(crate) fn breaker(env: &Env) -> Subject {
    let env = env.clone();
    let handle = breakers::Handle::new(breakers::Config::default(), env.clone());
    let act = move || {
        let held = handle.ask(env.now()).expect("it is closed");
        held.tell(black_box(Verdict::Success));
    };
    Subject::of("breaker, shared: a call and its end", act)
}

pub(crate) fn limit(env: &Env) -> Subject {
    let env = env.clone();
    let handle = limits::Handle::new(&rate(), env.clone());
    let next = AtomicU64::new(0);
    let act = move || {
        let key = Key::of(7, &caller(&next).to_le_bytes());
        black_box(handle.ask(key, 1, env.now())).expect("nobody reaches it");
    };
    Subject::of("rate limit, shared: one of 10,000 callers", act)
}

/// The next caller: all of them in turn.
pub(crate) fn caller(next: &AtomicU64) -> u64 {
    next.fetch_add(1, Ordering::Relaxed) % CALLERS
}
