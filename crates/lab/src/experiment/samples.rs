//! What is kept of runs that are compared: each figure of each run, so that medians and ratios can be told.

use anyhow::{Context as _, Result};

use super::collection::Run;
use crate::report::Table;
use crate::stats::{Ratio, median, ratio_of_medians};

/// The figures of several runs of one kind.
#[derive(Debug, Default)]
pub(super) struct Samples {
    pub(super) rates: Vec<f64>,
    cpu_us: Vec<f64>,
    log_bytes: Vec<f64>,
    row_bytes: Vec<f64>,
    p99_ms: Vec<f64>,
}

impl Samples {
    pub(super) fn add(&mut self, run: &Run) {
        self.rates.push(run.outcome.rate_per_s());
        self.cpu_us.push(run.cpu_us());
        self.log_bytes.push(run.each(run.used.log));
        self.row_bytes.push(run.each(run.used.applied));
        self.p99_ms.push(run.latencies.writes.quantile_us(0.99) / 1e3);
    }

    /// The rate by that of others. Errors: there are no runs.
    pub(super) fn ratio(&self, others: &Self) -> Result<Ratio> {
        ratio_of_medians(&self.rates, &others.rates, 1).context("nothing was written")
    }

    /// CPU of the node for a write, in microseconds. Errors: there are no runs.
    pub(super) fn cpu_us(&self) -> Result<f64> {
        median(&self.cpu_us).context("no run was made")
    }

    /// Bytes of rows for a write. Errors: there are no runs.
    pub(super) fn row_bytes(&self) -> Result<f64> {
        median(&self.row_bytes).context("no run was made")
    }

    /// A table with a line for each kind, whose rates are compared with the first.
    pub(super) fn table<'s>(
        title: &str,
        kind: &str,
        all: impl IntoIterator<Item = (String, &'s Self)>,
    ) -> Result<Table> {
        let compared = "of the first (95 % interval)";
        let columns = [kind, "writes/s", compared, "p99 ms", "CPU us/write", "log B/write", "rows B/write"];
        let mut table = Table::new(title, &columns);
        let mut first = None;
        for (name, of) in all {
            let ratio = of.ratio(first.get_or_insert(of))?;
            let middle = |samples: &[f64]| median(samples).context("no run was made");
            table.row(vec![
                name,
                format!("{:.0}", middle(&of.rates)?),
                ratio.to_string(),
                format!("{:.1}", middle(&of.p99_ms)?),
                format!("{:.0}", of.cpu_us()?),
                format!("{:.0}", middle(&of.log_bytes)?),
                format!("{:.0}", middle(&of.row_bytes)?),
            ]);
        }
        Ok(table)
    }
}
