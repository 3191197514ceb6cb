//! `mainstay inspect`: what a node has stored, without starting one.

use std::fmt::Write as _;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, Subcommand, ValueEnum};
use mainstay_base::units::Size;
use mainstay_log::local::{self, Bad, Choice, Inspection, LogEnd, Range};
use serde_json::json;

use super::{FAILED, OK, Output, OutputArg, USAGE, output};
use crate::system::{SystemClock, SystemEntropy};

/// The folder of the log below a node's data directory.
const LOG: &str = "log";

/// How many ranges of records are named before the rest is counted.
const RANGES_SHOWN: usize = 8;

/// The commands under `inspect`.
#[derive(Debug, Subcommand)]
pub enum Inspect {
    /// Read a log and tell what it holds, and where it is damaged; changes nothing unless told to repair
    Log(Log),
}

/// Arguments of `inspect log`.
#[derive(Debug, Args)]
pub struct Log {
    /// The data directory of a node, or the folder of its log
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// Repair a damaged log by giving something up; tells what would be lost, and does it only with `--yes`
    #[arg(long, value_enum, value_name = "CHOICE")]
    repair: Option<Repair>,
    /// Do repair, and lose what was told
    #[arg(long, requires = "repair")]
    yes: bool,
    #[command(flatten)]
    output: OutputArg,
}

/// What is given up in a repair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Repair {
    /// Everything from the first damaged place on
    Cut,
    /// Everything up to the last damaged place; for logs whose beginning is in snapshots
    Forget,
}

/// Runs a command, and returns the exit code; damage is a failure. The error is that of writing the result.
pub fn run(inspect: Inspect) -> io::Result<u8> {
    let Inspect::Log(log) = inspect;
    let below = log.directory.join(LOG);
    let directory = if below.is_dir() { below } else { log.directory.clone() };
    let found = match local::inspect(&directory) {
        Ok(found) => found,
        Err(error) => {
            output::note(&format!("error: {error}"));
            return Ok(FAILED);
        }
    };
    match log.output.output {
        Output::Json => output::json(&json!(found))?,
        Output::Human => output::text(&human(&found))?,
    }
    match log.repair {
        Some(repair) => mend(&log, repair, &directory, &found),
        None if found.damage.is_empty() => Ok(OK),
        None => {
            let program = "mainstay inspect log";
            output::note(&format!(
                "the log is damaged; `{program} {} --repair cut` or `forget` tells what a repair would lose",
                log.directory.display()
            ));
            Ok(FAILED)
        }
    }
}

fn mend(log: &Log, repair: Repair, directory: &std::path::Path, found: &Inspection) -> io::Result<u8> {
    let Some(last) = found.forget_to() else {
        output::note("there is nothing to repair");
        return Ok(OK);
    };
    if found.is_newer {
        output::note(
            "error: part of the log is written by a newer program: inspect and repair it with that one",
        );
        return Ok(FAILED);
    }
    let (choice, lost, otherwise) = match repair {
        Repair::Cut => (
            Choice::Cut,
            found.cut_at().map(by_cut),
            "error: what is missing was before all that is there: nothing can be cut, only `forget` is possible",
        ),
        Repair::Forget => (
            Choice::Forget,
            last.lost_by_forget.as_deref().map(|lost| by_forget(last, lost)),
            "error: the damage is in the last segment: nothing is kept behind it, only `cut` is possible",
        ),
    };
    let Some(lost) = lost else {
        output::note(otherwise);
        return Ok(USAGE);
    };
    output::note(&lost);
    if !log.yes {
        output::note(
            "nothing was changed; with `--yes` it is done, and the files taken out are kept beside the log",
        );
        return Ok(FAILED);
    }
    match local::repair(directory, choice, Arc::new(SystemClock::new()), &SystemEntropy) {
        Ok(repaired) => {
            let aside = repaired.aside.display();
            output::note(&format!("repaired; what was taken out is in {aside}"));
            Ok(if repaired.now.damage.is_empty() { OK } else { FAILED })
        }
        Err(error) => {
            output::note(&format!("error: {error}"));
            Ok(FAILED)
        }
    }
}

fn by_cut(bad: &Bad) -> String {
    let Bad { segment, offset, lost_by_cut, .. } = bad;
    format!(
        "cutting at segment {segment}, byte {offset}, loses {}, and what was in the damaged place itself.\n\
         Acknowledged writes are among them. Only shards that are rebuilt from this log alone agree with it afterwards.",
        ranges(lost_by_cut)
    )
}

fn by_forget(bad: &Bad, lost: &[Range]) -> String {
    format!(
        "forgetting everything up to the end of segment {} loses {}.\n\
         A shard can go on only if a snapshot of it has those records.",
        bad.segment,
        ranges(lost)
    )
}

fn ranges(ranges: &[Range]) -> String {
    if ranges.is_empty() {
        return "no record that can be named".into();
    }
    let named = ranges.iter().take(RANGES_SHOWN);
    let named = named.map(|it| format!("records {} to {} of shard {}", it.first, it.last, it.shard));
    let mut text = named.collect::<Vec<_>>().join(", ");
    if let Some(more) = ranges.len().checked_sub(RANGES_SHOWN).filter(|more| *more > 0) {
        write!(text, ", and those of {more} more shards").expect("writing to text cannot fail");
    }
    text
}

fn human(found: &Inspection) -> String {
    let mut text = format!("{}: {}\n", found.directory, end(found));
    for bad in &found.damage {
        text.push_str(&format!("damaged at segment {}, byte {}: {}\n", bad.segment, bad.offset, bad.what));
    }
    if !found.shards.is_empty() {
        text.push_str("\n  SHARD      BEGINS        NEXT  EPOCH\n");
    }
    for it in &found.shards {
        text.push_str(&format!("{:>7} {:>11} {:>11} {:>6}\n", it.shard, it.begins, it.next, it.epoch));
    }
    if !found.segments.is_empty() {
        text.push_str("\nSEGMENT      LENGTH        USED   GROUPS    RECORDS\n");
    }
    for it in &found.segments {
        let (bytes, used) =
            (Size::from_bytes(it.bytes).to_string(), Size::from_bytes(it.used_bytes).to_string());
        text.push_str(&format!(
            "{:>7} {bytes:>11} {used:>11} {:>8} {:>10}\n",
            it.number, it.groups, it.records
        ));
    }
    if found.spares > 0 {
        text.push_str(&format!("\n{} more files are ready for what comes\n", found.spares));
    }
    if !found.foreign.is_empty() {
        text.push_str(&format!("\nnot the log's, and left alone: {}\n", found.foreign.join(", ")));
    }
    text
}

fn end(found: &Inspection) -> String {
    match (&found.end, found.damage.len()) {
        (LogEnd::None, 0) => "there is no log".into(),
        (LogEnd::Sealed, 0) => "whole, closed cleanly".into(),
        (LogEnd::Open, 0) => {
            "whole, and in use or not closed cleanly; the next start makes its end durable".into()
        }
        (LogEnd::Torn(cut), 0) => format!(
            "whole up to its last group, which is torn (segment {}, byte {}) or being written: \
             the next start cuts it off, nothing of it was acknowledged",
            cut.segment, cut.offset
        ),
        (_, 1) => "DAMAGED in one place".into(),
        (_, count) => format!("DAMAGED in {count} places"),
    }
}
