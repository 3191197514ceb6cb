//! Running a program under callgrind, and what it writes.
//!
//! Format: "Callgrind Format Specification", Valgrind User Manual.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::shell;

/// Frees and gives back nothing by the clock, and starts no thread: the same calls take the same instructions. For programs with the allocator of `mainstay`.
const ALLOCATOR: (&str, &str) =
    ("_RJEM_MALLOC_CONF", "background_thread:false,dirty_decay_ms:-1,muzzy_decay_ms:-1");

/// The name of the event that an instruction is.
const INSTRUCTION: &str = "Ir";

/// Instructions of a program from its start to its end. Errors: callgrind is missing; the program fails.
pub(super) fn count(program: &Path, arguments: &[&str]) -> Result<u64> {
    let folder = tempfile::tempdir().context("make a folder for what callgrind finds")?;
    let out = folder.path().join("callgrind.out");
    shell::read(under(program, &out).args(arguments)).context("`make instructions` installs valgrind")?;
    written(&out)
}

/// The program under callgrind, to be given its arguments and started. When it has ended, [`written`] reads the file.
pub(super) fn under(program: &Path, out: &Path) -> Command {
    let mut command = Command::new("valgrind");
    let file = format!("--callgrind-out-file={}", out.display());
    command.args(["--tool=callgrind", "--quiet", &file]).arg(program).env(ALLOCATOR.0, ALLOCATOR.1);
    command
}

/// Instructions that are told of in a file that callgrind has written.
pub(super) fn written(out: &Path) -> Result<u64> {
    let text = fs::read_to_string(out).with_context(|| format!("read {}", out.display()))?;
    instructions(&text).with_context(|| format!("understand {}", out.display()))
}

/// The sum over all parts of a profile: one for each dump.
fn instructions(profile: &str) -> Result<u64> {
    let (mut place, mut sum) = (None, None);
    for line in profile.lines() {
        let Some((key, values)) = line.split_once(": ") else { continue };
        let mut values = values.split_whitespace();
        match key {
            "events" => place = values.position(|event| event == INSTRUCTION),
            "totals" => {
                let place = place.context("totals without the event of instructions")?;
                let value = values.nth(place).context("totals without that of instructions")?;
                let value: u64 = value.parse().with_context(|| format!("{value:?} is no number"))?;
                sum = Some(sum.unwrap_or(0) + value);
            }
            _ => {}
        }
    }
    let Some(sum) = sum else { bail!("it has no totals: the program has not ended") };
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROFILE: &str = "\
# callgrind format
version: 1
creator: callgrind-3.19.0
pid: 4711
cmd:  xtask repeat a 1
part: 1


desc: I1 cache: 
desc: Timerange: Basic block 0 - 34907
desc: Trigger: Program termination

positions: line
events: Ir
summary: 174307


ob=(1) /lib/ld.so
fl=(1) rtld.c
fn=(1) totals
0 12
cfn=(2) events
calls=1 0 
0 174295

totals: 174307
";

    #[test]
    fn the_totals_of_a_profile_are_its_instructions() {
        assert_eq!(instructions(PROFILE).unwrap(), 174_307);
    }

    #[test]
    fn all_parts_count_and_other_events_do_not() {
        let part = |events: &str, totals: &str| format!("part: 1\nevents: {events}\ntotals: {totals}\n");
        let both = format!("{}\n{}", part("Ir", "10"), part("sysCount Ir Dr", "3 5 9"));
        assert_eq!(instructions(&both).unwrap(), 15);
    }

    #[test]
    fn what_is_no_whole_profile_is_refused() {
        let (begun, _) = PROFILE.split_once("totals:").unwrap();
        for wrong in [
            "",
            begun,
            "totals: 1\n",
            "events: Dr\ntotals: 1\n",
            "events: Dr Ir\ntotals: 1\n",
            "events: Ir\ntotals: many\n",
        ] {
            assert!(instructions(wrong).is_err(), "{wrong:?}");
        }
    }
}
