//! A log that does not answer while its gate is closed.

use std::sync::{Arc, Mutex};

use mainstay_base::position::{Index, ShardId};
use mainstay_log::memory::Memory;
use mainstay_log::record::{Kind, Record};
use mainstay_log::{Appended, BoxFuture, Error, Guarantees, Limits, Log, Tail};
use tokio::sync::watch;

/// A log in memory whose appends wait while its gate is closed. What waits has not happened.
pub(super) struct Gated {
    log: Memory,
    is_open: watch::Sender<bool>,
    /// The only shard that the gate is for, if there is one.
    only: Mutex<Option<ShardId>>,
    /// Data records that were to be appended, each attempt of them.
    attempts: watch::Sender<usize>,
}

impl Gated {
    pub(super) fn new() -> Arc<Self> {
        let (is_open, attempts) = (watch::Sender::new(true), watch::Sender::new(0));
        Arc::new(Self { log: Memory::default(), is_open, only: Mutex::default(), attempts })
    }

    /// Attempts count from here on.
    pub(super) fn close(&self) {
        self.is_open.send_replace(false);
        self.attempts.send_replace(0);
    }

    /// Closes the gate for one shard alone.
    pub(super) fn close_for(&self, shard: u32) {
        *self.only.lock().expect("nobody panics under it") = Some(ShardId::new(shard));
        self.close();
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
            let only = *self.only.lock().expect("nobody panics under it");
            if only.is_none_or(|only| only == record.head().shard) {
                let mut is_open = self.is_open.subscribe();
                is_open.wait_for(|is_open| *is_open).await.expect("the sender is in `self`");
            }
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
