//! A call with its first try, and perhaps a second one beside it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use mainstay_base::time::Instant;
use pin_project_lite::pin_project;
use tokio::time::Sleep;

use super::layer::Held;
use super::service::Template;
use crate::call::Call;
use crate::error::Error;
use crate::judge::{Judge, verdict};
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
        second: Second<S, F>,
        held: Option<Held>,
        // When there is a second try, and of what.
        again: Option<(Instant, Call<R>)>,
        // Of the one that has failed while the other is running.
        failure: Option<F::Output>,
        template: Arc<Template<S, J>>,
    }
}

/// In boxes, since few calls have one, and all are moved on their way down.
enum Second<S, F> {
    /// The timer is set only when there is something to wait for, so that what is answered at once costs none.
    Waiting(Option<Pin<Box<Sleep>>>),
    /// Until the service takes another call.
    Asking(S),
    Running(Pin<Box<F>>),
    /// There is none, or none any more.
    Over,
}

impl<R, S, J, F: std::future::Future> Future<R, S, J, F> {
    pub(super) const fn new(
        first: F,
        held: Option<Held>,
        again: Option<(Instant, Call<R>)>,
        template: Arc<Template<S, J>>,
    ) -> Self {
        let second = if again.is_some() { Second::Waiting(None) } else { Second::Over };
        Self { first: Some(first), second, held, again, failure: None, template }
    }
}

/// Whether an answer is taken although the other try may still succeed: one of the service that is no failure.
fn is_taken<T, E>(judge: &impl Judge<T, E>, answer: &Result<T, Error<E>>) -> bool {
    verdict(judge, answer.as_ref()).is_failure() != Some(true) && !matches!(answer, Err(Error::Rejected(_)))
}

impl<R, S, J, T, E> Projected<'_, R, S, J, S::Future>
where
    R: Clone,
    S: tower_service::Service<Call<R>, Response = T, Error = Error<E>> + Clone,
    J: Judge<T, E>,
{
    /// Ready with the answer that is taken; pending also if there is no first try any more.
    fn poll_first(&mut self, context: &mut Context<'_>) -> Poll<Result<T, Error<E>>> {
        let Some(first) = self.first.as_mut().as_pin_mut() else { return Poll::Pending };
        let answer = ready!(first.poll(context));
        let is_taken = is_taken(&self.template.judge, &answer);
        self.held.iter_mut().for_each(|held| held.tell(!is_taken));
        if is_taken || !matches!(self.second, Second::Running(_)) {
            return Poll::Ready(answer);
        }
        self.first.set(None);
        *self.failure = Some(answer);
        Poll::Pending
    }

    /// Ready with the answer that is taken; pending also if there is no second try.
    fn poll_second(&mut self, context: &mut Context<'_>) -> Poll<Result<T, Error<E>>> {
        let Some((at, call)) = self.again else { return Poll::Pending };
        let Template { spare, handle, judge } = &**self.template;
        loop {
            let next = match self.second {
                Second::Waiting(timer) => {
                    let sleep = || Box::pin(handle.env().sleep_until(*at));
                    ready!(timer.get_or_insert_with(sleep).as_mut().poll(context));
                    Second::Asking(spare.service())
                }
                Second::Asking(service) => {
                    let is_ready = ready!(service.poll_ready(context)).is_ok();
                    // If it is not, the first try may still succeed, and says so itself if not.
                    match is_ready.then(|| handle.ask(&call.facts)).flatten() {
                        Some(facts) => {
                            let call = Call { request: call.request.clone(), facts };
                            Second::Running(Box::pin(service.call(call)))
                        }
                        None => Second::Over,
                    }
                }
                Second::Running(inner) => {
                    let answer = ready!(inner.as_mut().poll(context));
                    if is_taken(judge, &answer) {
                        handle.env().decided(Decision::HedgeWon);
                        return Poll::Ready(answer);
                    }
                    if self.first.is_none() {
                        return Poll::Ready(answer);
                    }
                    *self.failure = Some(answer);
                    Second::Over
                }
                Second::Over => return Poll::Pending,
            };
            *self.second = next;
        }
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
    S: tower_service::Service<Call<R>, Response = T, Error = Error<E>> + Clone,
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
        *this.second = Second::Over;
        // Now, since whoever holds this may drop it much later.
        *this.held = None;
        Poll::Ready(match this.failure.take() {
            Some(failure) if !is_taken(&this.template.judge, &answer) => worse(failure, answer),
            _ => answer,
        })
    }
}
