//! A log that does not answer while its gate is closed.

use std::sync::Arc;

use mainstay_base::position::{Index, ShardId};
use mainstay_log::memory::Memory;
use mainstay_log::record::{Kind, Record};
use mainstay_log::{Appended, BoxFuture, Error, Guarantees, Limits, Log, Tail};
use tokio::sync::watch;

/// A log in memory whose appends wait while its gate is closed. What waits has not happened.
pub(super) struct Gated {
    log: Memory,
    is_open: watch::Sender<bool>,
    /// Data records that were to be appended, each attempt of them.
    attempts: watch::Sender<usize>,
}

impl Gated {
    pub(super) fn new() -> Arc<Self> {
        let (is_open, attempts) = (watch::Sender::new(true), watch::Sender::new(0));
        Arc::new(Self { log: Memory::default(), is_open, attempts })
    }

    pub(super) fn close(&self) {
        self.is_open.send_replace(false);
    }

    pub(super) fn open(&self) {
        self.is_open.send_replace(true);
    }

    /// Returns when so many attempts to append data were made.
    pub(super) async fn has_attempts(&self, count: usize) {
        let mut attempts = self.attempts.subscribe();
        attempts.wait_for(|attempts| *attempts >= count).await.expect("the sender is in `self`");
    }

    pub(super) fn attempts(&self) -> usize {
        *self.attempts.borrow()
    }
}

impl Log for Gated {
    fn append(&self, record: Record) -> BoxFuture<'_, Result<Appended, Error>> {
        Box::pin(async move {
            if record.head().kind == Kind::Data {
                self.attempts.send_modify(|attempts| *attempts += 1);
            }
            let mut is_open = self.is_open.subscribe();
            is_open.wait_for(|is_open| *is_open).await.expect("the sender is in `self`");
            self.log.append(record).await
        })
    }

    fn read(
        &self,
        shard: ShardId,
        from: Index,
        bytes_max: usize,
    ) -> BoxFuture<'_, Result<Vec<Record>, Error>> {
        self.log.read(shard, from, bytes_max)
    }

    fn tail(&self, shard: ShardId) -> BoxFuture<'_, Result<Tail, Error>> {
        self.log.tail(shard)
    }

    fn wait(&self, shard: ShardId, index: Index) -> BoxFuture<'_, Result<(), Error>> {
        self.log.wait(shard, index)
    }

    fn trim(&self, shard: ShardId, to: Index) -> BoxFuture<'_, Result<(), Error>> {
        self.log.trim(shard, to)
    }

    fn limits(&self) -> Limits {
        self.log.limits()
    }

    fn guarantees(&self) -> Guarantees {
        self.log.guarantees()
    }

    fn preflight(&self) -> BoxFuture<'_, Result<Guarantees, Error>> {
        self.log.preflight()
    }
}
