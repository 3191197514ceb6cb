//! The page that says what is refused has each reason once, with its answer.

use super::super::Reason;

const PAGE: &str = include_str!("../../../../../docs/gateway/strictness.md");

#[test]
fn the_page_has_every_reason_with_its_answer() {
    let row = |line: &str| -> Option<(String, String)> {
        let mut cells = line.strip_prefix("| `")?.split('|').map(str::trim);
        Some((cells.next()?.trim_end_matches('`').to_owned(), cells.nth(1)?.to_owned()))
    };
    let mut page: Vec<_> = PAGE.lines().filter_map(row).collect();
    let mut code: Vec<_> = Reason::ALL
        .iter()
        .map(|reason| (reason.name().to_owned(), reason.status().as_str().to_owned()))
        .collect();
    page.sort();
    code.sort();
    assert_eq!(page, code);
}

#[test]
fn every_row_of_the_page_has_a_source() {
    for line in PAGE.lines().filter(|line| line.starts_with("| `")) {
        let source = line.trim_end_matches(['|', ' ']).rsplit('|').next().unwrap_or_default();
        assert!(
            ["RFC", "CVE", "WHATWG", "Kettle", "Davison", "nginx"].iter().any(|known| source.contains(known)),
            "{line}"
        );
    }
}

#[test]
fn names_are_those_of_the_reasons() {
    for reason in Reason::ALL {
        let snake: String = format!("{reason:?}")
            .chars()
            .enumerate()
            .flat_map(|(place, letter)| {
                let hyphen = (place > 0 && letter.is_ascii_uppercase()).then_some('_');
                hyphen.into_iter().chain([letter.to_ascii_lowercase()])
            })
            .collect();
        assert_eq!(reason.name(), snake);
    }
}
