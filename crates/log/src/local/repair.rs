//! Making a damaged log usable again, at the price that a person has chosen.
//!
//! Nothing is destroyed: files that leave the log go to a folder of their own beside it, and a file that is cut is copied there
//! first. Each step leaves a log that is as damaged as before or repaired, so an interrupted repair is begun again.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mainstay_base::time::{Clock, Entropy};

use super::disk::{Directory, Disk};
use super::group::BLOCK_BYTES;
use super::inspect::{Bad, Inspection, inspect};
use super::names;
use super::recover::{self, Listing};
use super::scan;
use super::{Engine, Options};
use crate::Error;
use crate::error::Act;

/// What is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// Everything from the first damaged place on.
    Cut,
    /// Everything up to the last damaged place: for a log whose beginning is kept elsewhere, in snapshots of later indexes.
    Forget,
}

/// What a repair has done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repaired {
    /// Where the files are that the log no longer has.
    pub aside: PathBuf,
    /// The log as it is now.
    pub now: Inspection,
}

/// Repairs the log in this directory, which must not be in use. Errors: [`Error::Unavailable`], also when there is
/// nothing to repair, nothing would be left, or a newer program has written it.
pub fn repair(
    directory: &Path,
    choice: Choice,
    clock: Arc<dyn Clock>,
    entropy: &dyn Entropy,
) -> Result<Repaired, Error> {
    let disk = Directory::open(directory)?;
    let found = inspect(directory)?;
    if found.is_newer {
        return Err(refused("part of it is written by a newer program: repair it with that one"));
    }
    let aside = match choice {
        Choice::Cut => {
            let bad = found.cut_at().ok_or_else(|| match found.damage.is_empty() {
                true => refused("it is not damaged"),
                false => refused("what is missing was before all that is there, and can only be forgotten"),
            })?;
            cut(&disk, directory, &found, bad)?
        }
        Choice::Forget => {
            let bad = found.forget_to().ok_or_else(|| refused("it is not damaged"))?;
            if bad.lost_by_forget.is_none() {
                return Err(refused("the damage is in its last segment, and nothing is kept behind it"));
            }
            forget(directory, &found, bad)?
        }
    };
    // A cut may have taken the trims by which older segments were let go: their records are forgotten again.
    Engine::open_forgetting(Arc::new(disk), &Options::default(), clock, entropy)?.close()?;
    Ok(Repaired { aside, now: inspect(directory)? })
}

fn refused(why: &str) -> Error {
    Error::Unavailable { act: Act::Repair, reason: why.into() }
}

fn failed(place: &Path) -> impl Fn(io::Error) -> Error {
    let place = place.display().to_string();
    move |error| Error::Unavailable { act: Act::Repair, reason: format!("{place}: {error}") }
}

/// Makes the bad place the end of the log.
fn cut(disk: &Directory, directory: &Path, found: &Inspection, bad: &Bad) -> Result<PathBuf, Error> {
    let keeps_part = bad.offset > 0;
    let first_gone = bad.segment + u64::from(keeps_part);
    if !found.segments.iter().any(|segment| segment.number < first_gone) {
        return Err(refused("nothing would be left: move the directory away to begin a new log"));
    }
    let aside = make_aside(directory)?;
    if keeps_part {
        let name = names::segment(bad.segment);
        let from = directory.join(&name);
        fs::copy(&from, aside.join(&name)).map_err(failed(&from))?;
        sync(&aside.join(&name))?;
    }
    // The first one first, and each for good before the next: until the last has gone there is a gap, so that nothing
    // but a repair opens the log. Files that only got their names go as well: they would follow nothing.
    let listing = Listing::read(disk)?;
    for number in listing.segments().range(first_gone..).map(|(number, _)| *number) {
        move_to(directory, &aside, number)?;
        sync(&aside)?;
        sync(directory)?;
    }
    if keeps_part {
        wipe_from(disk, bad)?;
    }
    disk.sync().map_err(failed(directory))?;
    Ok(aside)
}

/// Makes every group of the segment from the bad place on unreadable.
fn wipe_from(disk: &Directory, bad: &Bad) -> Result<(), Error> {
    let name = names::segment(bad.segment);
    let place = PathBuf::from(disk.place()).join(&name);
    let file = disk.open(&name).map_err(failed(&place))?;
    let bytes = file.bytes().map_err(failed(&place))?;
    let begun = recover::opening(disk, bad.segment, bytes)?;
    let begun = begun.map_err(|invalid| refused(&format!("{}: {invalid}", place.display())))?;
    let ahead = scan::look_ahead(&*file, begun.home, bad.offset, bytes).map_err(failed(&place))?;
    // From the end, so that what is left is damaged until the bad place itself is gone.
    for offset in ahead.traces.iter().rev().filter(|offset| **offset != bad.offset).chain([&bad.offset]) {
        file.write_at(&[0; BLOCK_BYTES], *offset).map_err(failed(&place))?;
    }
    file.sync().map_err(failed(&place))
}

/// Takes everything up to the segment with the bad place out of the log.
fn forget(directory: &Path, found: &Inspection, bad: &Bad) -> Result<PathBuf, Error> {
    let aside = make_aside(directory)?;
    for segment in found.segments.iter().filter(|segment| segment.number <= bad.segment) {
        move_to(directory, &aside, segment.number)?;
    }
    sync(&aside)?;
    sync(directory)?;
    Ok(aside)
}

/// A new folder in the log's directory.
fn make_aside(directory: &Path) -> Result<PathBuf, Error> {
    for number in 1_u32.. {
        let path = directory.join(format!("aside-{number}"));
        match fs::create_dir(&path) {
            Ok(()) => {
                sync(directory)?;
                return Ok(path);
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(failed(&path)(error)),
        }
    }
    unreachable!("a directory has fewer entries")
}

fn move_to(directory: &Path, aside: &Path, number: u64) -> Result<(), Error> {
    let name = names::segment(number);
    let from = directory.join(&name);
    match fs::rename(&from, aside.join(&name)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        moved => moved.map_err(failed(&from)),
    }
}

fn sync(path: &Path) -> Result<(), Error> {
    fs::File::open(path).and_then(|file| file.sync_all()).map_err(failed(path))
}
