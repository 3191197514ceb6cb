//! Whether a disk does what the engine builds on, as far as a process can find out.

use std::io;

use super::disk::Disk;
use super::group::BLOCK_BYTES;
use super::names::SCRATCH;
use super::spares::is_full;
use crate::Error;
use crate::error::Act;

/// Writes, syncs, reads and removes a scratch file; if syncs have to prove something, looks at the file system first.
/// A full disk proves nothing against it.
/// Errors: [`Error::Unproven`] with what to change, [`Error::Unavailable`].
pub(crate) fn prove(disk: &dyn Disk, is_synced: bool) -> Result<(), Error> {
    let failed = |error: io::Error| Error::Unavailable {
        act: Act::Preflight,
        reason: format!("{}/{SCRATCH}: {error}", disk.place()),
    };
    if is_synced && let Some(found) = disk.weakness().map_err(failed)? {
        return Err(Error::Unproven {
            guarantee: "what it has synced survives the loss of power".into(),
            found: format!(
                "{found}: use a directory on a disk of this machine, or choose the durability written"
            ),
        });
    }
    // What an attempt before this one may have left.
    let _ = disk.remove(SCRATCH);
    let written = write_scratch(disk);
    let removed = disk.remove(SCRATCH);
    match written {
        // Opening the log has written and synced its end; only with the node up is there a way to trim.
        Err(error) if is_full(&error) => Ok(()),
        written => written.and(removed).map_err(failed),
    }
}

fn write_scratch(disk: &dyn Disk) -> io::Result<()> {
    let file = disk.create(SCRATCH)?;
    let bytes = [0xa5; BLOCK_BYTES];
    file.write_at(&bytes, 0)?;
    file.sync()?;
    disk.sync()?;
    let mut read = [0; BLOCK_BYTES];
    file.read_at(&mut read, 0)?;
    if read == bytes { Ok(()) } else { Err(io::Error::other("other bytes are read than were written")) }
}
