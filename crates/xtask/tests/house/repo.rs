//! The repository's own files: everything under the root but what is built, downloaded or git's.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Folders of the root that hold nothing of ours: git's own, and what `.gitignore` lists.
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
    let files = walk();
    let folders = files.iter().flat_map(|file| Path::new(file).ancestors().skip(1));
    let folders: BTreeSet<String> = folders.map(|folder| folder.to_string_lossy().into_owned()).collect();
    folders.into_iter().filter(|folder| !folder.is_empty()).chain(files.iter().cloned()).collect()
}

/// The files whose path `wanted` accepts, in the order of paths.
pub(crate) fn files(wanted: impl Fn(&str) -> bool) -> Vec<SourceFile> {
    let root = root();
    let paths = walk().into_iter().filter(|path| wanted(path));
    let read = |path: String| {
        // A file that has disappeared meanwhile is none of ours; broken text is in place where it is a test's input.
        let bytes = fs::read(root.join(&path)).ok()?;
        Some(SourceFile { text: String::from_utf8_lossy(&bytes).into_owned(), path })
    };
    paths.filter_map(read).collect()
}

/// The paths of all files, sorted.
fn walk() -> Vec<String> {
    let root = root();
    let mut found = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let Ok(kind) = entry.file_type() else { continue };
            let path = entry.path();
            if kind.is_dir() {
                let is_skipped = folder == root && SKIPPED_FOLDERS.iter().any(|name| path.ends_with(name));
                folders.extend((!is_skipped).then_some(path));
            } else if kind.is_file() {
                let path = path.strip_prefix(&root).expect("it lies under the root");
                found.push(path.to_string_lossy().replace('\\', "/"));
            }
        }
    }
    found.sort();
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
