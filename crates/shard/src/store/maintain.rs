//! What background threads do to a store: flush, compact, delete ranges, tidy up.
//!
//! A flush writes all memtables sealed so far as one run, and shows it by one rename of the tree's `current`. So the disk is always
//! the state at one applied index, and never a mixture. Each result becomes visible to readers by a new [`Layers`].

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use lsm_tree::compaction::Leveled;
use lsm_tree::{AbstractTree, Result as TreeResult, Table};
use mainstay_base::units::Duration;
use mainstay_machine::row::RowRange;

use super::Error;
use super::directory::{self, TABLES};
use super::inner::{Inner, SEALED_MAX, lock, said};
use super::merge::{Direction, Newest};
use super::pool::Kind;
use super::view::{Layers, Run};

/// Ranges that wait for their deletion, at most.
const DELETIONS_MAX: usize = 64;

/// Rows that are deleted at once.
const DELETED_ROWS: usize = 1_000;

/// Runs that are merged at once while a log is replayed and nobody reads.
const REPLAY_RUNS: u8 = 12;

/// A range that is to be deleted, and who is told.
pub(super) struct Deletion {
    range: RowRange,
    done: Option<Done>,
    closed: Error,
}

type Done = Box<dyn FnOnce(Result<(), Error>) + Send>;

impl Inner {
    /// One piece of work. An error is for [`Inner::note_failure`].
    pub(super) fn step(self: &Arc<Self>, kind: Kind) -> TreeResult<()> {
        if self.is_broken() || self.is_closed() {
            return Ok(());
        }
        match kind {
            Kind::Flush => self.flush_step(),
            Kind::Compact => self.delete_step().and_then(|()| self.compact_step()),
        }
    }

    pub(super) fn note_success(&self, kind: Kind, took: Duration) {
        self.note_outcome(kind, None);
        self.counters.note_busy(kind, took);
    }

    /// Whether the step is to be repeated: when the disk was full, and nothing but a part of a table was written.
    ///
    /// Anything else must not be. What a failed sync was to write may be gone from memory, and the manifest that would be written again
    /// may be the one that is named already.
    pub(super) fn note_failure(&self, kind: Kind, error: &lsm_tree::Error) -> bool {
        let reason = said(error);
        let kinds = [ErrorKind::StorageFull, ErrorKind::QuotaExceeded];
        let is_full = matches!(error, lsm_tree::Error::Io(error) if kinds.contains(&error.kind()));
        if !is_full || directory::current_version(&self.directory) != Some(self.tree.current_version().id()) {
            self.stop_writing(&reason);
            return false;
        }
        self.sweep();
        self.note_outcome(kind, Some(reason.clone()));
        if kind == Kind::Flush {
            self.shared.lock().full = Some(reason);
            self.attempts.fetch_add(1, Ordering::AcqRel);
            self.shared.notify();
        }
        true
    }

    fn flush_step(self: &Arc<Self>) -> TreeResult<()> {
        let flushing = lock(&self.flushing);
        self.seal_if_asked();
        let sealed = self.layers().sealed.clone();
        if let (Some(last), false) = (sealed.last(), self.is_broken()) {
            // Views keep their memtables, so that older versions are of use to nobody.
            let memtables = sealed.iter().map(|sealed| sealed.memtable.iter()).collect();
            let rows = Newest::new(memtables, Direction::Forward);
            if let Some((tables, _)) = self.tree.flush_to_tables(rows)? {
                let bytes: u64 = tables.iter().map(|table| table.metadata.file_size).sum();
                self.counters.bytes_flushed.fetch_add(bytes, Ordering::Relaxed);
                self.tree.register_tables(&tables, None, None, &[], self.watermark())?;
            }
            self.install(sealed.len());
            self.raise_durable(last.applied);
            self.flushed.store(last.memtable.id + 1, Ordering::Release);
            self.shared.lock().full = None;
            self.free(sealed.iter().map(|sealed| sealed.memtable.size()).sum());
            self.rotate_late();
            if self.is_seal_asked.load(Ordering::Acquire) {
                self.shared.push(self, Kind::Flush);
            }
            self.shared.push(self, Kind::Compact);
        }
        drop(flushing);
        self.attempts.fetch_add(1, Ordering::AcqRel);
        self.shared.notify();
        self.tidy();
        Ok(())
    }

    /// Seals what is written to, if there is room for one more that waits. When the lock is not to be had the store is broken.
    fn seal_if_asked(&self) {
        let Ok(mut writer) = self.writer() else { return };
        let layers = self.layers();
        let is_possible = layers.sealed.len() < SEALED_MAX;
        if is_possible && self.is_seal_asked.swap(false, Ordering::AcqRel) && !layers.active.is_empty() {
            self.rotate(&mut writer);
        }
    }

    fn compact_step(self: &Arc<Self>) -> TreeResult<()> {
        let options = &self.shared.options;
        let is_replaying = self.is_replaying.load(Ordering::Relaxed);
        let runs = if is_replaying { options.level0_runs.max(REPLAY_RUNS) } else { options.level0_runs };
        let leveled =
            Leveled::default().with_table_target_size(options.table.bytes()).with_l0_threshold(runs);
        let compacting = lock(&self.compacting);
        let before = self.tree.current_version().id();
        self.tree.compact(Arc::new(leveled), self.watermark())?;
        if self.tree.current_version().id() != before {
            self.install(0);
            self.shared.push(self, Kind::Compact);
        }
        drop(compacting);
        self.tidy();
        Ok(())
    }

    /// Shows the tree's tables to readers, and forgets the oldest memtables, whose rows are in them.
    pub(super) fn install(&self, flushed: usize) {
        let _installing = lock(&self.installing);
        let version = self.tree.current_version();
        let level0_runs = version.iter_levels().next().map_or(0, |level| level.len());
        let runs: Vec<Run> =
            version.iter_levels().flat_map(|level| level.iter()).cloned().map(|run| run as Run).collect();
        let shown: BTreeSet<u64> = tables(&self.layers()).map(Table::id).collect();
        let new = runs.iter().flat_map(|run| run.iter()).filter(|table| !shown.contains(&table.id()));
        for table in new {
            self.counters.bytes_written.fetch_add(table.metadata.file_size, Ordering::Relaxed);
            self.tables_shown.fetch_max(table.id(), Ordering::AcqRel);
        }
        self.level0_runs.store(level0_runs as u64, Ordering::Relaxed);
        let mut layers = self.layers.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut next = Layers::clone(&layers);
        next.sealed.drain(..flushed);
        next.runs = Arc::new(runs);
        let replaced = std::mem::replace(&mut *layers, Arc::new(next));
        drop(layers);
        self.retire(replaced);
    }

    /// Lets go of what no view has any more.
    fn tidy(&self) {
        let mut retired = lock(&self.retired);
        let (held, free): (Vec<_>, Vec<_>) =
            retired.drain(..).partition(|layers: &Arc<Layers>| Arc::strong_count(layers) > 1);
        *retired = held;
        drop(retired);
        drop(free);
    }

    /// Removes the part of a table that a failed step has left: the tree does it only when it is opened, and on a full disk each
    /// attempt leaves one. What is older than the newest table shown is left until then.
    fn sweep(&self) {
        let _compacting = lock(&self.compacting);
        let _flushing = lock(&self.flushing);
        let shown = self.tables_shown.load(Ordering::Acquire);
        let version = self.tree.current_version();
        let Ok(files) = fs::read_dir(self.directory.join(TABLES)) else { return };
        for file in files.flatten() {
            let id = file.file_name().to_str().and_then(|name| name.parse::<u64>().ok());
            if id.is_some_and(|id| id > shown && !version.iter_tables().any(|table| table.id() == id)) {
                // A file that stays is removed when the store is opened.
                let _ = fs::remove_file(file.path());
            }
        }
    }

    pub(super) fn delete_range(self: &Arc<Self>, range: RowRange, done: Done) {
        let closed = Error::Closed { directory: self.directory.clone() };
        let deletion = Deletion { range, done: Some(done), closed };
        let checked = self.check(&self.shared.lock());
        if checked.is_err() {
            return deletion.finish(checked);
        }
        let mut deletions = lock(&self.deletions);
        let waiting = deletions.len();
        if waiting >= DELETIONS_MAX {
            drop(deletions);
            return deletion.finish(Err(Error::Busy { waiting }));
        }
        deletions.push_back(deletion);
        drop(deletions);
        self.shared.push(self, Kind::Compact);
    }

    /// Deletes the first range that waits. An error of the tree is for the thread, which may repeat it; others end the deletion.
    fn delete_step(self: &Arc<Self>) -> TreeResult<()> {
        let Some(range) = lock(&self.deletions).front().map(|deletion| deletion.range.clone()) else {
            return Ok(());
        };
        if range.start < range.end {
            let compacting = lock(&self.compacting);
            self.tree.drop_range::<&[u8], _>(&range.start[..]..&range.end[..])?;
            self.install(0);
            drop(compacting);
        }
        let outcome = self.delete_rows(&range);
        if matches!(outcome, Err(Error::Full { .. })) {
            return Err(lsm_tree::Error::Io(ErrorKind::StorageFull.into()));
        }
        let deletion = lock(&self.deletions).pop_front();
        if let Some(deletion) = deletion {
            deletion.finish(outcome);
        }
        self.shared.push(self, Kind::Compact);
        Ok(())
    }

    /// Tombstones for what is left of a range, on disk when it returns. What a dropped table has hidden shows until then.
    fn delete_rows(self: &Arc<Self>, range: &RowRange) -> Result<(), Error> {
        loop {
            let rows = self.view().rows(range).take(DELETED_ROWS);
            let keys = rows.map(|row| row.map(|(key, _)| key)).collect::<Result<Vec<_>, _>>()?;
            if keys.is_empty() {
                return self.flush();
            }
            self.write_tombstones(keys)?;
        }
    }

    /// Asks for a flush of everything applied so far. The number of the last memtable of it; none if all is on disk.
    pub(super) fn ask_for_flush(self: &Arc<Self>) -> Result<Option<u64>, Error> {
        let writer = self.writer()?;
        let layers = self.layers();
        drop(writer);
        let sealed = layers.sealed.last().map(|sealed| &sealed.memtable);
        let last = Some(&layers.active).filter(|active| !active.is_empty()).or(sealed);
        if last.is_some() {
            self.is_seal_asked.store(true, Ordering::Release);
            self.shared.push(self, Kind::Flush);
            self.shared.retry_now();
        }
        Ok(last.map(|memtable| memtable.id))
    }

    pub(super) fn flush(self: &Arc<Self>) -> Result<(), Error> {
        let attempts = self.attempts.load(Ordering::Acquire);
        let Some(last) = self.ask_for_flush()? else { return self.check(&self.shared.lock()) };
        let mut work = self.shared.lock();
        while self.flushed.load(Ordering::Acquire) <= last {
            self.check(&work)?;
            let was_tried = self.attempts.load(Ordering::Acquire) > attempts;
            if let Some(reason) = work.full.as_ref().filter(|_| was_tried) {
                return Err(Error::Full { size: self.shared.options.memtables_max, reason: reason.clone() });
            }
            work = self.shared.wait(work);
        }
        Ok(())
    }

    /// Waits until there is nothing more to compact.
    pub(super) fn settle(self: &Arc<Self>) -> Result<(), Error> {
        self.flush()?;
        self.shared.push(self, Kind::Compact);
        let mut work = self.shared.lock();
        while self.jobs.is_busy(Kind::Compact) {
            self.check(&work)?;
            work = self.shared.wait(work);
        }
        self.check(&work)
    }
}

impl Deletion {
    pub(super) fn finish(mut self, outcome: Result<(), Error>) {
        if let Some(done) = self.done.take() {
            done(outcome);
        }
    }
}

impl Drop for Deletion {
    /// The store was closed, or has stopped writing, before its turn.
    fn drop(&mut self) {
        if let Some(done) = self.done.take() {
            done(Err(self.closed.clone()));
        }
    }
}

pub(super) fn tables(layers: &Layers) -> impl Iterator<Item = &Table> {
    layers.runs.iter().flat_map(|run| run.iter())
}
