//! Processes that are killed while they write a local log: what they were told is in it.
//!
//! A kill loses no page cache, so that a sync is missing is not seen here; the simulated disk of `crash` sees that.

use mainstay_log::faulty::Random;
use mainstay_log::local::LogEnd;

#[path = "../shared/child.rs"]
mod child;
#[path = "../shared/history.rs"]
mod history;

use child::{Child, Job, Report};
use history::History;

/// How much a process tells before it is killed.
fn patience(random: &Random) -> u64 {
    match random.below(10) {
        // It has just been started.
        0 => 0,
        // It opens the log.
        1 | 2 => 1,
        3..=5 => random.between(2, 60),
        _ => random.between(60, 1500),
    }
}

/// A moment that is not the one right after a report.
fn linger(random: &Random) {
    (0..random.below(100_000)).for_each(|_| std::hint::spin_loop());
}

/// Starts one process after another in one directory, and kills each.
fn kill(seed: u64, rounds: u64) -> History {
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory can be made");
    let mut history = History::new(directory.path(), seed);
    let random = Random::new(seed);
    for _ in 0..rounds {
        let mut child = Child::start(&history.next_job(), &[]);
        let told = (0..patience(&random)).map(|_| child.next().expect("it works until it is killed"));
        let mut reports: Vec<_> = told.collect();
        linger(&random);
        reports.extend(child.kill());
        for report in &reports {
            assert!(!is_trouble(report), "nothing fails: {report:?}");
            history.note(report);
        }
        history.check(random.one_in(3));
    }
    let (reports, status) = Child::start(&Job { turns: 20, ..history.next_job() }, &[]).finish();
    assert!(status.success() && reports.last() == Some(&Report::Closed { poisoned: false }), "{status}");
    reports.iter().for_each(|report| history.note(report));
    assert_eq!(history.check(true), LogEnd::Sealed, "a process that closes the log leaves a seal");
    history
}

fn is_trouble(report: &Report) -> bool {
    !matches!(
        report,
        Report::Opening
            | Report::Opened { .. }
            | Report::Sent { .. }
            | Report::Acknowledged { .. }
            | Report::Trimming { .. }
    )
}

#[test]
fn what_was_acknowledged_outlives_kills() {
    let history = kill(1, 15);
    assert!(history.acknowledged > 1000, "{} records prove little", history.acknowledged);
}

#[test]
#[ignore = "takes a minute"]
fn what_was_acknowledged_outlives_many_kills() {
    let mut unacknowledged = 0;
    for seed in 2..8 {
        let history = kill(seed, 50);
        assert!(history.acknowledged > 10_000, "{} records prove little", history.acknowledged);
        unacknowledged += history.unacknowledged;
    }
    assert!(unacknowledged > 0, "no kill came between an append and its acknowledgement");
}
