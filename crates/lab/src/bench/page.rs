//! The results as a page: every row, won or lost.

use super::results::{CellResults, Limit, Measure, Participant, Results, Series, ratio_to_disk};
use crate::duel::VERDICT_SAMPLES_MIN;
use crate::report::{Table, circumstances, put};
use crate::stats::{Spread, Winner};

const NOT_MEASURED: &str = "not measured";
const NONE: &str = "-";

const LEGEND: &str = "\
Figures are medians of clean samples, in brackets the quartiles. The bare disk is a file in the same folder whose blocks are all there, \
written and synced (fdatasync) by one thread before and after each sample: in blocks of 4 KiB, and in groups as large as the log's \
were on average. Bytes written are the device's own count, the file system's journal included. `of the bare disk` is the log's syncs per second divided by the disk's in groups of that size; other ratios are \
the first subject's median divided by the peer's; both with a 95 % bootstrap interval. A winner is named where the interval excludes equality and \
both sides have at least ";

impl Results {
    /// The results in Markdown.
    #[must_use]
    pub fn markdown(&self) -> String {
        let mut text = format!("# {}\n\n{}\n", self.title, self.about);
        self.claims(&mut text);
        for results in &self.cells {
            put(&mut text, format_args!("\n## {}\n", results.cell));
            put(&mut text, format_args!("\n{}", self.pace(results).markdown()));
            put(&mut text, format_args!("\n{}", self.cost(results).markdown()));
            if !results.comparisons.is_empty() {
                put(&mut text, format_args!("\n{}", self.comparisons(results).markdown()));
            }
            self.dropped(&mut text, results);
        }
        put(&mut text, format_args!("\n{LEGEND}{VERDICT_SAMPLES_MIN} clean samples.\n"));
        if !self.notes.is_empty() {
            text.push_str("\n## Notes\n\n");
            for note in &self.notes {
                put(&mut text, format_args!("- {note}\n"));
            }
        }
        for subject in &self.subjects {
            let mut table = Table::new("", &["setting", "value"]);
            table.row(vec!["version".to_owned(), subject.version.clone()]);
            for (name, value) in &subject.settings {
                table.row(vec![name.clone(), value.clone()]);
            }
            put(&mut text, format_args!("\n## {}: settings\n\n{}", subject.name, table.markdown()));
        }
        text.push_str(&circumstances(&self.date, &self.machine, &self.settings));
        text
    }

    fn claims(&self, text: &mut String) {
        if self.verdict.0.is_empty() {
            return;
        }
        let holds = if self.verdict.holds() { "holds" } else { "does not hold" };
        put(text, format_args!("\n## Verdict: {holds}\n\n{}", self.verdict.table().markdown()));
    }

    /// Subjects with what was measured of them.
    pub(super) fn rows<'a>(
        &'a self,
        results: &'a CellResults,
    ) -> impl Iterator<Item = (&'a Participant, &'a Series)> {
        self.subjects.iter().zip(&results.measured)
    }

    fn pace(&self, results: &CellResults) -> Table {
        let mut columns = vec!["log"];
        columns.extend(Measure::PACE.map(Measure::name));
        columns.extend(["samples", "dropped"]);
        let mut table = Table::new("", &columns);
        for (subject, series) in self.rows(results) {
            let mut row = vec![subject.name.clone()];
            row.extend(Measure::PACE.map(|measure| show(series, measure)));
            row.extend([series.clean.len().to_string(), series.dropped.to_string()]);
            table.row(row);
        }
        table
    }

    fn cost(&self, results: &CellResults) -> Table {
        let mut columns = vec!["log", "of the bare disk"];
        columns.extend(Measure::COST.map(Measure::name));
        columns.push("limited by");
        let mut table = Table::new("", &columns);
        for (subject, series) in self.rows(results) {
            let of_disk = ratio_to_disk(series, self.seed);
            let mut row = vec![
                subject.name.clone(),
                of_disk.map_or_else(|| NONE.to_owned(), |ratio| ratio.to_string()),
            ];
            row.extend(Measure::COST.map(|measure| show(series, measure)));
            let limit = series.limit(subject.synced, self.machine.cores);
            row.push(limit.map_or(NONE, Limit::name).to_owned());
            table.row(row);
        }
        table
    }

    fn comparisons(&self, results: &CellResults) -> Table {
        let ours = &self.subjects[0].name;
        let mut table = Table::new("", &["compared", "figure", "ratio (95 % interval)", "winner"]);
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
                row.measure.name().to_owned(),
                row.ratio.map_or_else(|| NOT_MEASURED.to_owned(), |ratio| ratio.to_string()),
                winner.to_owned(),
            ]);
        }
        table
    }

    fn dropped(&self, text: &mut String, results: &CellResults) {
        for (subject, series) in self.rows(results) {
            if !series.reasons.is_empty() {
                let (dropped, reasons) = (series.dropped, series.reasons.join("; "));
                put(text, format_args!("\n{}: {dropped} samples dropped; seen: {reasons}.\n", subject.name));
            }
        }
    }
}

impl Limit {
    /// What limits, in a word or two.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Disk => "the disk's syncs",
            Self::Producers => "the producers",
            Self::Processors => "processors",
            Self::Handover => "handing over",
        }
    }
}

fn show(series: &Series, measure: Measure) -> String {
    if series.is_measured() && series.values(measure).is_empty() {
        return NONE.to_owned();
    }
    let decimals = measure.decimals();
    let text = |Spread { median, lower_quartile, upper_quartile, .. }| {
        format!("{median:.decimals$} ({lower_quartile:.decimals$} to {upper_quartile:.decimals$})")
    };
    series.spread(measure).map_or_else(|| NOT_MEASURED.to_owned(), text)
}
