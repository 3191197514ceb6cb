//! Layers around a service that does nothing, each alone and all of a guard.

use std::convert::Infallible;
use std::future::{Future, Ready, ready};
use std::pin::Pin;
use std::task::{Context, Poll};

use mainstay_resilience::fault::{Faults, matches};
use mainstay_resilience::policy::{Guard, Policy};
use mainstay_resilience::{
    Call, Classified, Env, Facts, adaptive, breaker, bulkhead, call, coalesce, deadline, fallback, fault,
    hedge, limit, retry, shed,
};
use tokio::runtime::Handle;
use tower::layer::util::Identity;
use tower::{Layer, Service};

use super::{Subject, rate};

/// Answers at once.
#[derive(Clone)]
pub(crate) struct Noop;

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

/// Answers when it is asked for the second time.
#[derive(Clone)]
struct Late;

impl Service<u64> for Late {
    type Response = u64;
    type Error = Infallible;
    type Future = Coming;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: u64) -> Coming {
        Coming { request, is_there: false }
    }
}

struct Coming {
    request: u64,
    is_there: bool,
}

impl Future for Coming {
    type Output = Result<u64, Infallible>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if self.is_there {
            return Poll::Ready(Ok(self.request));
        }
        self.is_there = true;
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

/// What is known of each call.
fn facts(env: Env) -> impl Fn(&u64) -> Facts + Clone + Send + Sync {
    move |_| Facts { is_idempotent: true, ..Facts::new(env.now()) }
}

/// The layer of every policy, alone, and what is around each of them: the beginning and the end of a stack.
pub(crate) fn layers(env: &Env, runtime: &Handle) -> Vec<Subject> {
    let alone = Alone { env, runtime };
    let times = deadline::Config::default();
    let label = |_: &Call<u64>, calls: &str| matches(calls, "payments");
    let key = |call: &Call<u64>| Some(call.request);
    let first = fallback::Handle::new(fallback::Config::default(), ["full", "fixed"], env.clone());
    let below = fallback::Alternative::new(call::Inner::new(Noop));
    let retry = retry::Config::default();
    vec![
        alone.subject("a stack without layers around nothing", Identity::new()),
        alone.subject(
            "breaker, its layer around nothing",
            breaker::Layer::new(breaker::Handle::new(breaker::Config::default(), env.clone()), Classified),
        ),
        alone.subject(
            "retries, their layer around nothing",
            retry::Layer::new(retry, retry::Handle::new(retry.budget, env.clone()), Classified),
        ),
        alone.subject(
            "bulkhead, its layer around nothing",
            bulkhead::Layer::new(bulkhead::Handle::new(bulkhead::Config::default(), env.clone())),
        ),
        alone.subject(
            "adaptive limit, its layer around nothing",
            adaptive::Layer::new(adaptive::Handle::new(adaptive::Config::default(), env.clone()), Classified),
        ),
        alone.subject(
            "rate limit, its layer around nothing",
            limit::Layer::new(limit::Handle::new(&rate(), env.clone())),
        ),
        alone.subject(
            "shedding, its layer around nothing",
            shed::Layer::new(shed::Handle::new(shed::Config::default(), env.clone())),
        ),
        alone.subject(
            "hedge, its layer around nothing",
            hedge::Layer::new(hedge::Handle::new(hedge::Config::default(), env.clone()), Classified),
        ),
        alone.subject("deadline, its layer around nothing", deadline::Layer::new(times, env.clone())),
        alone.subject(
            "timeout of a try, its layer around nothing",
            deadline::TryLayer::new(times, env.clone()),
        ),
        alone.subject("fallback, its layer around nothing", fallback::Layer::new(first, [below], Classified)),
        alone.subject(
            "coalescing, its layer around nothing",
            coalesce::Layer::new(coalesce::Config::default(), key, env.clone()),
        ),
        alone.subject(
            "faults, their layer around nothing, without rules",
            fault::Layer::new(fault::Handle::new(Faults::Allowed, env.clone()), label),
        ),
    ]
}

/// What layers that are alone have around them.
struct Alone<'a> {
    env: &'a Env,
    runtime: &'a Handle,
}

impl Alone<'_> {
    fn subject<L>(&self, name: &'static str, layer: L) -> Subject
    where
        L: Layer<call::Inner<Noop>>,
        L::Service: Service<Call<u64>> + Clone + Send + Sync + 'static,
        <L::Service as Service<Call<u64>>>::Error: std::fmt::Debug,
    {
        let service = call::Layer::new(facts(self.env.clone())).layer(layer.layer(call::Inner::new(Noop)));
        Subject::called(name, service, 0, self.runtime)
    }
}

pub(crate) fn stack(env: &Env, runtime: &Handle) -> Subject {
    Subject::called("a whole stack around nothing", guarded(Noop, env), 0, runtime)
}

pub(crate) fn stack_that_waits(env: &Env, runtime: &Handle) -> Subject {
    Subject::called("a whole stack around what is pending once", guarded(Late, env), 1, runtime)
}

/// Behind a guard as it is by default.
fn guarded<S>(inner: S, env: &Env) -> impl Service<u64, Error: std::fmt::Debug> + Clone + Send + Sync + use<S>
where
    S: Service<u64, Error = Infallible> + Clone + Send + Sync + 'static,
{
    Guard::new(&Policy::default(), env.clone()).layer(facts(env.clone()), Classified).layer(inner)
}
