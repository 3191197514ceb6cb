//! A service whose calls end in time.

use std::task::{Context, Poll};

use super::{Bounds, Deadline, Future};
use crate::call::Call;
use crate::env::Env;
use crate::error::Error;
use crate::watch::Decision;

/// A service whose calls end in time. It is not asked when a call is due already.
#[derive(Debug, Clone)]
pub struct Service<S> {
    inner: S,
    deadline: Deadline,
    has_timer: bool,
    env: Env,
}

impl<S> Service<S> {
    pub(super) const fn new(inner: S, deadline: Deadline, has_timer: bool, env: Env) -> Self {
        Self { inner, deadline, has_timer, env }
    }
}

impl<R, S, E> tower_service::Service<Call<R>> for Service<S>
where
    S: tower_service::Service<Call<R>, Error = Error<E>>,
{
    type Response = S::Response;
    type Error = Error<E>;
    type Future = Future<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, call: Call<R>) -> Self::Future {
        match self.deadline.begin(call.facts) {
            Ok(Bounds { facts, until, then }) => {
                let call = Call { facts, ..call };
                Future::running(self.inner.call(call), (until, self.has_timer), then, self.env.clone())
            }
            Err(rejection) => {
                self.env.decided(Decision::DeadlinePassed);
                Future::ended(rejection)
            }
        }
    }
}
