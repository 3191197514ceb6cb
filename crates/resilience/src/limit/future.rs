//! A call behind a rate limit, until its answer tells how the caller stands.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;

use super::Standing;
use super::layer::Tell;
use crate::error::{Error, Rejection};

pin_project! {
    /// A call behind a rate limit. Cancelled, it has taken its units all the same: they were sent.
    pub struct Future<F, W> {
        #[pin]
        stage: Stage<F, W>,
    }
}

pin_project! {
    #[project = Staged]
    enum Stage<F, W> {
        Admitted {
            #[pin]
            inner: F,
            standing: Standing,
            tell: W,
        },
        Rejected { rejection: Rejection },
    }
}

impl<F, W> Future<F, W> {
    pub(super) const fn admitted(inner: F, standing: Standing, tell: W) -> Self {
        Self { stage: Stage::Admitted { inner, standing, tell } }
    }

    pub(super) const fn rejected(rejection: Rejection) -> Self {
        Self { stage: Stage::Rejected { rejection } }
    }
}

impl<F, W, T, E> std::future::Future for Future<F, W>
where
    F: std::future::Future<Output = Result<T, Error<E>>>,
    W: Tell<T>,
{
    type Output = Result<T, Error<E>>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().stage.project() {
            Staged::Admitted { inner, standing, tell } => {
                let mut answer = ready!(inner.poll(context));
                if let Ok(answer) = &mut answer {
                    tell.tell(answer, *standing);
                }
                Poll::Ready(answer)
            }
            Staged::Rejected { rejection } => Poll::Ready(Err(Error::Rejected(*rejection))),
        }
    }
}
