//! A directory of the operating system that is only looked at: without its lock, so also while it is in use.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::directory::{Opened, entries};
use super::{Disk, Entry, File};

/// A directory whose files are read and never written: everything else is `PermissionDenied`.
#[derive(Debug)]
pub struct ReadOnly {
    path: PathBuf,
}

impl ReadOnly {
    /// The directory at this path.
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }
}

fn refused<T>() -> io::Result<T> {
    Err(io::Error::new(io::ErrorKind::PermissionDenied, "the directory is only read"))
}

impl Disk for ReadOnly {
    fn list(&self) -> io::Result<Vec<Entry>> {
        entries(&self.path)
    }

    fn create(&self, _: &str) -> io::Result<Box<dyn File>> {
        refused()
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn File>> {
        Ok(Box::new(Opened(fs::File::open(self.path.join(name))?)))
    }

    fn rename(&self, _: &str, _: &str) -> io::Result<()> {
        refused()
    }

    fn remove(&self, _: &str) -> io::Result<()> {
        refused()
    }

    fn sync(&self) -> io::Result<()> {
        refused()
    }

    fn available(&self) -> io::Result<u64> {
        Ok(0)
    }

    fn place(&self) -> String {
        self.path.display().to_string()
    }
}
