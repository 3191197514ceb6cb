//! The directory that a log lives in, as far as the engine needs one: the seam at which simulation crashes it.
//!
//! Names are plain file names. Nothing is durable before [`File::sync`] or [`Disk::sync`] says so.

use std::io;

mod directory;
mod read_only;

pub use directory::Directory;
pub use read_only::ReadOnly;

/// A directory of files.
pub trait Disk: Send + Sync {
    /// Every file with its length in bytes, in no order; directories are left out.
    fn list(&self) -> io::Result<Vec<Entry>>;

    /// Makes an empty file. Errors: `AlreadyExists`, and what the operating system says.
    fn create(&self, name: &str) -> io::Result<Box<dyn File>>;

    /// Opens a file for reading and writing. Errors: `NotFound`, and what the operating system says.
    fn open(&self, name: &str) -> io::Result<Box<dyn File>>;

    /// Gives a file another name; a file that had it is gone. Handles stay valid.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file. Handles stay valid.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Makes every creation, renaming and removal so far durable.
    fn sync(&self) -> io::Result<()>;

    /// The bytes that new files can still take.
    fn available(&self) -> io::Result<u64>;

    /// The directory, for messages.
    fn place(&self) -> String;

    /// Why a sync here proves nothing about this machine's storage; none when nothing speaks against it.
    fn weakness(&self) -> io::Result<Option<String>> {
        Ok(None)
    }
}

/// A file in a [`Disk`]. A handle is shared between threads; writes to one place do not race.
pub trait File: Send + Sync {
    /// The length in bytes.
    fn bytes(&self) -> io::Result<u64>;

    /// Fills `into` from `offset` on. Errors: `UnexpectedEof` when the file ends before.
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<()>;

    /// Writes all of `bytes` at `offset`; the file grows when it ends before. After an error any part may be written.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Makes the file's bytes durable. After an error nobody knows which are, whatever a later sync says.
    fn sync(&self) -> io::Result<()>;
}

/// A file's name and length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// Its length in bytes.
    pub bytes: u64,
}
