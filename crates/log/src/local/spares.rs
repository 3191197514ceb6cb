//! Files that are ready to become segments: made of zeros in the background, or segments that were let go.
//!
//! A file is written in full and synced before it gets a segment's name, so that a group's sync has no length
//! and no extents to write. What a recycled file still holds is never zeroed: no group of it belongs where
//! it comes to lie.

use std::io::{self, ErrorKind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use mainstay_base::time::{Clock, Instant};
use mainstay_base::units::{Duration, Size};

use super::disk::{Disk, File};
use super::names;
use super::segment::Segment;

/// How much is written at once.
const WRITE_BYTES: usize = 1 << 20;

/// How much is synced at once, so that a group's sync does not wait behind a whole segment of zeros.
const SYNC_BYTES: u64 = 8 << 20;

/// How long to wait after a failure that came as a surprise before a segment is made again.
const PAUSE: Duration = Duration::from_secs(1);

pub(crate) struct Spares {
    disk: Arc<dyn Disk>,
    clock: Arc<dyn Clock>,
    /// The length of the segments that are kept as spares.
    bytes: u64,
    max: usize,
    state: Mutex<State>,
    /// Told when there may be something to prepare.
    changed: Condvar,
    /// Held while a file is made: who needs it waits for it.
    making: Mutex<()>,
    is_stopped: AtomicBool,
    /// How many files are ready; outlives this value, which holds the directory.
    count: Arc<AtomicUsize>,
}

struct State {
    ready: Vec<Spare>,
    /// Files to be removed.
    condemned: Vec<String>,
    /// The number of the next spare; no file has it or one above.
    next: u64,
    /// The last failure that could not be foreseen.
    failed: Option<(Instant, Failure)>,
    is_wanted: bool,
}

struct Spare {
    name: String,
    /// The segment that it was, while a reader may still read it.
    held: Option<Arc<Segment>>,
}

/// Makes spares for an [`Engine`](super::Engine) from another thread. Holds the directory.
#[derive(Clone)]
pub struct Preparer {
    spares: Arc<Spares>,
}

/// Why no segment can be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    Full(String),
    Broken(String),
}

/// A file of the length of a segment, under the name of a spare.
pub(crate) struct Taken {
    pub(crate) name: String,
    pub(crate) file: Box<dyn File>,
    pub(crate) bytes: u64,
}

/// Whether the error says that no space is left.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
}

impl Failure {
    pub(crate) fn new(act: &str, error: &io::Error) -> Self {
        let reason = format!("{act}: {error}");
        if is_full(error) { Self::Full(reason) } else { Self::Broken(reason) }
    }
}

impl Spares {
    /// Spares of this many bytes; `ready` have them already, and no spare has the number `next` or one above.
    pub(crate) fn new(
        disk: Arc<dyn Disk>,
        clock: Arc<dyn Clock>,
        (bytes, max): (u64, usize),
        (ready, next): (Vec<String>, u64),
    ) -> Self {
        let ready: Vec<_> = ready.into_iter().map(|name| Spare { name, held: None }).collect();
        let count = ready.len();
        let state = State { ready, condemned: Vec::new(), next, failed: None, is_wanted: true };
        Self {
            disk,
            clock,
            bytes,
            max,
            state: Mutex::new(state),
            changed: Condvar::new(),
            making: Mutex::new(()),
            is_stopped: AtomicBool::new(false),
            count: Arc::new(AtomicUsize::new(count)),
        }
    }

    /// A file to become a segment: a ready one, or else one that is made now or is being made.
    pub(crate) fn take(&self) -> Result<Taken, Failure> {
        loop {
            if let Some(spare) = self.take_ready() {
                let file = match self.disk.open(&spare.name) {
                    Ok(file) => file,
                    Err(error) => {
                        let reason = format!("{}/{}: {error}", self.disk.place(), spare.name);
                        // Open files may be short for a moment: if it is there, it is as good as before.
                        if error.kind() != ErrorKind::NotFound {
                            self.give_back(spare.name);
                        }
                        return Err(Failure::Broken(reason));
                    }
                };
                // One that an earlier process left may have its length in the page cache alone.
                if let Err(error) = file.sync() {
                    let failure = Failure::new(&format!("{}/{}", self.disk.place(), spare.name), &error);
                    self.condemn([spare.name]);
                    return Err(failure);
                }
                return Ok(Taken { name: spare.name, file, bytes: self.bytes });
            }
            self.make_if_needed()?;
        }
    }

    /// Gives back what could not be used.
    pub(crate) fn give_back(&self, name: String) {
        let mut state = self.state();
        state.ready.push(Spare { name, held: None });
        self.count.store(state.ready.len(), Ordering::Relaxed);
    }

    /// Makes the file of the first segment.
    pub(crate) fn make_first(&self, bytes: u64) -> Result<Taken, Failure> {
        let (name, file) = self.make(bytes)?;
        Ok(Taken { name, file, bytes })
    }

    /// Lets a segment go that nothing needs any more, for another one or for good. Readers may still hold it.
    pub(crate) fn recycle(&self, segment: Arc<Segment>) {
        let mut state = self.state();
        state.failed = None;
        if segment.bytes == self.bytes && state.ready.len() < self.max {
            let name = state.new_name();
            match self.disk.rename(&segment.name(), &name) {
                Ok(()) => state.ready.push(Spare { name, held: Some(segment) }),
                // Still under its name; nothing is lost if it stays.
                Err(_) => state.condemned.push(segment.name()),
            }
        } else {
            state.condemned.push(segment.name());
        }
        self.count.store(state.ready.len(), Ordering::Relaxed);
        self.want(state);
    }

    /// Has a file removed when there is time.
    pub(crate) fn condemn(&self, names: impl IntoIterator<Item = String>) {
        let mut state = self.state();
        state.condemned.extend(names);
        self.want(state);
    }

    /// Removes what is to be removed, and makes a spare if there is none.
    pub(crate) fn prepare(&self) {
        let condemned = std::mem::take(&mut self.state().condemned);
        for name in condemned {
            match self.disk.remove(&name) {
                Err(error) if error.kind() != ErrorKind::NotFound => self.state().condemned.push(name),
                _ => self.state().failed = None,
            }
        }
        // A failure is met again, and told, by whoever needs the spare.
        let _ = self.make_if_needed();
    }

    /// Waits until there may be something to prepare. Returns false when there will not be.
    pub(crate) fn wait_until_wanted(&self) -> bool {
        let mut state = self.state();
        while !state.is_wanted && !self.is_stopped() {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.is_wanted = false;
        !self.is_stopped()
    }

    /// Ends waiting and making.
    pub(crate) fn stop(&self) {
        self.is_stopped.store(true, Ordering::Relaxed);
        // Under the lock, so that nobody is between looking and waiting.
        let state = self.state();
        self.want(state);
    }

    /// Where the number of files that are ready is kept.
    pub(crate) fn count(&self) -> Arc<AtomicUsize> {
        Arc::clone(&self.count)
    }

    fn is_stopped(&self) -> bool {
        self.is_stopped.load(Ordering::Relaxed)
    }

    fn want(&self, mut state: MutexGuard<'_, State>) {
        state.is_wanted = true;
        self.changed.notify_all();
    }

    fn take_ready(&self) -> Option<Spare> {
        let mut state = self.state();
        let is_free = |spare: &mut Spare| spare.held.as_mut().is_none_or(|held| Arc::get_mut(held).is_some());
        let at = state.ready.iter_mut().position(is_free)?;
        let spare = state.ready.swap_remove(at);
        self.count.store(state.ready.len(), Ordering::Relaxed);
        self.want(state);
        Some(spare)
    }

    fn has_ready(&self) -> bool {
        let is_free = |spare: &mut Spare| spare.held.as_mut().is_none_or(|held| Arc::get_mut(held).is_some());
        self.state().ready.iter_mut().any(is_free)
    }

    fn make_if_needed(&self) -> Result<(), Failure> {
        let making = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        if self.has_ready() {
            return Ok(());
        }
        let now = self.clock.now();
        if let Some((at, failure)) = &self.state().failed
            && now.saturating_since(*at) < PAUSE
        {
            return Err(failure.clone());
        }
        let (name, _) = self.make(self.bytes)?;
        self.give_back(name);
        drop(making);
        Ok(())
    }

    fn make(&self, bytes: u64) -> Result<(String, Box<dyn File>), Failure> {
        let place = self.disk.place();
        let free = self.disk.available().map_err(|error| Failure::new(&place, &error))?;
        if free < bytes {
            let (free, bytes) = (Size::from_bytes(free), Size::from_bytes(bytes));
            return Err(Failure::Full(format!(
                "{place} has {free} left, and the next segment takes {bytes}"
            )));
        }
        let name = self.state().new_name();
        match self.write_zeros(&name, bytes) {
            Ok(file) => Ok((name, file)),
            Err(error) => {
                let failure = Failure::new(&format!("{place}/{name}"), &error);
                let removed = self.disk.remove(&name);
                let mut state = self.state();
                if removed.is_err_and(|error| error.kind() != ErrorKind::NotFound) {
                    state.condemned.push(name);
                }
                state.failed = Some((self.clock.now(), failure.clone()));
                Err(failure)
            }
        }
    }

    fn write_zeros(&self, name: &str, bytes: u64) -> io::Result<Box<dyn File>> {
        let file = self.disk.create(name)?;
        let zeros = vec![0; WRITE_BYTES];
        let (mut offset, mut synced) = (0, 0);
        while offset < bytes {
            if self.is_stopped() {
                return Err(io::Error::new(ErrorKind::Interrupted, "the log is being closed"));
            }
            let count = usize::try_from(bytes - offset).map_or(WRITE_BYTES, |left| left.min(WRITE_BYTES));
            file.write_at(&zeros[..count], offset)?;
            offset += count as u64;
            if offset - synced >= SYNC_BYTES {
                file.sync()?;
                synced = offset;
            }
        }
        if synced < offset {
            file.sync()?;
        }
        self.disk.sync()?;
        Ok(file)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every change under the lock is a single push, removal or assignment.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Preparer {
    pub(crate) fn new(spares: Arc<Spares>) -> Self {
        Self { spares }
    }

    /// Removes files that are not needed any more, and makes a spare if there is none; blocks until that is done. What
    /// goes wrong is met again by an append that needs the spare, and told there.
    pub fn prepare(&self) {
        self.spares.prepare();
    }

    /// Waits until there may be something to prepare. Returns false when there will not be.
    pub(crate) fn wait(&self) -> bool {
        self.spares.wait_until_wanted()
    }
}

impl State {
    fn new_name(&mut self) -> String {
        let name = names::spare(self.next);
        self.next += 1;
        name
    }
}
