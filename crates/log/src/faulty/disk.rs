//! A directory in memory that can be crashed at any operation, and knows what a loss of power keeps.
//!
//! [`SimDisk`] is the machine: it is asked for a directory ([`SimDisk::mount`]), told what to fail, stopped, and
//! started again by a crash. Every create, rename, remove, write and sync is one operation, numbered from 1.
//! Directories and handles from before a crash stay dead.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::{self, Debug, Display, Formatter, Write as _};
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use self::image::{Image, Luck};
use super::random::Random;
use crate::local::disk::{Disk, Entry, File};

mod image;

/// So many operations are told in a failure's message.
const HISTORY_MAX: usize = 400;

/// The simulated machine with one directory. Clones are the same machine.
#[derive(Clone)]
pub struct SimDisk(Arc<Shared>);

/// What an operation does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Act {
    /// Makes a file.
    Create,
    /// Gives a file another name.
    Rename,
    /// Removes a file.
    Remove,
    /// Makes names durable.
    SyncNames,
    /// Writes into a file.
    Write,
    /// Makes a file's bytes durable.
    Sync,
}

/// What happens to an operation instead of what it asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The machine stops; nothing can be done with it before it is crashed.
    Stop(When),
    /// An input/output error. A write has written any part of its bytes. A sync of a file has written any of its
    /// dirty sectors and left all of them clean, so that no later sync writes the others. The rest has done nothing.
    Error,
    /// The disk is full after part of the operation, otherwise as `Error`.
    Full,
}

/// Where an operation is cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// It does nothing.
    Before,
    /// A write has written part of its bytes, a sync some of its sectors or names; the rest is done or not.
    During,
    /// It does all, and nobody is told.
    After,
}

struct Shared {
    state: Mutex<State>,
    /// Told when an operation begins to wait, and when it may go on.
    held: Condvar,
}

struct State {
    random: Random,
    files: BTreeMap<u64, Image>,
    names: BTreeMap<String, u64>,
    durable_names: BTreeMap<String, u64>,
    /// What was done to names since they were last synced, in order.
    changes: Vec<Change>,
    files_made: u64,
    /// How many crashes there were: handles of an earlier number are dead.
    crashes: u64,
    is_stopped: bool,
    capacity_bytes: u64,
    operations: u64,
    faults: BTreeMap<u64, Fault>,
    next_faults: Vec<(Act, Fault)>,
    history: VecDeque<String>,
    hold: Option<Act>,
    waiting: usize,
}

#[derive(Debug, Clone)]
struct Change {
    file: u64,
    from: Option<String>,
    to: Option<String>,
}

/// The directory, as long as the machine is not crashed.
struct Mounted {
    machine: SimDisk,
    crashes: u64,
}

struct Handle {
    machine: SimDisk,
    crashes: u64,
    file: u64,
}

impl SimDisk {
    /// A machine with an empty directory that takes 1 GiB.
    pub fn new(seed: u64) -> Self {
        let state = State {
            random: Random::new(seed),
            files: BTreeMap::new(),
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            changes: Vec::new(),
            files_made: 0,
            crashes: 0,
            is_stopped: false,
            capacity_bytes: 1 << 30,
            operations: 0,
            faults: BTreeMap::new(),
            next_faults: Vec::new(),
            history: VecDeque::new(),
            hold: None,
            waiting: 0,
        };
        Self(Arc::new(Shared { state: Mutex::new(state), held: Condvar::new() }))
    }

    /// Another machine whose disk holds the same, in its cache and durably, and that draws from this seed.
    pub fn fork(&self, seed: u64) -> Self {
        let fork = Self::new(seed);
        {
            let (from, mut to) = (self.state(), fork.state());
            to.files.clone_from(&from.files);
            to.names.clone_from(&from.names);
            to.durable_names.clone_from(&from.durable_names);
            to.changes.clone_from(&from.changes);
            (to.files_made, to.capacity_bytes) = (from.files_made, from.capacity_bytes);
        }
        fork
    }

    /// The directory as it is now, for a program that starts.
    pub fn mount(&self) -> Arc<dyn Disk> {
        Arc::new(Mounted { machine: self.clone(), crashes: self.state().crashes })
    }

    /// Ends the process: what was written is shown to the next one, and is as durable as it was.
    pub fn crash_process(&self) {
        let mut state = self.state();
        state.note(format_args!("the process ends"));
        state.restart();
        drop(state);
        self.0.held.notify_all();
    }

    /// Loses power: what was not synced is kept, lost or torn, sector by sector and name by name.
    pub fn crash_machine(&self) {
        let mut state = self.state();
        let luck = Luck::draw(&state.random);
        state.note(format_args!("the machine loses power: {luck:?}"));
        state.keep_names(luck);
        state.names = state.durable_names.clone();
        let State { random, files, names, .. } = &mut *state;
        files.retain(|file, _| names.values().any(|named| named == file));
        files.values_mut().for_each(|image| image.crash(luck, random));
        state.restart();
        drop(state);
        self.0.held.notify_all();
    }

    /// Reads again from the platter what no sync would write: what a failed sync left behind is gone.
    pub fn evict(&self) {
        self.state().files.values_mut().for_each(Image::evict);
    }

    /// The number of operations so far.
    pub fn operations(&self) -> u64 {
        self.state().operations
    }

    /// Whether a fault has stopped the machine.
    pub fn is_stopped(&self) -> bool {
        self.state().is_stopped
    }

    /// Lets the operation with this number fail.
    pub fn fault_at(&self, operation: u64, fault: Fault) {
        self.state().faults.insert(operation, fault);
    }

    /// Lets the next operation of this kind fail, after those that were asked for before.
    pub fn fault_next(&self, act: Act, fault: Fault) {
        self.state().next_faults.push((act, fault));
    }

    /// Forgets every fault that has not happened.
    pub fn clear_faults(&self) {
        let mut state = self.state();
        state.faults.clear();
        state.next_faults.clear();
    }

    /// Limits the bytes of all files together. What there is stays.
    pub fn set_capacity(&self, bytes: u64) {
        self.state().capacity_bytes = bytes;
    }

    /// Lets operations of this kind wait until [`SimDisk::release`].
    pub fn hold(&self, act: Act) {
        self.state().hold = Some(act);
    }

    /// Returns when an operation waits because of [`SimDisk::hold`].
    pub fn wait_until_held(&self) {
        let mut state = self.state();
        while state.waiting == 0 {
            state = self.0.held.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Lets what waits go on.
    pub fn release(&self) {
        self.state().hold = None;
        self.0.held.notify_all();
    }

    /// The names of all files, sorted.
    pub fn names(&self) -> Vec<String> {
        self.state().names.keys().cloned().collect()
    }

    /// A file as it is shown. Panics when there is none of this name.
    pub fn contents(&self, name: &str) -> Vec<u8> {
        let mut state = self.state();
        state.image(name).bytes().to_vec()
    }

    /// Flips one bit of what is stored, counted from the file's first. Panics when there is no file of this name.
    pub fn flip(&self, name: &str, bit: u64) {
        let at = usize::try_from(bit / 8).expect("files in memory have fewer bytes than a usize counts");
        self.state().image(name).damage(at, |bytes| bytes[0] ^= 1 << (bit % 8), 1);
    }

    /// Overwrites what is stored at `offset`, up to the file's end. Panics when there is no file of this name.
    pub fn overwrite(&self, name: &str, offset: usize, with: &[u8]) {
        let change = |bytes: &mut [u8]| bytes.copy_from_slice(&with[..bytes.len()]);
        self.state().image(name).damage(offset, change, with.len());
    }

    /// The last operations, one on a line, for the message of a failed test.
    pub fn history(&self) -> String {
        self.state().history.iter().fold(String::new(), |mut text, line| {
            let _ = writeln!(text, "{line}");
            text
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A test that fails elsewhere still wants the history.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state, for a directory or handle of this number of crashes.
    fn live(&self, crashes: u64) -> io::Result<MutexGuard<'_, State>> {
        let state = self.state();
        if state.crashes != crashes || state.is_stopped {
            return Err(io::Error::other("the simulated machine has stopped"));
        }
        Ok(state)
    }

    /// Begins an operation: waits while its kind is held, counts it, and says what becomes of it.
    fn begin(
        &self,
        crashes: u64,
        act: Act,
        what: &dyn Display,
    ) -> io::Result<(MutexGuard<'_, State>, Course)> {
        let mut state = self.live(crashes)?;
        while state.hold == Some(act) {
            state.waiting += 1;
            self.0.held.notify_all();
            state = self.0.held.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.waiting -= 1;
        }
        drop(state);
        let mut state = self.live(crashes)?;
        state.operations += 1;
        let number = state.operations;
        let next = state.next_faults.iter().position(|(of, _)| *of == act);
        let fault = state.faults.remove(&number).or_else(|| next.map(|at| state.next_faults.remove(at).1));
        let course = Course(fault);
        state.is_stopped = matches!(fault, Some(Fault::Stop(_)));
        state.note(format_args!("{number} {act:?} {what}{course}"));
        Ok((state, course))
    }
}

/// What becomes of an operation.
#[derive(Clone, Copy)]
struct Course(Option<Fault>);

impl Course {
    /// Whether an operation that is done as a whole or not at all is done.
    fn is_done(self, random: &Random) -> bool {
        match self.0 {
            None | Some(Fault::Stop(When::After)) => true,
            Some(Fault::Stop(When::During)) => random.one_in(2),
            Some(Fault::Stop(When::Before) | Fault::Error | Fault::Full) => false,
        }
    }

    /// How many of `bytes` are written.
    fn written(self, bytes: usize, random: &Random) -> usize {
        match self.0 {
            None | Some(Fault::Stop(When::After)) => bytes,
            Some(Fault::Stop(When::Before)) => 0,
            Some(Fault::Stop(When::During) | Fault::Error | Fault::Full) => random.up_to(bytes),
        }
    }

    fn outcome(self) -> io::Result<()> {
        match self.0 {
            None => Ok(()),
            Some(Fault::Stop(_)) => Err(io::Error::other("the simulated machine stops")),
            Some(Fault::Error) => Err(io::Error::other("simulated input/output error")),
            Some(Fault::Full) => {
                Err(io::Error::new(io::ErrorKind::StorageFull, "the simulated disk is full"))
            }
        }
    }
}

impl Display for Course {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |fault| write!(f, ": {fault:?}"))
    }
}

impl State {
    fn note(&mut self, line: fmt::Arguments<'_>) {
        if self.history.len() == HISTORY_MAX {
            self.history.pop_front();
        }
        self.history.push_back(line.to_string());
    }

    fn restart(&mut self) {
        self.crashes += 1;
        self.is_stopped = false;
        self.hold = None;
    }

    fn image(&mut self, name: &str) -> &mut Image {
        let file = self.names.get(name).unwrap_or_else(|| panic!("there is no file {name}"));
        self.files.get_mut(file).expect("a file with a name has an image")
    }

    fn named(&self, name: &str) -> io::Result<u64> {
        let missing = || io::Error::new(io::ErrorKind::NotFound, format!("there is no file {name}"));
        self.names.get(name).copied().ok_or_else(missing)
    }

    /// The name of a file now, for the history.
    fn name_of(&self, file: u64) -> String {
        let named = self.names.iter().find(|(_, named)| **named == file);
        named.map_or_else(|| format!("removed file {file}"), |(name, _)| name.clone())
    }

    fn change(&mut self, change: Change) {
        apply(&mut self.names, &change);
        self.changes.push(change);
    }

    /// Makes some of the changes to names durable and forgets the others: either all up to a point, as a journal
    /// does, or any of them.
    fn keep_names(&mut self, luck: Luck) {
        let mut changes = std::mem::take(&mut self.changes);
        if self.random.one_in(2) {
            changes.truncate(self.random.up_to(changes.len()));
        } else {
            changes.retain(|_| luck.keeps(&self.random));
        }
        changes.iter().for_each(|change| apply(&mut self.durable_names, change));
    }

    fn used_bytes(&self) -> u64 {
        self.names.values().map(|file| self.files[file].bytes().len() as u64).sum()
    }
}

/// Does nothing when an earlier change that it rests on was not kept.
fn apply(names: &mut BTreeMap<String, u64>, change: &Change) {
    if let Some(from) = &change.from {
        if names.get(from) != Some(&change.file) {
            return;
        }
        names.remove(from);
    }
    if let Some(to) = &change.to {
        names.insert(to.clone(), change.file);
    }
}

impl Disk for Mounted {
    fn list(&self) -> io::Result<Vec<Entry>> {
        let state = self.machine.live(self.crashes)?;
        let entry = |(name, file): (&String, &u64)| Entry {
            name: name.clone(),
            bytes: state.files[file].bytes().len() as u64,
        };
        Ok(state.names.iter().map(entry).collect())
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn File>> {
        let (mut state, course) = self.machine.begin(self.crashes, Act::Create, &name)?;
        if state.names.contains_key(name) {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, format!("there is a file {name}")));
        }
        let file = state.files_made;
        if course.is_done(&state.random) {
            state.files_made += 1;
            state.files.insert(file, Image::default());
            state.change(Change { file, from: None, to: Some(name.to_owned()) });
        }
        course.outcome()?;
        Ok(Box::new(Handle { machine: self.machine.clone(), crashes: self.crashes, file }))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn File>> {
        let file = self.machine.live(self.crashes)?.named(name)?;
        Ok(Box::new(Handle { machine: self.machine.clone(), crashes: self.crashes, file }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let what = format_args!("{from} to {to}");
        let (mut state, course) = self.machine.begin(self.crashes, Act::Rename, &what)?;
        let file = state.named(from)?;
        if course.is_done(&state.random) {
            state.change(Change { file, from: Some(from.to_owned()), to: Some(to.to_owned()) });
        }
        course.outcome()
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let (mut state, course) = self.machine.begin(self.crashes, Act::Remove, &name)?;
        let file = state.named(name)?;
        if course.is_done(&state.random) {
            state.change(Change { file, from: Some(name.to_owned()), to: None });
        }
        course.outcome()
    }

    fn sync(&self) -> io::Result<()> {
        let (mut state, course) = self.machine.begin(self.crashes, Act::SyncNames, &"")?;
        match course.0 {
            None | Some(Fault::Stop(When::After)) => {
                let changes = std::mem::take(&mut state.changes);
                changes.iter().for_each(|change| apply(&mut state.durable_names, change));
            }
            // What is not durable yet is kept or undone by the crash.
            Some(Fault::Stop(When::Before | When::During)) => {}
            // What a file system has not written of its names it still writes later, or it stops for good.
            Some(Fault::Error | Fault::Full) => {}
        }
        course.outcome()
    }

    fn available(&self) -> io::Result<u64> {
        let state = self.machine.live(self.crashes)?;
        Ok(state.capacity_bytes.saturating_sub(state.used_bytes()))
    }

    fn place(&self) -> String {
        "the simulated disk".to_owned()
    }
}

impl Handle {
    fn begin(&self, act: Act, what: &dyn Display) -> io::Result<(MutexGuard<'_, State>, Course)> {
        let name = self.machine.live(self.crashes)?.name_of(self.file);
        self.machine.begin(self.crashes, act, &format_args!("{name}{what}"))
    }
}

impl File for Handle {
    fn bytes(&self) -> io::Result<u64> {
        Ok(self.machine.live(self.crashes)?.files[&self.file].bytes().len() as u64)
    }

    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<()> {
        let state = self.machine.live(self.crashes)?;
        let bytes = state.files[&self.file].bytes();
        let from = usize::try_from(offset).ok().and_then(|offset| bytes.get(offset..));
        let from = from.and_then(|bytes| bytes.get(..into.len()));
        into.copy_from_slice(from.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let what = format_args!(" at {offset}, {} bytes", bytes.len());
        let (mut state, course) = self.begin(Act::Write, &what)?;
        let offset = usize::try_from(offset).map_err(io::Error::other)?;
        let room = state.capacity_bytes.saturating_sub(state.used_bytes());
        let end_max = state.files[&self.file].bytes().len() as u64 + room;
        let fits = usize::try_from(end_max).unwrap_or(usize::MAX).saturating_sub(offset).min(bytes.len());
        let course =
            if fits < bytes.len() && course.0.is_none() { Course(Some(Fault::Full)) } else { course };
        let written = course.written(fits, &state.random);
        let image = state.files.get_mut(&self.file).expect("a file with a handle has an image");
        image.write(&bytes[..written], offset);
        course.outcome()
    }

    fn sync(&self) -> io::Result<()> {
        let (mut state, course) = self.begin(Act::Sync, &"")?;
        let State { random, files, .. } = &mut *state;
        let image = files.get_mut(&self.file).expect("a file with a handle has an image");
        match course.0 {
            None | Some(Fault::Stop(When::After)) => image.sync(),
            Some(Fault::Stop(When::Before)) => {}
            Some(Fault::Stop(When::During)) => image.sync_in_part(Luck::draw(random), random),
            Some(Fault::Error | Fault::Full) => image.fail_sync(Luck::draw(random), random),
        }
        course.outcome()
    }
}

impl Debug for SimDisk {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let state = self.state();
        f.debug_struct("SimDisk")
            .field("names", &state.names)
            .field("operations", &state.operations)
            .field("crashes", &state.crashes)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
