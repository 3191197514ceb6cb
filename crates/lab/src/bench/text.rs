//! The results for a person at a terminal: what the disk can do, what the log does on it, what limits it.

use mainstay_base::units::Size;

use super::page::NONE;
use super::results::{CellResults, Limit, Metric, Participant, Results, Series, ratio_to_disk};
use crate::report::put;
use crate::stats::{Spread, median};

/// Columns of the table with the width of each, wide enough for a figure of a fast machine.
const COLUMNS: [(&str, usize); 12] = [
    ("producers", 9),
    ("records/s", 10),
    ("p50 us", 8),
    ("p90 us", 8),
    ("p99 us", 8),
    ("p99.9 us", 9),
    ("max us", 8),
    ("syncs/s", 8),
    ("of disk", 8),
    ("rec/sync", 9),
    ("written", 8),
    ("CPU us", 12),
];

const LEGEND: &str = "\
records/s  acknowledged; each producer waits for one record before it appends the next
p50 ...    from the append to its acknowledgement
of disk    syncs/s as a share of what the bare disk does in groups of the same size
written    bytes written to the disk for each byte given, all that anybody wrote meanwhile
CPU us     processor time for each record (of it the producer's: to make it, to append it, to be woken)
";

impl Results {
    /// The results of the first subject in plain text, lines of at most 120 columns.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        self.disk_text(&mut text);
        let mut payloads: Vec<Size> = self.cells.iter().map(|results| results.cell.payload).collect();
        payloads.dedup();
        for payload in payloads {
            put(&mut text, format_args!("\nThe log, payloads of {payload}\n"));
            put(&mut text, format_args!("{}\n", line(&COLUMNS.map(|(name, _)| name.to_owned()))));
            for results in self.cells.iter().filter(|results| results.cell.payload == payload) {
                put(&mut text, format_args!("{}\n", self.row(results)));
            }
        }
        put(&mut text, format_args!("\n{LEGEND}"));
        self.limits(&mut text);
        self.doubts(&mut text);
        text
    }

    fn disk_text(&self, text: &mut String) {
        text.push_str(
            "The disk: one thread writes and syncs (fdatasync) a file whose blocks are all there\n",
        );
        let Some((syncs, times)) = self.disk() else { return };
        put(
            text,
            format_args!(
                "  {:>9}  {:>7.0} syncs/s  {:>7.0} us each  (between {:.0} and {:.0} syncs/s meanwhile)\n",
                "4KiB", syncs.median, times.median, syncs.min, syncs.max
            ),
        );
        let mut groups: Vec<(u64, f64)> = Vec::new();
        for (_, series) in self.cells.iter().map(|results| self.first(results)) {
            let sizes: Vec<f64> =
                series.clean.iter().map(|sample| sample.disk_group[1].group_bytes as f64).collect();
            groups.extend(
                median(&sizes).map(|bytes| bytes as u64).zip(median(&series.values(Metric::DiskSyncs))),
            );
        }
        groups.sort_by_key(|(bytes, _)| *bytes);
        groups.dedup_by_key(|(bytes, _)| *bytes / 4096);
        for (bytes, syncs) in groups.into_iter().filter(|(bytes, _)| *bytes > super::BLOCK_BYTES) {
            let size = format!("{} KiB", bytes >> 10);
            put(text, format_args!("  {size:>9}  {syncs:>7.0} syncs/s  {:>7.0} us each\n", 1e6 / syncs));
        }
    }

    fn first<'a>(&'a self, results: &'a CellResults) -> (&'a Participant, &'a Series) {
        self.rows(results).next().expect("a plan has a subject")
    }

    fn row(&self, results: &CellResults) -> String {
        let (_, series) = self.first(results);
        let figure = |metric: Metric| {
            let decimals = metric.decimals();
            let spread: Option<Spread> = Spread::of(&series.values(metric));
            spread.map_or_else(|| NONE.to_owned(), |spread| format!("{:.decimals$}", spread.median))
        };
        let of_disk = ratio_to_disk(series, self.seed)
            .map_or_else(|| NONE.to_owned(), |ratio| format!("{:.2}", ratio.value));
        line(&[
            results.cell.producers.to_string(),
            figure(Metric::Records),
            figure(Metric::P50),
            figure(Metric::P90),
            figure(Metric::P99),
            figure(Metric::P999),
            figure(Metric::Max),
            figure(Metric::Syncs),
            of_disk,
            figure(Metric::RecordsPerSync),
            figure(Metric::Written),
            format!("{} ({})", figure(Metric::Cpu), figure(Metric::ProducersCpu)),
        ])
    }

    fn limits(&self, text: &mut String) {
        text.push_str("\nWhat limits it\n");
        for results in &self.cells {
            let (subject, series) = self.first(results);
            let Some(limit) = series.limit(subject.synced, self.machine.cores) else { continue };
            let (producers, payload) = (results.cell.producers, results.cell.payload.to_string());
            put(text, format_args!("  {producers:>5} x {payload:<7} {}", limit.sentence()));
            if let Some(ratio) = ratio_to_disk(series, self.seed).filter(|_| subject.synced) {
                put(text, format_args!(" [{ratio} of its syncs]"));
            }
            text.push('\n');
        }
    }

    fn doubts(&self, text: &mut String) {
        let mut doubts: Vec<&String> = Vec::new();
        for series in self.cells.iter().flat_map(|results| &results.measured) {
            doubts.extend(&series.reasons);
        }
        doubts.sort();
        doubts.dedup();
        if !doubts.is_empty() || !self.notes.is_empty() {
            text.push_str("\nRead with care\n");
        }
        for doubt in doubts {
            put(text, format_args!("  in some samples {doubt}\n"));
        }
        for note in &self.notes {
            put(text, format_args!("  {note}\n"));
        }
    }
}

impl Limit {
    /// What limits, as a sentence without its end.
    #[must_use]
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::Disk => "the disk: it hardly does more syncs of this size",
            Self::Producers => "the producers: their thread makes no more records",
            Self::Processors => "processors: all are busy",
            Self::Handover => "the way of records between threads, from sync to sync",
        }
    }
}

fn line(cells: &[String; COLUMNS.len()]) -> String {
    let mut line = String::new();
    for (cell, (_, width)) in cells.iter().zip(COLUMNS) {
        put(&mut line, format_args!("{cell:>width$} "));
    }
    line.trim_end().to_owned()
}
