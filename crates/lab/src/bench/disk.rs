//! The bare disk: one thread that writes groups into a file whose blocks are all there, and syncs each.
//!
//! No log on one file can acknowledge more groups in a second than this.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};

use super::Stop;
use crate::clock::Moment;
use crate::load::{Histogram, Percentiles};

/// What a file system writes at least.
pub const BLOCK_BYTES: u64 = 4096;

/// Length of the file: the writes go round and round in it.
pub(super) const FILE_BYTES: u64 = 64 << 20;

/// The largest group that is tried: from here on a sync is a matter of bandwidth.
pub(super) const GROUP_BYTES_MAX: u64 = 8 << 20;

/// A file to write to.
#[derive(Debug)]
pub struct Disk {
    file: File,
    offset: u64,
    bytes: Vec<u8>,
}

/// How fast groups of one size were written and synced.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Pace {
    /// Bytes of each group.
    pub group_bytes: u64,
    /// Groups written and synced per second.
    pub syncs_per_s: f64,
    /// Time of one.
    pub latency: Percentiles,
}

impl Disk {
    /// Makes the file in `folder`, writes all of it and syncs it. Errors: a file can't be written there.
    pub fn prepare(folder: &Path) -> Result<Self> {
        let path = folder.join("bare");
        let make = || -> std::io::Result<Self> {
            let file = File::options().read(true).write(true).create_new(true).open(&path)?;
            let bytes = noise(usize::try_from(GROUP_BYTES_MAX).expect("a group fits into memory"));
            for offset in (0..FILE_BYTES).step_by(bytes.len()) {
                file.write_all_at(&bytes, offset)?;
            }
            file.sync_all()?;
            File::open(folder)?.sync_all()?;
            Ok(Self { file, offset: 0, bytes })
        };
        make().with_context(|| format!("write {}", path.display()))
    }

    /// Writes `group`, which it pads to whole blocks, and syncs it. Errors: the group is larger than the file, or the file
    /// can't be written or synced.
    pub(super) fn write(&mut self, group: &mut Vec<u8>) -> Result<()> {
        let bytes = blocks(group.len() as u64);
        ensure!(bytes <= FILE_BYTES, "a group of {bytes} bytes does not fit into the bare file");
        group.resize(usize::try_from(bytes).expect("a group fits into memory"), 0);
        put(&self.file, &mut self.offset, group)
    }

    /// Writes and syncs groups of `group_bytes`, rounded up to blocks, for `duration` and at least once. Errors: the
    /// file can't be written or synced, or the run is to stop.
    pub fn measure(&mut self, group_bytes: u64, duration: Duration, stop: &Stop) -> Result<Pace> {
        let group_bytes = blocks(group_bytes).min(GROUP_BYTES_MAX);
        let group = &self.bytes[..usize::try_from(group_bytes).expect("a group fits into memory")];
        let mut latency = Histogram::default();
        let begin = Moment::now();
        let mut before = begin;
        loop {
            stop.check()?;
            put(&self.file, &mut self.offset, group)?;
            let now = Moment::now();
            latency.record(now.since(before));
            before = now;
            if now.since(begin) >= duration {
                let syncs_per_s = latency.len() as f64 / now.since(begin).as_secs_f64();
                return Ok(Pace { group_bytes, syncs_per_s, latency: latency.percentiles() });
            }
        }
    }
}

/// Writes a group behind the last one, or at the file's begin, and syncs it.
fn put(file: &File, offset: &mut u64, group: &[u8]) -> Result<()> {
    let bytes = group.len() as u64;
    if *offset + bytes > FILE_BYTES {
        *offset = 0;
    }
    file.write_all_at(group, *offset).context("write to the bare file")?;
    file.sync_data().context("sync the bare file")?;
    *offset += bytes;
    Ok(())
}

/// `bytes` rounded up to whole blocks, at least one.
pub(super) fn blocks(bytes: u64) -> u64 {
    bytes.max(1).next_multiple_of(BLOCK_BYTES)
}

/// Bytes that do not compress: neither a disk nor a peer is to gain from what records never are.
pub(super) fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = move || {
        // xorshift64 (Marsaglia, 2003).
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let mut noise: Vec<u8> = Vec::with_capacity(bytes + 8);
    while noise.len() < bytes {
        noise.extend(next().to_le_bytes());
    }
    noise.truncate(bytes);
    noise
}
