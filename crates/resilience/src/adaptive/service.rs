//! A service behind an adaptive limit.

use std::task::{Context, Poll};

use super::future::Future;
use super::layer::Handle;
use crate::call::Call;
use crate::error::Error;
use crate::judge::Judge;

/// A service behind an adaptive limit. It is asked by no more at a time than it has shown to bear.
#[derive(Debug, Clone)]
pub struct Service<S, J> {
    inner: S,
    handle: Handle,
    judge: J,
}

impl<S, J> Service<S, J> {
    pub(super) const fn new(inner: S, handle: Handle, judge: J) -> Self {
        Self { inner, handle, judge }
    }
}

impl<R, S, J, E> tower_service::Service<Call<R>> for Service<S, J>
where
    S: tower_service::Service<Call<R>, Error = Error<E>>,
    J: Judge<S::Response, E> + Clone,
{
    type Response = S::Response;
    type Error = Error<E>;
    type Future = Future<S::Future, J>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, call: Call<R>) -> Self::Future {
        match self.handle.ask(call.facts.now) {
            Ok(held) => Future::asked(self.inner.call(call), held, self.judge.clone()),
            Err(rejection) => Future::rejected(rejection),
        }
    }
}
