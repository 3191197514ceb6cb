//! The figures of duels on the front page are those of the pages that they link to, and stand in the column of who won.

use std::path::Path;

use crate::Finding;
use crate::repo;

const PAGE: &str = "README.md";
const REPORTS: &str = "docs/benchmarks/";

/// What a report names as the winner, by the column of the front page; of the last one it is the other.
const WINNERS: [Option<&str>; 3] = [Some("mainstay"), Some("no difference shown"), None];

fn cells(line: &str) -> Option<Vec<&str>> {
    let inner = line.trim().strip_prefix('|')?.strip_suffix('|')?;
    Some(inner.split('|').map(str::trim).collect())
}

/// The report that a row links to.
fn report_of(row: &str) -> Option<&str> {
    let from = row.find(&format!("({REPORTS}"))? + 1;
    row[from..].split_once(')').map(|(path, _)| path)
}

/// Whether a report has this ratio to this contestant, with this winner if the report names any.
fn has(report: &str, name: &str, ratio: &str, winner: Option<&str>) -> bool {
    let name = name.to_lowercase();
    let names =
        [format!("mainstay / {name}"), format!("mainstay / {}", name.replace(' ', "-")), name.clone()];
    report.lines().filter_map(cells).any(|cells| {
        let is_of = names.contains(&cells[0].to_lowercase());
        let has_ratio = cells.iter().any(|cell| cell.split(' ').next() == Some(ratio) && cell.ends_with(')'));
        // A table of comparisons ends with the winner, others have none.
        let is_compared = cells[0].contains(" / ");
        let won = cells.last().map(|last| last.to_lowercase()).unwrap_or_default();
        let is_won_so = match winner {
            Some(winner) => won == winner,
            None => won != "mainstay" && won != "no difference shown",
        };
        is_of && has_ratio && (is_won_so || !is_compared)
    })
}

fn check(text: &str, read: impl Fn(&str) -> String) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (number, row) in (1..).zip(text.lines()) {
        let (Some(path), Some(cells)) = (report_of(row), cells(row)) else { continue };
        if cells.len() != 4 {
            continue;
        }
        let report = read(path);
        for (cell, winner) in cells[1..].iter().zip(WINNERS) {
            for figure in cell.split(", ").filter(|figure| !figure.is_empty()) {
                let (name, ratio) = figure.rsplit_once(' ').unwrap_or((figure, ""));
                if !has(&report, name, ratio, winner) {
                    let what =
                        format!("{path} has no ratio {ratio} to {name} that was won so: take it from there");
                    findings.push(Finding::new(PAGE, number, what));
                }
            }
        }
    }
    findings
}

#[test]
fn figures_on_the_front_page_are_those_of_the_reports() {
    let read = |path: &str| std::fs::read_to_string(repo::root().join(Path::new(path))).unwrap_or_default();
    let text = read(PAGE);
    let rows = text.lines().filter(|row| row.starts_with('|') && report_of(row).is_some()).count();
    assert!(rows >= 10, "the pattern still finds duels");
    crate::finding::assert_none(check(&text, read));
}

#[test]
fn figures_that_no_report_has_are_found() {
    let report = "| mainstay / etcd | answers/s | 1.42 (1.23 to 1.63) | mainstay |\n\
                  | mainstay / redis-unshared | answers/s | 0.60 (0.51 to 0.75) | redis-unshared |\n\
                  | nginx | 0.51 (0.51 to 0.51) | 6.42 (6.27 to 6.43) |\n";
    let found = |row: &str| check(row, |_| report.to_owned()).len();
    assert_eq!(found("| [a](docs/benchmarks/a.md) | etcd 1.42 | | Redis unshared 0.60, nginx 6.42 |"), 0);
    assert_eq!(found("| [a](docs/benchmarks/a.md) | etcd 1.43 | | Redis 0.60 |"), 2, "no such figures");
    assert_eq!(found("| [a](docs/benchmarks/a.md) | | etcd 1.42 | etcd 1.42 |"), 2, "Mainstay has won");
    assert_eq!(found("| [a](docs/benchmarks/a.md) | Redis unshared 0.60 | | |"), 1, "Mainstay has lost");
    assert_eq!(found("| a | etcd 9.99 | | |"), 0, "no duel");
}
