//! A call that ends in time.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;
use tokio::time::Sleep;

use super::Bounds;
use crate::env::Env;
use crate::error::{Error, Rejection};

pin_project! {
    /// A call that ends in time. What it runs is dropped at the moment that it is given up.
    pub struct Future<F> {
        #[pin]
        stage: Stage<F>,
    }
}

pin_project! {
    #[project = Staged]
    enum Stage<F> {
        Running {
            #[pin]
            inner: F,
            // Set only when there is something to wait for, so that what is answered at once costs no timer.
            #[pin]
            timer: Option<Sleep>,
            bounds: Bounds,
            env: Env,
        },
        Ended { rejection: Rejection },
    }
}

impl<F> Future<F> {
    pub(super) const fn running(inner: F, bounds: Bounds, env: Env) -> Self {
        Self { stage: Stage::Running { inner, timer: None, bounds, env } }
    }

    pub(super) const fn ended(rejection: Rejection) -> Self {
        Self { stage: Stage::Ended { rejection } }
    }
}

impl<F, T, E> std::future::Future for Future<F>
where
    F: std::future::Future<Output = Result<T, Error<E>>>,
{
    type Output = Result<T, Error<E>>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut stage = self.project().stage;
        let rejection = match stage.as_mut().project() {
            Staged::Running { inner, mut timer, bounds, env } => {
                if let Poll::Ready(answer) = inner.poll(context) {
                    return Poll::Ready(answer);
                }
                if timer.is_none() {
                    timer.set(Some(env.sleep_until(bounds.until)));
                }
                ready!(timer.as_pin_mut().expect("it was set if it was none").poll(context));
                env.decided(bounds.decision());
                bounds.then
            }
            Staged::Ended { rejection } => *rejection,
        };
        stage.set(Stage::Ended { rejection });
        Poll::Ready(Err(Error::Rejected(rejection)))
    }
}
