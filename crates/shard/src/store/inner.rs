//! A store as its handles, views and threads share it: where rows are, who may write, and whether it still can.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};

use bytes::Bytes;
use lsm_tree::config::{CompressionPolicy, PinningPolicy};
use lsm_tree::{AbstractTree, AnyTree, CompressionType, Config, SeqNo, SequenceNumberCounter};
use mainstay_base::position::Index;
use mainstay_base::units::Duration;
use mainstay_machine::Mutation;

use super::maintain::Deletion;
use super::memtable::Memtable;
use super::pool::{Jobs, Kind, Place, Pool, Shared, Work};
use super::stats::Counters;
use super::view::{Layers, Sealed, View};
use super::{Applied, Error, applied, directory};

/// Memtables that wait for their flush, at most: when there are as many, the one that is written to grows.
pub(super) const SEALED_MAX: usize = 8;

/// One less than the tree takes, so that every bound of a range can be cut to what it takes.
const KEY_BYTES_MAX: usize = 65_534;

/// Runs that are not merged yet and cost a writer nothing.
const RUNS_FREE: u64 = 16;

/// The longest that an owner is asked to wait between two batches.
const DELAY_MAX_NANOS: f64 = 20e6;

/// What each run above [`RUNS_FREE`] adds to it.
const DELAY_PER_RUN_NANOS: f64 = 1e6;

pub(super) struct Inner {
    pub(super) shared: Arc<Shared>,
    pub(super) directory: PathBuf,
    pub(super) jobs: Arc<Jobs>,
    /// The tables. Its memtable stays empty and its reads are not used: they wait for syncs.
    pub(super) tree: AnyTree,
    pub(super) seqno: SequenceNumberCounter,
    /// Views see versions below it. Moves only when a batch is complete.
    published: AtomicU64,
    applied: AtomicU64,
    durable_applied: AtomicU64,
    /// Held for a batch or a rotation, never for I/O.
    writer: Mutex<Writer>,
    pub(super) layers: RwLock<Arc<Layers>>,
    /// What was replaced while views had it: a background thread lets go of it, and not whoever drops the last view.
    pub(super) retired: Mutex<Vec<Arc<Layers>>>,
    pub(super) flushing: Mutex<()>,
    pub(super) compacting: Mutex<()>,
    pub(super) installing: Mutex<()>,
    /// Whether the next flush takes what is written to as well.
    pub(super) is_seal_asked: AtomicBool,
    /// Memtables below this number are on disk.
    pub(super) flushed: AtomicU64,
    /// Flushes that were tried.
    pub(super) attempts: AtomicU64,
    pub(super) deletions: Mutex<VecDeque<Deletion>>,
    pub(super) is_replaying: AtomicBool,
    pub(super) level0_runs: AtomicU64,
    /// The highest number of a table that was shown to readers.
    pub(super) tables_shown: AtomicU64,
    pub(super) counters: Counters,
    /// What is taken of the memory for memtables.
    memory: AtomicU64,
    /// What failed when each kind of work was last tried.
    failures: Mutex<[Option<String>; 2]>,
    /// Why it writes nothing any more.
    broken: OnceLock<String>,
    is_closed: AtomicBool,
    // The last: the directory is free when all files are.
    _place: Place,
}

/// What a batch is written under.
pub(super) struct Writer {
    pub(super) applied: Index,
    /// The number of the memtable that is written to.
    memtable: u64,
}

impl Inner {
    pub(super) fn open(pool: &Pool, path: &Path) -> Result<Self, Error> {
        let directory = directory::prepare(path)?;
        let shared = pool.shared();
        let place = Place::take(shared, directory.clone())?;
        directory::check(&directory)?;
        let seqno = SequenceNumberCounter::default();
        let opened = config(&directory, shared, &seqno).open();
        let tree = opened.map_err(|error| not_opened(&directory, &error))?;
        // Zero is below everything: views see what is below a number.
        seqno.set(tree.get_highest_seqno().map_or(1, |highest| highest + 1));
        let layers = Layers { active: Arc::new(Memtable::new(0)), sealed: Vec::new(), runs: Arc::default() };
        let inner = Self {
            shared: Arc::clone(shared),
            directory,
            jobs: Arc::default(),
            tree,
            published: AtomicU64::new(seqno.get()),
            seqno,
            applied: AtomicU64::new(0),
            durable_applied: AtomicU64::new(0),
            writer: Mutex::new(Writer { applied: Index::new(0), memtable: 0 }),
            layers: RwLock::new(Arc::new(layers)),
            retired: Mutex::default(),
            flushing: Mutex::default(),
            compacting: Mutex::default(),
            installing: Mutex::default(),
            is_seal_asked: AtomicBool::new(false),
            flushed: AtomicU64::new(0),
            attempts: AtomicU64::new(0),
            deletions: Mutex::default(),
            is_replaying: AtomicBool::new(false),
            level0_runs: AtomicU64::new(0),
            tables_shown: AtomicU64::new(0),
            counters: Counters::default(),
            memory: AtomicU64::new(0),
            failures: Mutex::default(),
            broken: OnceLock::new(),
            is_closed: AtomicBool::new(false),
            _place: place,
        };
        inner.install(0);
        inner.counters.bytes_written.store(0, Ordering::Relaxed);
        inner.find_applied()?;
        Ok(inner)
    }

    fn find_applied(&self) -> Result<(), Error> {
        let found = self.layers().find(applied::KEY, SeqNo::MAX);
        let found = found.map_err(|error| not_opened(&self.directory, &error))?;
        if let Some(row) = found {
            let applied = applied::decode(&row).map_err(|what| self.damaged(what))?;
            self.show_loaded(applied.index);
        }
        Ok(())
    }

    /// Everything up to this record came to be durable at once.
    pub(super) fn show_loaded(&self, index: Index) {
        lock(&self.writer).applied = index;
        self.applied.store(index.get(), Ordering::Release);
        self.durable_applied.store(index.get(), Ordering::Release);
        // Also below what gave the tables their number.
        self.published.store(self.seqno.get(), Ordering::Release);
    }

    pub(super) fn apply<'a>(
        self: &Arc<Self>,
        mutations: impl Iterator<Item = &'a Mutation> + Clone,
        applied: &Applied,
    ) -> Result<(), Error> {
        let rows = Packed::new(mutations, applied)?;
        self.admit()?;
        let mut writer = self.writer()?;
        if applied.index <= writer.applied {
            return Err(Error::Order { given: applied.index, last: writer.applied });
        }
        self.counters.bytes_applied.fetch_add(rows.bytes.len() as u64, Ordering::Relaxed);
        self.write(&mut writer, rows, Some(applied.index));
        Ok(())
    }

    /// Deletes rows beside the log: the index stays as it is.
    pub(super) fn write_tombstones(self: &Arc<Self>, keys: Vec<Bytes>) -> Result<(), Error> {
        self.admit()?;
        let mut writer = self.writer()?;
        self.write(&mut writer, keys.into_iter().map(|key| (key, None)), None);
        Ok(())
    }

    /// Writes all rows and shows them at once; seals the memtable when it is large enough.
    fn write(
        self: &Arc<Self>,
        writer: &mut Writer,
        rows: impl Iterator<Item = (Bytes, Option<Bytes>)>,
        applied: Option<Index>,
    ) {
        let layers = self.layers();
        let seqno = self.seqno.next();
        let bytes = layers.active.write(rows, seqno);
        self.memory.fetch_add(bytes, Ordering::Relaxed);
        self.shared.take_memory(bytes);
        if let Some(applied) = applied {
            writer.applied = applied;
            self.applied.store(applied.get(), Ordering::Release);
        }
        self.published.store(seqno + 1, Ordering::Release);
        self.rotate_if_full(writer, &layers);
    }

    fn rotate_if_full(self: &Arc<Self>, writer: &mut Writer, layers: &Layers) {
        if layers.active.size() >= self.shared.memtable_max() && layers.sealed.len() < SEALED_MAX {
            self.rotate(writer);
            self.shared.push(self, Kind::Flush);
        }
    }

    /// Seals what is written to, between two batches.
    pub(super) fn rotate(&self, writer: &mut Writer) {
        writer.memtable += 1;
        let mut layers = self.layers.write().unwrap_or_else(PoisonError::into_inner);
        let mut next = Layers::clone(&layers);
        let memtable = std::mem::replace(&mut next.active, Arc::new(Memtable::new(writer.memtable)));
        next.sealed.push(Sealed { memtable, applied: writer.applied.get() });
        let replaced = std::mem::replace(&mut *layers, Arc::new(next));
        drop(layers);
        self.retire(replaced);
    }

    /// Keeps what readers may have, so that they are not the last to have it.
    pub(super) fn retire(&self, replaced: Arc<Layers>) {
        if Arc::strong_count(&replaced) > 1 {
            lock(&self.retired).push(replaced);
        }
    }

    /// Seals what has grown while there was no room for more sealed ones.
    pub(super) fn rotate_late(self: &Arc<Self>) {
        if let Ok(mut writer) = self.writer() {
            let layers = self.layers();
            self.rotate_if_full(&mut writer, &layers);
        }
    }

    /// Errors: [`Error::Broken`] when somebody has panicked in a batch, which may be half written.
    pub(super) fn writer(&self) -> Result<MutexGuard<'_, Writer>, Error> {
        self.writer.lock().map_err(|_| {
            let reason = "a batch met a bug of this program";
            self.stop_writing(reason);
            self.broken(reason)
        })
    }

    pub(super) fn layers(&self) -> Arc<Layers> {
        Arc::clone(&self.layers.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn view(self: &Arc<Self>) -> View {
        let layers = self.layers.read().unwrap_or_else(PoisonError::into_inner);
        // Under the lock: what is published afterwards may be in a memtable that came later.
        let below = self.published.load(Ordering::Acquire);
        View::new(Arc::clone(&layers), below, Arc::clone(self))
    }

    /// Older versions of what is below it are of use to nobody: views keep the tables that they need.
    pub(super) fn watermark(&self) -> SeqNo {
        self.published.load(Ordering::Acquire)
    }

    /// Waits while memory is full, unless it stays so.
    fn admit(&self) -> Result<(), Error> {
        let is_well = !self.shared.is_halted() && !self.is_broken() && !self.is_closed();
        if is_well && !self.shared.is_over_budget() {
            return Ok(());
        }
        let mut work = self.shared.lock();
        loop {
            self.check(&work)?;
            if !self.shared.is_over_budget() {
                return Ok(());
            }
            if let Some(reason) = &work.full {
                return Err(Error::Full { size: self.shared.options.memtables_max, reason: reason.clone() });
            }
            work = self.shared.wait(work);
        }
    }

    /// Whether it still writes. Errors: [`Error::Broken`], [`Error::Closed`].
    pub(super) fn check(&self, work: &Work) -> Result<(), Error> {
        if let Some(reason) = self.broken.get().or(work.dead.as_ref()) {
            return Err(self.broken(reason));
        }
        if work.is_stopped() || self.is_closed() {
            return Err(Error::Closed { directory: self.directory.clone() });
        }
        Ok(())
    }

    /// Grows with the square of what is taken of the second half of the memory, and with the runs that are not merged: a slow disk
    /// slows commits before it stops them.
    pub(super) fn delay(&self) -> Duration {
        let over = (self.shared.memtables_ratio() - 0.5).max(0.0) * 2.0;
        let runs = self.level0_runs.load(Ordering::Relaxed).saturating_sub(RUNS_FREE);
        let nanos = DELAY_MAX_NANOS * over * over + DELAY_PER_RUN_NANOS * runs as f64;
        Duration::from_nanos(nanos.min(DELAY_MAX_NANOS) as u64)
    }

    pub(super) fn applied(&self) -> Index {
        Index::new(self.applied.load(Ordering::Acquire))
    }

    pub(super) fn durable_applied(&self) -> Index {
        Index::new(self.durable_applied.load(Ordering::Acquire))
    }

    pub(super) fn raise_durable(&self, applied: u64) {
        self.durable_applied.fetch_max(applied, Ordering::AcqRel);
    }

    /// Gives memory back, at most what it has taken.
    pub(super) fn free(&self, bytes: u64) {
        let left = |taken: u64| Some(taken.saturating_sub(bytes));
        let taken = self.memory.fetch_update(Ordering::AcqRel, Ordering::Acquire, left).unwrap_or_default();
        self.shared.give_memory_back(taken.min(bytes));
    }

    /// It writes nothing any more, and no longer takes memory from those that do.
    pub(super) fn stop_writing(&self, reason: &str) {
        // The first reason is the one to mend.
        let reason = self.broken.get_or_init(|| reason.to_owned());
        let deletions = std::mem::take(&mut *lock(&self.deletions));
        deletions.into_iter().for_each(|deletion| deletion.finish(Err(self.broken(reason))));
        self.free(u64::MAX);
    }

    pub(super) fn note_outcome(&self, kind: Kind, failure: Option<String>) {
        lock(&self.failures)[kind as usize] = failure;
    }

    pub(super) fn last_error(&self) -> Option<String> {
        self.broken.get().cloned().or_else(|| lock(&self.failures).iter().flatten().next().cloned())
    }

    pub(super) fn is_broken(&self) -> bool {
        self.broken.get().is_some()
    }

    pub(super) fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Acquire)
    }

    pub(super) fn set_closed(&self, is_closed: bool) {
        self.is_closed.store(is_closed, Ordering::Release);
    }

    fn broken(&self, reason: &str) -> Error {
        Error::Broken { directory: self.directory.clone(), reason: reason.to_owned() }
    }

    pub(super) fn damaged(&self, what: String) -> Error {
        Error::Damaged { directory: self.directory.clone(), what }
    }

    pub(super) fn unreadable(&self, error: &lsm_tree::Error) -> Error {
        Error::Unreadable { directory: self.directory.clone(), reason: said(error) }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.free(u64::MAX);
    }
}

/// The rows of a batch in one piece of memory of their own, so that what a memtable holds is what it counts, whatever the batch
/// was part of.
struct Packed<M> {
    mutations: M,
    applied: Option<usize>,
    bytes: Bytes,
}

impl<'a, M: Iterator<Item = &'a Mutation> + Clone> Packed<M> {
    /// Errors: [`Error::Row`].
    fn new(mutations: M, applied: &Applied) -> Result<Self, Error> {
        let memo_bytes = applied::encoded_bytes(applied);
        let mut capacity = applied::KEY.len() + memo_bytes;
        for mutation in mutations.clone() {
            let value = mutation.value().map_or(&[][..], |value| value);
            check_row(mutation.key(), value)?;
            capacity += mutation.key().len() + value.len();
        }
        let mut bytes = Vec::with_capacity(capacity);
        for mutation in mutations.clone() {
            bytes.extend_from_slice(mutation.key());
            bytes.extend_from_slice(mutation.value().map_or(&[], |value| value));
        }
        bytes.extend_from_slice(applied::KEY);
        applied::encode(applied, &mut bytes);
        Ok(Self { mutations, applied: Some(memo_bytes), bytes: bytes.into() })
    }
}

impl<'a, M: Iterator<Item = &'a Mutation> + Clone> Iterator for Packed<M> {
    type Item = (Bytes, Option<Bytes>);

    fn next(&mut self) -> Option<Self::Item> {
        let Some(mutation) = self.mutations.next() else {
            let memo_bytes = self.applied.take()?;
            let key = self.bytes.split_to(applied::KEY.len());
            return Some((key, Some(self.bytes.split_to(memo_bytes))));
        };
        let key = self.bytes.split_to(mutation.key().len());
        Some((key, mutation.value().map(|value| self.bytes.split_to(value.len()))))
    }
}

/// Errors: [`Error::Row`].
pub(super) fn check_row(key: &[u8], value: &[u8]) -> Result<(), Error> {
    let why = if key.is_empty() {
        "a key has at least a byte"
    } else if key.len() > KEY_BYTES_MAX {
        "a key has at most 65,534 bytes"
    } else if key >= super::OWN_KEYS {
        "keys that begin with the byte 0xff are the store's own"
    } else if u32::try_from(value.len()).is_err() {
        "a value has less than 4 GiB"
    } else {
        return Ok(());
    };
    Err(Error::Row { key_bytes: key.len(), value_bytes: value.len(), why })
}

/// What is wrong with a store that was to be opened: its bytes, or what gives them.
fn not_opened(directory: &Path, error: &lsm_tree::Error) -> Error {
    let is_damaged = match error {
        lsm_tree::Error::Io(error) => {
            matches!(error.kind(), ErrorKind::InvalidData | ErrorKind::UnexpectedEof)
        }
        _ => true,
    };
    let directory = directory.to_owned();
    if is_damaged {
        let what = format!("a table or the manifest is not what was written ({})", said(error));
        Error::Damaged { directory, what }
    } else {
        Error::Open { directory, reason: said(error) }
    }
}

/// What went wrong in the tree, without its own preface.
pub(super) fn said(error: &lsm_tree::Error) -> String {
    match error {
        lsm_tree::Error::Io(error) => error.to_string(),
        error => format!("{error:?}"),
    }
}

/// What is behind these locks is whole whenever they are free.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What is young is rewritten soon and read often: it is not compressed, and its indexes and filters stay in memory.
fn config(directory: &Path, shared: &Shared, seqno: &SequenceNumberCounter) -> Config {
    // The tree's own number of what is visible is not used: flushes move it in the middle of batches.
    Config::new(directory, seqno.clone(), SequenceNumberCounter::default())
        .use_cache(Arc::clone(&shared.cache))
        .use_descriptor_table(Some(Arc::clone(&shared.files)))
        .data_block_compression_policy(CompressionPolicy::new([
            CompressionType::None,
            CompressionType::None,
            CompressionType::Lz4,
        ]))
        .index_block_pinning_policy(PinningPolicy::new([true, true, false]))
        .filter_block_pinning_policy(PinningPolicy::new([true, false]))
}
