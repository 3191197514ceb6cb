//! What process groups take of the machine, as the system tells of their processes.

use std::collections::BTreeMap;
use std::fs;
use std::io;

use mainstay_base::units::Duration;

/// What the processes of a group take together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Usage {
    /// Processor time since each was started, with what they have started, ended and waited for.
    pub(super) cpu: Duration,
    /// Memory that is theirs now, in bytes; what several of them share counts for each.
    pub(super) memory_bytes: u64,
}

/// What these groups take now. Blocks: it reads a file for each process of the machine. Errors: processes cannot be listed.
pub(super) fn of(groups: &[i32]) -> io::Result<BTreeMap<i32, Usage>> {
    let mut found: BTreeMap<i32, Usage> = BTreeMap::new();
    for process in fs::read_dir("/proc")?.flatten() {
        let is_process = process.file_name().to_string_lossy().bytes().all(|byte| byte.is_ascii_digit());
        if !is_process {
            continue;
        }
        // Processes come and go while they are listed.
        let Ok(stat) = fs::read_to_string(process.path().join("stat")) else { continue };
        if let Some((group, usage)) = read(&stat).filter(|(group, _)| groups.contains(group)) {
            let sum = found.entry(group).or_default();
            sum.cpu = Duration::from_nanos(sum.cpu.as_nanos().saturating_add(usage.cpu.as_nanos()));
            sum.memory_bytes = sum.memory_bytes.saturating_add(usage.memory_bytes);
        }
    }
    Ok(found)
}

/// A line of `stat` (`proc(5)`): behind the name, which may have any signs, the group is field 5 of all, the times are 14 to 17, and the pages are 24.
fn read(stat: &str) -> Option<(i32, Usage)> {
    let (_, rest) = stat.rsplit_once(") ")?;
    // The state is field 3.
    let fields: Vec<_> = rest.split(' ').collect();
    let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
    let group = fields.get(5 - 3)?.parse().ok()?;
    let ticks = number(14)? + number(15)? + number(16)? + number(17)?;
    let per_second = rustix::param::clock_ticks_per_second().max(1);
    let cpu = Duration::from_nanos(ticks.saturating_mul(1_000_000_000 / per_second));
    let memory_bytes = number(24)?.saturating_mul(rustix::param::page_size() as u64);
    Some((group, Usage { cpu, memory_bytes }))
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::CommandExt as _;
    use std::process::{Child, Command, Stdio};

    use super::*;

    #[test]
    fn a_line_is_read_behind_any_name() {
        let line = "7 (a) b (c) S 1 42 42 0 -1 0 0 0 0 0 100 50 7 3 20 0 1 0 5551 0 10 0";
        let (group, usage) = read(line).expect("a line");
        assert_eq!(group, 42);
        assert_eq!(usage.cpu.as_nanos() * rustix::param::clock_ticks_per_second(), 160_000_000_000);
        assert_eq!(usage.memory_bytes, 10 * rustix::param::page_size() as u64);
        assert_eq!(read("nothing"), None);
    }

    #[test]
    fn a_group_counts_with_what_it_has_started() {
        let mut command = Command::new("sh");
        command.args(["-c", "sh -c 'while :; do :; done' & wait"]).stdin(Stdio::null()).process_group(0);
        let mut child: Child = command.spawn().expect("a shell");
        let group = i32::try_from(child.id()).expect("a number");
        let taken = || of(&[group]).expect("they are listed").get(&group).copied().unwrap_or_default();
        while taken().cpu < Duration::from_millis(50) {}
        assert!(taken().memory_bytes > 0);
        assert_eq!(of(&[]).expect("they are listed").len(), 0);
        let group = rustix::process::Pid::from_raw(group).expect("it runs");
        rustix::process::kill_process_group(group, rustix::process::Signal::KILL).expect("it runs");
        child.wait().expect("it was killed");
    }
}
