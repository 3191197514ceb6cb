//! Mainstay's log on this machine's disk, beside stores that are used as one.
//!
//! All are in this process, under the same producers. The stores of others stand behind the lab's front, which hands them
//! the same groups that a log of ours forms by itself; a bare file behind it shows what the front alone costs.

mod fjall;
mod sqlite;

use std::time::Duration;

use anyhow::Result;
use mainstay_base::units::Size;
use mainstay_lab::bench::{self, Cell, Measure, Plan, Results, Series};
use mainstay_log::Durability;

use super::Effort;
use crate::binary::repository;

const ABOUT: &str = "\
How fast records become durable, and what it costs. Producers (tasks on one thread) each append to a shard of their own, one record after the \
other; records/s are acknowledged ones, after the sync. Mainstay's `local` engine forms its own groups. fjall and SQLite commit one batch at a \
time, so they stand behind a group commit in front of them, the same code for both: one thread takes whatever waits, commits it as one batch, and \
answers. `bare file` is a file written before and nothing else behind that front; `memory` is Mainstay's engine for tests, under which the \
producers' own cost shows. The peers get it easy: ascending keys, no index beside them, no index checks, and nothing is ever trimmed, \
while Mainstay checks every index and epoch, chains its groups, and recycles its files. They are stores with more to offer than a log; what is compared \
is only their use as one.";

const KEEP: Size = Size::from_mib(32);
const SMALL: Size = Size::from_bytes(256);
const LARGE: Size = Size::from_kib(4);

/// Whom the first claim is about.
const PEER: &str = "fjall";

/// Where the claims are judged.
const CLAIMED: Cell = Cell { producers: 64, payload: SMALL };
const RATE_RATIO_MIN: f64 = 2.0;
const CPU_US_MAX: f64 = 3.0;
const P99_US_MAX: f64 = 2_000.0;

/// Ours first.
pub(super) fn plan(effort: Effort) -> Result<Plan> {
    let ms = Duration::from_millis;
    let (payloads, rounds, [warm_up, duration, disk]) = match effort {
        Effort::Full => (vec![SMALL, LARGE], 7, [ms(500), ms(2_000), ms(250)]),
        Effort::Quick => (vec![SMALL], 3, [ms(50), ms(200), ms(20)]),
    };
    let cell = |payload| [1, 64, 1_024].map(|producers| Cell { producers, payload });
    let ours = super::mainstay::checkout(env!("CARGO_PKG_VERSION"));
    Ok(Plan {
        name: "log".to_owned(),
        title: "Duel: the log, fjall's journal and SQLite".to_owned(),
        about: ABOUT.to_owned(),
        subjects: vec![
            bench::Subject { version: ours, ..bench::local(Durability::Synced) },
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

/// Adds what is claimed of the first subject, and whether it holds.
pub(super) fn judge(results: &mut Results) {
    let Some(cell) = results.cell(CLAIMED.producers, CLAIMED.payload) else { return };
    let ours = &cell.measured[0];
    let rates = cell.comparisons.iter().filter(|row| row.measure == Measure::Records);
    let ratio = rates.clone().find(|row| row.peer == PEER).and_then(|row| row.ratio);
    let of = |series: &Series, measure| series.spread(measure).map(|spread| spread.median);
    let (cpu, p99) = (of(ours, Measure::Cpu), of(ours, Measure::P99));
    let shown = |figure: Option<f64>, unit: &str, decimals: usize| {
        figure.map_or_else(|| "not measured".to_owned(), |figure| format!("{figure:.decimals$}{unit}"))
    };
    let at = format!("with {} producers of {}", CLAIMED.producers, CLAIMED.payload);
    let verdict = &mut results.verdict;
    verdict.check(
        format!("{at} the rate is at least {RATE_RATIO_MIN:.0} times fjall's"),
        ratio.map_or_else(|| "not measured".to_owned(), |ratio| ratio.to_string()),
        ratio.is_some_and(|ratio| ratio.value >= RATE_RATIO_MIN),
    );
    verdict.check(
        format!("{at} a record costs less than {CPU_US_MAX:.0} us of CPU, its producer included"),
        shown(cpu, " us", 2),
        cpu.is_some_and(|cpu| cpu < CPU_US_MAX),
    );
    verdict.check(
        format!("{at} the 99th percentile to acknowledgement is below {:.0} ms", P99_US_MAX / 1e3),
        shown(p99, " us", 0),
        p99.is_some_and(|p99| p99 < P99_US_MAX),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_come_from_the_lock_file() {
        let lock = "[[package]]\nname = \"a\"\nversion = \"1.2.3\"\n\n[[package]]\nname = \"ab\"\nversion = \"4.5.6\"\n";
        assert_eq!(version_in(lock, "ab").as_deref(), Some("4.5.6"));
        assert_eq!(version_in(lock, "b"), None);
        assert_ne!(locked("fjall"), "unknown");
    }

    #[test]
    fn the_claims_are_about_a_cell_that_is_measured() {
        for effort in [Effort::Full, Effort::Quick] {
            let plan = plan(effort).unwrap();
            assert!(plan.cells.contains(&CLAIMED));
            assert!(plan.subjects.iter().any(|subject| subject.name == PEER));
        }
    }
}
