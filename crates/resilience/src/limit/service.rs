//! A service behind a rate limit.

use std::task::{Context, Poll};

use super::future::Future;
use super::layer::{Cost, Handle, Tell};
use crate::call::Call;
use crate::error::Error;

/// A service behind a rate limit. It is asked only for callers that have units left.
#[derive(Debug, Clone)]
pub struct Service<S, C, W> {
    inner: S,
    handle: Handle,
    cost: C,
    tell: W,
}

impl<S, C, W> Service<S, C, W> {
    pub(super) const fn new(inner: S, handle: Handle, cost: C, tell: W) -> Self {
        Self { inner, handle, cost, tell }
    }
}

impl<R, S, C, W, E> tower_service::Service<Call<R>> for Service<S, C, W>
where
    S: tower_service::Service<Call<R>, Error = Error<E>>,
    C: Cost<R>,
    W: Tell<S::Response> + Clone,
{
    type Response = S::Response;
    type Error = Error<E>;
    type Future = Future<S::Future, W>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, call: Call<R>) -> Self::Future {
        let cost = self.cost.cost(&call);
        match self.handle.ask(call.facts.key, cost, call.facts.now) {
            Ok(standing) => Future::admitted(self.inner.call(call), standing, self.tell.clone()),
            Err(rejection) => Future::rejected(rejection),
        }
    }
}
