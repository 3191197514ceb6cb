//! One key of a policy: several settings, what each costs, and whether the default is a right one.
//!
//! A setting is right when each of its costs is within a stated distance of the least that any of the settings has: one that is best under one load and ruinous
//! under another is not. More than one may be right, but not all, or the key would not matter.

use anyhow::Result;

use crate::plot::{self, Axis, Line};
use crate::report::{Report, Table};

/// Something that a setting costs: the less of it the better.
pub(super) struct Cost {
    name: &'static str,
    within: f64,
    decimals: usize,
}

/// A cost with its name, how far from the least of all settings that of a right one may be, and how many decimals are shown.
pub(super) const fn cost(name: &'static str, within: f64, decimals: usize) -> Cost {
    Cost { name, within, decimals }
}

/// A key with its settings.
pub(super) struct Choice<'a, C> {
    /// The policy and its key, such as `retry: attempts`.
    pub(super) title: &'a str,
    pub(super) default: C,
    /// What is compared, by the names of the settings. The default is added if it is none of them.
    pub(super) settings: Vec<(String, C)>,
    pub(super) costs: &'a [Cost],
}

/// Settings of one key, each named as it is written in a configuration.
///
/// Errors: a value is none of the key's.
pub(super) fn settings<V: ToString, C>(
    values: impl IntoIterator<Item = V>,
    config: impl Fn(&V) -> Result<C>,
) -> Result<Vec<(String, C)>> {
    values.into_iter().map(|value| Ok((value.to_string(), config(&value)?))).collect()
}

/// A setting with its costs.
struct Row {
    name: String,
    is_default: bool,
    costs: Vec<f64>,
}

/// All settings of a key, measured.
pub(super) struct Measured<'a> {
    title: &'a str,
    costs: &'a [Cost],
    /// Of each cost.
    least: Vec<f64>,
    rows: Vec<Row>,
}

impl<'a, C: PartialEq> Choice<'a, C> {
    /// Measures all settings, and has the report show them and claim that the default is a right one.
    pub(super) fn judge(self, report: &mut Report, measure: impl Fn(&C) -> Vec<f64>) -> Measured<'a> {
        let measured = self.measure(measure);
        measured.show(report);
        measured.claim(report);
        measured
    }

    fn measure(self, measure: impl Fn(&C) -> Vec<f64>) -> Measured<'a> {
        let Self { title, default, settings, costs } = self;
        let row = |name: &str, config: &C| {
            let costs = measure(config);
            Row { name: name.to_owned(), is_default: *config == default, costs }
        };
        let mut rows: Vec<Row> = settings.iter().map(|(name, config)| row(name, config)).collect();
        if rows.iter().all(|row| !row.is_default) {
            rows.push(row("another", &default));
        }
        let of = |nth: usize| rows.iter().map(move |row: &Row| row.costs[nth]);
        let least = (0..costs.len()).map(|nth| of(nth).fold(f64::INFINITY, f64::min)).collect();
        Measured { title, costs, least, rows }
    }
}

impl Measured<'_> {
    fn is_right(&self, row: &Row) -> bool {
        self.distances(row).all(|distance| distance <= 1.0)
    }

    /// How far its costs are from the least, by how far they may be.
    fn distances(&self, row: &Row) -> impl Iterator<Item = f64> {
        let costs = self.costs.iter().zip(&self.least).zip(&row.costs);
        costs.map(|((cost, least), found)| (found - least) / cost.within)
    }

    fn show(&self, report: &mut Report) {
        let names = self.costs.iter().map(|cost| cost.name);
        let columns: Vec<&str> = ["setting"].into_iter().chain(names).chain(["right"]).collect();
        let mut table = Table::new(self.title, &columns);
        for row in &self.rows {
            let mark = if row.is_default { " (default)" } else { "" };
            let found = self.costs.iter().zip(&row.costs).map(|(cost, found)| cost.shown(*found));
            let right = if self.is_right(row) { "yes" } else { "no" };
            let name = format!("{}{mark}", row.name);
            table.row([name].into_iter().chain(found).chain([right.to_owned()]).collect());
        }
        report.tables.push(table);
    }

    fn claim(&self, report: &mut Report) {
        let default = self.rows.iter().find(|row| row.is_default).expect("the default is a setting");
        let within = self.costs.iter().map(|cost| format!("{} +{}", cost.name, cost.shown(cost.within)));
        let found = self.costs.iter().zip(&default.costs).zip(&self.least);
        let found =
            found.map(|((cost, found), least)| format!("{} of {}", cost.shown(*found), cost.shown(*least)));
        let others = || self.rows.iter().filter(|row| !row.is_default);
        let wrong = others().filter(|row| !self.is_right(row)).count();
        report.verdict.check(
            format!("{}, {}: {}", self.title, default.name, within.collect::<Vec<_>>().join(", ")),
            format!(
                "{}; {wrong} of {} others are not right",
                found.collect::<Vec<_>>().join(", "),
                others().count()
            ),
            self.is_right(default) && wrong > 0,
        );
    }

    /// Has the report draw how far each setting is from the least, by how far it may be. Settings that are no numbers are left out.
    ///
    /// Errors: there is nothing to draw.
    pub(super) fn draw(&self, report: &mut Report, name: &str, x: &str) -> Result<()> {
        let place = |row: &Row| row.name.parse().ok().or_else(|| millis(&row.name));
        let line = |(nth, cost): (usize, &Cost)| {
            let point = |row: &Row| {
                let distance = self.distances(row).nth(nth)?;
                Some((place(row)?, distance.min(DISTANCE_MAX)))
            };
            Line::new(cost.name, self.rows.iter().filter_map(point).collect())
        };
        let lines: Vec<Line> = self.costs.iter().enumerate().map(line).collect();
        let title = format!("{}: costs above the least, by what is allowed", self.title);
        let (x, y) = (Axis::log(x), Axis::linear("above the least (right up to 1)"));
        report.plot(name, &title, plot::lines(&title, &x, &y, &lines)?);
        Ok(())
    }
}

/// What is further from the least is drawn there: how wrong it is does not matter.
const DISTANCE_MAX: f64 = 4.0;

fn millis(text: &str) -> Option<f64> {
    let duration: mainstay_base::units::Duration = text.parse().ok()?;
    Some(duration.as_std().as_secs_f64() * 1e3)
}

impl Cost {
    fn shown(&self, found: f64) -> String {
        // What is a little below zero by chance is not shown as minus zero.
        format!(
            "{:.*}",
            self.decimals,
            if found.abs() < 0.5 / 10_f64.powi(self.decimals as i32) { 0.0 } else { found }
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of a key with the settings 1 to 4, of which one is the default.
    fn verdict(default: u32, of: impl Fn(u32) -> [f64; 2]) -> (bool, String) {
        let mut report = Report::new("choice", "Choice", "Which?", "2026-01-02");
        let settings = settings([1, 2, 3, 4], |value| Ok(*value)).unwrap();
        let costs = [cost("lost", 0.1, 2), cost("ms", 10.0, 0)];
        let choice = Choice { title: "a: key", default, settings, costs: &costs };
        choice.judge(&mut report, |value| of(*value).to_vec());
        (report.verdict.holds(), report.markdown())
    }

    #[test]
    fn a_default_is_right_when_no_other_is_much_better_in_anything() {
        let of = |value| [0.3 / f64::from(value), 6.0 * f64::from(value)];
        for (default, is_right) in [(1, false), (2, true), (3, false), (4, false)] {
            let (holds, page) = verdict(default, of);
            assert_eq!(holds, is_right, "{page}");
            assert!(page.contains(&format!("| {default} (default) |")), "{page}");
        }
    }

    #[test]
    fn a_default_that_is_none_of_the_settings_is_measured_as_well() {
        let (holds, page) = verdict(9, |value| [0.1 * f64::from(value), 0.0]);
        assert!(!holds && page.contains("| another (default) | 0.90 |"), "{page}");
    }

    #[test]
    fn a_key_that_does_not_matter_proves_nothing() {
        assert!(!verdict(1, |_| [0.0; 2]).0);
    }
}
