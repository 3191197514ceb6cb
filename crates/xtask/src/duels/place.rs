//! Where the servers of a duel keep their data: on a disk that syncs mean something for, and reachable for servers that
//! refuse to run as root.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use mainstay_lab::bench::Place;
use mainstay_lab::duel::{Contestant, Duel};
use tempfile::TempDir;

/// For files that are to outlive a restart, by the Filesystem Hierarchy Standard; `/tmp` may be memory.
const DISK: &str = "/var/tmp";

/// Makes the folder of a duel, which goes when this is dropped. Errors: it would be in memory.
pub(super) fn make() -> Result<TempDir> {
    let folder = tempfile::Builder::new().prefix("mainstay-duel-").tempdir_in(DISK);
    let folder = folder.context("make a folder for the servers")?;
    ensure!(
        !Place::look(folder.path())?.is_in_memory(),
        "{DISK} is in memory: a sync there is worth nothing"
    );
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).context("open the folder")?;
    Ok(folder)
}

/// The same duel, with the file system below `folder` among each contestant's settings.
pub(super) fn told(duel: Duel, folder: &Path) -> Result<Duel> {
    let Place { file_system, source, .. } = Place::look(folder)?;
    let row = ("file system of its data".to_owned(), format!("{file_system} on {source}"));
    let tell = |Contestant { name, start }: Contestant| {
        let row = row.clone();
        let told = move |folder: &Path| {
            let mut started = start(folder)?;
            started.settings.push(row.clone());
            Ok(started)
        };
        Contestant { name, start: Box::new(told) }
    };
    Ok(Duel { contestants: duel.contestants.into_iter().map(tell).collect(), ..duel })
}
