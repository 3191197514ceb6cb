//! A service behind a bulkhead.

use std::task::{Context, Poll};

use super::future::Future;
use super::layer::{Admitted, Handle};
use crate::call::Call;
use crate::error::Error;

/// A service behind a bulkhead. It is asked by no more at a time than may run.
#[derive(Debug, Clone)]
pub struct Service<S> {
    inner: S,
    handle: Handle,
}

impl<S> Service<S> {
    pub(super) const fn new(inner: S, handle: Handle) -> Self {
        Self { inner, handle }
    }
}

impl<R, S, E> tower_service::Service<Call<R>> for Service<S>
where
    S: tower_service::Service<Call<R>, Error = Error<E>> + Clone,
{
    type Response = S::Response;
    type Error = Error<E>;
    type Future = Future<S, R, S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, call: Call<R>) -> Self::Future {
        match self.handle.ask(&call.facts) {
            Ok(Admitted::Held(held)) => Future::runs(self.inner.call(call), held),
            Ok(Admitted::Waits(waiter, until)) => {
                // Only the one that was asked whether it is ready may be called later.
                let next = self.inner.clone();
                let ready = std::mem::replace(&mut self.inner, next);
                Future::waits((ready, call), waiter, self.handle.env().sleep_until(until))
            }
            Err(rejection) => Future::rejected(rejection),
        }
    }
}
