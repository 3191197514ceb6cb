//! A service whose failures are tried again.

use std::sync::Arc;
use std::task::{Context, Poll};

use super::config::Config;
use super::future::{Future, Rest};
use super::layer::Handle;
use crate::call::Call;
use crate::error::Error;
use crate::judge::Judge;
use crate::spare::Spare;

/// A service whose failures are tried again. Each call keeps a clone of the request; a retry clones the service.
#[derive(Debug, Clone)]
pub struct Service<S, J> {
    inner: S,
    template: Arc<Template<S, J>>,
}

/// What all calls have for their retries.
#[derive(Debug)]
pub(super) struct Template<S, J> {
    pub(super) spare: Spare<S>,
    pub(super) config: Config,
    pub(super) handle: Handle,
    pub(super) judge: J,
}

impl<S, J> Service<S, J> {
    pub(super) fn new(inner: S, template: Template<S, J>) -> Self {
        Self { inner, template: Arc::new(template) }
    }
}

impl<R, S, J, E> tower_service::Service<Call<R>> for Service<S, J>
where
    R: Clone,
    S: tower_service::Service<Call<R>, Error = Error<E>> + Clone,
    J: Judge<S::Response, E>,
{
    type Response = S::Response;
    type Error = Error<E>;
    type Future = Future<R, S, J, S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, call: Call<R>) -> Self::Future {
        let rest = Rest {
            request: call.request.clone(),
            facts: call.facts,
            tries: self.template.handle.begin(&call.facts),
            template: Arc::clone(&self.template),
        };
        Future::new(self.inner.call(call), rest)
    }
}
