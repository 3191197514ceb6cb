//! The connections of all threads to one endpoint: how many there are, and whose can be taken over.
//!
//! Each thread has connections of its own. Where there may be only so many, a thread that needs one when all are there takes over one that lies idle with another, or shares one over HTTP/2.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::endpoint::Load;
use crate::pool::Pool;

/// The connections of all threads to one endpoint.
#[derive(Debug, Default)]
pub(crate) struct Spot {
    open: AtomicU32,
    pools: Mutex<Vec<Weak<Pool>>>,
}

/// A connection that is counted until this is dropped.
#[derive(Debug)]
pub struct Opened(Arc<Load>);

impl Opened {
    /// One more, if there may be one.
    pub(crate) fn new(load: &Arc<Load>, max: Option<u32>) -> Option<Self> {
        let max = max.unwrap_or(u32::MAX);
        let more = |open: u32| (open < max).then_some(open + 1);
        let counted = load.spot.open.fetch_update(Ordering::AcqRel, Ordering::Acquire, more);
        counted.is_ok().then(|| Self(Arc::clone(load)))
    }

    /// One more, though there may be too many.
    pub(crate) fn one_more(load: &Arc<Load>) -> Self {
        load.spot.open.fetch_add(1, Ordering::AcqRel);
        Self(Arc::clone(load))
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        self.0.spot.open.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Spot {
    /// How many there are.
    pub(crate) fn open(&self) -> u32 {
        self.open.load(Ordering::Acquire)
    }

    /// Those of a pool can be taken over from now on.
    pub(crate) fn join(&self, pool: &Arc<Pool>) {
        let mut pools = self.pools();
        pools.retain(|pool| pool.strong_count() > 0);
        pools.push(Arc::downgrade(pool));
    }

    /// Asks the pools of other threads until one has something.
    pub(crate) fn ask_others<T>(&self, own: &Pool, ask: impl Fn(&Pool) -> Option<T>) -> Option<T> {
        let pools = self.pools().clone();
        let others = pools.iter().filter_map(Weak::upgrade).filter(|pool| !std::ptr::eq(&**pool, own));
        others.into_iter().find_map(|pool| ask(&pool))
    }

    fn pools(&self) -> MutexGuard<'_, Vec<Weak<Pool>>> {
        // A list of pools is one at any time.
        self.pools.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
