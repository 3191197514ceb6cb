//! A service of which equal calls are one.

use std::fmt::{self, Debug, Formatter};
use std::hash::Hash;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::Config;
use super::flights::Flights;
use super::future::Future;
use crate::call::{Call, Criticality, Facts};
use crate::env::Env;
use crate::error::Error;
use crate::watch::Decision;

/// A service of which equal calls are one. Clones share flights.
pub struct Service<S: tower_service::Service<Call<R>>, R, K, G> {
    inner: S,
    flights: Arc<Flights<(K, Criticality), S::Future>>,
    key: G,
    env: Env,
}

impl<S, R, K, G> Service<S, R, K, G>
where
    S: tower_service::Service<Call<R>>,
    K: Hash + Eq + Clone,
{
    pub(super) fn new(inner: S, config: Config, key: G, env: Env) -> Self {
        Self { inner, flights: Arc::new(Flights::new(config.followers_max)), key, env }
    }
}

impl<S, R, K, G> Clone for Service<S, R, K, G>
where
    S: tower_service::Service<Call<R>> + Clone,
    G: Clone,
{
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            flights: self.flights.clone(),
            key: self.key.clone(),
            env: self.env.clone(),
        }
    }
}

impl<S: tower_service::Service<Call<R>>, R, K, G> Debug for Service<S, R, K, G> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service").finish_non_exhaustive()
    }
}

impl<R, S, K, G, T, E> tower_service::Service<Call<R>> for Service<S, R, K, G>
where
    S: tower_service::Service<Call<R>, Response = T, Error = Error<E>>,
    K: Hash + Eq + Clone,
    G: Fn(&Call<R>) -> Option<K>,
    T: Clone,
    E: Clone,
{
    type Response = T;
    type Error = Error<E>;
    type Future = Future<(K, Criticality), S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, call: Call<R>) -> Self::Future {
        let Some(key) = (self.key)(&call) else {
            return Future::alone(self.inner.call(call));
        };
        let Facts { now, deadline, criticality, .. } = call.facts;
        if deadline.is_some_and(|deadline| deadline <= now) {
            self.env.decided(Decision::DeadlinePassed);
            return Future::late();
        }
        let inner = &mut self.inner;
        let shared = Call { facts: Facts { deadline: None, ..call.facts }, ..call };
        let (passenger, is_follower) = self.flights.board((key, criticality), || inner.call(shared));
        if is_follower {
            self.env.decided(Decision::Coalesced);
        }
        Future::aboard(passenger, deadline, self.env.clone())
    }
}
