//! Every Rust file opens with `//!`: what it owns and the one idea behind it.

use crate::Finding;
use crate::repo::{self, SourceFile};

fn check(file: &SourceFile) -> Option<Finding> {
    let first = file.text.lines().next().unwrap_or_default();
    let says_something = first.strip_prefix("//!").is_some_and(|rest| !rest.trim().is_empty());
    (!says_something).then(|| {
        Finding::new(&file.path, 1, "open the file with `//!` and one line that says what the file owns")
    })
}

#[test]
fn every_file_opens_with_its_purpose() {
    crate::finding::assert_none(repo::rust_files().iter().filter_map(check).collect());
}

#[test]
fn a_file_without_a_purpose_is_found() {
    let broken = |text: &str| check(&SourceFile { path: "x.rs".into(), text: text.into() }).is_some();
    assert!(broken(""));
    assert!(broken("use std::fmt;\n//! Late.\n"));
    assert!(broken("//!\n//! Starts on its second line.\n"));
    assert!(broken("// A comment is not documentation.\n"));
    assert!(!broken("//! What it owns.\n"));
}
