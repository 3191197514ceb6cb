//! A call in a bulkhead: it waits for its turn, and then runs.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use mainstay_base::time::Instant;
use pin_project_lite::pin_project;
use tokio::time::Sleep;

use super::layer::{Held, Waiter};
use crate::call::Call;
use crate::error::{Error, Rejection};

pin_project! {
    /// A call in a bulkhead. Cancelled while it waits, it is taken out at once; while it runs, the next one runs.
    pub struct Future<S, R, F> {
        #[pin]
        stage: Stage<S, R, F>,
    }
}

pin_project! {
    #[project = Staged]
    enum Stage<S, R, F> {
        // In a box, since few calls wait, and all are moved on their way down.
        Waits { waits: Box<Waits<S, R>> },
        Runs {
            #[pin]
            inner: F,
            held: Option<Held>,
        },
        Rejected { rejection: Rejection },
    }
}

/// A call that waits.
#[derive(Debug)]
pub(super) struct Waits<S, R> {
    /// None once it is called.
    call: Option<(S, Call<R>)>,
    waiter: Waiter,
    timer: Pin<Box<Sleep>>,
}

impl<S, R, F> Future<S, R, F> {
    pub(super) const fn runs(inner: F, held: Held) -> Self {
        Self { stage: Stage::Runs { inner, held: Some(held) } }
    }

    pub(super) fn waits(call: (S, Call<R>), waiter: Waiter, timer: Sleep) -> Self {
        let waits = Waits { call: Some(call), waiter, timer: Box::pin(timer) };
        Self { stage: Stage::Waits { waits: Box::new(waits) } }
    }

    pub(super) const fn rejected(rejection: Rejection) -> Self {
        Self { stage: Stage::Rejected { rejection } }
    }
}

impl<S, R, T, E> std::future::Future for Future<S, R, S::Future>
where
    S: tower_service::Service<Call<R>, Response = T, Error = Error<E>>,
{
    type Output = Result<T, Error<E>>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut stage = self.project().stage;
        loop {
            let next = match stage.as_mut().project() {
                Staged::Waits { waits } => {
                    let Waits { call, waiter, timer } = &mut **waits;
                    let is_over = timer.as_mut().poll(context).is_ready();
                    let Some(turn) = waiter.look(is_over, context.waker()) else { return Poll::Pending };
                    let now = waiter.handle().env().now();
                    let deadline = call.as_ref().and_then(|(_, call)| call.facts.deadline);
                    match turn.and_then(|held| in_time(held, deadline, now)) {
                        Ok(held) => {
                            let (mut service, mut call) = call.take().expect("it is called once");
                            call.facts.now = now;
                            Stage::Runs { inner: service.call(call), held: Some(held) }
                        }
                        Err(rejection) => {
                            waiter.handle().rejected(rejection);
                            Stage::Rejected { rejection }
                        }
                    }
                }
                Staged::Runs { inner, held } => {
                    let answer = ready!(inner.poll(context));
                    // The next one runs from here on, whenever this is dropped.
                    held.take();
                    return Poll::Ready(answer);
                }
                Staged::Rejected { rejection } => return Poll::Ready(Err(Error::Rejected(*rejection))),
            };
            stage.set(next);
        }
    }
}

/// Gives the turn to the next one if its own came in time, and it did not look until it was due.
pub(super) fn in_time(held: Held, deadline: Option<Instant>, now: Instant) -> Result<Held, Rejection> {
    if deadline.is_some_and(|deadline| deadline <= now) { Err(Rejection::DeadlinePassed) } else { Ok(held) }
}
