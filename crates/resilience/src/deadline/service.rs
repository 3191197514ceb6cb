//! A service whose calls end in time.

use std::task::{Context, Poll};

use super::timers::Timers;
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
    /// None where something else ends calls in time.
    timers: Option<Timers>,
    env: Env,
}

impl<S> Service<S> {
    pub(super) const fn new(inner: S, deadline: Deadline, timers: Option<Timers>, env: Env) -> Self {
        Self { inner, deadline, timers, env }
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
                let timer = self.timers.as_ref().map(Timers::timer);
                Future::running(self.inner.call(call), (until, timer), then, self.env.clone())
            }
            Err(rejection) => {
                self.env.decided(Decision::DeadlinePassed);
                Future::ended(rejection)
            }
        }
    }
}
