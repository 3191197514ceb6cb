//! A call that is shed or not.

use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use crate::error::{Error, Rejection};

pin_project! {
    /// A call that is shed or not.
    pub struct Future<F> {
        #[pin]
        stage: Stage<F>,
    }
}

pin_project! {
    #[project = Staged]
    enum Stage<F> {
        Passed {
            #[pin]
            inner: F,
        },
        Rejected { rejection: Rejection },
    }
}

impl<F> Future<F> {
    pub(super) const fn passed(inner: F) -> Self {
        Self { stage: Stage::Passed { inner } }
    }

    pub(super) const fn rejected(rejection: Rejection) -> Self {
        Self { stage: Stage::Rejected { rejection } }
    }
}

impl<F, T, E> std::future::Future for Future<F>
where
    F: std::future::Future<Output = Result<T, Error<E>>>,
{
    type Output = Result<T, Error<E>>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().stage.project() {
            Staged::Passed { inner } => inner.poll(context),
            Staged::Rejected { rejection } => Poll::Ready(Err(Error::Rejected(*rejection))),
        }
    }
}
