//! The steps of a ladder: what answers below the service, and a call of any of them.

use std::fmt::{self, Debug, Formatter};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;
use tower_service::Service;

use crate::call::Call;
use crate::error::Error;

/// An answer, and which step gave it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered<T> {
    /// The answer.
    pub response: T,
    /// The name of the step: how far the answer is degraded.
    pub step: Arc<str>,
    /// The place of the step: 0 if the service itself answered.
    pub level: usize,
}

type Trying<T, E> = Pin<Box<dyn Future<Output = Result<T, Error<E>>> + Send>>;
type Try<R, T, E> = dyn Fn(Call<R>) -> Trying<T, E> + Send + Sync;

/// What answers when the steps above do not. Its type is hidden, so that a ladder can have steps of many kinds: each use of one is an allocation, and
/// there is none while the service answers.
pub struct Alternative<R, T, E> {
    begin: Arc<Try<R, T, E>>,
}

impl<R, T, E> Alternative<R, T, E> {
    /// The answers of a service, such as a stack of policies around one.
    pub fn new<S>(service: S) -> Self
    where
        S: Service<Call<R>, Response = T, Error = Error<E>> + Clone + Send + Sync + 'static,
        S::Future: Send,
        R: Send + 'static,
    {
        Self { begin: Arc::new(move |call| Box::pin(Oneshot::new(service.clone(), call))) }
    }

    pub(super) fn begin(&self, call: Call<R>) -> Trying<T, E> {
        (self.begin)(call)
    }
}

impl<R, T, E> Clone for Alternative<R, T, E> {
    fn clone(&self) -> Self {
        Self { begin: self.begin.clone() }
    }
}

impl<R, T, E> Debug for Alternative<R, T, E> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Alternative").finish_non_exhaustive()
    }
}

pin_project! {
    /// One call of a service, as soon as it is ready.
    #[project = Shot]
    pub(super) enum Oneshot<S, C>
    where
        S: Service<C>,
    {
        Waits { service: S, call: Option<C> },
        Called {
            #[pin]
            future: S::Future,
        },
    }
}

impl<S: Service<C>, C> Oneshot<S, C> {
    pub(super) const fn new(service: S, call: C) -> Self {
        Self::Waits { service, call: Some(call) }
    }
}

impl<S: Service<C>, C> Future for Oneshot<S, C> {
    type Output = Result<S::Response, S::Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            let future = match self.as_mut().project() {
                Shot::Waits { service, call } => {
                    ready!(service.poll_ready(context))?;
                    service.call(call.take().expect("it is called once"))
                }
                Shot::Called { future } => return future.poll(context),
            };
            self.set(Self::Called { future });
        }
    }
}
