//! What is kept, and whether what was counted is above it.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use mainstay_lab::report::{Report, Table};

/// By how much a figure may be above what is kept, as a share of it and in instructions: both have to be passed. The share is for what other code in the same program does to
/// inlining and layout; the instructions are for subjects that take a handful.
const ABOVE_RATIO_MAX: f64 = 0.05;
const ABOVE_MAX: f64 = 3.0;

const COLUMNS: [&str; 4] = ["subject", "instructions", "kept", "instructions / kept"];

/// Stands for a figure that there is not.
const NONE: &str = "-";

/// Instructions of a call of a subject.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Figure {
    pub(super) name: String,
    /// As counted the last time.
    pub(super) counted: f64,
    /// What it is not to be above. None before the first `--update`.
    pub(super) kept: Option<f64>,
}

/// What a report says of a subject: what was counted, and what is kept.
pub(super) type Kept = (f64, Option<f64>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Judgement {
    New,
    /// As much above what is kept as it must not be.
    Above,
    Held,
    /// As much below it.
    Below,
}

impl Figure {
    fn judgement(&self) -> Judgement {
        let Some(kept) = self.kept else { return Judgement::New };
        let is_far = |more: f64| more > kept * ABOVE_RATIO_MAX && more > ABOVE_MAX;
        match self.counted - kept {
            more if is_far(more) => Judgement::Above,
            more if is_far(-more) => Judgement::Below,
            _ => Judgement::Held,
        }
    }
}

/// The figures of what has a name, in this order: as they are found, else as they were. `update` keeps what is found.
pub(super) fn merge(
    names: &[&str],
    kept: &BTreeMap<String, Kept>,
    found: &BTreeMap<&str, f64>,
    update: bool,
) -> Vec<Figure> {
    let figure = |name: &&str| {
        let (before, found) = (kept.get(*name), found.get(name).copied());
        let counted = found.or(before.map(|(counted, _)| *counted))?;
        let kept = found.filter(|_| update).or_else(|| before.and_then(|(_, kept)| *kept));
        Some(Figure { name: (*name).to_owned(), counted, kept })
    };
    names.iter().filter_map(figure).collect()
}

/// Writes figures into a report, and what they are beside what is kept.
pub(super) fn judge(report: &mut Report, figures: &[Figure]) {
    let with = |judgement: Judgement| -> Vec<&str> {
        let those = figures.iter().filter(|figure| figure.judgement() == judgement);
        those.map(|figure| figure.name.as_str()).collect()
    };
    let mut check = |claim: String, but: &[&str]| {
        let all = figures.len();
        let measured = if but.is_empty() {
            format!("{all} of {all}")
        } else {
            format!("{} of {all}; not: {}", all - but.len(), but.join("; "))
        };
        report.verdict.check(claim, measured, but.is_empty());
    };
    check("a figure is kept of every subject".to_owned(), &with(Judgement::New));
    let percent = ABOVE_RATIO_MAX * 100.0;
    let within = format!("at most {percent} % or {ABOVE_MAX} instructions above what is kept");
    check(within, &with(Judgement::Above));
    let below = with(Judgement::Below);
    if !below.is_empty() {
        let below = below.join("; ");
        report.notes.push(format!("Well below what is kept, which `--update` would lower: {below}."));
    }
    let mut table = Table::new("Instructions of a call", &COLUMNS);
    for figure in figures {
        let text = |value: Option<f64>, decimals| {
            value.map_or(NONE.to_owned(), |value| format!("{value:.decimals$}"))
        };
        let ratio = figure.kept.map(|kept| figure.counted / kept);
        table.row(vec![
            figure.name.clone(),
            text(Some(figure.counted), 1),
            text(figure.kept, 1),
            text(ratio, 3),
        ]);
    }
    report.tables.push(table);
}

/// What a report says of each subject. Errors: it has no such table.
pub(super) fn kept(report: &Report) -> Result<BTreeMap<String, Kept>> {
    let table = report.tables.iter().find(|table| table.columns == COLUMNS);
    let rows = &table.context("it has no table of instructions")?.rows;
    let number =
        |text: &String| text.parse::<f64>().with_context(|| format!("{text:?} is no number of instructions"));
    let row = |row: &Vec<String>| {
        let [name, counted, kept, _] = row.as_slice() else {
            anyhow::bail!("a row has other columns: {row:?}")
        };
        let kept = if kept == NONE { None } else { Some(number(kept)?) };
        Ok((name.clone(), (number(counted)?, kept)))
    };
    rows.iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure(name: &str, counted: f64, kept: Option<f64>) -> Figure {
        Figure { name: name.to_owned(), counted, kept }
    }

    fn judged(figures: &[Figure]) -> Report {
        let mut report = Report::new("a", "A", "Is it?", "2026-01-02");
        judge(&mut report, figures);
        report
    }

    #[test]
    fn a_figure_is_above_or_below_by_a_share_and_by_instructions() {
        use Judgement::{Above, Below, Held};
        for (kept, counted, judgement) in [
            (600.0, 600.0, Held),
            (600.0, 630.0, Held),
            (600.0, 630.1, Above),
            (600.0, 570.0, Held),
            (600.0, 569.9, Below),
            // A share of few instructions is less than a whole one.
            (10.0, 13.0, Held),
            (10.0, 13.1, Above),
            (10.0, 7.0, Held),
            (10.0, 6.9, Below),
            (1.0, 0.0, Held),
            (0.0, 3.1, Above),
        ] {
            assert_eq!(figure("a", counted, Some(kept)).judgement(), judgement, "{counted} beside {kept}");
        }
        assert_eq!(figure("a", 1.0, None).judgement(), Judgement::New);
    }

    #[test]
    fn one_above_or_without_a_figure_fails_and_is_named() {
        let held = figure("held", 100.0, Some(100.0));
        assert!(judged(std::slice::from_ref(&held)).verdict.holds());
        for bad in [figure("above", 106.0, Some(100.0)), figure("new", 106.0, None)] {
            let report = judged(&[held.clone(), bad.clone()]);
            assert!(!report.verdict.holds());
            let failed = report.verdict.0.iter().find(|check| !check.holds).unwrap();
            assert_eq!(failed.measured, format!("1 of 2; not: {}", bad.name));
        }
    }

    #[test]
    fn one_well_below_holds_and_is_told() {
        let report = judged(&[figure("better", 90.0, Some(100.0)), figure("held", 99.0, Some(100.0))]);
        assert!(report.verdict.holds());
        assert_eq!(report.notes, ["Well below what is kept, which `--update` would lower: better."]);
        assert!(judged(&[figure("held", 99.0, Some(100.0))]).notes.is_empty());
    }

    #[test]
    fn a_report_keeps_what_it_says() {
        let figures = [figure("a", 12.34, Some(12.0)), figure("b", 7.0, None)];
        let expected = [("a".to_owned(), (12.3, Some(12.0))), ("b".to_owned(), (7.0, None))];
        assert_eq!(kept(&judged(&figures)).unwrap(), BTreeMap::from(expected));
        assert!(kept(&Report::new("a", "A", "Is it?", "2026-01-02")).is_err());
    }

    #[test]
    fn only_an_update_changes_what_is_kept_and_only_of_what_was_counted() {
        let before = BTreeMap::from([
            ("a".to_owned(), (11.0, Some(10.0))),
            ("b".to_owned(), (21.0, Some(20.0))),
            ("gone".to_owned(), (1.0, Some(1.0))),
        ]);
        let found = BTreeMap::from([("a", 12.0), ("new", 5.0)]);
        let merged = |update| merge(&["new", "a", "b", "never counted"], &before, &found, update);
        let (a, b) = (figure("a", 12.0, Some(10.0)), figure("b", 21.0, Some(20.0)));
        assert_eq!(merged(false), [figure("new", 5.0, None), a, b.clone()]);
        let (new, a) = (figure("new", 5.0, Some(5.0)), figure("a", 12.0, Some(12.0)));
        assert_eq!(merged(true), [new, a, b]);
    }
}
