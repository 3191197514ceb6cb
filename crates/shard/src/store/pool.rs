//! What all stores of a process share: threads, memory for memtables, block cache, open files.
//!
//! A store is in the queue of each kind of work at most once, so queues are as long as there are stores. Whatever others wait for
//! changes before they are woken, under one lock, so that no wake-up is missed.

use std::any::Any;
use std::collections::{BTreeSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use lsm_tree::{Cache, DescriptorTable};
use mainstay_base::time::Clock;
use mainstay_base::units::Size;

use super::inner::Inner;
use super::{Error, Options, PoolStats};

/// How long a thread waits for room on a full disk before it tries again.
const FULL_RETRY: Duration = Duration::from_millis(200);

/// What the stores of a process share. When it is dropped, its threads end after what they are at, and nothing is flushed
/// any more: close the stores first.
pub struct Pool {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

/// What a background thread does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Flush,
    Compact,
}

pub(super) struct Shared {
    pub(super) options: Options,
    pub(super) cache: Arc<Cache>,
    pub(super) files: Arc<DescriptorTable>,
    clock: Arc<dyn Clock>,
    memtable_bytes: AtomicU64,
    stores: AtomicU64,
    /// The threads have ended, or one has died.
    is_halted: AtomicBool,
    work: Mutex<Work>,
    /// There is something to do.
    wake: Condvar,
    /// There may be room on a full disk.
    retry: Condvar,
    /// Something happened that somebody may wait for.
    changed: Condvar,
}

#[derive(Default)]
pub(super) struct Work {
    queues: [VecDeque<Queued>; 2],
    /// The directories of the stores that are open.
    open: BTreeSet<PathBuf>,
    is_stopped: bool,
    /// What killed a thread.
    pub(super) dead: Option<String>,
    /// What the disk said when there was no room for the last flush that was tried.
    pub(super) full: Option<String>,
}

struct Queued {
    store: Weak<Inner>,
    jobs: Arc<Jobs>,
}

/// Which work a store waits for, and which is done on it. Written under the lock of [`Work`].
#[derive(Default)]
pub(super) struct Jobs([Job; 2]);

#[derive(Default)]
struct Job {
    is_queued: AtomicBool,
    is_running: AtomicBool,
}

/// The one store that may be open in a directory.
pub(super) struct Place {
    shared: Arc<Shared>,
    directory: PathBuf,
}

impl Pool {
    /// Starts the threads. Errors: [`Error::Options`], [`Error::Threads`].
    pub fn new(options: &Options, clock: Arc<dyn Clock>) -> Result<Self, Error> {
        options.check()?;
        let shared = Arc::new(Shared {
            cache: Arc::new(Cache::with_capacity_bytes(options.cache.bytes())),
            files: Arc::new(DescriptorTable::new(options.files_max)),
            options: options.clone(),
            clock,
            memtable_bytes: AtomicU64::new(0),
            stores: AtomicU64::new(0),
            is_halted: AtomicBool::new(false),
            work: Mutex::default(),
            wake: Condvar::new(),
            retry: Condvar::new(),
            changed: Condvar::new(),
        });
        // Threads that were started end with it when one cannot be.
        let mut pool = Self { shared, threads: Vec::new() };
        let flushing = std::iter::repeat_n(Kind::Flush, options.flush_threads);
        for kind in flushing.chain(std::iter::repeat_n(Kind::Compact, options.compaction_threads)) {
            let shared = Arc::clone(&pool.shared);
            let thread = thread::Builder::new().name(kind.thread().into()).spawn(move || shared.run(kind));
            pool.threads.push(thread.map_err(|error| Error::Threads { reason: error.to_string() })?);
        }
        Ok(pool)
    }

    /// How much of the memory for memtables is taken. Above 1 nothing is applied; whoever takes new work should refuse it earlier.
    pub fn memtables_ratio(&self) -> f64 {
        self.shared.memtables_ratio()
    }

    /// What they use together.
    pub fn stats(&self) -> PoolStats {
        let shared = &self.shared;
        PoolStats {
            stores: shared.stores.load(Ordering::Relaxed),
            memtables: Size::from_bytes(shared.memtable_bytes.load(Ordering::Relaxed)),
            memtables_max: shared.options.memtables_max,
            cache: Size::from_bytes(shared.cache.size()),
            cache_max: Size::from_bytes(shared.cache.capacity()),
        }
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        let mut work = self.shared.lock();
        work.is_stopped = true;
        self.shared.is_halted.store(true, Ordering::Release);
        drop(work);
        self.shared.wake.notify_all();
        self.shared.retry.notify_all();
        self.shared.changed.notify_all();
        for thread in self.threads.drain(..) {
            // If it has panicked it has told so.
            let _ = thread.join();
        }
    }
}

impl Kind {
    fn thread(self) -> &'static str {
        match self {
            Self::Flush => "store-flush",
            Self::Compact => "store-compact",
        }
    }
}

impl Jobs {
    fn of(&self, kind: Kind) -> &Job {
        &self.0[kind as usize]
    }

    /// Whether work of this kind waits or is done.
    pub(super) fn is_busy(&self, kind: Kind) -> bool {
        self.of(kind).is_queued.load(Ordering::Acquire) || self.of(kind).is_running.load(Ordering::Acquire)
    }

    pub(super) fn is_running(&self) -> bool {
        self.0.iter().any(|job| job.is_running.load(Ordering::Acquire))
    }
}

impl Shared {
    pub(super) fn lock(&self) -> MutexGuard<'_, Work> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until something has changed.
    pub(super) fn wait<'a>(&self, work: MutexGuard<'a, Work>) -> MutexGuard<'a, Work> {
        self.changed.wait(work).unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes those who wait. What they wait for was changed under the lock, or is changed before this takes it.
    pub(super) fn notify(&self) {
        drop(self.lock());
        self.changed.notify_all();
    }

    /// Has those who wait for room on a full disk try at once.
    pub(super) fn retry_now(&self) {
        self.retry.notify_all();
    }

    pub(super) fn is_halted(&self) -> bool {
        self.is_halted.load(Ordering::Acquire)
    }

    pub(super) fn memtables_ratio(&self) -> f64 {
        self.memtable_bytes.load(Ordering::Relaxed) as f64 / self.options.memtables_max.bytes() as f64
    }

    pub(super) fn is_over_budget(&self) -> bool {
        self.memtable_bytes.load(Ordering::Relaxed) >= self.options.memtables_max.bytes()
    }

    pub(super) fn take_memory(&self, bytes: u64) {
        self.memtable_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn give_memory_back(&self, bytes: u64) {
        self.memtable_bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.notify();
    }

    /// The size at which a memtable is sealed. Those that are written to take half of the memory at most, so that when all of it is
    /// taken, some are being flushed.
    pub(super) fn memtable_max(&self) -> u64 {
        let stores = self.stores.load(Ordering::Relaxed).max(1);
        self.options.memtable.bytes().min(self.options.memtables_max.bytes() / 2 / stores)
    }

    /// Has a thread work on a store, unless it is going to.
    pub(super) fn push(&self, store: &Arc<Inner>, kind: Kind) {
        let job = store.jobs.of(kind);
        if job.is_queued.load(Ordering::Acquire) {
            return;
        }
        let mut work = self.lock();
        if store.is_closed() || job.is_queued.swap(true, Ordering::AcqRel) {
            return;
        }
        work.queues[kind as usize]
            .push_back(Queued { store: Arc::downgrade(store), jobs: Arc::clone(&store.jobs) });
        drop(work);
        self.wake.notify_all();
    }

    /// Takes a store out of all queues.
    pub(super) fn forget(&self, work: &mut Work, store: &Inner) {
        for queue in &mut work.queues {
            queue.retain(|queued| !Arc::ptr_eq(&queued.jobs, &store.jobs));
        }
        store.jobs.0.iter().for_each(|job| job.is_queued.store(false, Ordering::Release));
    }

    fn run(self: Arc<Self>, kind: Kind) {
        let _guard = Dying { shared: &self, kind };
        while let Some(running) = self.next(kind) {
            let store = &running.store;
            let began = self.clock.now();
            let is_retried = catch_unwind(AssertUnwindSafe(|| match store.step(kind) {
                Ok(()) => {
                    store.note_success(kind, self.clock.now().saturating_since(began));
                    false
                }
                Err(error) => store.note_failure(kind, &error),
            }));
            match is_retried {
                Ok(false) => {}
                Ok(true) => {
                    self.await_room();
                    self.push(store, kind);
                }
                Err(panic) => store.stop_writing(&format!("it met a bug of this program: {}", told(&*panic))),
            }
        }
    }

    /// The next store that waits for this, and that no other thread does it for.
    fn next(self: &Arc<Self>, kind: Kind) -> Option<Running> {
        let mut work = self.lock();
        while !work.is_stopped {
            let queue = &mut work.queues[kind as usize];
            let free = |queued: &Queued| !queued.jobs.of(kind).is_running.load(Ordering::Acquire);
            let Some(queued) = queue.iter().position(free).and_then(|place| queue.remove(place)) else {
                work = self.wake.wait(work).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            if let Some(store) = queued.store.upgrade() {
                let job = queued.jobs.of(kind);
                job.is_queued.store(false, Ordering::Release);
                job.is_running.store(true, Ordering::Release);
                return Some(Running {
                    store,
                    _end: End { shared: Arc::clone(self), jobs: queued.jobs, kind },
                });
            }
        }
        None
    }

    fn await_room(&self) {
        let work = self.lock();
        if !work.is_stopped {
            drop(self.retry.wait_timeout(work, FULL_RETRY));
        }
    }
}

/// A store that a thread works on.
struct Running {
    // Before the end is told: whoever closes the store then finds no handle of ours.
    store: Arc<Inner>,
    _end: End,
}

/// Tells, also when the thread dies, that the work has ended.
struct End {
    shared: Arc<Shared>,
    jobs: Arc<Jobs>,
    kind: Kind,
}

impl Drop for End {
    fn drop(&mut self) {
        let work = self.shared.lock();
        self.jobs.of(self.kind).is_running.store(false, Ordering::Release);
        drop(work);
        self.shared.wake.notify_all();
        self.shared.changed.notify_all();
    }
}

/// What a panic said.
fn told(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref().copied()).unwrap_or("it told nothing")
}

/// Nobody waits in vain for a thread that is no more.
struct Dying<'a> {
    shared: &'a Shared,
    kind: Kind,
}

impl Drop for Dying<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            let mut work = self.shared.lock();
            work.dead = Some(format!("the thread {} has died of a bug of this program", self.kind.thread()));
            self.shared.is_halted.store(true, Ordering::Release);
            drop(work);
            self.shared.changed.notify_all();
        }
    }
}

impl Work {
    pub(super) fn is_stopped(&self) -> bool {
        self.is_stopped
    }
}

impl Place {
    /// Takes the directory. Errors: [`Error::InUse`].
    pub(super) fn take(shared: &Arc<Shared>, directory: PathBuf) -> Result<Self, Error> {
        if !shared.lock().open.insert(directory.clone()) {
            return Err(Error::InUse { directory });
        }
        shared.stores.fetch_add(1, Ordering::Relaxed);
        Ok(Self { shared: Arc::clone(shared), directory })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.shared.lock().open.remove(&self.directory);
        self.shared.stores.fetch_sub(1, Ordering::Relaxed);
    }
}
