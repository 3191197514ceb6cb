//! One service or another, and the future of one or another: a layer that is there or not, as a policy's configuration says, and a call that is passed on or rejected at
//! once.

use std::future::{Future, Ready, ready};
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;
use tower_service::Service;

use crate::error::{Error, Rejection};

/// A layer that is there or not. Without it, what it would stand around is what there is.
#[derive(Debug, Clone)]
pub struct Maybe<L>(pub Option<L>);

/// A service with a layer around it, or without.
#[derive(Debug, Clone)]
pub enum Either<W, S> {
    /// With it.
    With(W),
    /// Without it.
    Without(S),
}

impl<S, L: tower_layer::Layer<S>> tower_layer::Layer<S> for Maybe<L> {
    type Service = Either<L::Service, S>;

    fn layer(&self, inner: S) -> Self::Service {
        match &self.0 {
            Some(layer) => Either::With(layer.layer(inner)),
            None => Either::Without(inner),
        }
    }
}

impl<R, W, S> Service<R> for Either<W, S>
where
    W: Service<R>,
    S: Service<R, Response = W::Response, Error = W::Error>,
{
    type Response = W::Response;
    type Error = W::Error;
    type Future = EitherFuture<W::Future, S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        match self {
            Self::With(service) => service.poll_ready(context),
            Self::Without(service) => service.poll_ready(context),
        }
    }

    fn call(&mut self, request: R) -> Self::Future {
        match self {
            Self::With(service) => EitherFuture { stage: Stage::With { future: service.call(request) } },
            Self::Without(service) => {
                EitherFuture { stage: Stage::Without { future: service.call(request) } }
            }
        }
    }
}

pin_project! {
    /// A call with a layer around it, or without.
    pub struct EitherFuture<W, S> {
        #[pin]
        stage: Stage<W, S>,
    }
}

pin_project! {
    #[project = Staged]
    enum Stage<W, S> {
        With {
            #[pin]
            future: W,
        },
        Without {
            #[pin]
            future: S,
        },
    }
}

impl<F, T, E> EitherFuture<F, Ready<Result<T, Error<E>>>> {
    /// A call that is passed on.
    pub(crate) const fn passed(inner: F) -> Self {
        Self { stage: Stage::With { future: inner } }
    }

    /// A call that is rejected at once.
    pub(crate) fn rejected(rejection: Rejection) -> Self {
        Self { stage: Stage::Without { future: ready(Err(Error::Rejected(rejection))) } }
    }
}

impl<T, W: Future<Output = T>, S: Future<Output = T>> Future for EitherFuture<W, S> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        match self.project().stage.project() {
            Staged::With { future } => future.poll(context),
            Staged::Without { future } => future.poll(context),
        }
    }
}
