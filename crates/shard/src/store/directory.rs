//! A store's directory: what must be looked at before the tree is opened, and how it goes away.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::xxh3_128;

use super::Error;

/// The file that names the manifest: its version (8 bytes), checksum (16) and that checksum's kind (0: XXH3).
const CURRENT: &str = "current";
pub(super) const TABLES: &str = "tables";

/// Makes the directory if there is none, and removes what an interrupted removal left.
pub(super) fn prepare(directory: &Path) -> Result<PathBuf, Error> {
    let made = || {
        absent_is_fine(fs::remove_dir_all(doomed(directory)))?;
        fs::create_dir_all(directory)?;
        directory.canonicalize()
    };
    let open = |error: io::Error| Error::Open { directory: directory.into(), reason: error.to_string() };
    made().map_err(open)
}

/// Looks whether the manifest is what was written: the tree does not, and takes the lengths in a damaged one for true.
pub(super) fn check(directory: &Path) -> Result<(), Error> {
    let damaged = |what: String| Error::Damaged { directory: directory.into(), what };
    let open = |error: io::Error| Error::Open { directory: directory.into(), reason: error.to_string() };
    let Some(current) = found(fs::read(directory.join(CURRENT))).map_err(open)? else {
        let tables = found(fs::read_dir(directory.join(TABLES))).map_err(open)?;
        if tables.is_some_and(|mut tables| tables.next().is_some()) {
            return Err(damaged(format!("there are tables, but the file {CURRENT} is missing")));
        }
        return Ok(());
    };
    let Some((version, checksum)) = named(&current) else {
        return Err(damaged(format!("the file {CURRENT} does not name a manifest")));
    };
    let name = format!("v{version}");
    match found(fs::read(directory.join(&name))).map_err(open)? {
        None => Err(damaged(format!("the manifest {name} is missing"))),
        Some(manifest) if xxh3_128(&manifest) != checksum => {
            Err(damaged(format!("the manifest {name} is not what was written")))
        }
        Some(_) => Ok(()),
    }
}

/// The manifest that opening the directory now would read; none when that is not to be found out.
pub(super) fn current_version(directory: &Path) -> Option<u64> {
    named(&fs::read(directory.join(CURRENT)).ok()?).map(|(version, _)| version)
}

fn named(current: &[u8]) -> Option<(u64, u128)> {
    let (version, rest) = current.split_first_chunk()?;
    let (checksum, kind) = rest.split_first_chunk()?;
    (kind == [0]).then(|| (u64::from_le_bytes(*version), u128::from_le_bytes(*checksum)))
}

/// Removes a store that is not open, whatever state it is in; no store is fine. After a crash it is there as it was,
/// or it is gone. Errors: [`Error::Remove`].
pub fn remove(directory: &Path) -> Result<(), Error> {
    let removed = || {
        let doomed = doomed(directory);
        // Of an earlier removal that was interrupted.
        absent_is_fine(fs::remove_dir_all(&doomed))?;
        if found(fs::rename(directory, &doomed))?.is_none() {
            return Ok(());
        }
        let above = directory.parent().filter(|above| !above.as_os_str().is_empty());
        File::open(above.unwrap_or(Path::new(".")))?.sync_all()?;
        fs::remove_dir_all(&doomed)
    };
    removed().map_err(|error| Error::Remove { directory: directory.into(), reason: error.to_string() })
}

/// What the directory is called while it is removed.
fn doomed(directory: &Path) -> PathBuf {
    let mut name = directory.file_name().map_or_else(OsString::new, OsString::from);
    name.push(".removed");
    directory.with_file_name(name)
}

fn found<T>(outcome: io::Result<T>) -> io::Result<Option<T>> {
    match outcome {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn absent_is_fine(outcome: io::Result<()>) -> io::Result<()> {
    found(outcome).map(drop)
}
