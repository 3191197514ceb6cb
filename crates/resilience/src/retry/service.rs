//! A service whose failures are tried again.

use std::task::{Context, Poll};

use super::config::Config;
use super::future::{Future, Rest};
use super::layer::Handle;
use crate::call::Call;
use crate::error::Error;
use crate::judge::Judge;

/// A service whose failures are tried again. Each call keeps a clone of the request and of the service.
#[derive(Debug, Clone)]
pub struct Service<S, J> {
    inner: S,
    config: Config,
    handle: Handle,
    judge: J,
}

impl<S, J> Service<S, J> {
    pub(super) const fn new(inner: S, config: Config, handle: Handle, judge: J) -> Self {
        Self { inner, config, handle, judge }
    }
}

impl<R, S, J, E> tower_service::Service<Call<R>> for Service<S, J>
where
    R: Clone,
    S: tower_service::Service<Call<R>, Error = Error<E>> + Clone,
    J: Judge<S::Response, E> + Clone,
{
    type Response = S::Response;
    type Error = Error<E>;
    type Future = Future<R, S, J, S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, call: Call<R>) -> Self::Future {
        let rest = Rest {
            // The clone is not ready; the one that is takes the first try.
            inner: self.inner.clone(),
            request: call.request.clone(),
            facts: call.facts,
            tries: self.handle.begin(&call.facts),
            config: self.config,
            handle: self.handle.clone(),
            judge: self.judge.clone(),
        };
        Future::new(self.inner.call(call), rest)
    }
}
