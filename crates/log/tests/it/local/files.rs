//! A disk in memory that keeps apart what was written and what was synced, and fails when it is told to.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Error, ErrorKind};
use std::sync::{Arc, Mutex, MutexGuard};

use mainstay_log::local::disk::{Disk, Entry, File};

const BLOCK: usize = 4096;

/// What can be made to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    Create,
    /// Not counted among the changes.
    Open,
    Rename,
    Remove,
    WriteSegment,
    WriteSpare,
    SyncSegment,
    SyncSpare,
    SyncDirectory,
}

/// A directory. Clones share it.
#[derive(Clone, Default)]
pub struct Files(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    names: BTreeMap<String, Arc<Mutex<Content>>>,
    fails: Vec<(Call, ErrorKind)>,
    /// The bytes that files may have together; none when there is no limit.
    room: Option<u64>,
    /// Whether the room is told before it is used up.
    is_room_hidden: bool,
    calls: Vec<String>,
    bytes_read: usize,
    on_read: Option<Box<dyn FnOnce() + Send>>,
}

#[derive(Default)]
struct Content {
    name: String,
    /// What reads see.
    cached: Vec<u8>,
    /// What survives a loss of power; only lengths are kept as written.
    durable: Vec<u8>,
    dirty: BTreeSet<usize>,
}

struct Handle {
    files: Files,
    content: Arc<Mutex<Content>>,
}

impl Files {
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes a call fail until it is mended.
    pub fn fail(&self, call: Call, kind: ErrorKind) {
        self.state().fails.push((call, kind));
    }

    pub fn mend(&self) {
        self.state().fails.clear();
    }

    pub fn set_room(&self, room: Option<u64>) {
        self.state().room = room;
    }

    pub fn hide_room(&self) {
        self.state().is_room_hidden = true;
    }

    /// Does this once, before the next read of a file.
    pub fn on_read(&self, work: impl FnOnce() + Send + 'static) {
        self.state().on_read = Some(Box::new(work));
    }

    /// Every call waits until this is dropped.
    pub fn pause(&self) -> MutexGuard<'_, impl Sized> {
        self.state()
    }

    /// Takes away what was not synced.
    pub fn lose_power(&self) {
        for content in self.state().names.values() {
            let mut content = content.lock().unwrap();
            content.cached = content.durable.clone();
            content.dirty.clear();
        }
    }

    pub fn names(&self) -> Vec<String> {
        self.state().names.keys().cloned().collect()
    }

    /// The names that begin like this.
    pub fn named(&self, prefix: &str) -> Vec<String> {
        self.names().into_iter().filter(|name| name.starts_with(prefix)).collect()
    }

    /// A copy of a file.
    pub fn get(&self, name: &str) -> Vec<u8> {
        self.state().names[name].lock().unwrap().cached.clone()
    }

    /// Puts a file there, durable.
    pub fn put(&self, name: &str, bytes: &[u8]) {
        let content = Content {
            name: name.to_owned(),
            cached: bytes.to_vec(),
            durable: bytes.to_vec(),
            dirty: BTreeSet::new(),
        };
        self.state().names.insert(name.to_owned(), Arc::new(Mutex::new(content)));
    }

    /// Changes a byte of a file.
    pub fn change(&self, name: &str, at: usize, change: impl Fn(u8) -> u8) {
        let state = self.state();
        let mut content = state.names[name].lock().unwrap();
        content.cached[at] = change(content.cached[at]);
        content.durable[at] = change(content.durable[at]);
    }

    /// A copy of everything, which shares nothing.
    pub fn copy(&self) -> Self {
        let copy = Self::new();
        self.names().iter().for_each(|name| copy.put(name, &self.get(name)));
        copy
    }

    /// Every change of a file or the directory since this was asked last, in order.
    pub fn take_calls(&self) -> Vec<String> {
        std::mem::take(&mut self.state().calls)
    }

    /// The bytes that were read since this was asked last.
    pub fn take_bytes_read(&self) -> usize {
        std::mem::take(&mut self.state().bytes_read)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    fn call(&self, call: Call, name: &str) -> io::Result<()> {
        self.state().calls.push(format!("{call:?} {name}"));
        self.check(call)
    }

    fn check(&self, call: Call) -> io::Result<()> {
        match self.state().fails.iter().find(|(fails, _)| *fails == call) {
            Some((_, kind)) => Err(Error::new(*kind, "as the test demands")),
            None => Ok(()),
        }
    }

    fn used(&self) -> u64 {
        self.state().names.values().map(|content| content.lock().unwrap().cached.len() as u64).sum()
    }

    fn open_now(&self, name: &str) -> io::Result<Box<dyn File>> {
        let content = self.state().names.get(name).cloned().ok_or(ErrorKind::NotFound)?;
        Ok(Box::new(Handle { files: self.clone(), content }))
    }
}

impl Disk for Files {
    fn list(&self) -> io::Result<Vec<Entry>> {
        let entry = |name: String| Entry { bytes: self.get(&name).len() as u64, name };
        Ok(self.names().into_iter().map(entry).collect())
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn File>> {
        self.call(Call::Create, name)?;
        if self.state().names.contains_key(name) {
            return Err(ErrorKind::AlreadyExists.into());
        }
        self.put(name, &[]);
        self.open_now(name)
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn File>> {
        self.check(Call::Open)?;
        self.open_now(name)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.call(Call::Rename, from)?;
        let mut state = self.state();
        let content = state.names.remove(from).ok_or(ErrorKind::NotFound)?;
        content.lock().unwrap().name = to.to_owned();
        state.names.insert(to.to_owned(), content);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.call(Call::Remove, name)?;
        self.state().names.remove(name).map(drop).ok_or_else(|| ErrorKind::NotFound.into())
    }

    fn sync(&self) -> io::Result<()> {
        self.call(Call::SyncDirectory, "")
    }

    fn available(&self) -> io::Result<u64> {
        let used = self.used();
        let state = self.state();
        Ok(match state.room {
            Some(room) if !state.is_room_hidden => room.saturating_sub(used),
            _ => u64::MAX,
        })
    }

    fn place(&self) -> String {
        "log".into()
    }
}

impl File for Handle {
    fn bytes(&self) -> io::Result<u64> {
        Ok(self.content.lock().unwrap().cached.len() as u64)
    }

    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<()> {
        let work = {
            let mut state = self.files.state();
            state.bytes_read += into.len();
            state.on_read.take()
        };
        if let Some(work) = work {
            work();
        }
        let content = self.content.lock().unwrap();
        let offset = usize::try_from(offset).unwrap();
        let bytes = content.cached.get(offset..offset + into.len()).ok_or(ErrorKind::UnexpectedEof)?;
        into.copy_from_slice(bytes);
        Ok(())
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let (name, had) = {
            let content = self.content.lock().unwrap();
            (content.name.clone(), content.cached.len())
        };
        let is_segment = name.starts_with("segment");
        self.files.call(if is_segment { Call::WriteSegment } else { Call::WriteSpare }, &name)?;
        let (from, to) = (usize::try_from(offset).unwrap(), usize::try_from(offset).unwrap() + bytes.len());
        let room = self.files.state().room;
        let grows = to.saturating_sub(had) as u64;
        if grows > 0 && room.is_some_and(|room| self.files.used() + grows > room) {
            return Err(ErrorKind::StorageFull.into());
        }
        let mut content = self.content.lock().unwrap();
        if content.cached.len() < to {
            content.cached.resize(to, 0);
            content.durable.resize(to, 0);
        }
        content.cached[from..to].copy_from_slice(bytes);
        content.dirty.extend(from / BLOCK..to.div_ceil(BLOCK));
        Ok(())
    }

    /// A failed sync forgets what was to be written, as operating systems do.
    fn sync(&self) -> io::Result<()> {
        let name = self.content.lock().unwrap().name.clone();
        let is_segment = name.starts_with("segment");
        let synced = self.files.call(if is_segment { Call::SyncSegment } else { Call::SyncSpare }, &name);
        let mut content = self.content.lock().unwrap();
        for block in std::mem::take(&mut content.dirty) {
            let end = ((block + 1) * BLOCK).min(content.cached.len());
            let bytes = content.cached[block * BLOCK..end].to_vec();
            if synced.is_ok() {
                content.durable[block * BLOCK..end].copy_from_slice(&bytes);
            }
        }
        synced
    }
}
