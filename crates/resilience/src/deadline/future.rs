//! A call that ends in time.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use mainstay_base::time::Instant;
use pin_project_lite::pin_project;

use super::decision;
use super::timers::Timer;
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
            // None where something else ends it.
            timer: Option<Timer>,
            until: Instant,
            then: Rejection,
            env: Env,
        },
        Ended { rejection: Rejection },
    }
}

impl<F> Future<F> {
    pub(super) fn running(
        inner: F,
        (until, timer): (Instant, Option<Timer>),
        then: Rejection,
        env: Env,
    ) -> Self {
        Self { stage: Stage::Running { inner, timer, until, then, env } }
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
            Staged::Running { inner, timer, until, then, env } => {
                if let Poll::Ready(answer) = inner.poll(context) {
                    return Poll::Ready(answer);
                }
                let Some(timer) = timer else { return Poll::Pending };
                ready!(timer.poll_until(*until, env, context));
                env.decided(decision(*then));
                *then
            }
            Staged::Ended { rejection } => *rejection,
        };
        stage.set(Stage::Ended { rejection });
        Poll::Ready(Err(Error::Rejected(rejection)))
    }
}
