//! `mainstay bench recovery`: how long a start takes that has lost its stores and has to make them again from the log alone.
//!
//! A log is filled with durable upserts, without snapshots; then the stores are removed and the data opened, several times. What is
//! measured is from the beginning of the opening until every shard is served.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use mainstay_base::units::Size;
use mainstay_lab::bench::{Place, Stop};
use mainstay_lab::clock::Moment;
use mainstay_lab::duel::{CpuShares, Spent};
use mainstay_lab::items::{Operation, Task, Work};
use mainstay_lab::process::{Machine, memory};
use mainstay_lab::stats::median;
use mainstay_machine::settings::Limits;
use serde::Serialize;

use super::super::{FAILED, OK, Output, OutputArg, output};
use super::report::{Counted, notes};
use super::{check_space, configure, embedded, folder_in, today, until_signal};
use crate::shards;

/// Clients that fill the log: more make it no quicker.
const CLIENTS: usize = 256;

/// Arguments of `bench recovery`.
#[derive(Debug, Args)]
pub struct Recovery {
    /// The folder whose disk is used; files go into a folder of their own in it, which is removed
    #[arg(long, value_name = "DIR", default_value = ".")]
    dir: PathBuf,
    /// Bytes of values that the log has, with a unit
    #[arg(long, value_name = "SIZE", default_value_t = Size::from_mib(1024))]
    values: Size,
    /// Bytes of each value, with a unit
    #[arg(long, value_name = "SIZE", default_value_t = Size::from_kib(1))]
    value: Size,
    /// How many items there are, each of which is as likely to be put
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    items: u32,
    /// The shards that the items are divided into
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=256))]
    shards: u32,
    /// How often it is measured
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    #[command(flatten)]
    output: OutputArg,
}

/// What one start took.
#[derive(Debug, Clone, Copy, Serialize)]
struct Round {
    seconds: f64,
    /// Of this process.
    cpu_seconds: f64,
    rss_bytes: u64,
    cpu: CpuShares,
}

/// The figures of a measurement.
#[derive(Debug, Serialize)]
struct Report {
    name: &'static str,
    date: String,
    machine: Machine,
    file_system: String,
    build: &'static str,
    values: Size,
    value: Size,
    items: u32,
    shards: u32,
    upserts: u32,
    /// Written to the log.
    log_bytes: u64,
    rounds: Vec<Round>,
    median_seconds: f64,
    upserts_per_s: f64,
    log_bytes_per_s: f64,
    notes: Vec<String>,
}

/// Measures and tells. The error is that of writing the result.
pub fn run(recovery: &Recovery) -> io::Result<u8> {
    match measure(recovery) {
        Ok(report) => {
            match recovery.output.output {
                Output::Json => output::json(&report)?,
                Output::Human => output::text(&report.text())?,
            }
            Ok(OK)
        }
        Err(error) => {
            output::note(&format!("error: recovery could not be measured: {error:#}"));
            Ok(FAILED)
        }
    }
}

fn measure(recovery: &Recovery) -> Result<Report> {
    let Recovery { value, values, .. } = *recovery;
    let max = Limits::default().value_size_max;
    ensure!(value > Size::ZERO && value <= max, "a value of {value} cannot be stored: use 1B to {max}");
    let upserts = values.bytes().div_ceil(value.bytes());
    let upserts = u32::try_from(upserts).ok().filter(|upserts| *upserts > 0);
    let upserts = upserts.with_context(|| {
        format!("{values} in values of {value} are too many or none: log less, or larger values")
    })?;
    let place = Place::look(&recovery.dir)?;
    check_space(&place, needed(upserts, value), &recovery.dir)?;
    let folder = folder_in(&recovery.dir)?;
    let measured = until_signal(|stop| {
        output::note(&format!(
            "filling a log in {}: {upserts} upserts of {value}, {} items, {} shards; Ctrl-C ends it and removes the folder",
            folder.path().display(),
            recovery.items,
            recovery.shards,
        ));
        let measured =
            recover(recovery, upserts, &folder.path().canonicalize().context("find the folder")?, stop);
        // What an interrupt broke off is its failure, whatever it looks like.
        stop.check()?;
        measured
    });
    folder.close().context("remove the folder")?;
    let (log_bytes, rounds) = measured?;
    let seconds: Vec<f64> = rounds.iter().map(|round| round.seconds).collect();
    let median_seconds = median(&seconds).context("no start was measured")?;
    let mut notes: Vec<String> = rounds.iter().flat_map(|round| notes(&place, round.cpu)).collect();
    notes.dedup();
    notes.push("The log is in the page cache: a disk may be slower to read.".to_owned());
    Ok(Report {
        name: "recovery",
        date: today(),
        machine: Machine::look(),
        file_system: format!("{} on {}", place.file_system, place.source),
        build: if cfg!(debug_assertions) { "debug" } else { "release" },
        values,
        value,
        items: recovery.items,
        shards: recovery.shards,
        upserts,
        log_bytes,
        median_seconds,
        upserts_per_s: f64::from(upserts) / median_seconds,
        log_bytes_per_s: log_bytes as f64 / median_seconds,
        rounds,
        notes,
    })
}

/// The log twice, for its records are larger than the values, and as much in tables that are being merged.
fn needed(upserts: u32, value: Size) -> Size {
    const RECORD_BYTES: u64 = 512;
    Size::from_bytes(u64::from(upserts) * (value.bytes() + RECORD_BYTES) * 4)
}

/// Fills the log, and starts without stores. Returns how large the log is, and what the starts took.
fn recover(recovery: &Recovery, upserts: u32, folder: &Path, stop: &Stop) -> Result<(u64, Vec<Round>)> {
    // No snapshots, so that the log is never trimmed.
    let lines = "snapshots: { every: 1TiB }\nlog: { durability: synced, pin_bytes_max: 4TiB }\n";
    let file = configure(folder, recovery.shards, lines)?;
    let value_bytes = usize::try_from(recovery.value.bytes()).expect("it is below the limit");
    let task = Task { operation: Operation::Put, items: recovery.items, value_bytes };
    let log_bytes = embedded::with_data(file.clone(), |data, runtime| {
        let metrics = data.metrics();
        embedded::call_all(data, runtime, Work::at_random(task), (upserts, CLIENTS), stop)?;
        let text = String::from_utf8(metrics.text()).context("read the metrics")?;
        Ok(Counted::read(&text)?.logged_bytes())
    })?;
    let mut rounds = Vec::new();
    for number in 1..=recovery.rounds {
        stop.check()?;
        output::note(&format!("start {number} of {}", recovery.rounds));
        fs::remove_dir_all(folder.join("data").join(shards::FOLDER)).context("remove the stores")?;
        let (begun, before) = (Moment::now(), Spent::now(&[])?);
        rounds.push(embedded::with_data(file.clone(), |_, _| {
            let (took, spent) = (Moment::now().since(begun), Spent::now(&[])?.since(before));
            Ok(Round {
                seconds: took.as_secs_f64(),
                cpu_seconds: spent.load.as_secs_f64(),
                rss_bytes: memory(&[std::process::id()]).rss_bytes,
                cpu: CpuShares::of(took.max(Duration::from_micros(1)), spent),
            })
        })?);
    }
    Ok((log_bytes, rounds))
}

impl Report {
    /// The figures for a person at a terminal.
    fn text(&self) -> String {
        let machine = &self.machine;
        let mut text = format!(
            "{} cores of {}, {}\nfile system {}, build {}\n\nempty stores made again from the log: {} upserts of {}, {} items, {} shards, \
             a log of {} MiB\n\n",
            machine.cores,
            machine.cpu_model,
            machine.kernel,
            self.file_system,
            self.build,
            self.upserts,
            self.value,
            self.items,
            self.shards,
            self.log_bytes >> 20,
        );
        let mut put = |line: String| writeln!(text, "{line}").expect("writing to memory cannot fail");
        for (number, round) in (1..).zip(&self.rounds) {
            put(format!(
                "start {number:<6}  {:.2} s until all shards are served, {:.2} s of CPU, {} MiB of memory",
                round.seconds,
                round.cpu_seconds,
                round.rss_bytes >> 20
            ));
        }
        put(format!(
            "median        {:.2} s: {:.0} upserts/s, {:.0} MiB of log a second",
            self.median_seconds,
            self.upserts_per_s,
            self.log_bytes_per_s / f64::from(1 << 20)
        ));
        put("\nRead with care".to_owned());
        self.notes.iter().for_each(|note| put(format!("  {note}")));
        text
    }
}
