//! The report of a demonstration: what went wrong and when, what customers had of it, and whether what they were shown is true.

use std::collections::BTreeMap;

use mainstay_lab::plot::{Axis, Band, Line, lines_in_bands};
use mainstay_lab::report::{Report, Table, Verdict};

use super::drill::Trouble;
use super::watch::{Breaker, Standing};
use crate::audit::Audit;
use crate::customers::outcome::Slice;
use crate::customers::{Outcome, Plan, record};

/// Slices that are taken together in plots: one second.
const TOGETHER: usize = 4;

/// Of the checkouts that were due after the last trouble, the share that has to be completed for the shop to have recovered.
const RECOVERED: f64 = 0.9;

/// How long after the last trouble what is due has to go well.
const RECOVERY: f64 = 1.0;

/// Services that always run, so that one of each was killed; the others may lack what it takes to run them.
const NEEDED: [&str; 4] = ["payments", "orders", "inventory", "storefront"];

/// Something that went wrong.
#[derive(Debug)]
pub struct Had {
    /// What it is called in plots.
    pub letter: String,
    /// What it was.
    pub trouble: Trouble,
    /// Whether it did: a service of which no instance runs is not killed.
    pub happened: bool,
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
    /// How Mainstay ended when it was stopped.
    pub stopped: anyhow::Result<()>,
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
         A checkout is completed when its customer was shown that it is shipped or that it failed; percentiles are of these, and those \
         that were given up or not sent are counted beside them."
            .to_owned(),
    );
    Ok(report)
}

fn judge(report: &mut Report, ran: &Result) {
    let Result { outcome, audit, troubles, stopped, .. } = ran;
    let verdict = &mut report.verdict;
    let rest = if audit.is_moving { "; the books did NOT come to rest" } else { "" };
    let violations = format!(
        "{} violations; {} checkouts acknowledged, {} times shown, {} orders{rest}",
        audit.violations(),
        audit.acknowledged,
        audit.shown,
        audit.orders
    );
    verdict.check("all that customers were told is true, and the books agree", violations, audit.is_clean());
    let unreadable = outcome.unreadable();
    let marks = format!("{unreadable} marks of orders and products could not be read");
    verdict.check("all that customers were told could be read", marks, unreadable == 0);
    let meant = outcome.not_meant_to_fail();
    let share = outcome.shipped as f64 / meant.max(1) as f64;
    let shipped = format!("{} of {meant} ({:.1} %)", outcome.shipped, share * 100.0);
    let claim = "at least half of the checkouts that were not meant to be declined are shipped";
    verdict.check(claim, shipped, outcome.is_enough());
    let how = stopped.as_ref().map_or_else(|error| format!("{error:#}"), |()| "stopped".to_owned());
    verdict.check("Mainstay ends in order with all that it runs", how, stopped.is_ok());
    if !troubles.is_empty() {
        judge_drill(verdict, ran);
    }
}

/// That what was to go wrong did, and that the shop recovered from it.
fn judge_drill(verdict: &mut Verdict, ran: &Result) {
    let happened =
        |trouble: &Trouble| ran.troubles.iter().filter(|had| had.happened && had.trouble == *trouble).count();
    let kills = happened(&Trouble::KillMainstay);
    verdict.check("Mainstay was killed twice", format!("{kills} times"), kills == 2);
    let (killed, spared): (Vec<_>, Vec<_>) =
        NEEDED.into_iter().partition(|service| happened(&Trouble::Kill(service)) > 0);
    let missing = if spared.is_empty() { String::new() } else { format!("; NOT {}", spared.join(", ")) };
    let measured = format!("{}{missing}", killed.join(", "));
    verdict.check("of each service that the shop needs an instance was killed", measured, spared.is_empty());
    let last = ran.troubles.iter().map(|had| had.until).fold(0.0, f64::max);
    let after = ran.outcome.series.iter().filter(|slice| slice.second >= last + RECOVERY);
    let (due, completed) =
        after.fold((0, 0), |(due, completed), slice| (due + slice.offered, completed + slice.due_completed));
    let measured = if due == 0 {
        "none was due later than a second after the last trouble, so nothing is known of it: let customers come for longer".to_owned()
    } else {
        format!(
            "{completed} were completed of {due} that were due later than a second after the last trouble"
        )
    };
    let has = due > 0 && completed as f64 >= due as f64 * RECOVERED;
    verdict.check("afterwards it does what is asked of it", measured, has);
}

fn draw(report: &mut Report, ran: &Result) -> anyhow::Result<()> {
    let time = Axis::linear("time (s)");
    let bands: Vec<_> = ran
        .troubles
        .iter()
        .filter(|had| had.happened)
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
    // Of each second the highest of its four quarters: percentiles cannot be added up.
    let highest = |slices: &&[Slice], of: &dyn Fn(&Slice) -> f64| {
        (slices[0].second, slices.iter().map(of).fold(0.0, f64::max))
    };
    let latency = |name: &str, of: &dyn Fn(&Slice) -> f64| {
        Line::new(name, seconds.iter().map(|slices| highest(slices, of)).collect())
    };
    let latencies = [
        latency("click to end, slowest", &|slice| slice.click_to_end.max),
        latency("click to end, median", &|slice| slice.click_to_end.p50),
        latency("answer, median", &|slice| slice.checkout_answer.p50),
    ];
    plot(
        "latency",
        "Latency of checkouts; medians: the highest of a quarter second",
        &Axis::log("ms"),
        &latencies,
    )?;
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
    for Had { letter, trouble, happened, from, until } in troubles {
        let lasted = if *happened { format!("{:.1} s", until - from) } else { "did not run".to_owned() };
        table.row(vec![letter.clone(), trouble.text(), format!("{from:.1} s"), lasted]);
    }
    table
}

fn checkouts(outcome: &Outcome) -> Table {
    let mut table = Table::new("Checkouts", &["what", "value"]);
    let mut row = |what: &str, value: String| table.row(vec![what.to_owned(), value]);
    row("offered", outcome.offered.to_string());
    row("not sent, for want of room", outcome.not_sent.to_string());
    row("completed", outcome.completed.to_string());
    row("of these shipped", outcome.shipped.to_string());
    row("of these declined", outcome.failed.to_string());
    row("of these declined as it was meant", outcome.failed_as_meant.to_string());
    row("given up by their customers", outcome.gave_up.to_string());
    row("steps tried again", outcome.retries.to_string());
    row("of those completed, from click to end, median", format!("{:.0} ms", outcome.click_to_end.p50));
    row("of those completed, from click to end, 99 %", format!("{:.0} ms", outcome.click_to_end.p99));
    row("of those completed, from click to end, slowest", format!("{:.0} ms", outcome.click_to_end.max));
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::audit::{Books, Told, audit};
    use crate::customers::record::{End, Record};

    const CLAIMS: [&str; 7] = [
        "all that customers were told is true",
        "could be read",
        "at least half",
        "ends in order",
        "killed twice",
        "of each service",
        "afterwards",
    ];

    fn had(trouble: Trouble, until: f64) -> Had {
        Had { letter: "A".to_owned(), trouble, happened: true, from: until - 1.0, until }
    }

    /// A run of ten checkouts, all shipped, that were due and done at these seconds.
    fn ran(due: u64, done: u64) -> Result {
        let mut troubles: Vec<_> = NEEDED.map(|service| had(Trouble::Kill(service), 2.0)).into();
        troubles.extend([had(Trouble::KillMainstay, 3.0), had(Trouble::KillMainstay, 4.0)]);
        let record = Record::start();
        let plan = Plan { rate: 1000.0, ..Plan::new("http://127.0.0.1:1") };
        for shopper in plan.shoppers().filter(|shopper| shopper.checkouts().count() == 1).take(10) {
            let mut shopper = shopper;
            shopper.visits[0].clicks = Duration::from_secs(due);
            record.arrived(&shopper, true);
            record.ended(End::Shipped, Duration::from_secs(due), Duration::from_secs(done));
        }
        Result {
            plan,
            outcome: record.finish(),
            audit: audit(&Books::default(), &Told::default()),
            troubles,
            breakers: BTreeMap::new(),
            stopped: Ok(()),
        }
    }

    /// The claims that do not hold.
    fn wrong(ran: &Result) -> Vec<&'static str> {
        let report = of(ran, "2026-01-01").unwrap();
        let failed = report.verdict.0.iter().filter(|check| !check.holds);
        failed
            .map(|check| *CLAIMS.iter().find(|claim| check.claim.contains(**claim)).expect("it is known"))
            .collect()
    }

    #[test]
    fn what_went_as_it_must_holds() {
        assert_eq!(wrong(&ran(5, 9)), Vec::<&str>::new(), "completed late is completed");
        let mut quiet = ran(5, 6);
        quiet.troubles.clear();
        assert_eq!(wrong(&quiet), Vec::<&str>::new());
    }

    #[test]
    fn nothing_that_was_due_afterwards_tells_nothing() {
        let before = ran(4, 9);
        assert_eq!(wrong(&before), ["afterwards"], "what is completed afterwards was due before");
        let report = of(&before, "2026-01-01").unwrap();
        assert!(report.verdict.0.iter().any(|check| check.measured.contains("for longer")));
    }

    #[test]
    fn of_ten_that_are_due_afterwards_nine_must_be_completed() {
        let completed = |count: u64| {
            let mut ran = ran(5, 6);
            ran.outcome.series[20].due_completed = count;
            wrong(&ran)
        };
        assert_eq!((completed(9), completed(8)), (vec![], vec!["afterwards"]));
    }

    #[test]
    fn a_kill_that_killed_nobody_is_none() {
        let mut spared = ran(5, 6);
        spared.troubles[2].happened = false;
        assert_eq!(wrong(&spared), ["of each service"]);
        let report = of(&spared, "2026-01-01").unwrap();
        let text = report.markdown();
        assert!(text.contains("NOT inventory") && text.contains("did not run"), "{text}");
        let mut optional = ran(5, 6);
        optional.troubles.push(Had { happened: false, ..had(Trouble::Kill("fraud"), 2.0) });
        assert_eq!(wrong(&optional), Vec::<&str>::new());
        let mut once = ran(5, 6);
        once.troubles.last_mut().unwrap().happened = false;
        assert_eq!(wrong(&once), ["killed twice"]);
    }

    #[test]
    fn what_was_told_must_be_readable_true_and_enough() {
        let mut unreadable = ran(5, 6);
        unreadable.outcome.troubles.insert(record::Trouble::Unreadable, 1);
        assert_eq!(wrong(&unreadable), ["could be read"]);
        let mut moving = ran(5, 6);
        moving.audit.is_moving = true;
        assert_eq!(wrong(&moving), ["all that customers were told is true"]);
        let mut declined = ran(5, 6);
        (declined.outcome.shipped, declined.outcome.failed) = (4, 6);
        assert_eq!(wrong(&declined), ["at least half"]);
        declined.outcome.failed_as_meant = 2;
        assert_eq!(wrong(&declined), Vec::<&str>::new(), "what is declined as it is meant is no failure");
        declined.outcome.shipped = 0;
        declined.outcome.failed_as_meant = 10;
        assert_eq!(wrong(&declined), ["at least half"], "a shop that ships nothing");
    }

    #[test]
    fn a_stop_that_fails_is_told_and_no_report_is_lost() {
        let failed = Result { stopped: Err(anyhow::anyhow!("the node ended with 9")), ..ran(5, 6) };
        assert_eq!(wrong(&failed), ["ends in order"]);
        assert!(of(&failed, "2026-01-01").unwrap().markdown().contains("the node ended with 9"));
    }
}
