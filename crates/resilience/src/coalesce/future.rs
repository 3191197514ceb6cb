//! A call that may share the answer of another one.

use std::hash::Hash;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use mainstay_base::time::Instant;
use pin_project_lite::pin_project;
use tokio::time::Sleep;

use super::flights::Passenger;
use crate::env::Env;
use crate::error::{Error, Rejection};
use crate::watch::Decision;

pin_project! {
    /// A call that may share the answer of another one. Cancelled, it leaves the flight to the others.
    pub struct Future<K, F>
    where
        K: Hash,
        K: Eq,
        F: std::future::Future,
    {
        #[pin]
        stage: Stage<K, F>,
    }
}

pin_project! {
    #[project = Staged]
    enum Stage<K, F>
    where
        K: Hash,
        K: Eq,
        F: std::future::Future,
    {
        // It has no key, and is not shared.
        Alone {
            #[pin]
            inner: F,
        },
        Aboard {
            // None when it has its answer.
            passenger: Option<Passenger<K, F>>,
            deadline: Option<Instant>,
            // Set only when there is something to wait for, so that what is answered at once costs no timer.
            #[pin]
            timer: Option<Sleep>,
            env: Env,
        },
        Late,
    }
}

impl<K: Hash + Eq, F: std::future::Future> Future<K, F> {
    pub(super) const fn alone(inner: F) -> Self {
        Self { stage: Stage::Alone { inner } }
    }

    pub(super) const fn late() -> Self {
        Self { stage: Stage::Late }
    }

    pub(super) const fn aboard(passenger: Passenger<K, F>, deadline: Option<Instant>, env: Env) -> Self {
        Self { stage: Stage::Aboard { passenger: Some(passenger), deadline, timer: None, env } }
    }
}

impl<K, F, T, E> std::future::Future for Future<K, F>
where
    K: Hash + Eq,
    F: std::future::Future<Output = Result<T, Error<E>>>,
    T: Clone,
    E: Clone,
{
    type Output = Result<T, Error<E>>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().stage.project() {
            Staged::Alone { inner } => inner.poll(context),
            Staged::Late => Poll::Ready(Err(Rejection::DeadlinePassed.into())),
            Staged::Aboard { passenger, deadline, mut timer, env } => {
                let place = passenger.as_ref().expect("it is not polled after its answer");
                if let Poll::Ready(answer) = place.poll(context) {
                    *passenger = None;
                    return Poll::Ready(answer.unwrap_or_else(|_lost| Err(Rejection::FlightLost.into())));
                }
                let Some(deadline) = *deadline else { return Poll::Pending };
                if timer.is_none() {
                    timer.set(Some(env.sleep_until(deadline)));
                }
                ready!(timer.as_pin_mut().expect("it was set if it was none").poll(context));
                *passenger = None;
                // What is shared has no time of its own that it could have exceeded: this one has come too late, or is impatient.
                env.decided(Decision::GivenUp);
                Poll::Ready(Err(Rejection::GivenUp.into()))
            }
        }
    }
}
