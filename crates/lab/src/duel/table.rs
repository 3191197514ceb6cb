//! The results of a duel as a page: every row, won or lost.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::{CellResults, Metric, Results};
use crate::comparison;
use crate::report::{self, Report, Table, circumstances, put, write_both};
use crate::stats::Spread;

impl Results {
    /// The results in Markdown.
    #[must_use]
    pub fn markdown(&self) -> String {
        let mut text = format!("# {}\n\n{}\n", self.title, self.about);
        if !self.verdict.0.is_empty() {
            text.push_str(&self.verdict.markdown());
        }
        for results in &self.cells {
            put(&mut text, format_args!("\n## {}\n\n{}\n", results.cell.name, describe(results)));
            put(&mut text, format_args!("\n{}", self.figures(results).markdown()));
            let ours = &self.contestants[0].name;
            let compared = comparison::table(ours, &results.comparisons, Metric::name);
            put(&mut text, format_args!("\n{}", compared.markdown()));
            for (of, rows) in &results.pairs {
                let compared = comparison::table(of, rows, Metric::name);
                put(&mut text, format_args!("\n{}", compared.markdown()));
            }
            self.dropped(&mut text, results);
        }
        text.push_str(
            "\nFigures are medians of clean samples, in brackets the quartiles. A ratio is the first contestant's \
             median divided by the peer's, with a 95 % bootstrap interval; ",
        );
        text.push_str(&comparison::legend());
        for contestant in &self.contestants {
            text.push_str(&report::participant(&contestant.name, &contestant.version, &contestant.settings));
        }
        text.push_str(&circumstances(&self.date, &self.machine, &[]));
        text
    }

    /// What pages of answers show of it: the verdict, where it was found, and of each cell the figures of all contestants.
    #[must_use]
    pub fn report(&self) -> Report {
        let mut report = Report::new(&self.name, &self.title, &self.about, &self.date);
        report.machine = self.machine.clone();
        report.verdict = self.verdict.clone();
        let figures =
            |results: &CellResults| Table { title: results.cell.name.clone(), ..self.figures(results) };
        report.tables = self.cells.iter().map(figures).collect();
        report
    }

    fn figures(&self, results: &CellResults) -> Table {
        let mut columns = vec!["server"];
        columns.extend(Metric::ALL.map(Metric::name));
        columns.extend(["load, cores", "generator late p99 us, worst", "samples", "dropped"]);
        let mut table = Table::new("", &columns);
        for (contestant, series) in self.contestants.iter().zip(&results.measured) {
            let mut row = vec![contestant.name.clone()];
            for metric in Metric::ALL {
                let spread = Spread::of(&series.values(metric)).filter(|_| series.is_measured());
                row.push(comparison::figure(spread, metric.decimals()));
            }
            let load: Vec<f64> = series.clean.iter().map(|sample| sample.cpu.load).collect();
            let load = Spread::of(&load).filter(|_| series.is_measured());
            row.push(comparison::figure(load, 2));
            let late = series.clean.iter().map(|sample| sample.lateness.p99_us).fold(0.0, f64::max);
            row.push(if results.offered_per_s.is_some() { format!("{late:.0}") } else { "-".to_owned() });
            row.extend([series.clean.len().to_string(), series.dropped.to_string()]);
            table.row(row);
        }
        table
    }

    fn dropped(&self, text: &mut String, results: &CellResults) {
        for (contestant, series) in self.contestants.iter().zip(&results.measured) {
            if series.dropped > 0 {
                let reasons = series.reasons.join("; ");
                put(
                    text,
                    format_args!("\n{} samples of {} dropped: {reasons}.\n", series.dropped, contestant.name),
                );
            }
        }
    }

    /// Writes `<name>.md` and `<name>.json` into `folder`; returns the path of the Markdown file.
    ///
    /// Each file is replaced as a whole or not at all. Errors: a file can't be written.
    pub fn write(&self, folder: &Path) -> Result<PathBuf> {
        write_both(folder, &self.name, &self.markdown(), self)
    }
}

fn describe(results: &CellResults) -> String {
    let cell = &results.cell;
    let offer = results.offered_per_s.map_or_else(
        || "closed loop, each client sends when its last request is answered".to_owned(),
        |rate| format!("open loop, {rate:.0} requests/s offered to all, latency from the due time"),
    );
    format!(
        "{} clients on {} load threads, {:.1} s measured after {:.1} s of warm-up: {offer}.",
        cell.connections,
        cell.threads,
        cell.duration.as_secs_f64(),
        cell.warm_up.as_secs_f64(),
    )
}
