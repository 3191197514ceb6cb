//! A report as one page of HTML, for people who open it in a browser. Everything is in it: style, tables, pictures.

use std::fmt::Arguments;

use super::{Report, Table, Verdict, put};

const STYLE: &str = "
:root { color-scheme: light; --ink: #1b1f24; --soft: #5b6470; --line: #d9dde3; --good: #0a7a4b; --bad: #b3261e; }
body { margin: 0 auto; max-width: 60rem; padding: 2.5rem 1.25rem 4rem; color: var(--ink); background: #fff;
  font: 16px/1.55 system-ui, sans-serif; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .5rem; }
h2 { font-size: 1.15rem; margin: 2.5rem 0 .75rem; }
.question { color: var(--soft); margin: 0; max-width: 46rem; }
.verdict { display: inline-block; margin: 1.5rem 0 .5rem; padding: .3rem .9rem; border-radius: 99rem; color: #fff; font-weight: 600; }
.holds { background: var(--good); } .fails { background: var(--bad); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .4rem .7rem; border-bottom: 1px solid var(--line); vertical-align: top; }
th { color: var(--soft); font-weight: 600; font-size: .875rem; }
th:first-child, td:first-child { padding-left: 0; }
.number { text-align: right; white-space: nowrap; }
td.yes { color: var(--good); font-weight: 600; } td.no { color: var(--bad); font-weight: 600; }
figure { margin: 1.5rem 0; } figure svg { width: 100%; height: auto; }
ul { padding-left: 1.2rem; }
";

/// The whole page.
pub(super) fn of(report: &Report) -> String {
    let mut page = String::new();
    let out = &mut page;
    let title = text(&report.title);
    put(out, format_args!("<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n"));
    put(out, format_args!("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"));
    put(out, format_args!("<title>{title}</title>\n<style>{STYLE}</style>\n<h1>{title}</h1>\n"));
    put(out, format_args!("<p class=\"question\">{}</p>\n", text(&report.question)));
    verdict(out, &report.verdict);
    for plot in &report.plots {
        // Titles stand in the pictures.
        put(
            out,
            format_args!("<figure aria-label=\"{}\">{}</figure>\n", text(&plot.title), scaled(&plot.svg)),
        );
    }
    for table in &report.tables {
        section(out, &table.title, format_args!("{}", rows(table)));
    }
    if !report.notes.is_empty() {
        let notes: String = report.notes.iter().map(|note| format!("<li>{}</li>\n", text(note))).collect();
        section(out, "Notes", format_args!("<ul>\n{notes}</ul>\n"));
    }
    let mut circumstances = Table::new("Circumstances", &["what", "value"]);
    circumstances.row(vec!["date".to_owned(), report.date.clone()]);
    for (name, value) in report.machine.facts().iter().chain(&report.settings) {
        circumstances.row(vec![name.clone(), value.clone()]);
    }
    section(out, &circumstances.title, format_args!("{}", rows(&circumstances)));
    page
}

fn verdict(out: &mut String, verdict: &Verdict) {
    let (class, word) = if verdict.holds() { ("holds", "holds") } else { ("fails", "does not hold") };
    put(out, format_args!("<p class=\"verdict {class}\">{word}</p>\n"));
    let mut checks = Table::new("", &["claim", "measured", "holds"]);
    for check in &verdict.0 {
        let holds = if check.holds { "yes" } else { "no" };
        checks.row(vec![check.claim.clone(), check.measured.clone(), holds.to_owned()]);
    }
    out.push_str(&rows(&checks));
}

fn section(out: &mut String, title: &str, content: Arguments<'_>) {
    put(out, format_args!("<h2>{}</h2>\n{content}", text(title)));
}

fn rows(table: &Table) -> String {
    // Numbers are easier to compare when they end at the same place; texts are read from their beginning.
    let is_number = |cell: &String| cell.starts_with(|first: char| first.is_ascii_digit() || first == '-');
    let numbers: Vec<_> = (0..table.columns.len())
        .map(|column| column > 0 && table.rows.iter().all(|row| is_number(&row[column])))
        .collect();
    let cells = |tag: &str, cells: &[String]| -> String {
        cells.iter().zip(&numbers).map(|(cell, is_number)| cell_of(tag, cell, *is_number)).collect()
    };
    let head = cells("th", &table.columns);
    let body: String = table.rows.iter().map(|row| format!("<tr>{}</tr>\n", cells("td", row))).collect();
    format!("<div class=\"scroll\"><table>\n<tr>{head}</tr>\n{body}</table></div>\n")
}

fn cell_of(tag: &str, cell: &str, is_number: bool) -> String {
    match (tag, cell) {
        ("td", "yes" | "no") => format!("<td class=\"{cell}\">{cell}</td>"),
        _ if is_number => format!("<{tag} class=\"number\">{}</{tag}>", text(cell)),
        _ => format!("<{tag}>{}</{tag}>", text(cell)),
    }
}

/// A picture that takes the width there is: its own size becomes its proportions.
fn scaled(svg: &str) -> String {
    svg.replacen("<svg ", "<svg role=\"img\" preserveAspectRatio=\"xMidYMid meet\" ", 1)
}

fn text(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_everything_in_it_and_escapes_what_is_text() {
        let mut report = Report::new("drill", "A <drill> & more", "Does it \"hold\"?", "2026-01-02");
        report.verdict.check("nothing is lost", "0 < 1", true);
        report.verdict.check("all is well", "no", false);
        let mut table = Table::new("Faults", &["what", "from"]);
        table.row(vec!["kill <b>".to_owned(), "1.5 s".to_owned()]);
        report.tables.push(table);
        report.plot("rate", "Rate", "<svg width=\"8\" height=\"4\" viewBox=\"0 0 8 4\"></svg>".to_owned());
        report.notes.push("a & b".to_owned());
        let page = report.page();
        for part in [
            "<title>A &lt;drill&gt; &amp; more</title>",
            "Does it &quot;hold&quot;?",
            "<p class=\"verdict fails\">does not hold</p>",
            "<td class=\"no\">no</td>",
            "<td>kill &lt;b&gt;</td><td class=\"number\">1.5 s</td>",
            "<figure aria-label=\"Rate\"><svg role=\"img\"",
            "<li>a &amp; b</li>",
            "2026-01-02",
        ] {
            assert!(page.contains(part), "{part} is missing in {page}");
        }
        assert!(!page.contains("src=") && !page.contains("href="), "it asks for nothing else");
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(std::fs::read_to_string(report.write_page(folder.path()).unwrap()).unwrap(), page);
    }
}
