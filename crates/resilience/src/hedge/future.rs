//! A call with its first try, and perhaps a second one beside it.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use mainstay_base::time::Instant;
use pin_project_lite::pin_project;
use tokio::time::Sleep;

use super::layer::{Handle, Held};
use crate::call::Call;
use crate::error::Error;
use crate::judge::{Judge, Verdict, verdict};
use crate::watch::Decision;

pin_project! {
    /// A call with its first try, and perhaps a second one beside it. Cancelled, both are. The loser is dropped at the moment that the other one wins.
    #[project = Projected]
    pub struct Future<R, S, J, F>
    where
        F: std::future::Future,
    {
        // None after it has failed.
        #[pin]
        first: Option<F>,
        #[pin]
        second: Second<F>,
        held: Option<Held>,
        spare: Option<Spare<R, S>>,
        // Of the one that has failed while the other is running.
        failure: Option<F::Output>,
        judge: J,
    }
}

pin_project! {
    #[project = Seconded]
    enum Second<F> {
        Waiting {
            // Set only when there is something to wait for, so that what is answered at once costs no timer.
            #[pin]
            timer: Option<Sleep>,
        },
        // Until the service takes another call.
        Asking,
        Running {
            #[pin]
            inner: F,
        },
        // There is none, or none any more.
        Over,
    }
}

/// What a second try is made of.
#[derive(Debug)]
pub(super) struct Spare<R, S> {
    pub(super) at: Instant,
    pub(super) inner: S,
    pub(super) call: Call<R>,
    pub(super) handle: Handle,
}

impl<R, S, J, F: std::future::Future> Future<R, S, J, F> {
    pub(super) const fn new(first: F, held: Option<Held>, spare: Option<Spare<R, S>>, judge: J) -> Self {
        let second = if spare.is_some() { Second::Waiting { timer: None } } else { Second::Over };
        Self { first: Some(first), second, held, spare, failure: None, judge }
    }
}

/// Whether an answer is taken although the other try may still succeed: one of the service that is no failure.
fn is_taken<T, E>(judge: &impl Judge<T, E>, answer: &Result<T, Error<E>>) -> bool {
    let is_failure = matches!(verdict(judge, answer.as_ref()), Verdict::Failure(_));
    !is_failure && !matches!(answer, Err(Error::Rejected(_)))
}

impl<R, S, J, T, E> Projected<'_, R, S, J, S::Future>
where
    R: Clone,
    S: tower_service::Service<Call<R>, Response = T, Error = Error<E>>,
    J: Judge<T, E>,
{
    /// Ready with the answer that is taken; pending also if there is no first try any more.
    fn poll_first(&mut self, context: &mut Context<'_>) -> Poll<Result<T, Error<E>>> {
        let Some(first) = self.first.as_mut().as_pin_mut() else { return Poll::Pending };
        let answer = ready!(first.poll(context));
        let is_taken = is_taken(self.judge, &answer);
        self.held.iter_mut().for_each(|held| held.tell(!is_taken));
        if is_taken || !matches!(self.second.as_mut().project(), Seconded::Running { .. }) {
            return Poll::Ready(answer);
        }
        self.first.set(None);
        *self.failure = Some(answer);
        Poll::Pending
    }

    /// Ready with the answer that is taken; pending also if there is no second try.
    fn poll_second(&mut self, context: &mut Context<'_>) -> Poll<Result<T, Error<E>>> {
        let Some(spare) = self.spare else { return Poll::Pending };
        loop {
            let next = match self.second.as_mut().project() {
                Seconded::Waiting { mut timer } => {
                    if timer.is_none() {
                        timer.set(Some(spare.handle.env().sleep_until(spare.at)));
                    }
                    ready!(timer.as_pin_mut().expect("it was set if it was none").poll(context));
                    Second::Asking
                }
                Seconded::Asking => match ready!(spare.inner.poll_ready(context)) {
                    Ok(()) => spare.begin(),
                    // The first try may still succeed, and says so itself if not.
                    Err(_) => Second::Over,
                },
                Seconded::Running { inner } => {
                    let answer = ready!(inner.poll(context));
                    if is_taken(self.judge, &answer) {
                        spare.handle.env().decided(Decision::HedgeWon);
                        return Poll::Ready(answer);
                    }
                    if self.first.is_none() {
                        return Poll::Ready(answer);
                    }
                    *self.failure = Some(answer);
                    Second::Over
                }
                Seconded::Over => return Poll::Pending,
            };
            self.second.set(next);
        }
    }
}

impl<R: Clone, S: tower_service::Service<Call<R>>> Spare<R, S> {
    fn begin(&mut self) -> Second<S::Future> {
        let Some(facts) = self.handle.ask(&self.call.facts) else { return Second::Over };
        Second::Running { inner: self.inner.call(Call { request: self.call.request.clone(), facts }) }
    }
}

/// Of two failures the one that says more: the service's own before a policy's, and the later one of two equal ones.
fn worse<T, E>(earlier: Result<T, Error<E>>, later: Result<T, Error<E>>) -> Result<T, Error<E>> {
    let is_rejected = |answer: &Result<T, Error<E>>| matches!(answer, Err(Error::Rejected(_)));
    if is_rejected(&later) && !is_rejected(&earlier) { earlier } else { later }
}

impl<R, S, J, T, E> std::future::Future for Future<R, S, J, S::Future>
where
    R: Clone,
    S: tower_service::Service<Call<R>, Response = T, Error = Error<E>>,
    J: Judge<T, E>,
{
    type Output = Result<T, Error<E>>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let answer = match this.poll_first(context) {
            Poll::Ready(answer) => answer,
            Poll::Pending => ready!(this.poll_second(context)),
        };
        this.first.set(None);
        this.second.set(Second::Over);
        // Now, since whoever holds this may drop it much later.
        *this.held = None;
        Poll::Ready(match this.failure.take() {
            Some(failure) if !is_taken(this.judge, &answer) => worse(failure, answer),
            _ => answer,
        })
    }
}
