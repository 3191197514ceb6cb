//! The results of a duel as a page: every row, won or lost.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::{CellResults, Metric, Results, VERDICT_SAMPLES_MIN};
use crate::report::{Table, circumstances, put, write_both};
use crate::stats::{Spread, Winner};

const NOT_MEASURED: &str = "not measured";

impl Results {
    /// The results in Markdown.
    #[must_use]
    pub fn markdown(&self) -> String {
        let mut text = format!("# {}\n\n{}\n", self.title, self.about);
        for results in &self.cells {
            put(&mut text, format_args!("\n## {}\n\n{}\n", results.cell.name, describe(results)));
            put(&mut text, format_args!("\n{}", self.figures(results).markdown()));
            put(&mut text, format_args!("\n{}", self.comparisons(results).markdown()));
            self.dropped(&mut text, results);
        }
        text.push_str(
            "\nFigures are medians of clean samples, in brackets the quartiles. A ratio is the first contestant's \
             median divided by the peer's, with a 95 % bootstrap interval; a winner is named where the interval \
             excludes equality and both sides have at least ",
        );
        put(&mut text, format_args!("{VERDICT_SAMPLES_MIN} clean samples.\n"));
        for contestant in &self.contestants {
            let mut table = Table::new("", &["setting", "value"]);
            table.row(vec!["version".to_owned(), contestant.version.clone()]);
            for (name, value) in &contestant.settings {
                table.row(vec![name.clone(), value.clone()]);
            }
            put(&mut text, format_args!("\n## {}: settings\n\n{}", contestant.name, table.markdown()));
        }
        text.push_str(&circumstances(&self.date, &self.machine, &[]));
        text
    }

    fn figures(&self, results: &CellResults) -> Table {
        let mut columns = vec!["server"];
        columns.extend(Metric::ALL.map(Metric::name));
        columns.extend(["generator late p99 us, worst", "samples", "dropped"]);
        let mut table = Table::new("", &columns);
        for (contestant, series) in self.contestants.iter().zip(&results.measured) {
            let mut row = vec![contestant.name.clone()];
            for metric in Metric::ALL {
                let values: Vec<f64> = series.clean.iter().map(|sample| metric.of(sample)).collect();
                let spread = Spread::of(&values).filter(|_| series.is_measured());
                row.push(spread.map_or_else(|| NOT_MEASURED.to_owned(), |spread| show(spread, metric)));
            }
            let late = series.clean.iter().map(|sample| sample.lateness.p99_us).fold(0.0, f64::max);
            row.push(if results.offered_per_s.is_some() { format!("{late:.0}") } else { "-".to_owned() });
            row.extend([series.clean.len().to_string(), series.dropped.to_string()]);
            table.row(row);
        }
        table
    }

    fn comparisons(&self, results: &CellResults) -> Table {
        let ours = &self.contestants[0].name;
        let mut table = Table::new("", &["compared", "metric", "ratio (95 % interval)", "winner"]);
        for row in &results.comparisons {
            let winner = match (row.ratio, row.winner) {
                (None, _) => NOT_MEASURED,
                (Some(_), None) => "too few samples",
                (_, Some(Winner::Ours)) => ours,
                (_, Some(Winner::Theirs)) => &row.peer,
                (_, Some(Winner::Neither)) => "no difference shown",
            };
            table.row(vec![
                format!("{ours} / {}", row.peer),
                row.metric.name().to_owned(),
                row.ratio.map_or_else(|| NOT_MEASURED.to_owned(), |ratio| ratio.to_string()),
                winner.to_owned(),
            ]);
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
        || "closed loop, each connection sends when its last request is answered".to_owned(),
        |rate| format!("open loop, {rate:.0} requests/s offered to all, latency from the due time"),
    );
    format!(
        "{} connections on {} load threads, {:.1} s measured after {:.1} s of warm-up: {offer}.",
        cell.connections,
        cell.threads,
        cell.duration.as_secs_f64(),
        cell.warm_up.as_secs_f64(),
    )
}

fn show(spread: Spread, metric: Metric) -> String {
    let decimals = if metric == Metric::Rate { 0 } else { 1 };
    let Spread { median, lower_quartile, upper_quartile, .. } = spread;
    format!("{median:.decimals$} ({lower_quartile:.decimals$} to {upper_quartile:.decimals$})")
}
