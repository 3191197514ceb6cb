//! A call on its way down a ladder, until a step answers.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use mainstay_base::error::{Classify, Fault};
use pin_project_lite::pin_project;
use tower_service::Service;

use super::layer::Held;
use super::step::{Alternative, Answered, Oneshot};
use crate::call::Call;
use crate::error::{Error, Rejection};
use crate::judge::{Judge, Verdict};

pin_project! {
    /// A call on its way down a ladder. Cancelled, a probe gives its place back.
    pub struct Future<S, R, T, E, J>
    where
        S: Service<Call<R>>,
    {
        #[pin]
        trying: Trying<S, R, T, E>,
        descent: Down<R, T, E, J>,
    }
}

pin_project! {
    #[project = Tried]
    enum Trying<S, R, T, E>
    where
        S: Service<Call<R>>,
    {
        Service {
            #[pin]
            inner: Oneshot<S, Call<R>>,
        },
        Alternative { inner: Pin<Box<dyn std::future::Future<Output = Result<T, Error<E>>> + Send>> },
    }
}

/// Where a call is, and what it needs to go on down.
struct Down<R, T, E, J> {
    held: Held,
    step: usize,
    call: Call<R>,
    alternatives: Arc<[Alternative<R, T, E>]>,
    judge: J,
    /// How the first step that was tried has ended, and which it was: what the caller is told if none answers, since it says what may have been done.
    first: Option<(usize, Result<T, Error<E>>)>,
}

impl<S, R, T, E, J> Future<S, R, T, E, J>
where
    R: Clone,
    S: Service<Call<R>, Response = T, Error = Error<E>> + Clone,
{
    pub(super) fn new(
        inner: &S,
        call: Call<R>,
        held: Held,
        alternatives: Arc<[Alternative<R, T, E>]>,
        judge: J,
    ) -> Self {
        let step = held.descent.first();
        let trying = match step.checked_sub(1) {
            None => Trying::Service { inner: Oneshot::new(inner.clone(), call.clone()) },
            Some(place) => Trying::Alternative { inner: alternatives[place].begin(call.clone()) },
        };
        Self { trying, descent: Down { held, step, call, alternatives, judge, first: None } }
    }
}

impl<S, R, T, E, J> std::future::Future for Future<S, R, T, E, J>
where
    R: Clone,
    S: Service<Call<R>, Response = T, Error = Error<E>>,
    J: Judge<T, E>,
{
    type Output = Result<Answered<T>, Error<E>>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let answer = match this.trying.as_mut().project() {
                Tried::Service { inner } => ready!(inner.poll(context)),
                Tried::Alternative { inner } => ready!(inner.as_mut().poll(context)),
            };
            match this.descent.ended(answer) {
                Ok(answer) => return Poll::Ready(answer),
                Err(place) => {
                    let inner = this.descent.alternatives[place].begin(this.descent.call.clone());
                    this.trying.set(Trying::Alternative { inner });
                }
            }
        }
    }
}

impl<R, T, E, J: Judge<T, E>> Down<R, T, E, J> {
    /// Returns the answer of the call, or the place of the alternative that is tried next.
    fn ended(&mut self, answer: Result<T, Error<E>>) -> Result<Result<Answered<T>, Error<E>>, usize> {
        let verdict = verdict(&self.judge, answer.as_ref());
        let is_failure = verdict.is_failure();
        // It was perhaps only asked too late: this call may go further down, and others begin where they did.
        let is_given_up = matches!(answer, Err(Error::Rejected(Rejection::GivenUp)));
        self.held.tell(self.step, is_failure.filter(|_| !is_given_up));
        // Below the first, an error is no answer, whoever's fault it is: the caller asked for what is above.
        let is_answer = is_failure != Some(true) && (answer.is_ok() || self.first.is_none());
        if is_answer {
            return Ok(self.answered(self.step, answer));
        }
        self.first.get_or_insert((self.step, answer));
        let now = self.held.handle.env().now();
        let is_late = self.call.facts.deadline.is_some_and(|deadline| deadline <= now);
        if let Some(next) = self.held.descent.below(self.step).filter(|_| !is_late) {
            self.step = next;
            self.call.facts.now = now;
            return Err(next - 1);
        }
        let (step, answer) = self.first.take().expect("it has just been put there");
        Ok(self.answered(step, answer))
    }

    fn answered(&self, step: usize, answer: Result<T, Error<E>>) -> Result<Answered<T>, Error<E>> {
        answer.map(|response| Answered { response, step: self.held.name(step), level: step })
    }
}

/// What the answer of a step means to a ladder, of which rejections say more than of a service's health. A policy that rejects says that its step cannot answer now; only what is the caller's own doing would be the same further
/// down.
fn verdict<T, E>(judge: &impl Judge<T, E>, answer: Result<&T, &Error<E>>) -> Verdict {
    match answer {
        Ok(answer) => judge.judge(Ok(answer)),
        Err(Error::Service(error)) => judge.judge(Err(error)),
        Err(Error::Rejected(Rejection::DeadlinePassed)) => Verdict::Neutral,
        Err(Error::Rejected(rejection)) if rejection.fault() == Fault::Caller => Verdict::Neutral,
        Err(Error::Rejected(rejection)) => Verdict::Failure(rejection.retry()),
    }
}
