//! A service that is the highest step of a ladder.

use std::sync::Arc;
use std::task::{Context, Poll};

use super::future::Future;
use super::layer::Handle;
use super::{Alternative, Answered};
use crate::call::Call;
use crate::error::Error;
use crate::judge::Judge;

/// A service that is the highest step of a ladder. It is always ready: whether the service below it is, is a part of trying that step.
#[derive(Debug)]
pub struct Service<S, R, T, E, J> {
    inner: S,
    handle: Handle,
    alternatives: Arc<[Alternative<R, T, E>]>,
    judge: J,
}

impl<S, R, T, E, J> Service<S, R, T, E, J> {
    pub(super) const fn new(
        inner: S,
        handle: Handle,
        alternatives: Arc<[Alternative<R, T, E>]>,
        judge: J,
    ) -> Self {
        Self { inner, handle, alternatives, judge }
    }
}

impl<S: Clone, R, T, E, J: Clone> Clone for Service<S, R, T, E, J> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            handle: self.handle.clone(),
            alternatives: self.alternatives.clone(),
            judge: self.judge.clone(),
        }
    }
}

impl<R, S, T, E, J> tower_service::Service<Call<R>> for Service<S, R, T, E, J>
where
    R: Clone,
    S: tower_service::Service<Call<R>, Response = T, Error = Error<E>> + Clone,
    J: Judge<T, E> + Clone,
{
    type Response = Answered<T>;
    type Error = Error<E>;
    type Future = Future<S, R, T, E, J>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: Call<R>) -> Self::Future {
        let held = self.handle.begin(call.facts.now);
        Future::new(&self.inner, call, held, self.alternatives.clone(), self.judge.clone())
    }
}
