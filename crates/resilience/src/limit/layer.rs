//! A limit that many share: every layer, service and operator with the same handle counts the same callers.

use std::sync::Arc;

use mainstay_base::time::Instant;

use super::table::Table;
use super::{Config, Service, Standing};
use crate::call::{Call, Key};
use crate::env::Env;
use crate::error::Rejection;
use crate::watch::Decision;

/// A limit that many share. Clones are the same one.
///
/// At most `keys_max` callers are known at a time. A new one takes the place of one that has nothing to come back. When there is none, it shares one count with the
/// other new ones whose keys have the same bits: whoever makes up keys without end slows new callers, and neither takes memory nor has the count of a
/// known one forgotten.
#[derive(Debug, Clone)]
pub struct Handle {
    table: Arc<Table>,
    env: Env,
}

impl Handle {
    /// One that knows nobody yet. Panics if the configuration has more windows than there may be: [`Config::check`] refuses it.
    pub fn new(config: &Config, env: Env) -> Self {
        Self { table: Arc::new(Table::new(config)), env }
    }

    /// How many callers are known.
    pub fn keys(&self) -> usize {
        self.table.keys()
    }

    /// How a caller stands by the window with the fewest units left. Takes nothing.
    pub fn standing(&self, key: Key) -> Standing {
        let (standing, _) = self.table.take(key, 0, self.env.now());
        standing.expect("what costs nothing is always admitted")
    }

    /// Takes units of a caller. Errors: [`Rejection::RateLimited`], [`Rejection::CostAboveBurst`]; then nothing is taken. For those who call without a layer.
    pub fn ask(&self, key: Key, cost: u32, now: Instant) -> Result<Standing, Rejection> {
        let (taken, is_shared) = self.table.take(key, cost, now);
        if is_shared {
            self.env.decided(Decision::RateLimitShared);
        }
        if taken.is_err() {
            self.env.decided(Decision::RateLimited);
        }
        taken
    }
}

/// Says how many units a call takes.
///
/// A function of a call is one.
pub trait Cost<R> {
    /// How many units it takes. One that takes none is always let through; one that takes more than a burst never.
    fn cost(&self, call: &Call<R>) -> u32;
}

impl<R, F: Fn(&Call<R>) -> u32> Cost<R> for F {
    fn cost(&self, call: &Call<R>) -> u32 {
        self(call)
    }
}

/// Every call takes one unit.
#[derive(Debug, Clone, Copy, Default)]
pub struct One;

impl<R> Cost<R> for One {
    fn cost(&self, _: &Call<R>) -> u32 {
        1
    }
}

/// Tells in an answer how its caller stands. Rejections carry that themselves.
///
/// A function of an answer and a [`Standing`] is one.
pub trait Tell<T> {
    /// Writes it.
    fn tell(&self, answer: &mut T, standing: Standing);
}

impl<T, F: Fn(&mut T, Standing)> Tell<T> for F {
    fn tell(&self, answer: &mut T, standing: Standing) {
        self(answer, standing);
    }
}

/// Answers do not tell it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Untold;

impl<T> Tell<T> for Untold {
    fn tell(&self, _: &mut T, _: Standing) {}
}

/// Limits how much callers send to services.
#[derive(Debug, Clone)]
pub struct Layer<C = One, W = Untold> {
    handle: Handle,
    cost: C,
    tell: W,
}

impl Layer {
    /// By this limit. Every call takes one unit, and answers do not tell how their callers stand.
    pub const fn new(handle: Handle) -> Self {
        Self { handle, cost: One, tell: Untold }
    }
}

impl<C, W> Layer<C, W> {
    /// Calls take as many units as this says.
    pub fn costing<D>(self, cost: D) -> Layer<D, W> {
        Layer { handle: self.handle, cost, tell: self.tell }
    }

    /// Answers tell by this how their callers stand.
    pub fn telling<X>(self, tell: X) -> Layer<C, X> {
        Layer { handle: self.handle, cost: self.cost, tell }
    }
}

impl<S, C: Clone, W: Clone> tower_layer::Layer<S> for Layer<C, W> {
    type Service = Service<S, C, W>;

    fn layer(&self, inner: S) -> Service<S, C, W> {
        Service::new(inner, self.handle.clone(), self.cost.clone(), self.tell.clone())
    }
}
