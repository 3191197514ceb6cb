//! A service in front of which faults are injected.

use std::task::{Context, Poll};

use super::future::Future;
use super::layer::{Handle, Meant, Slowing};
use crate::call::Call;
use crate::error::Error;

/// A service in front of which faults are injected.
#[derive(Debug, Clone)]
pub struct Service<S, M, L> {
    inner: S,
    handle: Handle,
    is_for: M,
    slowing: L,
}

impl<S, M, L> Service<S, M, L> {
    pub(super) const fn new(inner: S, handle: Handle, is_for: M, slowing: L) -> Self {
        Self { inner, handle, is_for, slowing }
    }
}

impl<R, S, M, L, E> tower_service::Service<Call<R>> for Service<S, M, L>
where
    S: tower_service::Service<Call<R>, Error = Error<E>> + Clone,
    M: Meant<R>,
    L: Slowing<S::Response> + Clone,
{
    type Response = S::Response;
    type Error = Error<E>;
    type Future = Future<S, R, L>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, call: Call<R>) -> Self::Future {
        let injection = self.handle.decide(|calls| self.is_for.is_meant(&call, calls), call.facts.now);
        if injection.is_none() {
            return Future::untouched(self.inner.call(call));
        }
        // The one that is ready is the one that is called, after the delay.
        let next = self.inner.clone();
        let ready = std::mem::replace(&mut self.inner, next);
        Future::touched((ready, call), injection, self.slowing.clone(), self.handle.env())
    }
}
