//! Programs that were left when Mainstay was killed: found by what stands in their environment, or by what was told of them, and ended.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};

/// How often it is looked whether they have ended.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A program, as nothing else is it: by its number and when it was started, in ticks of the system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    pid: Pid,
    started: u64,
}

impl Known {
    /// The program that has this number now; none if none has.
    pub fn now(pid: i32) -> Option<Self> {
        let pid = Pid::from_raw(pid)?;
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        Some(Self { pid, started: stat_of(&stat)?.started })
    }

    /// Whether it has not ended.
    pub fn is_there(&self) -> bool {
        Self::now(self.pid.as_raw_nonzero().get()).as_ref() == Some(self)
    }
}

/// Ends the process groups of all programs that were started with a marker that begins so, and of these: tells them to end, and kills what is left after so long. Returns how many groups
/// there were. Blocks. Errors: processes cannot be listed.
pub fn end_leftovers(marker: &str, known: &[Known], patience: Duration) -> io::Result<usize> {
    let found = groups(marker, known)?;
    signal(&found, Signal::TERM);
    let looks = patience.as_nanos() / LOOK_EVERY.as_nanos();
    for _ in 0..looks {
        if groups(marker, known)?.is_empty() {
            return Ok(found.len());
        }
        #[expect(clippy::disallowed_methods, reason = "it blocks, and says so")]
        thread::sleep(LOOK_EVERY);
    }
    signal(&groups(marker, known)?, Signal::KILL);
    Ok(found.len())
}

fn signal(groups: &HashSet<Pid>, signal: Signal) {
    for group in groups {
        // It may have ended since.
        let _ = kill_process_group(*group, signal);
    }
}

/// The process groups of which a member was started with this marker, or is known.
fn groups(marker: &str, known: &[Known]) -> io::Result<HashSet<Pid>> {
    let entry = format!("MAINSTAY_INSTANCE={marker}/");
    let mut found: HashSet<Pid> = known.iter().filter(|it| it.is_there()).map(|it| it.pid).collect();
    for process in fs::read_dir("/proc")?.flatten() {
        let path = process.path();
        // Processes come and go while they are listed, and those of others cannot be read.
        let Ok(environment) = fs::read(path.join("environ")) else { continue };
        let is_ours =
            environment.split(|byte| *byte == 0).any(|variable| variable.starts_with(entry.as_bytes()));
        if is_ours && let Some(stat) = fs::read_to_string(path.join("stat")).ok().as_deref().and_then(stat_of)
        {
            found.insert(stat.group);
        }
    }
    found.remove(&rustix::process::getpgrp());
    Ok(found)
}

struct Stat {
    group: Pid,
    started: u64,
}

/// What the system says of a process (`proc(5)`): behind its name, which may have any signs, its state, its parent, its group, and 17 fields later when it was started. None of one that has ended and was not
/// waited for.
fn stat_of(stat: &str) -> Option<Stat> {
    let (_, rest) = stat.rsplit_once(") ")?;
    let fields: Vec<_> = rest.split(' ').collect();
    if fields.first() == Some(&"Z") {
        return None;
    }
    Some(Stat { group: Pid::from_raw(fields.get(2)?.parse().ok()?)?, started: fields.get(19)?.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::CommandExt as _;
    use std::process::{Child, Command};

    use super::*;

    /// A program that ignores that it is to end, and has started another.
    fn program(marker: Option<&str>) -> Child {
        let mut command = Command::new("sh");
        command.args(["-c", "trap '' TERM; sleep 600 & wait; sleep 600"]).process_group(0);
        command.envs(marker.map(|marker| ("MAINSTAY_INSTANCE", format!("{marker}/shop/1"))));
        command.spawn().expect("a shell")
    }

    #[test]
    fn a_group_is_read_behind_any_name() {
        let of = |state: &str| format!("7 (a) b (c) {state} 1 42 42 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 5551 0");
        let read = |stat: &str| stat_of(stat).map(|it| (it.group.as_raw_nonzero().get(), it.started));
        assert_eq!(read(&of("S")), Some((42, 5551)));
        assert_eq!(read(&of("Z")), None);
        assert_eq!(read("nothing"), None);
        let own = i32::try_from(std::process::id()).expect("a number");
        assert!(Known::now(own).is_some_and(|it| it.is_there()));
    }

    #[test]
    fn what_was_started_with_the_marker_ends_with_what_it_has_started() {
        let marker = format!("test-{}", std::process::id());
        let mut child = program(Some(&format!("{marker}/1")));
        while groups(&marker, &[]).expect("they are listed").is_empty() {}
        let (little, more) = (Duration::from_millis(20), Duration::from_millis(100));
        assert_eq!(end_leftovers("another", &[], little).expect("they are listed"), 0);
        assert_eq!(end_leftovers(&format!("{marker}/2"), &[], little).expect("they are listed"), 0);
        assert_eq!(end_leftovers(&marker, &[], more).expect("they are listed"), 1);
        child.wait().expect("it was killed");
        while !groups(&marker, &[]).expect("they are listed").is_empty() {}
    }

    #[test]
    fn what_hides_its_environment_is_ended_as_well() {
        let mut child = program(None);
        let known = Known::now(i32::try_from(child.id()).expect("a number")).expect("it runs");
        let other = Known { started: known.started + 1, ..known };
        assert_eq!(
            end_leftovers("none", &[other], Duration::ZERO).expect("they are listed"),
            0,
            "that was another one"
        );
        assert_eq!(end_leftovers("none", &[known], Duration::from_millis(40)).expect("they are listed"), 1);
        child.wait().expect("it was killed");
    }
}
