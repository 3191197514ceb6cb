//! The repository's own files: what git follows or would follow, so nothing that is built or downloaded.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Folders of the root that hold nothing of ours, where git cannot be asked: its own, and what `.gitignore` lists.
const SKIPPED_FOLDERS: [&str; 4] = [".git", "target", "data", "lab-out"];

/// One text file.
pub(crate) struct SourceFile {
    /// Path from the repository's root, with `/`.
    pub(crate) path: String,
    pub(crate) text: String,
}

pub(crate) fn root() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.ancestors().nth(2).expect("this crate lies in crates/xtask").to_owned()
}

/// Every file and folder, by path.
pub(crate) fn paths() -> BTreeSet<String> {
    let files = list(&root());
    let folders = files.iter().flat_map(|file| Path::new(file).ancestors().skip(1));
    let folders: BTreeSet<String> = folders.map(|folder| folder.to_string_lossy().into_owned()).collect();
    folders.into_iter().filter(|folder| !folder.is_empty()).chain(files.iter().cloned()).collect()
}

/// The files whose path `wanted` accepts, in the order of paths.
pub(crate) fn files(wanted: impl Fn(&str) -> bool) -> Vec<SourceFile> {
    // Broken text is in place where it is a test's input.
    let decode = |bytes: Vec<u8>| Some(String::from_utf8_lossy(&bytes).into_owned());
    read(&root(), list(&root()).into_iter().filter(|path| wanted(path)), decode)
}

/// Every file that is text: all whose bytes are UTF-8, whatever their names.
pub(crate) fn texts() -> Vec<SourceFile> {
    read(&root(), list(&root()), |bytes| String::from_utf8(bytes).ok())
}

/// A file that has disappeared meanwhile is none of ours.
fn read(
    root: &Path,
    paths: impl IntoIterator<Item = String>,
    decode: impl Fn(Vec<u8>) -> Option<String>,
) -> Vec<SourceFile> {
    let read = |path: String| Some(SourceFile { text: decode(fs::read(root.join(&path)).ok()?)?, path });
    paths.into_iter().filter_map(read).collect()
}

/// The paths of all files, sorted: those that git follows or would, and in a copy without git's folder those found by
/// walking.
fn list(root: &Path) -> Vec<String> {
    let mut paths = git_files(root).unwrap_or_else(|| walk(root));
    paths.sort();
    paths
}

/// `None` if this is no checkout, or there is no git to ask.
fn git_files(root: &Path) -> Option<Vec<String>> {
    if !root.join(".git").exists() {
        return None;
    }
    let output = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root)
        .env_remove("GIT_DIR")
        .env_remove("GIT_INDEX_FILE")
        .output()
        .ok()
        .filter(|output| output.status.success())?;
    let paths = output.stdout.split(|byte| *byte == 0).filter(|path| !path.is_empty());
    let paths = paths.map(|path| String::from_utf8_lossy(path).into_owned());
    // What is deleted and not yet committed is still in git's list, and a link's target is listed under its own name.
    let is_file = |path: &String| root.join(path).symlink_metadata().is_ok_and(|found| found.is_file());
    Some(paths.filter(is_file).collect())
}

fn walk(root: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let Ok(kind) = entry.file_type() else { continue };
            let path = entry.path();
            if kind.is_dir() {
                let is_skipped = folder == root && SKIPPED_FOLDERS.iter().any(|name| path.ends_with(name));
                folders.extend((!is_skipped).then_some(path));
            } else if kind.is_file() {
                let path = path.strip_prefix(root).expect("it lies under the root");
                found.push(path.to_string_lossy().replace('\\', "/"));
            }
        }
    }
    found
}

/// Every Rust file.
pub(crate) fn rust_files() -> Vec<SourceFile> {
    files(|path| path.ends_with(".rs"))
}

/// The pages that describe the project.
pub(crate) fn pages() -> Vec<SourceFile> {
    files(|path| path.ends_with(".md") && (!path.contains('/') || path.starts_with("docs/")))
}

/// The line, counted from 1, on which the byte `offset` lies.
pub(crate) fn line_of(text: &str, offset: usize) -> usize {
    text[..offset].matches('\n').count() + 1
}

#[test]
fn files_are_listed_as_git_would_and_without_git_by_walking() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    for (path, bytes) in [
        (".gitignore", &b"/built\n"[..]),
        ("a/b.mjs", b"text"),
        ("built/c.txt", b"built"),
        ("data/d.txt", b"data"),
        ("e.bin", b"\xff\xfe"),
    ] {
        fs::create_dir_all(root.join(path).parent().unwrap()).unwrap();
        fs::write(root.join(path), bytes).unwrap();
    }
    assert_eq!(list(root), [".gitignore", "a/b.mjs", "built/c.txt", "e.bin"], "without git");
    let git = |arguments: &[&str]| {
        let status = Command::new("git").args(arguments).current_dir(root).env_remove("GIT_DIR").status();
        assert!(status.unwrap().success(), "git {arguments:?}");
    };
    git(&["init", "--quiet"]);
    git(&["add", "data/d.txt", "e.bin"]);
    assert_eq!(list(root), [".gitignore", "a/b.mjs", "data/d.txt", "e.bin"], "with git");
    fs::remove_file(root.join("data/d.txt")).unwrap();
    assert_eq!(list(root), [".gitignore", "a/b.mjs", "e.bin"], "deleted and not yet committed");
    let texts = read(root, list(root), |bytes| String::from_utf8(bytes).ok());
    assert_eq!(texts.iter().map(|file| &*file.path).collect::<Vec<_>>(), [".gitignore", "a/b.mjs"]);
}
