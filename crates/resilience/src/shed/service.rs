//! A service that calls are shed in front of.

use std::future::Ready;
use std::task::{Context, Poll};

use super::layer::Handle;
use crate::call::Call;
use crate::either::EitherFuture;
use crate::error::Error;

/// A service that calls are shed in front of. It is asked for what is not shed.
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
    S: tower_service::Service<Call<R>, Error = Error<E>>,
{
    type Response = S::Response;
    type Error = Error<E>;
    type Future = EitherFuture<S::Future, Ready<Result<S::Response, Error<E>>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, call: Call<R>) -> Self::Future {
        match self.handle.ask(&call.facts) {
            Ok(()) => EitherFuture::passed(self.inner.call(call)),
            Err(rejection) => EitherFuture::rejected(rejection),
        }
    }
}
