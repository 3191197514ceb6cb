//! Documentation of Rust code holds no doctests: the test runner runs none, so they would rot.

use pulldown_cmark::{CodeBlockKind, Event, Parser, Tag};

use crate::Finding;
use crate::repo::{self, SourceFile, line_of};

/// What may stand after a fence and still leaves its block a doctest.
const DOCTEST_TAGS: [&str; 7] =
    ["rust", "ignore", "no_run", "should_panic", "compile_fail", "test_harness", "standalone_crate"];

fn check(file: &SourceFile) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (first_line, text) in comments(&file.text) {
        for (event, place) in Parser::new(&text).into_offset_iter() {
            let is_doctest = match event {
                Event::Start(Tag::CodeBlock(CodeBlockKind::Indented)) => true,
                Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(tags))) => is_doctest(&tags),
                _ => false,
            };
            if is_doctest {
                let what = "no test runs this block: make it a test or a file in `examples`, or tag it, as in ```text";
                findings.push(Finding::new(&file.path, first_line + line_of(&text, place.start) - 1, what));
            }
        }
    }
    findings
}

/// Every `///` and `//!` comment as one text, with its first line.
fn comments(source: &str) -> Vec<(usize, String)> {
    let mut found: Vec<(usize, String)> = Vec::new();
    let mut open: Option<&str> = None;
    for (number, line) in (1..).zip(source.lines()) {
        let line = line.trim_start();
        let marker =
            ["///", "//!"].into_iter().find(|marker| line.starts_with(marker) && !line.starts_with("////"));
        if let Some(marker) = marker {
            if open != Some(marker) {
                found.push((number, String::new()));
            }
            let (_, text) = found.last_mut().expect("one has just begun");
            text.push_str(line[marker.len()..].strip_prefix(' ').unwrap_or(&line[marker.len()..]));
            text.push('\n');
        }
        open = marker;
    }
    found
}

fn is_doctest(tags: &str) -> bool {
    let mut tags = tags.split([',', ' ']).filter(|tag| !tag.is_empty());
    tags.all(|tag| DOCTEST_TAGS.contains(&tag) || tag.starts_with("edition") || tag.starts_with("ignore-"))
}

#[test]
fn documentation_holds_no_doctests() {
    crate::finding::assert_none(repo::rust_files().iter().flat_map(check).collect());
}

#[test]
fn doctests_are_found() {
    let lines = |text: &str| {
        let file = SourceFile { path: "x.rs".into(), text: text.into() };
        check(&file).iter().map(|finding| finding.line).collect::<Vec<_>>()
    };
    assert_eq!(
        lines("//! Purpose.\n//!\n//! ```\n//! a();\n//! ```\n\n/// ```rust\n/// b();\n/// ```\nfn b() {}\n"),
        [3, 7]
    );
    assert_eq!(
        lines("mod a {\n    /// A.\n    ///\n    /// ~~~no_run,edition2024\n    /// a();\n    /// ~~~\n}\n"),
        [4]
    );
    assert_eq!(lines("/// A.\n///\n///     a();\nfn a() {}\n"), [3], "an indented block is one too");
    assert_eq!(
        lines("/// ```text\n/// GET /\n/// ```\n// ```\n//// ```\n/// ```yaml\n/// a: 1\n/// ```\n"),
        [0; 0]
    );
}
