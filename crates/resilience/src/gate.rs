//! What breakers and adaptive limits have in common: a gate that lets a call through or rejects it at once, and is told how it has ended.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use mainstay_base::time::Instant;
use pin_project_lite::pin_project;

use crate::call::Call;
use crate::error::{Error, Rejection};
use crate::judge::{Judge, Verdict, verdict};

/// Lets calls through, or rejects them. Clones are the same one.
pub trait Gate: Clone {
    /// A call that is on its way. Dropped, it is abandoned.
    type Held: Held;

    /// Asks to let a call through. Errors: why not.
    fn ask(&self, now: Instant) -> Result<Self::Held, Rejection>;
}

/// A call that is on its way.
pub trait Held {
    /// Tells what its end means.
    fn tell(self, verdict: Verdict);
}

/// Puts a gate in front of services.
#[derive(Debug, Clone)]
pub struct Layer<G, J> {
    gate: G,
    judge: J,
}

impl<G, J> Layer<G, J> {
    /// This gate; the judge says which answers are failures.
    pub const fn new(gate: G, judge: J) -> Self {
        Self { gate, judge }
    }
}

impl<S, G: Clone, J: Clone> tower_layer::Layer<S> for Layer<G, J> {
    type Service = Service<S, G, J>;

    fn layer(&self, inner: S) -> Self::Service {
        Service { inner, gate: self.gate.clone(), judge: self.judge.clone() }
    }
}

/// A service behind a gate. It is asked only for what is let through.
#[derive(Debug, Clone)]
pub struct Service<S, G, J> {
    inner: S,
    gate: G,
    judge: J,
}

impl<R, S, G, J, E> tower_service::Service<Call<R>> for Service<S, G, J>
where
    S: tower_service::Service<Call<R>, Error = Error<E>>,
    G: Gate,
    J: Judge<S::Response, E> + Clone,
{
    type Response = S::Response;
    type Error = Error<E>;
    type Future = Future<S::Future, G::Held, J>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, call: Call<R>) -> Self::Future {
        let stage = match self.gate.ask(call.facts.now) {
            Ok(held) => {
                Stage::Asked { inner: self.inner.call(call), held: Some(held), judge: self.judge.clone() }
            }
            Err(rejection) => Stage::Rejected { rejection },
        };
        Future { stage }
    }
}

pin_project! {
    /// A call behind a gate. Cancelled, it is abandoned.
    pub struct Future<F, H, J> {
        #[pin]
        stage: Stage<F, H, J>,
    }
}

pin_project! {
    #[project = Staged]
    enum Stage<F, H, J> {
        Asked {
            #[pin]
            inner: F,
            held: Option<H>,
            judge: J,
        },
        Rejected { rejection: Rejection },
    }
}

impl<F, H, J, T, E> std::future::Future for Future<F, H, J>
where
    F: std::future::Future<Output = Result<T, Error<E>>>,
    H: Held,
    J: Judge<T, E>,
{
    type Output = Result<T, Error<E>>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().stage.project() {
            Staged::Asked { inner, held, judge } => {
                let answer = ready!(inner.poll(context));
                if let Some(held) = held.take() {
                    held.tell(verdict(judge, answer.as_ref()));
                }
                Poll::Ready(answer)
            }
            Staged::Rejected { rejection } => Poll::Ready(Err(Error::Rejected(*rejection))),
        }
    }
}
