//! The figures of duels on the front page are those of the pages that they link to: of what the row says was measured, under the load that it names, and in the column of who won.
//!
//! Who won is the page's own word where its table has a winner; in the table of idle connections, which has none, it is read from the interval, as far as the page shows its digits.

use std::path::Path;

use crate::Finding;
use crate::repo;

const PAGE: &str = "README.md";
const REPORTS: &str = "docs/benchmarks/";

/// The columns of the front page.
const COLUMNS: [Verdict; 3] = [Verdict::Better, Verdict::NoDifference, Verdict::Worse];

/// What words of a row are for what its report calls a metric, the first that is there.
const METRICS: [(&str, &[&str]); 5] = [
    ("idle connections", &["KiB of each connection"]),
    ("per second", &["answers/s", "records/s"]),
    ("cpu for a request", &["server CPU us/request"]),
    ("p99", &["p99 us"]),
    ("memory", &["RSS MiB"]),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Better,
    NoDifference,
    Worse,
}

/// A ratio that a report has.
struct Figure<'r> {
    heading: &'r str,
    metric: &'r str,
    peer: String,
    ratio: &'r str,
    verdict: Verdict,
}

fn cells(line: &str) -> Option<Vec<&str>> {
    let inner = line.trim().strip_prefix('|')?.strip_suffix('|')?;
    Some(inner.split('|').map(str::trim).collect())
}

/// The report that a row links to.
fn report_of(row: &str) -> Option<&str> {
    let from = row.find(&format!("({REPORTS}"))? + 1;
    row[from..].split_once(')').map(|(path, _)| path)
}

fn normal(peer: &str) -> String {
    peer.to_lowercase().replace(' ', "-")
}

/// The ratios of a report: of tables of comparisons, and of those whose last column compares.
fn figures(report: &str) -> Vec<Figure<'_>> {
    let (mut heading, mut head, mut found) = ("", None, Vec::new());
    for line in report.lines() {
        heading = line.strip_prefix("## ").unwrap_or(heading);
        let Some(cells) = cells(line) else {
            head = None;
            continue;
        };
        let Some(head) = &head else {
            head = Some(cells);
            continue;
        };
        found.extend(figure(heading, head, &cells));
    }
    found
}

fn figure<'r>(heading: &'r str, head: &[&'r str], cells: &[&'r str]) -> Option<Figure<'r>> {
    if let ["compared", "metric", _, "winner"] = head {
        let [compared, metric, ratio, winner] = cells.try_into().ok()?;
        let verdict = match winner.to_lowercase().as_str() {
            "mainstay" => Verdict::Better,
            "no difference shown" => Verdict::NoDifference,
            _ => Verdict::Worse,
        };
        let peer = normal(compared.strip_prefix("mainstay / ")?);
        return Some(Figure { heading, metric, peer, ratio: ratio.split(' ').next()?, verdict });
    }
    let (metric, last) = (head.get(1)?, head.last()?);
    let (ratio, interval) = cells.last()?.strip_suffix(')')?.split_once(" (")?;
    let (low, high) = interval.split_once(" to ")?;
    let (low, high): (f64, f64) = (low.parse().ok()?, high.parse().ok()?);
    // Of what this is a ratio of, less is better.
    let verdict = match (low, high) {
        _ if high < 1.0 => Verdict::Better,
        _ if low > 1.0 => Verdict::Worse,
        _ => Verdict::NoDifference,
    };
    let figure = Figure { heading, metric, peer: normal(cells[0]), ratio, verdict };
    last.starts_with("ours / its").then_some(figure)
}

/// The metrics that a row is about, and how the heading of its table begins; none if it does not say.
fn measured(label: &str) -> Option<(&'static [&'static str], String)> {
    let label = label.to_lowercase();
    let (words, metrics) = METRICS.iter().find(|(words, _)| label.contains(words))?;
    if *words == "idle connections" {
        return Some((metrics, "Memory of idle connections".to_owned()));
    }
    let said = label.rsplit_once(", ").map(|(_, said)| said);
    // As the front page says below the table.
    let clients =
        said.filter(|said| said.starts_with(|c: char| c.is_ascii_digit())).unwrap_or("64 connections");
    let load = match &label {
        label if label.contains("at a low load") => "half of",
        label if label.contains("of 256 b") => "payloads of 256B",
        _ => "closed loop",
    };
    Some((metrics, format!("{clients}, {load}")))
}

fn check(text: &str, read: impl Fn(&str) -> String) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (number, row) in (1..).zip(text.lines()) {
        let (Some(path), Some(cells)) = (report_of(row), cells(row)) else { continue };
        if cells.len() != 4 {
            continue;
        }
        let Some((metrics, heading)) = measured(cells[0]) else {
            let words: Vec<_> = METRICS.iter().map(|(words, _)| *words).collect();
            let what = format!("the row does not say what was measured: write one of {}", words.join(", "));
            findings.push(Finding::new(PAGE, number, what));
            continue;
        };
        let report = read(path);
        let mut all = figures(&report);
        all.retain(|it| it.heading.starts_with(&heading) && metrics.contains(&it.metric));
        for (cell, verdict) in cells[1..].iter().zip(COLUMNS) {
            for figure in cell.split(", ").filter(|figure| !figure.is_empty()) {
                let (name, ratio) = figure.rsplit_once(' ').unwrap_or((figure, ""));
                let is_it =
                    |it: &Figure<'_>| (&*it.peer, it.ratio, it.verdict) == (&*normal(name), ratio, verdict);
                if !all.iter().any(is_it) {
                    let metrics = metrics.join(" or ");
                    let what = format!(
                        "{path} has no ratio {ratio} to {name} of {metrics} below \"{heading}\" that was won so: take it from there"
                    );
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
    let report = "## 64 clients, closed loop\n\n\
                  | compared | metric | ratio (95 % interval) | winner |\n| --- | ---: | ---: | ---: |\n\
                  | mainstay / etcd | answers/s | 1.42 (1.23 to 1.63) | mainstay |\n\
                  | mainstay / etcd | RSS MiB | 0.90 (0.80 to 1.00) | mainstay |\n\
                  | mainstay / redis-unshared | answers/s | 0.60 (0.51 to 0.75) | redis-unshared |\n\n\
                  ## 1 client, closed loop\n\n\
                  | compared | metric | ratio (95 % interval) | winner |\n| --- | ---: | ---: | ---: |\n\
                  | mainstay / etcd | answers/s | 1.28 (1.23 to 1.63) | mainstay |\n\n\
                  ## Memory of idle connections\n\n\
                  | proxy | KiB of each connection | ours / its (95 % interval) |\n| --- | ---: | ---: |\n\
                  | nginx | 0.51 (0.51 to 0.51) | 6.42 (6.27 to 6.43) |\n\
                  | caddy | 3.00 (3.00 to 3.00) | 1.02 (0.97 to 1.04) |\n\
                  | envoy | 9.51 (9.51 to 9.51) | 0.21 (0.20 to 0.21) |\n";
    let found = |row: &str| check(row, |_| report.to_owned()).len();
    let rate =
        |cells: &str| found(&format!("| [a](docs/benchmarks/a.md) per second, 64 clients | {cells} |"));
    assert_eq!(rate("etcd 1.42 | | Redis unshared 0.60"), 0);
    assert_eq!(rate("etcd 1.43 | | Redis 0.60"), 2, "no such figures");
    assert_eq!(rate("| etcd 1.42 | etcd 1.42"), 2, "Mainstay has won");
    assert_eq!(rate("Redis unshared 0.60 | |"), 1, "Mainstay has lost");
    assert_eq!(rate("etcd 0.90 | |"), 1, "of another metric");
    assert_eq!(rate("etcd 1.28 | |"), 1, "under another load");
    assert_eq!(found("| [a](docs/benchmarks/a.md) per second, 1 client | etcd 1.28 | | |"), 0);
    assert_eq!(
        found("| [Memory](docs/benchmarks/a.md), 64 clients | etcd 0.90 | | |"),
        0,
        "as the page says"
    );
    let idle =
        |cells: &str| found(&format!("| [Idle connections](docs/benchmarks/a.md): memory | {cells} |"));
    assert_eq!(idle("envoy 0.21 | caddy 1.02 | nginx 6.42"), 0);
    assert_eq!(idle("nginx 6.42, caddy 1.02 | | envoy 0.21"), 3, "by the interval");
    assert_eq!(found("| [a](docs/benchmarks/a.md) | etcd 1.42 | | |"), 1, "it does not say of what");
    assert_eq!(found("| a | etcd 9.99 | | |"), 0, "no duel");
}
