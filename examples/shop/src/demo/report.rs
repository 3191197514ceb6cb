//! The report of a demonstration: what went wrong and when, what customers had of it, and whether what they were shown is true.

use std::collections::BTreeMap;

use mainstay_lab::plot::{Axis, Band, Line, lines_in_bands};
use mainstay_lab::report::{Report, Table};

use super::drill::Trouble;
use super::watch::{Breaker, Standing};
use crate::audit::Audit;
use crate::customers::outcome::Slice;
use crate::customers::{Outcome, Plan, record};

/// Slices that are taken together in plots: one second.
const TOGETHER: usize = 4;

/// Completed checkouts after the last trouble, as a share of those offered, from which on the shop has recovered.
const RECOVERED: f64 = 0.9;

/// Something that went wrong.
#[derive(Debug)]
pub struct Had {
    /// What it is called in plots.
    pub letter: String,
    /// What it was.
    pub trouble: Trouble,
    /// When it began, in seconds from the start.
    pub from: f64,
    /// When it was over.
    pub until: f64,
}

/// All that is known of a demonstration.
#[derive(Debug)]
pub struct Result {
    /// What customers were to do.
    pub plan: Plan,
    /// What became of it.
    pub outcome: Outcome,
    /// Whether it is true.
    pub audit: Audit,
    /// What went wrong.
    pub troubles: Vec<Had>,
    /// How breakers stood, by service.
    pub breakers: BTreeMap<String, Vec<Standing>>,
}

/// The report. Errors: a picture cannot be drawn.
pub fn of(ran: &Result, date: &str) -> anyhow::Result<Report> {
    let (name, title, question) = if ran.troubles.is_empty() {
        let question = "Customers buy while nothing goes wrong, on one machine with the shop and Mainstay: how long does a checkout take, from \
                        the click until its page shows that it is shipped or declined, and is all of it true?";
        ("shop", "The shop undisturbed", question)
    } else {
        let question = "Customers buy while instances of services are killed, slowed and made to fail, and Mainstay is killed twice with all \
                        that it has in memory. Is everything that they were shown true in the end?";
        ("demo", "The shop under fire", question)
    };
    let mut report = Report::new(name, title, question, date);
    let Result { plan, outcome, audit, troubles, .. } = ran;
    for (name, value) in [
        ("checkouts offered per second", format!("{}", plan.rate)),
        ("customers come for", format!("{} s", plan.duration.as_secs())),
        ("seed", plan.seed.to_string()),
    ] {
        report.setting(name, value);
    }
    judge(&mut report, ran);
    draw(&mut report, ran)?;
    report.tables.extend((!troubles.is_empty()).then(|| troubles_of(troubles)));
    report.tables.extend([checkouts(outcome), rules(audit)]);
    report.notes.push(
        "Latency is counted from the moment at which a click was due, so everything that the shop makes a customer wait is in it. \
         A checkout is completed when its customer was shown that it is shipped or that it failed."
            .to_owned(),
    );
    Ok(report)
}

fn judge(report: &mut Report, ran: &Result) {
    let Result { plan, outcome, audit, troubles, .. } = ran;
    let verdict = &mut report.verdict;
    let violations =
        format!("{} violations; {} times shown, {} orders", audit.violations(), audit.shown, audit.orders);
    verdict.check("all that customers were shown is true, and the books agree", violations, audit.is_clean());
    let share = outcome.completed as f64 / outcome.offered.max(1) as f64;
    let completed = format!("{} of {} ({:.1} %)", outcome.completed, outcome.offered, share * 100.0);
    verdict.check("at least half of the checkouts are completed", completed, outcome.is_enough());
    if troubles.is_empty() {
        return;
    }
    let kills = troubles.iter().filter(|had| had.trouble == Trouble::KillMainstay).count();
    verdict.check("Mainstay was killed twice", format!("{kills} times"), kills == 2);
    let last = troubles.iter().map(|had| had.until).fold(0.0, f64::max);
    // What is completed after the last customers have come is what was offered before.
    let after = |slice: &&Slice| slice.second > last + 1.0 && slice.second < plan.duration.as_secs_f64();
    let (offered, completed) =
        outcome.series.iter().filter(after).fold((0, 0), |(offered, completed), slice| {
            (offered + slice.offered, completed + slice.completed)
        });
    let recovered =
        format!("{completed} completed and {offered} offered from a second after the last trouble on");
    let has = completed as f64 >= offered as f64 * RECOVERED;
    verdict.check("afterwards it does what is asked of it", recovered, has);
}

fn draw(report: &mut Report, ran: &Result) -> anyhow::Result<()> {
    let time = Axis::linear("time (s)");
    let bands: Vec<_> = ran
        .troubles
        .iter()
        .map(|had| Band { name: had.letter.clone(), from: had.from, to: had.until })
        .collect();
    let mut plot = |name: &str, title: &str, axis: &Axis, lines: &[Line]| -> anyhow::Result<()> {
        report.plot(name, title, lines_in_bands(title, (&time, axis), lines, &bands)?);
        Ok(())
    };
    let seconds: Vec<_> = ran.outcome.series.chunks_exact(TOGETHER).collect();
    let count = |name: &str, of: &dyn Fn(&Slice) -> u64| {
        let point = |slices: &&[Slice]| (slices[0].second, slices.iter().map(of).sum::<u64>() as f64);
        Line::new(name, seconds.iter().map(point).collect())
    };
    let rates = [
        count("offered", &|slice| slice.offered),
        count("completed", &|slice| slice.completed),
        count("of these declined", &|slice| slice.failed),
        count("given up", &|slice| slice.gave_up),
    ];
    plot("rate", "Checkouts", &Axis::linear("1/s"), &rates)?;
    let slowest = |slices: &&[Slice], of: &dyn Fn(&Slice) -> f64| {
        (slices[0].second, slices.iter().map(of).fold(0.0, f64::max))
    };
    let latency = |name: &str, of: &dyn Fn(&Slice) -> f64| {
        Line::new(name, seconds.iter().map(|slices| slowest(slices, of)).collect())
    };
    let latencies = [
        latency("click to end, slowest", &|slice| slice.click_to_end.max),
        latency("click to end, median", &|slice| slice.click_to_end.p50),
        latency("answer, median", &|slice| slice.checkout_answer.p50),
    ];
    plot("latency", "Latency of checkouts", &Axis::log("ms"), &latencies)?;
    let of = |trouble: record::Trouble| {
        count(&trouble.name().replace('_', " "), &|slice| {
            slice.troubles.get(&trouble).copied().unwrap_or_default()
        })
    };
    let errors: Vec<_> = record::Trouble::ALL
        .into_iter()
        .filter(|trouble| ran.outcome.troubles.get(trouble).is_some_and(|count| *count > 0))
        .map(of)
        .collect();
    plot("errors", "What customers met", &Axis::linear("1/s"), &errors)?;
    plot(
        "breakers",
        "Breakers: 0 closed, 1 half-open, 2 open",
        &Axis::linear("state, one above the other"),
        &breakers(ran),
    )
}

/// A line for each service, each a little above the one before.
fn breakers(ran: &Result) -> Vec<Line> {
    let line = |(nth, (name, standings)): (usize, (&String, &Vec<Standing>))| {
        let height = |breaker: Breaker| match breaker {
            Breaker::Closed => 0.0,
            Breaker::HalfOpen => 1.0,
            Breaker::Open => 2.0,
        };
        let points = standings.iter().map(|(at, breaker)| (*at, height(*breaker) + 0.05 * nth as f64));
        Line::new(name, points.collect())
    };
    ran.breakers.iter().enumerate().map(line).collect()
}

fn troubles_of(troubles: &[Had]) -> Table {
    let mut table = Table::new("What went wrong", &["", "what", "from", "for"]);
    for Had { letter, trouble, from, until } in troubles {
        let lasted = format!("{:.1} s", until - from);
        table.row(vec![letter.clone(), trouble.text(), format!("{from:.1} s"), lasted]);
    }
    table
}

fn checkouts(outcome: &Outcome) -> Table {
    let mut table = Table::new("Checkouts", &["what", "value"]);
    let mut row = |what: &str, value: String| table.row(vec![what.to_owned(), value]);
    row("offered", outcome.offered.to_string());
    row("completed", outcome.completed.to_string());
    row("of these shipped", outcome.shipped.to_string());
    row("of these declined", outcome.failed.to_string());
    row("given up by their customers", outcome.gave_up.to_string());
    row("steps tried again", outcome.retries.to_string());
    row("from click to end, median", format!("{:.0} ms", outcome.click_to_end.p50));
    row("from click to end, 99 %", format!("{:.0} ms", outcome.click_to_end.p99));
    row("from click to end, slowest", format!("{:.0} ms", outcome.click_to_end.max));
    table
}

fn rules(audit: &Audit) -> Table {
    let mut table = Table::new("The audit", &["rule", "checked", "violations"]);
    for count in &audit.counts {
        let rule = format!("{}: {}", count.rule.name(), count.rule.sentence());
        table.row(vec![rule, count.checked.to_string(), count.violations.to_string()]);
    }
    table
}
