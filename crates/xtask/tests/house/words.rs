//! Words that no file may hold: paths of one machine, and work put off without saying until when.

use crate::Finding;
use crate::repo::{self, SourceFile};

/// Assembled, so that this file passes its own rule.
const MACHINE_PATHS: [&str; 2] = [concat!("/ro", "ot/"), concat!("/wo", "rk/")];
const PUT_OFF: [&str; 2] = [concat!("TO", "DO"), concat!("FIX", "ME")];

fn check(file: &SourceFile) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (number, line) in (1..).zip(file.text.lines()) {
        for path in MACHINE_PATHS {
            if line.match_indices(path).any(|(at, _)| starts_a_path(line, at)) {
                let what = format!("`{path}` exists on one machine only: use a relative path or a variable");
                findings.push(Finding::new(&file.path, number, what));
            }
        }
        for word in PUT_OFF {
            if line.match_indices(word).any(|(at, _)| is_unconditional(line, at, word)) {
                let what = format!("do it now, or say when it is due: `{word}(when ...)`");
                findings.push(Finding::new(&file.path, number, what));
            }
        }
    }
    findings
}

/// An absolute path begins here; `target/work/` holds none.
fn starts_a_path(line: &str, at: usize) -> bool {
    !line[..at].ends_with(|c: char| c.is_alphanumeric() || "._-}/*".contains(c))
}

/// The whole word, without a condition in parentheses after it.
fn is_unconditional(line: &str, at: usize, word: &str) -> bool {
    let after = &line[at + word.len()..];
    let is_whole = !line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_')
        && !after.starts_with(|c: char| c.is_alphanumeric() || c == '_');
    let condition =
        after.strip_prefix('(').and_then(|rest| rest.split_once(')')).map(|(inside, _)| inside.trim());
    is_whole && condition.is_none_or(str::is_empty)
}

#[test]
fn no_file_holds_a_forbidden_word() {
    crate::finding::assert_none(repo::texts().iter().flat_map(check).collect());
}

#[test]
fn forbidden_words_are_found() {
    let count = |text: String| check(&SourceFile { path: "x.md".into(), text }).len();
    let [root, work] = MACHINE_PATHS;
    assert_eq!(count(format!("see {root}notes")), 1);
    assert_eq!(count(format!("`{work}notes` and {root}")), 2);
    assert_eq!(count(format!("https://example.org{work}index and ./target{work}")), 0);
    for word in PUT_OFF {
        assert_eq!(count(format!("// {word}: later")), 1);
        assert_eq!(count(format!("// {word}() later")), 1);
        assert_eq!(count(format!("// {word}(when rooms exist): split")), 0);
        assert_eq!(count(format!("MAKE_{word}_LIST")), 0);
    }
}
