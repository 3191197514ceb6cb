//! Reports: what was asked, on what machine, what came out, whether the claim holds. As Markdown for people and
//! as JSON for programs.
//!
//! The text depends on the data alone, so that two versions of a report can be compared line by line. The date is
//! the caller's.

mod page;

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use crate::process::Machine;

/// One report.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Name of its files, without extension.
    pub name: String,
    /// Its headline.
    pub title: String,
    /// What was asked, in a sentence or two.
    pub question: String,
    /// When it was measured, as the caller writes dates.
    pub date: String,
    /// Where.
    pub machine: Machine,
    /// Pairs of a name and a value: versions, durations, rates, limits.
    pub settings: Vec<(String, String)>,
    /// Whether what is claimed holds.
    pub verdict: Verdict,
    /// The figures.
    pub tables: Vec<Table>,
    /// The pictures.
    pub plots: Vec<Plot>,
    /// What else a reader must know.
    pub notes: Vec<String>,
}

/// Claims, each with what was measured.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict(pub Vec<Check>);

/// One claim and what was measured of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// What is claimed, such as `cold start below 100 ms`.
    pub claim: String,
    /// What was measured, such as `23.1 ms (slowest of 30: 31.0 ms)`.
    pub measured: String,
    /// Whether it holds.
    pub holds: bool,
}

impl Verdict {
    /// Adds a check.
    pub fn check(&mut self, claim: impl Into<String>, measured: impl Into<String>, holds: bool) {
        self.0.push(Check { claim: claim.into(), measured: measured.into(), holds });
    }

    /// Whether there are claims and all of them hold.
    #[must_use]
    pub fn holds(&self) -> bool {
        !self.0.is_empty() && self.0.iter().all(|check| check.holds)
    }

    /// The section of it: what holds, and each claim in a row.
    pub(crate) fn markdown(&self) -> String {
        let holds = if self.holds() { "holds" } else { "does not hold" };
        let mut checks = Table::new("", &["claim", "measured", "holds"]);
        for check in &self.0 {
            let holds = if check.holds { "yes" } else { "no" };
            checks.row(vec![check.claim.clone(), check.measured.clone(), holds.to_owned()]);
        }
        format!("\n## Verdict: {holds}\n\n{}", checks.markdown())
    }
}

/// A table. Numbers are texts already, with a fixed number of decimals; units are in the columns' names.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    /// What it shows.
    pub title: String,
    /// Names of the columns.
    pub columns: Vec<String>,
    /// Each as long as `columns`.
    pub rows: Vec<Vec<String>>,
}

impl Table {
    /// An empty table.
    #[must_use]
    pub fn new(title: &str, columns: &[&str]) -> Self {
        Self {
            title: title.to_owned(),
            columns: columns.iter().map(ToString::to_string).collect(),
            rows: Vec::new(),
        }
    }

    /// Adds a row. Panics if it is not as long as the columns.
    pub fn row(&mut self, cells: Vec<String>) {
        assert_eq!(cells.len(), self.columns.len(), "a row of table {:?} has another length", self.title);
        self.rows.push(cells);
    }

    /// The table in Markdown, with a trailing newline, without its title.
    #[must_use]
    pub fn markdown(&self) -> String {
        let mut text = String::new();
        let mut line = |cells: &[String]| {
            let cells: Vec<String> = cells.iter().map(|cell| escape(cell)).collect();
            text.push_str(&format!("| {} |\n", cells.join(" | ")));
        };
        line(&self.columns);
        // The first column names the row; numbers are easier to compare when they end at the same place.
        let alignment =
            (0..self.columns.len()).map(|column| if column == 0 { "---" } else { "---:" }.to_owned());
        line(&alignment.collect::<Vec<_>>());
        for row in &self.rows {
            line(row);
        }
        text
    }
}

fn escape(cell: &str) -> String {
    cell.replace('|', "\\|").replace('\n', " ")
}

/// A picture, written as `<report>-<name>.svg` beside the report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plot {
    /// Last part of its file's name.
    pub name: String,
    /// What it shows.
    pub title: String,
    /// The picture itself; only in its own file.
    #[serde(skip)]
    pub svg: String,
}

impl Report {
    /// A report without results yet, about this machine.
    #[must_use]
    pub fn new(name: &str, title: &str, question: &str, date: &str) -> Self {
        Self {
            name: name.to_owned(),
            title: title.to_owned(),
            question: question.to_owned(),
            date: date.to_owned(),
            machine: Machine::look(),
            settings: Vec::new(),
            verdict: Verdict::default(),
            tables: Vec::new(),
            plots: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// Adds a setting.
    pub fn setting(&mut self, name: &str, value: impl Into<String>) {
        self.settings.push((name.to_owned(), value.into()));
    }

    /// Adds a picture.
    pub fn plot(&mut self, name: &str, title: &str, svg: String) {
        self.plots.push(Plot { name: name.to_owned(), title: title.to_owned(), svg });
    }

    /// The report in Markdown.
    #[must_use]
    pub fn markdown(&self) -> String {
        let mut text = format!("# {}\n\n{}\n", self.title, self.question);
        text.push_str(&self.verdict.markdown());
        for table in &self.tables {
            put(&mut text, format_args!("\n## {}\n\n{}", table.title, table.markdown()));
        }
        for plot in &self.plots {
            put(&mut text, format_args!("\n![{}]({})\n", plot.title, self.plot_file(plot)));
        }
        text.push_str(&notes(&self.notes));
        text.push_str(&circumstances(&self.date, &self.machine, &self.settings));
        text
    }

    fn plot_file(&self, plot: &Plot) -> String {
        format!("{}-{}.svg", self.name, plot.name)
    }

    /// Writes `<name>.md`, `<name>.json` and the pictures into `folder`; returns the path of the Markdown file.
    ///
    /// Each file is replaced as a whole or not at all. Errors: a file can't be written.
    pub fn write(&self, folder: &Path) -> Result<PathBuf> {
        for plot in &self.plots {
            write_file(&folder.join(self.plot_file(plot)), &plot.svg)?;
        }
        write_both(folder, &self.name, &self.markdown(), self)
    }

    /// The report as one page of HTML, which has the pictures in it and asks for nothing else.
    #[must_use]
    pub fn page(&self) -> String {
        page::of(self)
    }

    /// Writes the page as `<name>.html` into `folder`, as a whole or not at all; returns its path. Errors: it can't be written.
    pub fn write_page(&self, folder: &Path) -> Result<PathBuf> {
        let path = folder.join(format!("{}.html", self.name));
        write_file(&path, &self.page())?;
        Ok(path)
    }
}

/// The section of what else a reader must know; empty without notes.
pub(crate) fn notes(notes: &[String]) -> String {
    if notes.is_empty() {
        return String::new();
    }
    let lines: String = notes.iter().map(|note| format!("- {note}\n")).collect();
    format!("\n## Notes\n\n{lines}")
}

/// The section of one that took part in a comparison: its version and its settings.
pub(crate) fn participant(name: &str, version: &str, settings: &[(String, String)]) -> String {
    let mut table = Table::new("", &["setting", "value"]);
    table.row(vec!["version".to_owned(), version.to_owned()]);
    for (name, value) in settings {
        table.row(vec![name.clone(), value.clone()]);
    }
    format!("\n## {name}: settings\n\n{}", table.markdown())
}

/// The last section of every report: date, machine, settings.
pub(crate) fn circumstances(date: &str, machine: &Machine, settings: &[(String, String)]) -> String {
    let mut table = Table::new("", &["what", "value"]);
    table.row(vec!["date".to_owned(), date.to_owned()]);
    for (name, value) in machine.facts().iter().chain(settings) {
        table.row(vec![name.clone(), value.clone()]);
    }
    format!("\n## Circumstances\n\n{}", table.markdown())
}

/// Appends formatted text.
pub(crate) fn put(text: &mut String, more: std::fmt::Arguments<'_>) {
    text.write_fmt(more).expect("writing to a string does not fail");
}

/// Writes a report's two files; returns the path of the Markdown one.
pub(crate) fn write_both(
    folder: &Path,
    name: &str,
    markdown: &str,
    data: &impl Serialize,
) -> Result<PathBuf> {
    let mut json = serde_json::to_string_pretty(data).context("write a report as JSON")?;
    json.push('\n');
    write_file(&folder.join(format!("{name}.json")), &json)?;
    let path = folder.join(format!("{name}.md"));
    write_file(&path, markdown)?;
    Ok(path)
}

/// Replaces a file as a whole, creating its folder.
fn write_file(path: &Path, text: &str) -> Result<()> {
    let write = || -> Result<()> {
        let folder = path.parent().context("it has no folder")?;
        fs::create_dir_all(folder)?;
        let mut file = tempfile::Builder::new().prefix(".report").tempfile_in(folder)?;
        file.write_all(text.as_bytes())?;
        // A temporary file is its owner's alone; a report is for all.
        file.as_file().set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))?;
        file.persist(path)?;
        Ok(())
    };
    write().with_context(|| format!("write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let mut report = Report::new("start", "Cold start", "How long does a start take?", "2026-01-02");
        report.machine = Machine { cpu_model: "Example".to_owned(), cores: 2, ..Machine::default() };
        report.setting("runs", "30");
        report.verdict.check("below 100 ms", "23.1 ms", true);
        let mut table = Table::new("Times", &["what", "ms"]);
        table.row(vec!["a | b".to_owned(), "23.1".to_owned()]);
        report.tables.push(table);
        report.plot("times", "Times of all runs", "<svg/>".to_owned());
        report.notes.push("Warm page cache.".to_owned());
        report
    }

    #[test]
    fn a_report_reads_as_one_page() {
        let expected = "\
# Cold start

How long does a start take?

## Verdict: holds

| claim | measured | holds |
| --- | ---: | ---: |
| below 100 ms | 23.1 ms | yes |

## Times

| what | ms |
| --- | ---: |
| a \\| b | 23.1 |

![Times of all runs](start-times.svg)

## Notes

- Warm page cache.

## Circumstances

| what | value |
| --- | ---: |
| date | 2026-01-02 |
| processor | Example |
| cores | 2 |
";
        let text = report().markdown();
        assert!(text.starts_with(expected), "{text}");
        assert!(text.ends_with("| runs | 30 |\n"), "{text}");
    }

    #[test]
    fn files_are_written_whole_and_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("deeper");
        let path = report().write(&folder).unwrap();
        report().write(&folder).unwrap();
        assert_eq!(fs::read_to_string(path).unwrap(), report().markdown());
        let json = fs::read_to_string(folder.join("start.json")).unwrap();
        let mut read: Report = serde_json::from_str(&json).unwrap();
        read.plots[0].svg = "<svg/>".to_owned();
        assert_eq!(read, report());
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 3);
    }

    #[test]
    fn a_verdict_without_claims_or_with_a_failed_one_does_not_hold() {
        let mut verdict = Verdict::default();
        assert!(!verdict.holds());
        verdict.check("a", "1", true);
        assert!(verdict.holds());
        verdict.check("b", "2", false);
        assert!(!verdict.holds());
    }
}
