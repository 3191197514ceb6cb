//! A call with its tries and the waits between them.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use mainstay_base::time::Instant;
use pin_project_lite::pin_project;
use tokio::time::Sleep;

use super::layer::Held;
use super::service::Template;
use super::{Tries, can_end};
use crate::call::{Call, Facts};
use crate::error::{Error, Rejection};
use crate::judge::{Judge, verdict};
use crate::watch::Decision;

pin_project! {
    /// A call with its tries and the waits between them. Cancelled, it gives back the retry that it waits for.
    ///
    /// An answer that is tried again is dropped before the wait, so that it holds no connection.
    pub struct Future<R, S, J, F> {
        #[pin]
        stage: Stage<S, F>,
        rest: Rest<R, S, J>,
    }
}

pin_project! {
    #[project = Staged]
    enum Stage<S, F> {
        Trying {
            #[pin]
            inner: F,
        },
        Waiting {
            #[pin]
            timer: Sleep,
            held: Option<Held>,
        },
        // Until the service takes another call.
        Asking {
            inner: S,
            held: Option<Held>,
        },
    }
}

/// What further tries are made of.
#[derive(Debug)]
pub(super) struct Rest<R, S, J> {
    pub(super) request: R,
    pub(super) facts: Facts,
    pub(super) tries: Tries,
    pub(super) template: Arc<Template<S, J>>,
}

impl<R: Clone, S, J> Rest<R, S, J> {
    fn tell<T, E>(&mut self, answer: Result<&T, &Error<E>>) -> Option<(Instant, Held)>
    where
        J: Judge<T, E>,
    {
        let Template { config, handle, judge, .. } = &*self.template;
        handle.tell(&mut self.tries, config, (verdict(judge, answer), &self.facts))
    }

    /// The call of a retry that begins now. Errors: it was kept waiting for so long that it cannot end in time any more.
    fn again(&self, held: Option<Held>) -> Result<Call<R>, Rejection> {
        let env = self.template.handle.env();
        let now = env.now();
        if !can_end(&self.template.config, &self.facts, now) {
            env.decided(Decision::GivenUp);
            return Err(Rejection::GivenUp);
        }
        held.into_iter().for_each(|mut held| held.begin());
        // The first of these tries may itself be a retry of someone above.
        let attempt = self.facts.attempt.saturating_add(self.tries.count() - 1);
        Ok(Call { request: self.request.clone(), facts: Facts { now, attempt, ..self.facts } })
    }
}

impl<R, S, J, F> Future<R, S, J, F> {
    pub(super) const fn new(first: F, rest: Rest<R, S, J>) -> Self {
        Self { stage: Stage::Trying { inner: first }, rest }
    }
}

impl<R, S, J, T, E> std::future::Future for Future<R, S, J, S::Future>
where
    R: Clone,
    S: tower_service::Service<Call<R>, Response = T, Error = Error<E>> + Clone,
    J: Judge<T, E>,
{
    type Output = Result<T, Error<E>>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let (mut stage, rest) = (this.stage, this.rest);
        loop {
            let next = match stage.as_mut().project() {
                Staged::Trying { inner } => {
                    let answer = ready!(inner.poll(context));
                    let Some((at, held)) = rest.tell(answer.as_ref()) else {
                        return Poll::Ready(answer);
                    };
                    let timer = rest.template.handle.env().sleep_until(at);
                    Stage::Waiting { timer, held: Some(held) }
                }
                Staged::Waiting { timer, held } => {
                    ready!(timer.poll(context));
                    Stage::Asking { inner: rest.template.spare.service(), held: held.take() }
                }
                Staged::Asking { inner, held } => {
                    ready!(inner.poll_ready(context))?;
                    let call = rest.again(held.take())?;
                    Stage::Trying { inner: inner.call(call) }
                }
            };
            stage.set(next);
        }
    }
}
