//! A service that is asked once more for what is slow.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::future::Future;
use super::layer::Handle;
use crate::call::Call;
use crate::error::Error;
use crate::judge::Judge;
use crate::spare::Spare;

/// A service that is asked once more for what is slow. Only calls that may have a second try keep a clone of the request; a second try clones the service.
#[derive(Debug, Clone)]
pub struct Service<S, J> {
    inner: S,
    template: Arc<Template<S, J>>,
}

/// What all calls have for their second tries.
#[derive(Debug)]
pub(super) struct Template<S, J> {
    pub(super) spare: Spare<S>,
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
    /// In a box: it has room for two tries, which stacks that do not hedge would have as well.
    type Future = Pin<Box<Future<R, S, J, S::Future>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, call: Call<R>) -> Self::Future {
        let (held, at) = self.template.handle.begin(&call.facts);
        let again = at.map(|at| (at, call.clone()));
        Box::pin(Future::new(self.inner.call(call), held, again, Arc::clone(&self.template)))
    }
}
