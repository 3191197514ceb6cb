//! Figures in pages: marked blocks that are made from reports, so that no page tells other figures than the lab found.
//!
//! A block begins with `<!-- lab: NAME WHAT -->` and ends with `<!-- lab: end -->`, each on a line of its own. `NAME` is a report's,
//! `WHAT` is `verdict`, `circumstances`, `plot` with the plot's name, or `table` with the table's title. Pure: whoever calls
//! reads the reports.

use anyhow::{Context as _, Result, bail, ensure};

use crate::report::{Report, circumstances, put};

const MARK: &str = "<!-- lab: ";
const MARK_END: &str = " -->";
const END: &str = "end";

/// The page with each block made anew. `reports` finds a report by its name; `folder` is where the reports' files are, seen from the page.
///
/// Errors: a block is not closed, or names what there is not; with the line.
pub fn fill(page: &str, folder: &str, reports: impl Fn(&str) -> Result<Report>) -> Result<String> {
    let mut filled = String::new();
    let mut open: Option<usize> = None;
    for (nth, line) in (1..).zip(page.lines()) {
        let mark = line.strip_prefix(MARK).and_then(|rest| rest.strip_suffix(MARK_END));
        match (mark, open) {
            (Some(END), None) => bail!("line {nth} ends a block that has not begun"),
            (Some(END), Some(_)) => open = None,
            (Some(_), Some(begun)) => bail!("line {nth}: the block of line {begun} is not ended"),
            // What was there before.
            (None, Some(_)) => continue,
            _ => {}
        }
        put(&mut filled, format_args!("{line}\n"));
        if let Some(wanted) = mark.filter(|mark| *mark != END) {
            let block = block(wanted, folder, &reports).with_context(|| format!("line {nth}: {wanted}"))?;
            put(&mut filled, format_args!("\n{}\n\n", block.trim()));
            open = Some(nth);
        }
    }
    ensure!(open.is_none(), "the block of line {} is not ended", open.unwrap_or_default());
    Ok(filled)
}

fn block(wanted: &str, folder: &str, reports: impl Fn(&str) -> Result<Report>) -> Result<String> {
    let (name, what) = wanted.split_once(' ').context("a block names a report and what of it")?;
    let report = reports(name)?;
    Ok(match what.split_once(' ').unwrap_or((what, "")) {
        ("verdict", "") => below_headline(&report.verdict.markdown()),
        ("circumstances", "") => {
            below_headline(&circumstances(&report.date, &report.machine, &report.settings))
        }
        ("table", title) => {
            let table = report.tables.iter().find(|table| table.title == title);
            table.with_context(|| format!("the report {name} has no table {title:?}"))?.markdown()
        }
        ("plot", plot) => {
            let found = report.plots.iter().find(|found| found.name == plot);
            let title = &found.with_context(|| format!("the report {name} has no plot {plot:?}"))?.title;
            format!("![{title}]({folder}/{name}-{plot}.svg)")
        }
        _ => bail!("`{what}` is none of `verdict`, `circumstances`, `table TITLE`, `plot NAME`"),
    })
}

/// A section without its headline: the page has its own.
fn below_headline(section: &str) -> String {
    let lines = section.trim().lines().skip_while(|line| line.starts_with("## ") || line.is_empty());
    lines.map(|line| format!("{line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Table;

    fn report(name: &str) -> Result<Report> {
        ensure!(name == "start", "there is no report {name}");
        let mut report = Report::new("start", "Start", "How long?", "2026-01-02");
        let mut table = Table::new("All times", &["what", "ms"]);
        table.row(vec!["start".to_owned(), "7".to_owned()]);
        report.tables.push(table);
        report.verdict.check("below 100 ms", "7 ms", true);
        report.plot("times", "Times", "<svg/>".to_owned());
        Ok(report)
    }

    fn filled(page: &str) -> Result<String> {
        fill(page, "../benchmarks", report)
    }

    #[test]
    fn blocks_are_made_from_reports_and_the_rest_is_kept() {
        let page = "before\n<!-- lab: start table All times -->\nold\n<!-- lab: end -->\nafter\n";
        let expected = "before\n<!-- lab: start table All times -->\n\n| what | ms |\n| --- | ---: |\n| start | 7 |\n\n\
                        <!-- lab: end -->\nafter\n";
        assert_eq!(filled(page).unwrap(), expected);
        assert_eq!(filled(expected).unwrap(), expected, "what was made stays");
    }

    #[test]
    fn verdicts_and_plots_are_blocks_too() {
        let page = filled("<!-- lab: start verdict -->\n<!-- lab: end -->\n").unwrap();
        assert!(page.contains("| below 100 ms | 7 ms | yes |") && !page.contains("##"), "{page}");
        let page = filled("<!-- lab: start plot times -->\n<!-- lab: end -->\n").unwrap();
        assert!(page.contains("![Times](../benchmarks/start-times.svg)"), "{page}");
        let page = filled("<!-- lab: start circumstances -->\n<!-- lab: end -->\n").unwrap();
        assert!(page.contains("| date | 2026-01-02 |") && !page.contains("##"), "{page}");
    }

    #[test]
    fn mistaken_blocks_are_errors_with_their_line() {
        for (page, says) in [
            ("a\n<!-- lab: start verdict -->\n", "line 2 is not ended"),
            ("<!-- lab: start verdict -->\n<!-- lab: start verdict -->\n", "line 2: the block of line 1"),
            ("<!-- lab: end -->\n", "line 1 ends a block"),
            ("<!-- lab: start table None -->\n<!-- lab: end -->\n", "no table \"None\""),
            ("<!-- lab: start plot none -->\n<!-- lab: end -->\n", "no plot \"none\""),
            ("<!-- lab: stop verdict -->\n<!-- lab: end -->\n", "there is no report stop"),
            ("<!-- lab: start -->\n<!-- lab: end -->\n", "names a report"),
            ("<!-- lab: start everything -->\n<!-- lab: end -->\n", "is none of"),
        ] {
            let error = format!("{:#}", filled(page).unwrap_err());
            assert!(error.contains(says), "{error}");
        }
    }
}
