//! What policies do, over and over, for whoever measures it: duels the time, and [`instructions`](crate::instructions) the instructions.
//!
//! Of each the usual case is done: a call is let through, and succeeds. What is named here is named so in every report, so that figures of one thing can be found beside
//! each other.

mod cores;
mod layers;
mod paced;
mod shared;

use std::future::Future;
use std::hint::black_box;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use mainstay_base::time::{Clock, SeededEntropy};
use mainstay_resilience::{Counts, Env, limit};
use tokio::runtime::Handle;
use tower::Service;

pub(crate) use cores::cores;
pub(crate) use layers::{Noop, layers, stack, stack_that_waits};
pub(crate) use paced::Paced;
pub(crate) use shared::{breaker, caller, clock, limit};

/// A thing that is done so many times.
pub(crate) struct Subject {
    /// Its name in reports.
    pub(crate) name: &'static str,
    /// Does it so many times; several threads may at once.
    pub(crate) run: Box<dyn Fn(u64) + Sync>,
}

impl Subject {
    /// Does `act` over and over. A loop of its own for each subject, so that nothing of it is dynamic.
    pub(crate) fn of(name: &'static str, act: impl Fn() + Sync + 'static) -> Self {
        Self { name, run: Box::new(move |times| (0..times).for_each(|_| act())) }
    }

    /// Does `act` over and over to what each thread makes for itself.
    fn alone<S>(
        name: &'static str,
        make: impl Fn() -> S + Sync + 'static,
        act: impl Fn(&mut S) + Sync + 'static,
    ) -> Self {
        let run = move |times| {
            let mut own = make();
            (0..times).for_each(|_| act(&mut own));
        };
        Self { name, run: Box::new(run) }
    }

    /// Calls a service whose answers are there when they have been asked for so many times in vain.
    pub(crate) fn called<S>(name: &'static str, service: S, waits: u32, runtime: &Handle) -> Self
    where
        S: Service<u64> + Clone + Send + Sync + 'static,
        S::Error: std::fmt::Debug,
    {
        let runtime = runtime.clone();
        let run = move |times| {
            let _within = runtime.enter();
            let mut service = service.clone();
            let mut context = Context::from_waker(Waker::noop());
            for number in 0..times {
                assert!(service.poll_ready(&mut context).is_ready(), "nothing else runs");
                let mut answer = pin!(service.call(black_box(number)));
                for _ in 0..waits {
                    assert!(answer.as_mut().poll(&mut context).is_pending(), "it answers later");
                }
                let Poll::Ready(Ok(found)) = answer.poll(&mut context) else { panic!("it answers by now") };
                black_box(found);
            }
        };
        Self { name, run: Box::new(run) }
    }
}

/// All that there are. What has timers needs a runtime.
pub(crate) fn all(env: &Env, runtime: &Handle) -> Vec<Subject> {
    let shared = vec![clock(env), breaker(env), limit(env)];
    let stacks = vec![stack(env, runtime), stack_that_waits(env, runtime)];
    [shared, cores(), layers(env, runtime), stacks].into_iter().flatten().collect()
}

/// What layers get from outside, with this clock.
pub(crate) fn env(clock: impl Clock + 'static) -> Env {
    Env::new(Arc::new(clock), Arc::new(SeededEntropy::new(1)), Arc::new(Counts::new("subject")))
}

/// A rate that nobody reaches.
fn rate() -> limit::Config {
    serde_json::from_str(r#"{"rate": "1000000/s", "burst": 1000000}"#).expect("it is a limit")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn all_have_names_of_their_own_and_can_be_done() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let subjects = all(&env(Paced::new()), runtime.handle());
        let names: BTreeSet<&str> = subjects.iter().map(|subject| subject.name).collect();
        assert_eq!(names.len(), subjects.len());
        for subject in subjects {
            (subject.run)(100);
        }
    }
}
