//! A directory of the operating system, locked for one process.

use std::fs::{self, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process;

use rustix::fs::OFlags;

use super::{Disk, Entry, File};
use crate::error::{Act, Error};
use crate::local::names::LOCK;

/// A directory that this process alone uses as a log; others are kept out by the lock on its file `LOCK`, which ends
/// with this value or the process.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    /// Open for syncing.
    directory: fs::File,
    _lock: fs::File,
}

/// An open file.
pub(super) struct Opened(pub(super) fs::File);

/// The files of a directory.
pub(super) fn entries(path: &Path) -> io::Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        if !metadata.is_dir() {
            let name = entry.file_name().to_string_lossy().into_owned();
            entries.push(Entry { name, bytes: metadata.len() });
        }
    }
    Ok(entries)
}

impl Directory {
    /// Makes the directory if it is not there, and locks it. Errors: [`Error::Unavailable`], also when another
    /// process, or another log of this one, has it.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let failed = |error: io::Error| failed(path, &error);
        fs::create_dir_all(path).map_err(failed)?;
        sync_above(path).map_err(failed)?;
        let directory = fs::File::open(path).map_err(failed)?;
        let lock_path = path.join(LOCK);
        let mut lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            // A link could lead to a file that is not the log's to write.
            .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
            .open(&lock_path)
            .map_err(|error| self::failed(&lock_path, &error))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(in_use(path, &mut lock)),
            Err(TryLockError::Error(error)) => return Err(self::failed(&lock_path, &error)),
        }
        // The number is for the message of whoever comes second; the lock does not depend on it.
        let _ = lock.set_len(0).and_then(|()| write!(lock, "{}", process::id()));
        Ok(Self { path: path.to_owned(), directory, _lock: lock })
    }

    /// The kind of file system, when a sync there proves nothing about this machine's storage.
    fn weak_file_system(&self) -> io::Result<Option<&'static str>> {
        let magic = rustix::fs::fstatfs(&self.directory)?.f_type;
        Ok(weakness(u32::try_from(i128::from(magic) & 0xffff_ffff).expect("masked to 32 bits")))
    }
}

fn failed(path: &Path, error: &io::Error) -> Error {
    Error::Unavailable { act: Act::Open, reason: format!("{}: {error}", path.display()) }
}

/// Makes the name of the directory durable, and those of the ones above it on its file system: whoever made them, also
/// just now or in a start that was cut short, may not have.
fn sync_above(path: &Path) -> io::Result<()> {
    let path = path.canonicalize()?;
    let device = fs::metadata(&path)?.dev();
    for above in path.ancestors().skip(1) {
        let above = match fs::File::open(above) {
            Ok(above) => above,
            // What this user may not even read is not what this user has made.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => break,
            Err(error) => return Err(error),
        };
        if above.metadata()?.dev() != device {
            break;
        }
        above.sync_all()?;
    }
    Ok(())
}

/// Who holds the lock, as far as its file says.
fn in_use(path: &Path, lock: &mut fs::File) -> Error {
    let mut holder = String::new();
    let holder = match lock.take(20).read_to_string(&mut holder) {
        Ok(_) if !holder.is_empty() && holder.bytes().all(|byte| byte.is_ascii_digit()) => {
            format!("process {holder}")
        }
        _ => "another process".to_owned(),
    };
    Error::Unavailable {
        act: Act::Open,
        reason: format!("{} is in use by {holder}: stop it first, or use another directory", path.display()),
    }
}

/// File systems in memory, and those whose server says when something is durable. Source: magic(5), statfs(2).
fn weakness(magic: u32) -> Option<&'static str> {
    Some(match magic {
        0x0102_1994 => "tmpfs, which is in memory",
        0x8584_58f6 => "ramfs, which is in memory",
        0x0000_6969 => "NFS, where the server decides what a sync means",
        0x0000_517b | 0xff53_4d42 | 0xfe53_4d42 => "SMB, where the server decides what a sync means",
        0x0102_1997 => "9P, where the server decides what a sync means",
        0x5346_414f | 0x6b41_4653 => "AFS, where the server decides what a sync means",
        0x00c3_6400 => "CephFS, where the server decides what a sync means",
        _ => return None,
    })
}

impl Disk for Directory {
    fn list(&self) -> io::Result<Vec<Entry>> {
        entries(&self.path)
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn File>> {
        let file = OpenOptions::new().create_new(true).read(true).write(true).open(self.path.join(name))?;
        Ok(Box::new(Opened(file)))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn File>> {
        let file = OpenOptions::new().read(true).write(true).open(self.path.join(name))?;
        Ok(Box::new(Opened(file)))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path.join(from), self.path.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path.join(name))
    }

    fn sync(&self) -> io::Result<()> {
        self.directory.sync_all()
    }

    fn available(&self) -> io::Result<u64> {
        let space = rustix::fs::fstatvfs(&self.directory)?;
        Ok(space.f_bavail.saturating_mul(space.f_frsize))
    }

    fn place(&self) -> String {
        self.path.display().to_string()
    }

    fn weakness(&self) -> io::Result<Option<String>> {
        Ok(self.weak_file_system()?.map(|kind| format!("{} is on {kind}", self.place())))
    }
}

impl File for Opened {
    fn bytes(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.read_exact_at(into, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_systems_whose_syncs_prove_nothing_are_known() {
        assert!(weakness(0x0102_1994).is_some_and(|kind| kind.starts_with("tmpfs")));
        assert!(weakness(0x6969).is_some_and(|kind| kind.starts_with("NFS")));
        for (magic, name) in
            [(0xef53, "ext4"), (0x5846_5342, "XFS"), (0x9123_683e, "btrfs"), (0x2fc1_2fc1, "ZFS")]
        {
            assert_eq!(weakness(magic), None, "{name}");
        }
    }
}
