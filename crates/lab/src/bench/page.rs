//! The results as a page: every row, won or lost.

use super::results::{CellResults, Limit, Metric, Participant, Results, Series, ratio_to_disk};
use crate::comparison;
use crate::report::{Table, circumstances, notes, participant, put};

/// What stands for a figure that there is none of.
pub(super) const NONE: &str = "-";

const LEGEND: &str = "\
Figures are medians of clean samples, in brackets the quartiles. The bare disk is a file in the same folder whose blocks are all there, \
written and synced (fdatasync) by one thread before and after each sample: in blocks of 4 KiB, and in groups as large as the log's \
were on average. Bytes written are the device's own count, the file system's journal included. `of the bare disk` is the log's syncs per second divided by the disk's in groups of that size; other ratios are \
the first subject's median divided by the peer's; both with a 95 % bootstrap interval; ";

impl Results {
    /// The results in Markdown.
    #[must_use]
    pub fn markdown(&self) -> String {
        let mut text = format!("# {}\n\n{}\n", self.title, self.about);
        if !self.verdict.0.is_empty() {
            text.push_str(&self.verdict.markdown());
        }
        self.disk_pace(&mut text);
        for results in &self.cells {
            put(&mut text, format_args!("\n## {}\n", results.cell));
            put(&mut text, format_args!("\n{}", self.pace(results).markdown()));
            put(&mut text, format_args!("\n{}", self.cost(results).markdown()));
            if !results.comparisons.is_empty() {
                let ours = &self.subjects[0].name;
                let compared = comparison::table(ours, &results.comparisons, Metric::name);
                put(&mut text, format_args!("\n{}", compared.markdown()));
            }
            self.dropped(&mut text, results);
        }
        put(&mut text, format_args!("\n{LEGEND}{}", comparison::legend()));
        text.push_str(&notes(&self.notes));
        for subject in &self.subjects {
            text.push_str(&participant(&subject.name, &subject.version, &subject.settings));
        }
        text.push_str(&circumstances(&self.date, &self.machine, &self.settings));
        text
    }

    fn disk_pace(&self, text: &mut String) {
        let Some((syncs, times)) = self.disk() else { return };
        let figure = |spread| comparison::figure(Some(spread), 0);
        put(
            text,
            format_args!(
                "\n## The bare disk\n\nIn blocks of 4 KiB, beside all samples: {} syncs/s, {} us each; at its slowest {:.0} \
                 syncs/s, at its fastest {:.0}.\n",
                figure(syncs),
                figure(times),
                syncs.min,
                syncs.max,
            ),
        );
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
        columns.extend(Metric::PACE.map(Metric::name));
        columns.extend(["samples", "dropped"]);
        let mut table = Table::new("", &columns);
        for (subject, series) in self.rows(results) {
            let mut row = vec![subject.name.clone()];
            row.extend(Metric::PACE.map(|metric| show(series, metric)));
            row.extend([series.clean.len().to_string(), series.dropped.to_string()]);
            table.row(row);
        }
        table
    }

    fn cost(&self, results: &CellResults) -> Table {
        let mut columns = vec!["log", "of the bare disk"];
        columns.extend(Metric::COST.map(Metric::name));
        columns.push("limited by");
        let mut table = Table::new("", &columns);
        for (subject, series) in self.rows(results) {
            let of_disk = ratio_to_disk(series, self.seed);
            let mut row = vec![
                subject.name.clone(),
                of_disk.map_or_else(|| NONE.to_owned(), |ratio| ratio.to_string()),
            ];
            row.extend(Metric::COST.map(|metric| show(series, metric)));
            let limit = series.limit(subject.synced, self.machine.cores);
            row.push(limit.map_or(NONE, Limit::name).to_owned());
            table.row(row);
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

fn show(series: &Series, metric: Metric) -> String {
    if series.is_measured() && series.values(metric).is_empty() {
        return NONE.to_owned();
    }
    comparison::figure(series.spread(metric), metric.decimals())
}
