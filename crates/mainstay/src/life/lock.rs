//! The lock on a data directory: one process at a time, and the second is told which the first is.
//!
//! The lock is the kernel's (`flock`), so it ends with its holder however that dies. The file's text only tells
//! people who the holder is; it is believed only while the lock is held.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read, Seek, Write};
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use mainstay_base::id::NodeId;
use mainstay_base::time::Timestamp;

/// The name of the lock file in the data directory.
pub const FILE: &str = "lock";

/// Who holds a data directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Its process id.
    pub pid: u32,
    /// The node's name.
    pub node: NodeId,
    /// When it took the directory.
    pub since: Timestamp,
    /// Where its API listens, once it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api: Option<SocketAddr>,
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "process {} (node `{}`, since {}", self.pid, self.node, self.since)?;
        match self.api {
            Some(api) => write!(f, ", API on {api})"),
            None => write!(f, ")"),
        }
    }
}

/// Why a data directory could not be taken.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another process has it.
    #[error(
        "the data directory {} is in use by {}; stop that process or choose another directory with `data`",
        .directory.display(),
        .holder.as_ref().map_or_else(|| "another process".to_owned(), ToString::to_string)
    )]
    Held {
        /// The directory.
        directory: PathBuf,
        /// Who has it, if its lock file says so.
        holder: Option<Box<Holder>>,
    },
    /// It could not be made, opened or written.
    #[error("cannot {act} {}: {source}; mend that, or choose another directory with `data`", .path.display())]
    Io {
        /// What was tried.
        act: &'static str,
        /// On what.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
}

/// A data directory that is ours until this is dropped.
#[derive(Debug)]
pub struct DataLock {
    file: File,
    path: PathBuf,
    holder: Holder,
}

impl DataLock {
    /// Makes the directory if needed, for this user alone, and locks it for `holder`.
    pub fn acquire(directory: &Path, holder: Holder) -> Result<Self, Error> {
        let path = directory.join(FILE);
        let io = |act, path: &Path| {
            let path = path.to_path_buf();
            move |source| Error::Io { act, path, source }
        };
        make(directory).map_err(io("make the data directory", directory))?;
        let mut open = OpenOptions::new();
        let mut file = open
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            // A link could lead to a file that is not ours to write.
            .custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed())
            .open(&path)
            .map_err(io("open the lock file", &path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(held(directory, &mut file)),
            Err(TryLockError::Error(source)) => return Err(io("lock", &path)(source)),
        }
        let mut lock = Self { file, path, holder };
        lock.write()?;
        Ok(lock)
    }

    /// Adds the address of the API to what others are told.
    pub fn announce(&mut self, api: SocketAddr) -> Result<(), Error> {
        self.holder.api = Some(api);
        self.write()
    }

    fn write(&mut self) -> Result<(), Error> {
        let text = serde_json::to_string(&self.holder).expect("plain data");
        // Over what is there: a full disk still has its block, and a file that was emptied first might not get it back.
        let written = self
            .file
            .rewind()
            .and_then(|()| self.file.write_all(text.as_bytes()))
            .and_then(|()| self.file.set_len(text.len() as u64))
            .and_then(|()| self.file.flush());
        written.map_err(|source| Error::Io { act: "write", path: self.path.clone(), source })
    }
}

/// Whether a data directory is nobody's at this moment: [`Error::Held`] says whose it is. What is not there is nobody's, and
/// nothing is made.
///
/// It is found out by sharing the lock for an instant, in which a node that starts would be told that another process has
/// the directory.
pub fn check_free(directory: &Path) -> Result<(), Error> {
    let path = directory.join(FILE);
    let mut open = OpenOptions::new();
    let opened = open.read(true).custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed()).open(&path);
    let mut file = match opened {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(Error::Io { act: "open the lock file", path, source }),
    };
    match file.try_lock_shared() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => Err(held(directory, &mut file)),
        Err(TryLockError::Error(source)) => Err(Error::Io { act: "lock", path, source }),
    }
}

fn held(directory: &Path, file: &mut File) -> Error {
    let mut text = String::new();
    let read = file.read_to_string(&mut text);
    let holder = read.ok().and_then(|_| serde_json::from_str(&text).ok()).map(Box::new);
    Error::Held { directory: directory.into(), holder }
}

/// What is kept there is nobody else's business; who wants it otherwise makes the directory before, or changes it.
fn make(directory: &Path) -> std::io::Result<()> {
    if let Some(above) = directory.parent() {
        std::fs::create_dir_all(above)?;
    }
    DirBuilder::new().recursive(true).mode(0o700).create(directory)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn holder(pid: u32) -> Holder {
        let node = "n1".parse().expect("a name");
        Holder { pid, node, since: Timestamp::from_micros(0), api: None }
    }

    #[test]
    fn the_second_is_told_who_the_first_is_and_may_follow_it() {
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path().join("made/on/demand");
        let mut first = DataLock::acquire(&data, holder(41)).unwrap();
        first.announce("127.0.0.1:7070".parse().unwrap()).unwrap();
        let error = DataLock::acquire(&data, holder(42)).expect_err("the first holds it").to_string();
        for part in ["process 41", "node `n1`", "127.0.0.1:7070", "`data`"] {
            assert!(error.contains(part), "{error}");
        }
        drop(first);
        DataLock::acquire(&data, holder(42)).unwrap();
    }

    #[test]
    fn looking_takes_and_makes_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path().join("data");
        check_free(&data).unwrap();
        assert!(!data.exists());
        let first = DataLock::acquire(&data, holder(41)).unwrap();
        let error = check_free(&data).expect_err("the first holds it").to_string();
        assert!(error.contains("process 41"), "{error}");
        drop(first);
        check_free(&data).unwrap();
        DataLock::acquire(&data, holder(42)).unwrap();
    }

    #[test]
    fn a_directory_that_is_made_is_for_its_user_and_one_that_is_there_stays_as_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let data = directory.path().join("above/data");
        DataLock::acquire(&data, holder(1)).unwrap();
        assert_eq!(mode(&data), 0o700);
        std::fs::set_permissions(&data, std::fs::Permissions::from_mode(0o750)).unwrap();
        DataLock::acquire(&data, holder(1)).unwrap();
        assert_eq!(mode(&data), 0o750);
    }

    #[test]
    fn a_lock_file_with_other_content_names_nobody() {
        let directory = tempfile::tempdir().unwrap();
        let first = DataLock::acquire(directory.path(), holder(41)).unwrap();
        std::fs::write(directory.path().join(FILE), "{\"pid\": 4").unwrap();
        let error = DataLock::acquire(directory.path(), holder(42)).expect_err("held").to_string();
        assert!(error.contains("in use by another process"), "{error}");
        drop(first);
    }

    #[test]
    fn a_lock_file_that_is_a_link_is_not_followed() {
        let directory = tempfile::tempdir().unwrap();
        let target = directory.path().join("target");
        std::fs::write(&target, "precious").unwrap();
        std::os::unix::fs::symlink(&target, directory.path().join(FILE)).unwrap();
        let error = DataLock::acquire(directory.path(), holder(1)).expect_err("a link").to_string();
        assert!(error.contains("cannot open the lock file"), "{error}");
        assert_eq!(std::fs::read_to_string(target).unwrap(), "precious");
    }

    #[test]
    fn a_file_where_the_directory_should_be_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        std::fs::write(&path, "").unwrap();
        let error = DataLock::acquire(&path, holder(1)).expect_err("a file").to_string();
        assert!(error.contains("cannot make the data directory"), "{error}");
    }
}
