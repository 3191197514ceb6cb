//! What is claimed of a duel's figures beside each other, and whether it holds. Pure.

use super::{CellResults, Metric};
use crate::comparison::{CLEAN_SAMPLES_MIN, NOT_MEASURED};
use crate::report::Verdict;
use crate::stats::ratio_of_medians;

/// That a figure is at most so many times another's.
#[derive(Debug, Clone, PartialEq)]
pub struct Claim {
    /// The cell, by its name.
    pub cell: String,
    /// The figure.
    pub metric: Metric,
    /// Whose it is.
    pub of: String,
    /// Whose it is beside.
    pub to: String,
    /// The ratio of the medians that is still right.
    pub ratio_max: f64,
}

/// What is claimed of those who take part, each with what was measured. What was not measured does not hold.
pub(super) fn judge(claims: &[Claim], names: &[&str], cells: &[CellResults], seed: u64) -> Verdict {
    let mut verdict = Verdict::default();
    for claim in claims {
        let place = |name: &str| names.iter().position(|known| *known == name);
        let (Some(of), Some(to)) = (place(&claim.of), place(&claim.to)) else { continue };
        let cell = cells.iter().find(|results| results.cell.name == claim.cell);
        let values = |place: usize| {
            let values = cell.map(|results| results.measured[place].values(claim.metric)).unwrap_or_default();
            Some(values).filter(|values| values.len() >= CLEAN_SAMPLES_MIN)
        };
        let ratio = values(of).zip(values(to)).and_then(|(of, to)| ratio_of_medians(&of, &to, seed));
        verdict.check(
            claim.text(),
            ratio.map_or_else(|| NOT_MEASURED.to_owned(), |ratio| ratio.to_string()),
            ratio.is_some_and(|ratio| ratio.value <= claim.ratio_max),
        );
    }
    verdict
}

impl Claim {
    fn text(&self) -> String {
        let Self { cell, metric, of, to, ratio_max } = self;
        format!("{cell}: {} of {of} is at most {ratio_max} times that of {to}", metric.name())
    }
}
