//! A call within an adaptive limit, until its end is told.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;

use super::layer::Held;
use crate::error::{Error, Rejection};
use crate::judge::{Judge, verdict};

pin_project! {
    /// A call within an adaptive limit. Cancelled, it says of the service how long it took until then.
    pub struct Future<F, J> {
        #[pin]
        stage: Stage<F, J>,
    }
}

pin_project! {
    #[project = Staged]
    enum Stage<F, J> {
        Asked {
            #[pin]
            inner: F,
            held: Option<Held>,
            judge: J,
        },
        Rejected { rejection: Rejection },
    }
}

impl<F, J> Future<F, J> {
    pub(super) const fn asked(inner: F, held: Held, judge: J) -> Self {
        Self { stage: Stage::Asked { inner, held: Some(held), judge } }
    }

    pub(super) const fn rejected(rejection: Rejection) -> Self {
        Self { stage: Stage::Rejected { rejection } }
    }
}

impl<F, J, T, E> std::future::Future for Future<F, J>
where
    F: std::future::Future<Output = Result<T, Error<E>>>,
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
