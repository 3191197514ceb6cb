//! Where a log is measured: the file system below a folder, and how much fits.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use mainstay_base::units::Size;
use serde::{Deserialize, Serialize};

/// File systems that keep everything in memory: to sync there is to do nothing.
const IN_MEMORY: [&str; 2] = ["tmpfs", "ramfs"];

/// The file system that a folder is on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Its type, such as `ext4`; empty if the system does not tell.
    pub file_system: String,
    /// What it is on, such as `/dev/sda1`; empty if the system does not tell.
    pub source: String,
    /// Bytes that new files can take.
    pub available: Size,
}

impl Place {
    /// Looks at the file system below `folder`. Errors: there is no such folder.
    pub fn look(folder: &Path) -> Result<Self> {
        let folder = folder.canonicalize().with_context(|| format!("find {}", folder.display()))?;
        let stat = rustix::fs::statvfs(&folder)
            .with_context(|| format!("ask for the space in {}", folder.display()))?;
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let (file_system, source) = mount_of(&mounts, &folder).unwrap_or_default();
        let available = Size::from_bytes(stat.f_bavail.saturating_mul(stat.f_frsize));
        Ok(Self { file_system, source, available })
    }

    /// Whether a sync there makes nothing durable.
    #[must_use]
    pub fn is_in_memory(&self) -> bool {
        IN_MEMORY.contains(&self.file_system.as_str())
    }

    /// What makes all figures that this program measures there doubtful.
    #[must_use]
    pub fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if cfg!(debug_assertions) {
            notes.push("This is a debug build: its figures say little about a release build.".to_owned());
        }
        if self.is_in_memory() {
            let kind = &self.file_system;
            notes.push(format!(
                "The folder is on {kind}, which is memory: to sync there makes nothing durable."
            ));
        }
        notes
    }
}

/// Type and source of the file system that `folder` is on (proc_pid_mountinfo(5)): of the mounts above it the deepest,
/// and of those at one place the last.
fn mount_of(mounts: &str, folder: &Path) -> Option<(String, String)> {
    let parse = |line: &str| {
        let (place, kind) = line.split_once(" - ")?;
        let point = PathBuf::from(place.split(' ').nth(4)?.replace("\\040", " "));
        let mut kind = kind.split(' ');
        Some((point, kind.next()?.to_owned(), kind.next()?.to_owned()))
    };
    let above = mounts.lines().filter_map(parse).filter(|(point, ..)| folder.starts_with(point));
    let deepest = above.max_by_key(|(point, ..)| point.components().count());
    deepest.map(|(_, kind, source)| (kind, source))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_deepest_mount_counts_and_the_last_of_those() {
        let mounts = "\
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
23 22 0:21 / /tmp rw shared:2 - tmpfs tmp rw
24 22 8:1 / /tmp/a\\040b rw - xfs /dev/sda1 rw
25 22 0:22 / /tmp rw shared:3 - ramfs none rw
";
        let at = |path: &str| mount_of(mounts, Path::new(path)).unwrap().0;
        assert_eq!(at("/home/x"), "ext4");
        assert_eq!(at("/tmp/x"), "ramfs");
        assert_eq!(at("/tmp/a b/c"), "xfs");
        assert_eq!(mount_of("", Path::new("/")), None);
    }

    #[test]
    fn a_folder_has_a_place_and_a_missing_one_has_none() {
        let place = Place::look(Path::new(".")).unwrap();
        assert!(place.available > Size::ZERO && !place.file_system.is_empty(), "{place:?}");
        assert!(Place::look(Path::new("./no/such/folder")).is_err());
    }
}
