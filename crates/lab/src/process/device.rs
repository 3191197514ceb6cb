//! What was written to a block device.

use std::fs;
use std::path::{Path, PathBuf};

/// The block device below a folder, whose own count of what was written to it is the only one that holds: it has the file
/// system's journal in it, and the kernel's count for a process takes a large folio for written as soon as a byte of it
/// is.
#[derive(Debug)]
pub struct Device(Option<PathBuf>);

/// The unit of the counts in `stat`, whatever the device's own.
const SECTOR_BYTES: u64 = 512;

impl Device {
    /// Looks for the device. Some file systems have none of their own; then nothing is counted.
    #[must_use]
    pub fn below(folder: &Path) -> Self {
        let device = rustix::fs::stat(folder).ok().map(|stat| stat.st_dev);
        let path = device.map(|device| {
            let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
            PathBuf::from(format!("/sys/dev/block/{major}:{minor}/stat"))
        });
        Self(path.filter(|path| path.exists()))
    }

    /// Bytes written to it so far, by whomever; none if there is none to ask.
    #[must_use]
    pub fn written(&self) -> Option<u64> {
        let text = fs::read_to_string(self.0.as_deref()?).ok()?;
        let sectors: u64 = text.split_whitespace().nth(6)?.parse().ok()?;
        Some(sectors * SECTOR_BYTES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_counts_what_was_synced_to_it() {
        let folder = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        let device = Device::below(folder.path());
        let Some(before) = device.written() else {
            // Nothing to ask on this file system.
            return;
        };
        let path = folder.path().join("some");
        fs::write(&path, vec![1; 1 << 20]).unwrap();
        fs::File::open(&path).unwrap().sync_all().unwrap();
        assert!(device.written().unwrap() >= before + (1 << 20));
        assert_eq!(Device(None).written(), None);
    }
}
