//! A call that may share the answer of another one.

use std::hash::Hash;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use mainstay_base::time::Instant;
use mainstay_base::units::Duration;
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
            #[pin]
            patience: Option<Patience>,
        },
        Late,
    }
}

pin_project! {
    /// The time until a call gives up by itself.
    struct Patience {
        #[pin]
        sleep: Sleep,
        limit: Duration,
        env: Env,
    }
}

impl<K: Hash + Eq, F: std::future::Future> Future<K, F> {
    pub(super) const fn alone(inner: F) -> Self {
        Self { stage: Stage::Alone { inner } }
    }

    pub(super) const fn late() -> Self {
        Self { stage: Stage::Late }
    }

    pub(super) fn aboard(passenger: Passenger<K, F>, until: Option<(Instant, Duration)>, env: &Env) -> Self {
        let patience = until.map(|(deadline, limit)| Patience {
            sleep: env.sleep_until(deadline),
            limit,
            env: env.clone(),
        });
        Self { stage: Stage::Aboard { passenger: Some(passenger), patience } }
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
            Staged::Aboard { passenger, patience } => {
                let place = passenger.as_ref().expect("it is not polled after its answer");
                if let Poll::Ready(answer) = place.poll(context) {
                    *passenger = None;
                    return Poll::Ready(answer.unwrap_or_else(|_lost| Err(Rejection::FlightLost.into())));
                }
                let Some(patience) = patience.as_pin_mut() else { return Poll::Pending };
                let patience = patience.project();
                ready!(patience.sleep.poll(context));
                *passenger = None;
                patience.env.decided(Decision::TimedOut);
                Poll::Ready(Err(Rejection::TimedOut { limit: *patience.limit }.into()))
            }
        }
    }
}
