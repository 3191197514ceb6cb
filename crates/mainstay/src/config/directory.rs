//! Whether a directory could be made and written to, found out without making anything.

use std::io::ErrorKind;
use std::path::Path;

use rustix::fs::{Access, AtFlags, CWD};

/// Why `path` cannot be a directory of ours, and what to do; nothing if it can.
///
/// The nearest ancestor that exists decides: the rest would be made below it.
pub fn problem(path: &Path) -> Option<(String, String)> {
    const NAME: &str = "name a directory; it is made if it does not exist";
    for ancestor in path.ancestors() {
        let ancestor = if ancestor.as_os_str().is_empty() { Path::new(".") } else { ancestor };
        let shown = ancestor.display();
        match std::fs::metadata(ancestor) {
            Ok(metadata) if !metadata.is_dir() => {
                return Some((format!("{shown} exists and is not a directory"), NAME.into()));
            }
            Ok(_) => return unwritable(ancestor),
            // Some ancestor is no directory; it is reached.
            Err(error) if error.kind() == ErrorKind::NotADirectory => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {
                if ancestor.is_symlink() {
                    return Some((format!("{shown} is a link to nothing"), NAME.into()));
                }
            }
            Err(error) => return Some((format!("{shown} cannot be used: {error}"), NAME.into())),
        }
    }
    None
}

fn unwritable(directory: &Path) -> Option<(String, String)> {
    let access = Access::WRITE_OK | Access::EXEC_OK;
    let error = rustix::fs::accessat(CWD, directory, access, AtFlags::EACCESS).err()?;
    let message = format!("the directory {} cannot be written to: {error}", directory.display());
    Some((message, "let the user that runs Mainstay write there, or name another directory".into()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn the_nearest_existing_ancestor_decides() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("file"), "").expect("a file");
        symlink(at("nothing"), at("dangling")).expect("a link");
        symlink(at("loop"), at("loop")).expect("a link");
        for name in [".", "new", "new/below/it"] {
            assert_eq!(problem(&at(name)), None, "{name}");
        }
        let long = "x".repeat(256);
        for (name, what) in [
            ("file", "file exists and is not a directory"),
            ("file/x/y", "file exists and is not a directory"),
            ("dangling", "link to nothing"),
            ("dangling/x", "link to nothing"),
            ("loop/x", "symbolic links"),
            (long.as_str(), "too long"),
            ("nul\0", "cannot be used"),
        ] {
            let (message, _) = problem(&at(name)).expect(name);
            assert!(message.contains(what), "{name}: {message}");
        }
    }

    #[test]
    fn a_directory_that_cannot_be_written_to_is_no_place_for_data() {
        let folder = tempfile::tempdir().expect("a folder");
        let closed = folder.path().join("closed");
        std::fs::create_dir(&closed).expect("a directory");
        std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o500)).expect("closed");
        // Permissions do not bind root, so what is found must agree with what happens.
        let found = problem(&closed.join("data"));
        let made = std::fs::create_dir(closed.join("data"));
        assert_eq!(found.is_some(), made.is_err(), "{found:?} {made:?}");
    }
}
