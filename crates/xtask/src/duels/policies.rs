//! What a decision of a policy costs, beside libraries that are made for one of them each, in this process.
//!
//! Each subject does the same thing over and over, on one thread and on as many as there are processors, all of them asking the same one. Samples of
//! all subjects of a cell alternate.

mod cells;

use std::sync::Barrier;
use std::time::Duration;

use anyhow::{Context as _, Result};
use mainstay_lab::clock::Moment;
use mainstay_lab::report::{Report, Table};
use mainstay_lab::stats::{median, ratio_of_medians};

use super::Effort;
use crate::subjects::Subject;

/// Subjects that do the same work.
pub(super) struct Cell {
    /// Its name is that of the work.
    pub(super) ours: Subject,
    /// Named after who made them.
    pub(super) peers: Vec<Subject>,
    /// What is claimed of ours on one thread, in nanoseconds.
    pub(super) ns_max: Option<f64>,
}

const TITLE: &str = "Duel: what policies cost, beside libraries made for one of them";

const QUESTION: &str = "What does one decision of a policy cost, on one thread and when all processors ask the same one? Of each policy the usual case is measured: the call is let \
                        through, and succeeds. Others' libraries do less besides: which of the differences are more work and which are better work is not told by a figure.";

/// Compares all cells.
pub(super) fn run(date: &str, effort: Effort) -> Result<Report> {
    let (rounds, sample) = match effort {
        Effort::Full => (15, Duration::from_millis(60)),
        Effort::Quick => (3, Duration::from_millis(2)),
    };
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let mut report = Report::new("policies", TITLE, QUESTION, date);
    report.setting("samples", format!("{rounds} of {} ms for each subject, in turn", sample.as_millis()));
    let columns = ["decision", "threads", "ours ns", "peer", "peer ns", "ours / peer (95 % interval)"];
    let mut table = Table::new("Time of a decision", &columns);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_time().build();
    let runtime = runtime.context("start a runtime for timers")?;
    for cell in cells::cells(runtime.handle()) {
        for threads in [1, processors] {
            let found = compare(&cell, threads, rounds, sample);
            let ours = median(&found[0]).context("no sample")?;
            if let (1, Some(ns_max)) = (threads, cell.ns_max) {
                let claim = format!("{} takes at most {ns_max:.0} ns on one thread", cell.ours.name);
                report.verdict.check(claim, format!("{ours:.0} ns"), ours <= ns_max);
            }
            if cell.peers.is_empty() {
                table.row(row(&cell, threads, ours, ("none", None)));
            }
            for (subject, theirs) in cell.peers.iter().zip(&found[1..]) {
                let ratio = ratio_of_medians(&found[0], theirs, 1).context("no sample")?;
                let theirs = median(theirs).context("no sample")?;
                table.row(row(&cell, threads, ours, (subject.name, Some((theirs, ratio.to_string())))));
            }
        }
    }
    report.tables.push(table);
    Ok(report)
}

fn row(cell: &Cell, threads: usize, ours: f64, (peer, theirs): (&str, Option<(f64, String)>)) -> Vec<String> {
    let (ns, ratio) =
        theirs.map_or(("-".to_owned(), "-".to_owned()), |(ns, ratio)| (format!("{ns:.0}"), ratio));
    vec![cell.ours.name.to_owned(), threads.to_string(), format!("{ours:.0}"), peer.to_owned(), ns, ratio]
}

/// Nanoseconds of each subject's acts, ours first, as many samples as rounds. One round more comes before and is thrown away.
fn compare(cell: &Cell, threads: usize, rounds: usize, sample: Duration) -> Vec<Vec<f64>> {
    let subjects: Vec<&Subject> = std::iter::once(&cell.ours).chain(&cell.peers).collect();
    let times: Vec<u64> = subjects.iter().map(|subject| calibrate(subject, sample)).collect();
    let mut found = vec![Vec::new(); subjects.len()];
    for round in 0..=rounds {
        for (place, subject) in subjects.iter().enumerate() {
            let took = time(subject, threads, times[place]);
            if round > 0 {
                found[place].push(took.as_secs_f64() * 1e9 / times[place] as f64);
            }
        }
    }
    found
}

/// How often something can be done in this time, on one thread.
fn calibrate(subject: &Subject, sample: Duration) -> u64 {
    let mut times = 100;
    loop {
        let took = time(subject, 1, times);
        if took * 4 >= sample {
            return (times as f64 * sample.as_secs_f64() / took.as_secs_f64()) as u64 + 1;
        }
        times *= 4;
    }
}

/// How long threads take that each do it so many times, all at once: the longest of them.
fn time(subject: &Subject, threads: usize, times: u64) -> Duration {
    let start = Barrier::new(threads);
    let run = || {
        start.wait();
        let begun = Moment::now();
        (subject.run)(times);
        Moment::now().since(begun)
    };
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(run)).collect();
        let took = running.into_iter().map(|thread| thread.join().expect("subjects do not panic"));
        took.max().unwrap_or_default()
    })
}
