//! `mainstay bench log`: durable appends to the log, beside what the bare disk can do.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clap::{Args, ValueEnum};
use mainstay_base::units::Size;
use mainstay_lab::bench::{self, Cell, Place, Plan, Results};
use mainstay_log::Durability;

use super::super::{FAILED, OK, Output, OutputArg, output};
use super::{check_space, folder_in, today, until_signal};

/// Rounds in which each kind of work is measured; their medians are reported.
const ROUNDS: u32 = 5;

/// What producers leave in the log before they trim it: less than the spare segments hold, so that none is made meanwhile.
const KEEP: Size = Size::from_mib(32);

/// Arguments of `bench log`.
#[derive(Debug, Args)]
pub struct Log {
    /// The folder whose disk is measured; files go into a folder of their own in it, which is removed
    #[arg(long, value_name = "DIR", default_value = ".")]
    dir: PathBuf,
    /// How long each kind of work is measured, in seconds
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=600))]
    seconds: u32,
    /// Appends in flight, each to a shard of its own; several kinds, with commas
    #[arg(long, value_name = "N", value_delimiter = ',', default_values_t = [1, 64, 1024],
        value_parser = clap::value_parser!(u32).range(1..=4096))]
    producers: Vec<u32>,
    /// Bytes of each record, with a unit; several kinds, with commas
    #[arg(long, value_name = "SIZE", value_delimiter = ',', default_values_t = [Size::from_bytes(256), Size::from_kib(4)])]
    payload: Vec<Size>,
    /// What an acknowledged record has survived
    #[arg(long, value_enum, default_value_t = Survives::Synced)]
    durability: Survives,
    /// Appended and trimmed before each measurement, so that files are used again as in a log that has run for a while
    #[arg(long, value_name = "SIZE", default_value_t = bench::RUN_IN)]
    run_in: Size,
    #[command(flatten)]
    output: OutputArg,
}

/// What an acknowledged record has survived.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Survives {
    /// The loss of power
    Synced,
    /// The end of the process, not the loss of power
    Written,
}

/// Runs a command, and returns the exit code. The error is that of writing the result.
pub fn run(log: &Log) -> io::Result<u8> {
    let results = match measure(log) {
        Ok(results) => results,
        Err(error) => {
            output::note(&format!("error: the log could not be measured: {error:#}"));
            return Ok(FAILED);
        }
    };
    match log.output.output {
        Output::Json => output::json(&results)?,
        Output::Human => output::text(&format!("{}\n{}", heading(&results), results.text()))?,
    }
    Ok(OK)
}

fn measure(log: &Log) -> Result<Results> {
    let plan = plan(log);
    check_flight(&plan.cells)?;
    let place = Place::look(&log.dir)?;
    check_space(&place, plan.space(), &log.dir)?;
    let folder = folder_in(&log.dir)?;
    output::note(&format!(
        "measuring in {}, {} kinds of work for {} s each; Ctrl-C ends it and removes the folder",
        folder.path().display(),
        plan.cells.len(),
        log.seconds,
    ));
    let results = until_signal(|stop| {
        let mut shown = String::new();
        bench::run(&plan, folder.path(), &today(), stop, |step| {
            // A line for each kind of work, not for each sample.
            let work = step.split(':').next().unwrap_or_default();
            if work != shown {
                work.clone_into(&mut shown);
                output::note(&format!("  {work} ..."));
            }
        })
    });
    folder.close().context("remove the folder")?;
    results
}

fn plan(log: &Log) -> Plan {
    let duration = Duration::from_secs(log.seconds.into()) / ROUNDS;
    let durability = match log.durability {
        Survives::Synced => Durability::Synced,
        Survives::Written => Durability::Written,
    };
    let cells = |payload: &Size| {
        let cell = |producers: &u32| Cell { producers: *producers as usize, payload: *payload };
        log.producers.iter().map(cell).collect::<Vec<_>>()
    };
    Plan {
        name: "log".to_owned(),
        title: "The log on this machine".to_owned(),
        about: "Durable appends, beside what the bare disk can do.".to_owned(),
        subjects: vec![bench::local(durability, log.run_in)],
        cells: log.payload.iter().flat_map(cells).collect(),
        rounds: ROUNDS as usize,
        warm_up: (duration / 4).max(Duration::from_millis(100)),
        duration,
        disk: duration / 8,
        strict: false,
        keep: KEEP,
        // Not longer than the work itself.
        settle_max: Plan::SETTLE_MAX.min(Duration::from_secs(log.seconds.into())),
        seed: 1,
    }
}

/// Errors: the log would refuse so much at once.
fn check_flight(cells: &[Cell]) -> Result<()> {
    for cell in cells {
        let flight = Size::from_bytes(cell.record_bytes().saturating_mul(cell.producers as u64));
        ensure!(
            flight <= bench::FLIGHT_MAX,
            "{} producers with payloads of {} have {flight} in flight, and the log takes {} at once: use fewer or \
             smaller ones",
            cell.producers,
            cell.payload,
            bench::FLIGHT_MAX,
        );
        ensure!(cell.payload > Size::ZERO, "a payload of 0B carries nothing: use 1B or more");
    }
    Ok(())
}

fn heading(results: &Results) -> String {
    let machine = &results.machine;
    let settings =
        results.settings.iter().chain(results.subjects.iter().flat_map(|subject| &subject.settings));
    let telling = ["file system", "build", "durability"];
    let told = settings.filter(|(name, _)| telling.contains(&name.as_str()));
    let told: Vec<String> = told.map(|(name, value)| format!("{name} {value}")).collect();
    format!("{} cores of {}, {}\n{}\n", machine.cores, machine.cpu_model, machine.kernel, told.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_in_flight_than_the_log_takes_is_refused() {
        let cell = |producers, payload| [Cell { producers, payload }];
        assert!(check_flight(&cell(1_024, Size::from_kib(4))).is_ok());
        let error = check_flight(&cell(4_096, Size::from_kib(64))).unwrap_err().to_string();
        assert!(error.starts_with("4096 producers with payloads of 64KiB have"), "{error}");
        assert!(check_flight(&cell(1, Size::ZERO)).is_err());
    }
}
