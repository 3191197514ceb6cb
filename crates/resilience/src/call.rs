//! A request on its way through policies, with what they must know of it; the beginning and the end of a stack.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use mainstay_base::time::Instant;
use pin_project_lite::pin_project;
use serde::{Deserialize, Serialize};
use tower_service::Service;
use xxhash_rust::xxh3::xxh3_128_with_seed;

use crate::error::Error;

/// A request, and what policies know of it.
#[derive(Debug, Clone)]
pub struct Call<R> {
    /// What the guarded service is given.
    pub request: R,
    /// What policies go by.
    pub facts: Facts,
}

/// What policies go by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// The moment that policies take for now. Whoever has waited sets it again.
    pub now: Instant,
    /// When the answer is of no use any more; none if it always is. Only ever made earlier on the way down.
    pub deadline: Option<Instant>,
    /// What goes first when not all can.
    pub criticality: Criticality,
    /// On whose behalf it is, where policies are fair between callers or count each alone.
    pub key: Key,
    /// Whether to do it twice is to do it once: the method says so, or it carries an idempotency key.
    pub is_idempotent: bool,
    /// Which try it is, from 1. Sent along, so that those below see retries as such.
    pub attempt: u32,
}

/// What goes first when not all can. A class is shed only when all below it are.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Default,
    Serialize,
    Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Criticality {
    /// Nobody waits for it, and it can come again later: batch work.
    Sheddable,
    /// It may fail at times, and is sent again then: background work of users.
    SheddablePlus,
    /// Users see it when it fails. What is sent without a class.
    #[default]
    Critical,
    /// Those who fail without it fail visibly and at once.
    CriticalPlus,
}

impl Criticality {
    /// All, those that are shed first before others.
    pub const ALL: [Self; 4] = [Self::Sheddable, Self::SheddablePlus, Self::Critical, Self::CriticalPlus];

    /// The name, as in configuration and headers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sheddable => "sheddable",
            Self::SheddablePlus => "sheddable_plus",
            Self::Critical => "critical",
            Self::CriticalPlus => "critical_plus",
        }
    }
}

/// A caller, as policies tell one from another: 128 bits of a hash, so that keys of any length take the same room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Key(u128);

impl Key {
    /// That of everyone who has none.
    pub const ANYONE: Self = Self(0);

    /// The key of these bytes. The seed is secret to a process, so that nobody can look for callers whose keys meet.
    pub fn of(seed: u64, bytes: &[u8]) -> Self {
        Self(xxh3_128_with_seed(bytes, seed))
    }

    /// The bits, evenly distributed.
    pub const fn bits(self) -> u128 {
        self.0
    }
}

impl Facts {
    /// Those of a call that comes in now, of which nothing else is known.
    pub const fn new(now: Instant) -> Self {
        Self {
            now,
            deadline: None,
            criticality: Criticality::Critical,
            key: Key::ANYONE,
            is_idempotent: false,
            attempt: 1,
        }
    }

    /// With this deadline, unless there is an earlier one.
    #[must_use]
    pub fn due(self, deadline: Instant) -> Self {
        let deadline = self.deadline.map_or(deadline, |earlier| earlier.min(deadline));
        Self { deadline: Some(deadline), ..self }
    }
}

/// Begins a stack: makes calls of requests.
#[derive(Debug, Clone)]
pub struct Layer<F> {
    facts: F,
}

impl<F> Layer<F> {
    /// What is known of a request is what `facts` says of it.
    pub const fn new(facts: F) -> Self {
        Self { facts }
    }
}

impl<S, F: Clone> tower_layer::Layer<S> for Layer<F> {
    type Service = Outer<S, F>;

    fn layer(&self, inner: S) -> Outer<S, F> {
        Outer { inner, facts: self.facts.clone() }
    }
}

/// Makes calls of requests.
#[derive(Debug, Clone)]
pub struct Outer<S, F> {
    inner: S,
    facts: F,
}

impl<R, S, F> Service<R> for Outer<S, F>
where
    S: Service<Call<R>>,
    F: FnMut(&R) -> Facts,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: R) -> S::Future {
        let facts = (self.facts)(&request);
        self.inner.call(Call { request, facts })
    }
}

/// Ends a stack: gives the request to the service that is guarded.
#[derive(Debug, Clone)]
pub struct Inner<S> {
    inner: S,
}

impl<S> Inner<S> {
    /// Around the service that is guarded.
    pub const fn new(inner: S) -> Self {
        Self { inner }
    }
}

impl<R, S: Service<R>> Service<Call<R>> for Inner<S> {
    type Response = S::Response;
    type Error = Error<S::Error>;
    type Future = Done<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context).map_err(Error::Service)
    }

    fn call(&mut self, call: Call<R>) -> Self::Future {
        Done { inner: self.inner.call(call.request) }
    }
}

pin_project! {
    /// What the guarded service answers.
    pub struct Done<F> {
        #[pin]
        inner: F,
    }
}

impl<T, E, F: Future<Output = Result<T, E>>> Future for Done<F> {
    type Output = Result<T, Error<E>>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(ready!(self.project().inner.poll(context)).map_err(Error::Service))
    }
}
