//! Pages of answers tell the figures of the reports that are there, and what each page must have.

use crate::Finding;
use crate::finding::assert_none;
use crate::repo;

/// The headlines of a page, in this order.
const SECTIONS: [&str; 5] =
    ["## Short answer", "## What Mainstay does", "## Try it", "## Figures", "## Limits"];

fn check_sections(path: &str, text: &str) -> Vec<Finding> {
    let found: Vec<&str> = text.lines().filter(|line| line.starts_with("## ")).collect();
    if found == SECTIONS {
        return Vec::new();
    }
    vec![Finding::new(path, 1, format!("its sections are {found:?}: a page of answers has {SECTIONS:?}"))]
}

#[test]
fn a_page_without_a_section_is_found() {
    let whole: String = SECTIONS.iter().map(|section| format!("{section}\n\ntext\n")).collect();
    assert_eq!(check_sections("a.md", &whole).len(), 0);
    assert_eq!(check_sections("a.md", &whole.replace("## Limits", "")).len(), 1);
}

#[test]
fn pages_of_answers_have_their_sections() {
    let pages = repo::files(|path| path.starts_with("docs/answers/") && !path.ends_with("/README.md"));
    assert_none(pages.iter().flat_map(|page| check_sections(&page.path, &page.text)).collect());
}

#[test]
fn figures_in_answers_are_those_of_the_reports() {
    let answers = xtask::answers::all(&repo::root()).unwrap_or_else(|error| panic!("{error:#}"));
    let stale = answers.iter().filter(|answer| answer.text != answer.filled);
    let finding = |answer: &xtask::answers::Answer| {
        let path = answer.path.strip_prefix(repo::root()).expect("it is a page of this repository");
        Finding::new(&path.display().to_string(), 1, "its figures are old: run `cargo xtask answers`")
    };
    assert_none(stale.map(finding).collect());
}
