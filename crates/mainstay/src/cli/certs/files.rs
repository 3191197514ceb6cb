//! The files of certificates and keys: written whole or not at all, and never over what is not known.

use std::fs::Permissions;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use mainstay_base::units::Size;
use tempfile::NamedTempFile;

use crate::config::file;

const SIZE_MAX: Size = Size::from_kib(64);

/// Who may read a file.
#[derive(Debug, Clone, Copy)]
pub(super) enum Access {
    Owner,
    Everybody,
}

/// The text of a file, if there is one.
pub(super) fn read(path: &Path) -> Result<Option<String>> {
    if !file::exists(path) {
        return Ok(None);
    }
    match file::read(path, SIZE_MAX) {
        Ok(text) => Ok(Some(text)),
        Err(problem) => bail!(
            "{} {problem}: name another folder (`--out`), or let this user read the file",
            path.display()
        ),
    }
}

/// Makes a file. One that is there is an error, also if it came just now.
pub(super) fn create(path: &Path, text: &str, access: Access) -> Result<()> {
    let written = written(path, text, access)?;
    written.persist_noclobber(path).with_context(|| format!("cannot make {}", path.display()))?;
    Ok(())
}

/// Makes a file, or puts it in the place of the one that is there, which the caller knows.
pub(super) fn replace(path: &Path, text: &str, access: Access) -> Result<()> {
    let written = written(path, text, access)?;
    written.persist(path).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(())
}

/// Lets the owner of a file alone read it.
pub(super) fn close(path: &Path) -> Result<()> {
    let close = || {
        let mode = path.metadata()?.permissions().mode();
        if mode & 0o077 == 0 { Ok(()) } else { std::fs::set_permissions(path, Permissions::from_mode(0o600)) }
    };
    let closed: std::io::Result<()> = close();
    closed.with_context(|| format!("others can read {}, and that cannot be changed", path.display()))
}

/// The file beside its place. Until it has its mode, its owner alone may read it.
fn written(path: &Path, text: &str, access: Access) -> Result<NamedTempFile> {
    let folder = path.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let write = || {
        let mut file = NamedTempFile::new_in(folder)?;
        file.write_all(text.as_bytes())?;
        let mode = match access {
            Access::Owner => 0o600,
            Access::Everybody => 0o644,
        };
        file.as_file().set_permissions(Permissions::from_mode(mode))?;
        file.as_file().sync_all()?;
        Ok(file)
    };
    let written: std::io::Result<_> = write();
    written.with_context(|| format!("cannot write to the folder {}", folder.display()))
}
