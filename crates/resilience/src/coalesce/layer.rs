//! Makes one call of equal ones.

use std::fmt::{self, Debug, Formatter};
use std::hash::Hash;
use std::marker::PhantomData;

use super::{Config, Service};
use crate::call::Call;
use crate::env::Env;

/// Makes one call of equal ones at one time.
///
/// The key is a function of a call, none for those that are not to be shared. It has to hold whatever the answer depends on, also on whose behalf the call is if
/// that matters: those with one key are given one answer. Calls of different criticality are never one, or a critical one would be shed as a lesser one.
///
/// The answer is cloned for each of them while others of the flight wait, so that clones should be cheap: bytes that are shared, and not copied. What is called must
/// not call with the same key again and wait for that: it would wait for itself.
///
/// Clones of a service share flights; services made by different uses of a layer do not, for they may guard different things.
pub struct Layer<R, K, G> {
    config: Config,
    key: G,
    env: Env,
    of: PhantomData<fn(R) -> K>,
}

impl<R, K, G: Fn(&Call<R>) -> Option<K>> Layer<R, K, G> {
    /// Those with the same key are one call.
    pub const fn new(config: Config, key: G, env: Env) -> Self {
        Self { config, key, env, of: PhantomData }
    }
}

impl<R, K, G: Clone> Clone for Layer<R, K, G> {
    fn clone(&self) -> Self {
        Self { config: self.config, key: self.key.clone(), env: self.env.clone(), of: PhantomData }
    }
}

impl<R, K, G> Debug for Layer<R, K, G> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Layer").field("config", &self.config).finish_non_exhaustive()
    }
}

impl<S, R, K, G> tower_layer::Layer<S> for Layer<R, K, G>
where
    S: tower_service::Service<Call<R>>,
    K: Hash + Eq + Clone,
    G: Fn(&Call<R>) -> Option<K> + Clone,
{
    type Service = Service<S, R, K, G>;

    fn layer(&self, inner: S) -> Self::Service {
        Service::new(inner, self.config, self.key.clone(), self.env.clone())
    }
}
