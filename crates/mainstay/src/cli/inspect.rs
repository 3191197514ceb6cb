//! `mainstay inspect`: what a node has stored, without starting one.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, Subcommand, ValueEnum};
use mainstay_base::units::Size;
use mainstay_log::Error;
use mainstay_log::local::{self, Bad, Choice, Inspection, LogEnd, Range, Repaired};
use serde::Serialize;
use serde_json::json;

use super::{FAILED, OK, Output, OutputArg, USAGE, output};
use crate::system::{SystemClock, SystemEntropy};

/// The folder of the log below a node's data directory.
const LOG: &str = "log";

/// What to do when there is no log.
const NAME_ONE: &str = "name the data directory of a node (its setting `data`), or the folder `log` in it";

/// How many ranges of records, or files, are named before the rest is counted.
const SHOWN: usize = 8;

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
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
enum Repair {
    /// Everything from the first damaged place on
    Cut,
    /// Everything up to the last damaged place; for logs whose beginning is in snapshots
    Forget,
}

/// Runs a command, and returns the exit code; damage is a failure. The error is that of writing the result.
pub fn run(inspect: Inspect) -> io::Result<u8> {
    let Inspect::Log(log) = inspect;
    let Answer { found, repair, note, code } = match look(&log) {
        Ok(answer) => answer,
        Err(error) => {
            output::note(&format!("error: {error}"));
            return Ok(FAILED);
        }
    };
    match log.output.output {
        Output::Json => {
            let mut document = json!(found);
            if let Some(repair) = repair {
                document["repair"] = json!(repair);
            }
            output::json(&document)?;
        }
        Output::Human => {
            let repair = repair.map_or_else(String::new, |repair| format!("\n{}", repair.human()));
            output::text(&format!("{}{repair}", human(&found)))?;
        }
    }
    note.iter().for_each(|note| output::note(note));
    Ok(code)
}

/// What is told about a log.
struct Answer {
    found: Inspection,
    repair: Option<Repairing>,
    /// For people, beside the result.
    note: Option<String>,
    code: u8,
}

/// A repair that is possible, or done.
#[derive(Serialize)]
struct Repairing {
    choice: Repair,
    lost: Vec<Range>,
    /// For people.
    #[serde(skip)]
    told: String,
    done: Option<Done>,
}

/// What a repair has done.
#[derive(Serialize)]
struct Done {
    /// Where the files are that the log no longer has.
    aside: String,
    now: Inspection,
}

/// Reads the log, and repairs it if told to. Errors: why nothing can be told.
fn look(log: &Log) -> Result<Answer, String> {
    let directory = directory(&log.directory)?;
    let found = local::inspect(&directory).map_err(|error| why(&error))?;
    if found.end == LogEnd::None {
        let error = format!("there is no log in {}; {NAME_ONE}", log.directory.display());
        return match log.output.output {
            Output::Human => Err(error),
            Output::Json => {
                Ok(Answer { found, repair: None, note: Some(format!("error: {error}")), code: FAILED })
            }
        };
    }
    if found.is_newer {
        let note =
            "error: part of the log is written by a newer version: inspect and repair it with that one";
        return Ok(Answer { found, repair: None, note: Some(note.into()), code: FAILED });
    }
    let Some(repair) = log.repair else { return Ok(told(log, found)) };
    Ok(mend(log, repair, &directory, found))
}

/// The folder of the log.
fn directory(given: &Path) -> Result<PathBuf, String> {
    let shown = given.display();
    match fs::metadata(given) {
        Ok(metadata) if metadata.is_dir() => {}
        Ok(_) => return Err(format!("{shown} is not a directory; {NAME_ONE}")),
        Err(error) => return Err(format!("{shown} cannot be looked at: {error}; {NAME_ONE}")),
    }
    let below = given.join(LOG);
    Ok(if below.is_dir() { below } else { given.to_owned() })
}

/// What people are told of an error that has happened to this command.
fn why(error: &Error) -> String {
    match error {
        Error::Unavailable { reason, .. } => reason.clone(),
        error => error.to_string(),
    }
}

fn told(log: &Log, found: Inspection) -> Answer {
    if found.damage.is_empty() {
        return Answer { found, repair: None, note: None, code: OK };
    }
    let directory = log.directory.display();
    let note = format!(
        "the log is damaged; `mainstay inspect log {directory} --repair cut` or `forget` tells what a repair would lose"
    );
    Answer { found, repair: None, note: Some(note), code: FAILED }
}

fn mend(log: &Log, repair: Repair, directory: &Path, found: Inspection) -> Answer {
    let answer = |found, repair, note: String, code| Answer { found, repair, note: Some(note), code };
    if found.damage.is_empty() {
        return answer(found, None, "there is nothing to repair, and nothing was changed".into(), OK);
    }
    let (choice, possible) = plan(repair, &found);
    let mut repairing = match possible {
        Ok(repairing) => repairing,
        Err(otherwise) => return answer(found, None, format!("error: {otherwise}"), USAGE),
    };
    if !log.yes {
        let note =
            "nothing was changed; with `--yes` it is done, and the files taken out are kept beside the log";
        return answer(found, Some(repairing), note.into(), FAILED);
    }
    match local::repair(directory, choice, Arc::new(SystemClock::new()), &SystemEntropy) {
        Ok(Repaired { aside, now }) => {
            let code = if now.damage.is_empty() { OK } else { FAILED };
            repairing.done = Some(Done { aside: aside.display().to_string(), now });
            Answer { found, repair: Some(repairing), note: None, code }
        }
        Err(error) => {
            let note = format!("error: the log was not repaired: {}", why(&error));
            answer(found, Some(repairing), note, FAILED)
        }
    }
}

/// What a repair would lose, or why this one is not possible.
fn plan(repair: Repair, found: &Inspection) -> (Choice, Result<Repairing, &'static str>) {
    let repairing =
        |lost: &[Range], told| Repairing { choice: repair, lost: lost.to_vec(), told, done: None };
    match repair {
        Repair::Cut => {
            let possible = found.cut_at().map(|bad| repairing(&bad.lost_by_cut, by_cut(bad)));
            let otherwise =
                "what is missing was before all that is there: nothing can be cut, only `forget` is possible";
            (Choice::Cut, possible.ok_or(otherwise))
        }
        Repair::Forget => {
            let last = found.forget_to().and_then(|bad| Some((bad, bad.lost_by_forget.as_deref()?)));
            let possible = last.map(|(bad, lost)| repairing(lost, by_forget(bad, lost)));
            let otherwise =
                "the damage is in the last segment: nothing is kept behind it, only `cut` is possible";
            (Choice::Forget, possible.ok_or(otherwise))
        }
    }
}

impl Repairing {
    fn human(&self) -> String {
        let mut text = format!("{}\n", self.told);
        if let Some(Done { aside, now }) = &self.done {
            text.push_str(&format!("done; what was taken out is in {aside}\n"));
            text.push_str(&format!("now: {}\n", end(now)));
        }
        text
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
    let named = ranges.iter().take(SHOWN);
    let named = named.map(|it| format!("records {} to {} of shard {}", it.first, it.last, it.shard));
    let mut text = named.collect::<Vec<_>>().join(", ");
    if let Some(more) = ranges.len().checked_sub(SHOWN).filter(|more| *more > 0) {
        write!(text, ", and those of {more} more shards").expect("writing to text cannot fail");
    }
    text
}

fn human(found: &Inspection) -> String {
    let mut text = format!("{}: {}\n", found.directory, end(found));
    let how = if found.is_newer { "not readable" } else { "damaged" };
    for bad in &found.damage {
        text.push_str(&format!("{how} at segment {}, byte {}: {}\n", bad.segment, bad.offset, bad.what));
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
        text.push_str(&format!("\nfiles that are ready for what comes: {}\n", found.spares));
    }
    if !found.foreign.is_empty() {
        let named = found.foreign.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
        let more = match found.foreign.len().saturating_sub(SHOWN) {
            0 => String::new(),
            more => format!(", and {more} more"),
        };
        text.push_str(&format!("\nnot the log's, and left alone: {named}{more}\n"));
    }
    text
}

fn end(found: &Inspection) -> String {
    match (&found.end, found.damage.len()) {
        _ if found.is_newer => "written by a newer version, at least in part".into(),
        (LogEnd::None, _) => "there is no log".into(),
        (LogEnd::Sealed, 0) => "whole, closed cleanly".into(),
        (LogEnd::Open, 0) => {
            "whole, and in use or not closed cleanly; the next start makes its end durable".into()
        }
        (LogEnd::Torn(cut), 0) => format!(
            "whole up to its last group (segment {}, byte {}), which the next start cuts off: it was being written \
             when the process or the power ended, or is being written now; nothing tells that from a group that \
             has changed since",
            cut.segment, cut.offset
        ),
        (_, 1) => "DAMAGED in one place".into(),
        (_, count) => format!("DAMAGED in {count} places"),
    }
}
