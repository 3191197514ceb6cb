//! Who waits for an append, in engines that know within this process when there is one.
//!
//! A waker may run what it likes when it is woken or dropped, the log's own methods too: both happen outside of any lock.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll, Waker};

use mainstay_base::position::{Index, ShardId};

use crate::{BoxFuture, Error};

/// Where wakers are kept.
pub(crate) trait Waitable: Sync {
    /// Keeps the waker under the number, until an append at `index` or [`Waitable::forget`]. Returns false, and keeps nothing, when
    /// the append has been. Errors: it will not be.
    fn register(&self, shard: ShardId, index: Index, number: u64, waker: &Waker) -> Result<bool, Error>;

    /// Drops the waker with the number, if it is still kept.
    fn forget(&self, shard: ShardId, number: u64);
}

/// Who waits for an append to a shard.
#[derive(Debug, Default)]
pub(crate) struct Waiters(BTreeMap<u64, Waker>);

impl Waiters {
    pub(crate) const fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// Returns the waker that was kept before, to be dropped outside of the lock.
    #[must_use]
    pub(crate) fn insert(&mut self, number: u64, waker: &Waker) -> Option<Waker> {
        self.0.insert(number, waker.clone())
    }

    /// Returns the waker, to be dropped outside of the lock.
    #[must_use]
    pub(crate) fn remove(&mut self, number: u64) -> Option<Waker> {
        self.0.remove(&number)
    }

    /// Everyone, to be woken outside of the lock.
    pub(crate) fn take(&mut self) -> impl Iterator<Item = Waker> + use<> {
        std::mem::take(&mut self.0).into_values()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Ends when the shard has a record at `index`. Cancel-safe.
pub(crate) fn wait(log: &impl Waitable, shard: ShardId, index: Index) -> BoxFuture<'_, Result<(), Error>> {
    static LAST: AtomicU64 = AtomicU64::new(0);
    Box::pin(Wait { log, shard, index, number: LAST.fetch_add(1, Relaxed), is_registered: false })
}

struct Wait<'a, T: Waitable> {
    log: &'a T,
    shard: ShardId,
    index: Index,
    number: u64,
    is_registered: bool,
}

impl<T: Waitable> Future for Wait<'_, T> {
    type Output = Result<(), Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { log, shard, index, number, .. } = *self;
        match log.register(shard, index, number, context.waker()) {
            Ok(true) => {
                self.is_registered = true;
                Poll::Pending
            }
            Ok(false) => Poll::Ready(Ok(())),
            Err(error) => Poll::Ready(Err(error)),
        }
    }
}

impl<T: Waitable> Drop for Wait<'_, T> {
    fn drop(&mut self) {
        if self.is_registered {
            self.log.forget(self.shard, self.number);
        }
    }
}
