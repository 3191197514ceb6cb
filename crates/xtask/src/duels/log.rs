//! Mainstay's log on this machine's disk, beside stores that are used as one.
//!
//! All are in this process, under the same producers. The stores of others stand behind the lab's front, which forms groups by
//! the rule of the log itself; a bare file behind it shows what the front alone costs.

mod fjall;
mod sqlite;

use std::time::Duration;

use anyhow::Result;
use mainstay_base::units::Size;
use mainstay_lab::bench::{self, Cell, Metric, Plan, Results, Series};
use mainstay_lab::comparison::VERDICT_SAMPLES_MIN;
use mainstay_lab::report::Verdict;
use mainstay_log::Durability;

use super::Effort;
use crate::binary::repository;

const ABOUT: &str = "\
How fast records become durable, and what it costs. Producers (tasks on one thread) each append to a shard of their own, one record after the \
other; records/s are acknowledged ones, after the sync. Mainstay's `local` engine commits in groups by itself. fjall and SQLite commit one batch at \
a time, so a group commit stands in front of them, the same code for both: one thread takes whatever waits, commits it as one batch, and answers. \
How long a group waits for the producers that the one before it has answered is decided on both sides by the same code, and how many records a \
group then had stands in the tables. `bare file` is a file written before and nothing else behind that front; `memory` is Mainstay's engine for tests, under which the \
producers' own cost shows. The peers get it easy: ascending keys, no index beside them, no index checks, and nothing is ever trimmed, \
while Mainstay checks every index and epoch, chains its groups, and recycles its files. They are stores with more to offer than a log; what is compared \
is only their use as one.";

const KEEP: Size = Size::from_mib(32);
const SMALL: Size = Size::from_bytes(256);
const LARGE: Size = Size::from_kib(4);
const PRODUCERS: [usize; 3] = [1, 64, 1_024];

/// Whom claims of rates are about.
const PEER: &str = "fjall";

/// With so many producers claims are judged.
const CLAIMED: usize = 64;
const RATE_RATIO_MIN: f64 = 2.0;
const CPU_US_MAX: f64 = 3.0;
const P99_US_MAX: f64 = 2_000.0;
const TOO_FEW: &str = "too few clean samples";

/// Ours first.
pub(super) fn plan(effort: Effort) -> Result<Plan> {
    let ms = Duration::from_millis;
    let (payloads, rounds, [warm_up, duration, disk]) = match effort {
        Effort::Full => (vec![SMALL, LARGE], 6, [ms(500), ms(1_500), ms(200)]),
        Effort::Quick => (vec![SMALL], 3, [ms(50), ms(200), ms(20)]),
    };
    let cell = |payload| PRODUCERS.map(|producers| Cell { producers, payload });
    let ours = super::mainstay::checkout(env!("CARGO_PKG_VERSION"));
    Ok(Plan {
        name: "log".to_owned(),
        title: "Duel: the log, fjall's journal and SQLite".to_owned(),
        about: ABOUT.to_owned(),
        subjects: vec![
            bench::Subject { version: ours, ..bench::local(Durability::Synced, bench::RUN_IN) },
            fjall::subject(),
            sqlite::subject(),
            bench::bare_file(),
            bench::memory(),
        ],
        cells: payloads.into_iter().flat_map(cell).collect(),
        rounds,
        warm_up,
        duration,
        disk,
        strict: effort == Effort::Full,
        keep: KEEP,
        settle_max: Plan::SETTLE_MAX,
        seed: 1,
    })
}

/// The version of a dependency that this checkout is locked to.
fn locked(name: &str) -> String {
    let lock = std::fs::read_to_string(repository().join("Cargo.lock")).unwrap_or_default();
    version_in(&lock, name).unwrap_or_else(|| "unknown".to_owned())
}

fn version_in(lock: &str, name: &str) -> Option<String> {
    let named = format!("name = \"{name}\"");
    let line = lock.lines().skip_while(|line| *line != named).nth(1)?;
    Some(line.strip_prefix("version = \"")?.trim_end_matches('"').to_owned())
}

/// Adds what is claimed of the first subject, and whether it holds. Too few clean samples prove nothing.
pub(super) fn judge(results: &mut Results) {
    let mut verdict = Verdict::default();
    for payload in [SMALL, LARGE] {
        let Some(cell) = results.cell(CLAIMED, payload) else { continue };
        let rate = cell.comparisons.iter().find(|row| row.peer == PEER && row.metric == Metric::Records);
        let ratio = rate.filter(|row| row.winner.is_some()).and_then(|row| row.ratio);
        verdict.check(
            format!(
                "with {CLAIMED} producers of {payload} the rate is at least {RATE_RATIO_MIN:.0} times fjall's"
            ),
            ratio.map_or_else(|| TOO_FEW.to_owned(), |ratio| ratio.to_string()),
            ratio.is_some_and(|ratio| ratio.value >= RATE_RATIO_MIN),
        );
    }
    if let Some(cell) = results.cell(CLAIMED, SMALL) {
        judge_cost(&cell.measured[0], &mut verdict);
    }
    results.verdict = verdict;
}

/// What a small record costs, and how long it takes.
fn judge_cost(ours: &Series, verdict: &mut Verdict) {
    let median = |metric| {
        let spread = ours.spread(metric).filter(|spread| spread.count >= VERDICT_SAMPLES_MIN);
        spread.map(|spread| spread.median)
    };
    let shown = |figure: Option<f64>, decimals: usize| {
        figure.map_or_else(|| TOO_FEW.to_owned(), |figure| format!("{figure:.decimals$} us"))
    };
    let at = format!("with {CLAIMED} producers of {SMALL}");
    let (cpu, p99) = (median(Metric::Cpu), median(Metric::P99));
    verdict.check(
        format!("{at} a record costs less than {CPU_US_MAX:.0} us of CPU, its producer included"),
        shown(cpu, 2),
        cpu.is_some_and(|cpu| cpu < CPU_US_MAX),
    );
    verdict.check(
        format!("{at} the 99th percentile to acknowledgement is below {:.0} ms", P99_US_MAX / 1e3),
        shown(p99, 0),
        p99.is_some_and(|p99| p99 < P99_US_MAX),
    );
}

#[cfg(test)]
mod tests {
    use mainstay_lab::bench::{CellResults, Comparison, Pace, Sample};
    use mainstay_lab::duel::CpuShares;
    use mainstay_lab::load::Percentiles;
    use mainstay_lab::process::Machine;
    use mainstay_lab::stats::{Ratio, Winner};

    use super::*;

    #[test]
    fn versions_come_from_the_lock_file() {
        let lock = "[[package]]\nname = \"a\"\nversion = \"1.2.3\"\n\n[[package]]\nname = \"ab\"\nversion = \"4.5.6\"\n";
        assert_eq!(version_in(lock, "ab").as_deref(), Some("4.5.6"));
        assert_eq!(version_in(lock, "b"), None);
        assert_ne!(locked("fjall"), "unknown");
    }

    #[test]
    fn a_full_run_measures_all_that_is_published_in_a_quarter_of_an_hour() {
        let plan = plan(Effort::Full).unwrap();
        let cells: Vec<(usize, u64)> =
            plan.cells.iter().map(|cell| (cell.producers, cell.payload.bytes())).collect();
        assert_eq!(cells, [(1, 256), (64, 256), (1_024, 256), (1, 4_096), (64, 4_096), (1_024, 4_096)]);
        let names: Vec<&str> = plan.subjects.iter().map(|subject| subject.name.as_str()).collect();
        assert_eq!(names, ["mainstay", PEER, "SQLite", "bare file", "memory"]);
        assert!(plan.strict && plan.rounds >= VERDICT_SAMPLES_MIN);
        // About a second goes to opening a log, resting and deleting it.
        let sample = plan.warm_up + plan.duration + 4 * plan.disk + Duration::from_secs(1);
        let samples = (plan.rounds + 1) * plan.cells.len() * plan.subjects.len();
        assert!(sample * u32::try_from(samples).unwrap() <= Duration::from_secs(15 * 60));
    }

    fn sample(records_per_s: f64, p99_us: f64) -> Sample {
        let pace = Pace { group_bytes: 4_096, syncs_per_s: 10_000.0, latency: Percentiles::default() };
        Sample {
            records_per_s,
            latency: Percentiles { p99_us, ..Percentiles::default() },
            syncs_per_s: 5_000.0,
            written_per_given: None,
            cpu_us_per_record: 2.0,
            producers_cpu_us_per_record: 1.0,
            producers_busy_ratio: 0.1,
            disk_block: [pace; 2],
            disk_group: [pace; 2],
            cpu: CpuShares::default(),
        }
    }

    fn series(sample: &Sample, count: usize) -> Series {
        Series { clean: vec![sample.clone(); count], ..Series::default() }
    }

    /// What is told of each claim when so many samples of each side have these ratios of rates.
    fn judged(count: usize, small: f64, large: f64) -> Vec<(String, bool)> {
        let cell = |payload, value| CellResults {
            cell: Cell { producers: CLAIMED, payload },
            measured: vec![series(&sample(1.0, 1_999.0), count)],
            comparisons: vec![Comparison {
                peer: PEER.to_owned(),
                metric: Metric::Records,
                ratio: Some(Ratio { value, low: value, high: value }),
                winner: (count >= VERDICT_SAMPLES_MIN).then_some(Winner::Ours),
            }],
        };
        let mut results = Results {
            name: String::new(),
            title: String::new(),
            about: String::new(),
            date: String::new(),
            machine: Machine::default(),
            subjects: Vec::new(),
            cells: vec![cell(SMALL, small), cell(LARGE, large)],
            seed: 1,
            settings: Vec::new(),
            verdict: Verdict::default(),
            notes: Vec::new(),
        };
        judge(&mut results);
        results.verdict.0.into_iter().map(|check| (check.measured, check.holds)).collect()
    }

    #[test]
    fn claims_hold_where_enough_clean_samples_show_it() {
        let told = |pairs: [(&str, bool); 4]| pairs.map(|(text, holds)| (text.to_owned(), holds));
        let (two, less) = ("2.00 (2.00 to 2.00)", "1.99 (1.99 to 1.99)");
        let cost = [("2.00 us", true), ("1999 us", true)];
        assert_eq!(judged(5, 2.0, 2.0), told([(two, true), (two, true), cost[0], cost[1]]));
        assert_eq!(judged(5, 1.99, 2.0), told([(less, false), (two, true), cost[0], cost[1]]));
        assert_eq!(judged(5, 2.0, 1.99), told([(two, true), (less, false), cost[0], cost[1]]));
        assert_eq!(judged(4, 3.0, 3.0), told([(TOO_FEW, false); 4]));
    }
}
