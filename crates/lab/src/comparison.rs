//! The comparison of one side with a peer, metric by metric: what it takes to name a winner, and how a page shows it.
//!
//! [`crate::duel`] compares servers and [`crate::bench`] logs; what their samples are worth is judged here for both. Pure.

use serde::{Deserialize, Serialize};

use crate::report::Table;
use crate::stats::{Better, Ratio, Spread, Winner, ratio_of_medians, winner};

/// Clean samples below which a cell counts as not measured.
pub const CLEAN_SAMPLES_MIN: usize = 3;

/// Clean samples of both sides below which no winner is named: an interval from fewer is too narrow to trust.
pub const VERDICT_SAMPLES_MIN: usize = 5;

/// What stands for a figure of which there are too few clean samples.
pub(crate) const NOT_MEASURED: &str = "not measured";

/// One row: a metric of the first side against that of another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Comparison<M> {
    /// The other one's name.
    pub peer: String,
    /// What is compared.
    pub metric: M,
    /// The first one's median divided by the other's; none if one of them was not measured or is not above zero.
    pub ratio: Option<Ratio>,
    /// Who is better; none if there is no ratio, or one of them has fewer than [`VERDICT_SAMPLES_MIN`] clean samples.
    pub winner: Option<Winner>,
}

impl<M> Comparison<M> {
    /// Judges by the metric's values in the clean samples of both sides; `seed` is that of the interval's bootstrap.
    pub(crate) fn judge(
        (metric, better): (M, Better),
        ours: &[f64],
        (peer, theirs): (&str, &[f64]),
        seed: u64,
    ) -> Self {
        let fewest = ours.len().min(theirs.len());
        let ratio = ratio_of_medians(ours, theirs, seed).filter(|_| fewest >= CLEAN_SAMPLES_MIN);
        let decisive = ratio.filter(|_| fewest >= VERDICT_SAMPLES_MIN);
        Self { peer: peer.to_owned(), metric, ratio, winner: decisive.map(|ratio| winner(ratio, better)) }
    }
}

/// All rows of a cell, won or lost; `ours` is the first side's name, `name` tells that of a metric.
pub(crate) fn table<M: Copy>(ours: &str, rows: &[Comparison<M>], name: fn(M) -> &'static str) -> Table {
    let mut table = Table::new("", &["compared", "metric", "ratio (95 % interval)", "winner"]);
    for row in rows {
        let winner = match (row.ratio, row.winner) {
            (None, _) => NOT_MEASURED,
            (Some(_), None) => "too few samples",
            (_, Some(Winner::Ours)) => ours,
            (_, Some(Winner::Theirs)) => &row.peer,
            (_, Some(Winner::Neither)) => "no difference shown",
        };
        table.row(vec![
            format!("{ours} / {}", row.peer),
            name(row.metric).to_owned(),
            row.ratio.map_or_else(|| NOT_MEASURED.to_owned(), |ratio| ratio.to_string()),
            winner.to_owned(),
        ]);
    }
    table
}

/// When a row names a winner, as the end of a page's legend.
pub(crate) fn legend() -> String {
    format!(
        "a winner is named where the interval excludes equality and both sides have at least {VERDICT_SAMPLES_MIN} clean \
         samples.\n"
    )
}

/// A median with its quartiles in brackets.
pub(crate) fn figure(spread: Option<Spread>, decimals: usize) -> String {
    let text = |Spread { median, lower_quartile, upper_quartile, .. }| {
        format!("{median:.decimals$} ({lower_quartile:.decimals$} to {upper_quartile:.decimals$})")
    };
    spread.map_or_else(|| NOT_MEASURED.to_owned(), text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(ours: &[f64], theirs: &[f64], better: Better) -> Comparison<&'static str> {
        Comparison::judge(("rate", better), ours, ("peer", theirs), 1)
    }

    #[test]
    fn a_ratio_takes_three_clean_samples_of_each_side_and_a_winner_five() {
        let told = |ours, theirs| {
            let row = row(&vec![2.0; ours], &vec![1.0; theirs], Better::Higher);
            (row.ratio.is_some(), row.winner)
        };
        for (ours, theirs) in [(2, 5), (5, 2), (0, 5)] {
            assert_eq!(told(ours, theirs), (false, None), "{ours} and {theirs}");
        }
        for (ours, theirs) in [(3, 3), (4, 5), (5, 4)] {
            assert_eq!(told(ours, theirs), (true, None), "{ours} and {theirs}");
        }
        assert_eq!(told(5, 5), (true, Some(Winner::Ours)));
    }

    #[test]
    fn a_table_has_won_lost_and_open_rows() {
        let (one, two) = ([1.0; 5], [2.0; 5]);
        let rows = [
            row(&two, &one, Better::Higher),
            row(&two, &one, Better::Lower),
            row(&one, &one, Better::Higher),
            row(&two[..4], &one, Better::Higher),
            row(&[], &one, Better::Higher),
        ];
        let expected = "\
| compared | metric | ratio (95 % interval) | winner |
| --- | ---: | ---: | ---: |
| us / peer | rate | 2.00 (2.00 to 2.00) | us |
| us / peer | rate | 2.00 (2.00 to 2.00) | peer |
| us / peer | rate | 1.00 (1.00 to 1.00) | no difference shown |
| us / peer | rate | 2.00 (2.00 to 2.00) | too few samples |
| us / peer | rate | not measured | not measured |
";
        assert_eq!(table("us", &rows, |metric| metric).markdown(), expected);
    }

    #[test]
    fn a_figure_is_a_median_with_its_quartiles() {
        assert_eq!(figure(Spread::of(&[1.0, 2.0, 3.0]), 1), "2.0 (1.5 to 2.5)");
        assert_eq!(figure(None, 1), "not measured");
    }
}
