//! What the log has for readers that a shard's feed has left behind.

use std::sync::Arc;

use mainstay_base::position::Index;
use mainstay_log::accept::{Acceptance, Cursor, Verdict};
use mainstay_log::record::{Kind, Record};
use mainstay_log::{Error as LogError, Log};
use mainstay_machine::batch::Batch;
use mainstay_machine::feed::Changes;
use mainstay_machine::position::Place;
use mainstay_machine::shards::Error;
use tokio::sync::Semaphore;

use super::trimmed;
use crate::feed::Part;
use crate::owner::Applied;
use crate::snapshot::copy;
use crate::snapshot::location::Location;
use crate::space::{Parts, Shard, Space};

/// Readers that are given records from the log at once: each has a page of them in memory.
const READERS_MAX: usize = 4;

/// What is read of the log at once, beyond what was asked for.
const PAGE_BYTES: usize = 1 << 20;

/// Where records are that no feed has any more.
pub(in crate::space) struct Source {
    log: Arc<dyn Log>,
    snapshots: Location,
    /// How many shards there are.
    shards: u32,
    readers: Semaphore,
}

impl Source {
    pub(in crate::space) fn new(parts: &Parts, shards: u32) -> Self {
        let (log, snapshots) = (Arc::clone(&parts.log), parts.snapshots.clone());
        Self { log, snapshots, shards, readers: Semaphore::new(READERS_MAX) }
    }
}

/// What is read of a log.
struct Reading {
    acceptance: Acceptance,
    after: Place,
    /// The last record that may be shown.
    last: Index,
    records: Vec<Arc<Changes>>,
    bytes: usize,
}

impl Space {
    /// Reads what comes after a place, about as many bytes. Errors: [`Error::Trimmed`] and those of the log.
    pub(super) async fn read_log(
        &self,
        shard: &Shard,
        after: Place,
        bytes_max: usize,
    ) -> Result<Part, Error> {
        let _reader = self.source.readers.acquire().await.expect("it is never closed");
        shard.counters.caught_up();
        let from = self.source.place_before(shard, after).await?;
        let mut reading = Reading {
            acceptance: Acceptance::resume(shard.id, from),
            after,
            last: shard.feed.last(),
            records: Vec::new(),
            bytes: 0,
        };
        while reading.next() <= reading.last && reading.bytes < bytes_max {
            let page = self.source.log.read(shard.id, reading.next(), PAGE_BYTES).await;
            let page = page.map_err(|error| unreadable(shard, error))?;
            if page.is_empty() {
                break;
            }
            for record in &page {
                if reading.next() > reading.last || reading.bytes >= bytes_max {
                    break;
                }
                reading.offer(record)?;
            }
            shard.feed.note(reading.acceptance.cursor());
            tokio::task::yield_now().await;
        }
        let reached = Index::new(reading.next().get() - 1).max(after.index);
        Ok(Part { records: reading.records, reached })
    }
}

impl Source {
    /// The last known place before a record, from which on it is known what counts.
    async fn place_before(&self, shard: &Shard, after: Place) -> Result<Cursor, Error> {
        let tail = self.log.tail(shard.id).await.map_err(|error| unreadable(shard, error))?;
        shard.feed.trimmed(tail.begins);
        if after.index.next() < tail.begins {
            return Err(gone(shard, tail.begins));
        }
        if let Some(cursor) = shard.feed.before(after.index) {
            return Ok(cursor);
        }
        if tail.begins == Index::FIRST {
            return Ok(Cursor::START);
        }
        let unavailable = |error: &dyn ToString| Error::Unavailable { reason: error.to_string() };
        let names = self.snapshots.list(shard.id).await.map_err(|error| unavailable(&error))?;
        for name in
            names.into_iter().filter(|name| name.timeline == after.timeline && name.index <= after.index)
        {
            match copy::header(&self.snapshots, name, self.shards).await {
                Ok(header) => {
                    let applied = Applied::decode(&header.memo);
                    let cursor = applied.map_err(|error| unavailable(&error))?.cursor;
                    if cursor.next >= tail.begins {
                        return Ok(cursor);
                    }
                }
                Err(copy::Error::Damaged { .. } | copy::Error::Foreign { .. }) => {}
                Err(error) => return Err(unavailable(&error)),
            }
        }
        Err(gone(shard, tail.begins))
    }
}

impl Reading {
    /// The record to read next.
    fn next(&self) -> Index {
        self.acceptance.cursor().next
    }

    fn offer(&mut self, record: &Record) -> Result<(), Error> {
        let broken = |reason: String| Error::Broken { reason };
        match self.acceptance.offer(record) {
            Verdict::Skipped(_) => return Ok(()),
            Verdict::Damaged { place, damage } => {
                return Err(broken(format!("the log is damaged at {place}: {damage}")));
            }
            Verdict::Accepted => {}
        }
        let index = record.head().index;
        if record.head().kind == Kind::Data && index > self.after.index {
            let batch = Batch::decode(record.payload()).map_err(|error| broken(error.to_string()))?;
            let changes = Changes::of(Place { index, ..self.after }, &batch);
            self.bytes += record.encoded_bytes();
            if !changes.is_empty() {
                self.records.push(Arc::new(changes));
            }
        }
        Ok(())
    }
}

fn unreadable(shard: &Shard, error: LogError) -> Error {
    match error {
        LogError::Trimmed { begins, .. } => {
            shard.feed.trimmed(begins);
            gone(shard, begins)
        }
        LogError::Damaged { .. } => Error::Broken { reason: error.to_string() },
        error => Error::Unavailable { reason: error.to_string() },
    }
}

fn gone(shard: &Shard, begins: Index) -> Error {
    shard.counters.feed_gone();
    trimmed(&format!("the log of shard {} begins at index {begins}", shard.id))
}
