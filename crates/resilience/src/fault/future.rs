//! A call to which a fault may be done.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;
use tokio::time::Sleep;
use tower_service::Service;

use super::layer::Slowing;
use super::{End, Injection, Slow};
use crate::call::Call;
use crate::env::Env;
use crate::error::Error;

pin_project! {
    /// A call to which a fault may be done. Cancelled while it is delayed, it is not made.
    pub struct Future<S, R, L>
    where
        S: Service<Call<R>>,
    {
        #[pin]
        stage: Stage<S, R, L>,
    }
}

pin_project! {
    #[project = Staged]
    enum Stage<S, R, L>
    where
        S: Service<Call<R>>,
    {
        Called {
            #[pin]
            inner: S::Future,
            slowing: Option<(Slow, L)>,
        },
        Delayed {
            #[pin]
            sleep: Option<Sleep>,
            end: Option<End>,
            slowing: Option<(Slow, L)>,
            called: Option<(S, Call<R>)>,
            env: Env,
        },
    }
}

impl<S: Service<Call<R>>, R, L> Future<S, R, L> {
    pub(super) const fn untouched(inner: S::Future) -> Self {
        Self { stage: Stage::Called { inner, slowing: None } }
    }

    pub(super) fn touched(called: (S, Call<R>), injection: Injection, slowing: L, env: &Env) -> Self {
        let Injection { delay, end, slow } = injection;
        let until = env.now().saturating_add(delay);
        let sleep = (!delay.is_zero()).then(|| env.sleep_until(until));
        let slowing = slow.map(|slow| (slow, slowing));
        Self { stage: Stage::Delayed { sleep, end, slowing, called: Some(called), env: env.clone() } }
    }
}

impl<S, R, L, E> std::future::Future for Future<S, R, L>
where
    S: Service<Call<R>, Error = Error<E>>,
    L: Slowing<S::Response>,
{
    type Output = Result<S::Response, Error<E>>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut stage = self.project().stage;
        loop {
            let called = match stage.as_mut().project() {
                Staged::Called { inner, slowing } => {
                    let answer = ready!(inner.poll(context));
                    let Some((slow, slowing)) = slowing.take() else { return Poll::Ready(answer) };
                    return Poll::Ready(answer.map(|answer| slowing.slow(answer, slow)));
                }
                Staged::Delayed { mut sleep, end, slowing, called, env } => {
                    if let Some(sleep) = sleep.as_mut().as_pin_mut() {
                        ready!(sleep.poll(context));
                    }
                    if let Some(end) = end {
                        // What was ready to be called is needed by others.
                        *called = None;
                        sleep.set(None);
                        return end.rejection().map_or(Poll::Pending, |end| Poll::Ready(Err(end.into())));
                    }
                    let (mut service, mut call) = called.take().expect("it is called once");
                    call.facts.now = env.now();
                    Stage::Called { inner: service.call(call), slowing: slowing.take() }
                }
            };
            stage.set(called);
        }
    }
}
