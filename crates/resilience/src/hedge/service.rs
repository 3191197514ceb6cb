//! A service that is asked once more for what is slow.

use std::task::{Context, Poll};

use super::future::{Future, Spare};
use super::layer::Handle;
use crate::call::Call;
use crate::error::Error;
use crate::judge::Judge;

/// A service that is asked once more for what is slow. Only calls that may have a second try keep clones of the request and of the service.
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
        let (held, at) = self.handle.begin(&call.facts);
        let spare = at.map(|at| {
            let (inner, handle) = (self.inner.clone(), self.handle.clone());
            Spare { at, inner, call: call.clone(), handle }
        });
        Future::new(self.inner.call(call), held, spare, self.judge.clone())
    }
}
