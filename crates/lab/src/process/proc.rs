//! Reading of `/proc`: processes with all their descendants, and the machine as a whole.
//!
//! A process that ends while it is looked at counts as nothing; its CPU time then shows in its parent, which
//! reaped it.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

/// A process id.
pub type Pid = u32;

/// One tick of the CPU times in `/proc`. The kernel's interface fixes it at 100 per second on all common machines.
const TICK: Duration = Duration::from_millis(10);

/// What a set of processes uses at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    /// CPU time since each was started, including children that have ended and were waited for.
    pub cpu: Duration,
    /// Memory.
    pub memory: Memory,
    /// Processes.
    pub processes: usize,
    /// Threads over all of them.
    pub threads: u64,
    /// Open file descriptors over all of them.
    pub fds: usize,
}

/// Memory of a set of processes, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// Resident set; pages that processes share count once for each. From the kernel's running count, which any
    /// user may read and which may lag by some pages per processor.
    pub rss_bytes: u64,
    /// Proportional set; shared pages are divided among those who share them. None if that of some process may not
    /// be read, as that of another user's.
    pub pss_bytes: Option<u64>,
}

/// The processes `roots` and all their living descendants, each once.
#[must_use]
pub fn tree(roots: &[Pid]) -> Vec<Pid> {
    let mut children: HashMap<Pid, Vec<Pid>> = HashMap::new();
    for pid in pids() {
        if let Some(stat) = Stat::read(pid) {
            children.entry(stat.parent).or_default().push(pid);
        }
    }
    let mut found: Vec<Pid> = Vec::new();
    let mut open = roots.to_vec();
    while let Some(pid) = open.pop() {
        if !found.contains(&pid) {
            found.push(pid);
            open.extend(children.get(&pid).into_iter().flatten());
        }
    }
    found.sort_unstable();
    found
}

fn pids() -> impl Iterator<Item = Pid> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// CPU time of `roots` and their descendants, including those that have ended and were waited for.
#[must_use]
pub fn cpu(roots: &[Pid]) -> Duration {
    tree(roots).into_iter().filter_map(Stat::read).map(|stat| stat.own + stat.reaped).sum()
}

/// The parent of the kernel's own threads.
const KERNEL_THREADS: Pid = 2;

/// The root of the kernel's own threads, if it is visible.
#[must_use]
pub fn kernel_threads() -> Vec<Pid> {
    let name = read(KERNEL_THREADS, "comm").unwrap_or_default();
    // In a container another process may have that number.
    Some(KERNEL_THREADS).filter(|_| name.trim() == "kthreadd").into_iter().collect()
}

/// CPU time of every visible process but this one and `known` with their descendants, including processes that have
/// ended and were waited for: between two calls it grows by what those used, also by the ones that came and went.
#[must_use]
pub fn cpu_of_others(known: &[Pid]) -> Duration {
    let known = tree(known);
    let is_other = |pid: &Pid| *pid != std::process::id() && !known.contains(pid);
    pids().filter(is_other).filter_map(Stat::read).map(|stat| stat.own + stat.reaped).sum()
}

/// CPU time of all threads of this process, without its children.
#[must_use]
pub fn cpu_of_self() -> Duration {
    Stat::read(std::process::id()).map_or(Duration::ZERO, |stat| stat.own)
}

/// Memory of `roots` and their descendants. It walks their page tables: costly for large ones.
#[must_use]
pub fn memory(roots: &[Pid]) -> Memory {
    let mut sum = Memory { rss_bytes: 0, pss_bytes: Some(0) };
    for pid in tree(roots) {
        let shares = read(pid, "smaps_rollup");
        // Asked for afterwards: what has memory now had some before, so shares that are missing were withheld.
        let Some(rss) = read(pid, "status").and_then(|status| number_after(&status, "VmRSS:")) else {
            continue;
        };
        let pss = shares.and_then(|shares| number_after(&shares, "Pss:"));
        sum.rss_bytes += rss * 1024;
        sum.pss_bytes = sum.pss_bytes.zip(pss).map(|(sum, pss)| sum + pss * 1024);
    }
    sum
}

/// Everything about `roots` and their descendants.
#[must_use]
pub fn usage(roots: &[Pid]) -> Usage {
    let mut usage = Usage { memory: memory(roots), ..Usage::default() };
    for pid in tree(roots) {
        let Some(stat) = Stat::read(pid) else { continue };
        usage.cpu += stat.own + stat.reaped;
        usage.threads += stat.threads;
        usage.processes += 1;
        usage.fds += fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count);
    }
    usage
}

fn read(pid: Pid, file: &str) -> Option<String> {
    fs::read_to_string(format!("/proc/{pid}/{file}")).ok()
}

/// The number in a line such as `Rss:   1234 kB`.
pub(super) fn number_after(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

/// `/proc/<pid>/stat`, as far as it is of use here (proc_pid_stat(5)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stat {
    parent: Pid,
    own: Duration,
    reaped: Duration,
    threads: u64,
    started: u64,
}

/// A process that is told apart from a later one with the same id by when it was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) pid: Pid,
    started: u64,
}

impl Identity {
    /// None if there is no such process.
    pub(super) fn of(pid: Pid) -> Option<Self> {
        Stat::read(pid).map(|stat| Self { pid, started: stat.started })
    }

    /// Whether the process is still there.
    pub(super) fn is_current(self) -> bool {
        Self::of(self.pid) == Some(self)
    }
}

impl Stat {
    fn read(pid: Pid) -> Option<Self> {
        Self::parse(&read(pid, "stat")?)
    }

    fn parse(text: &str) -> Option<Self> {
        // The name, in brackets, may itself hold brackets and spaces.
        let (_, fields) = text.rsplit_once(')')?;
        let fields: Vec<&str> = fields.split_whitespace().collect();
        let number = |nth: usize| fields.get(nth - 3)?.parse::<u64>().ok();
        Some(Self {
            parent: fields.get(1)?.parse().ok()?,
            own: ticks(number(14)? + number(15)?),
            reaped: ticks(number(16)? + number(17)?),
            threads: number(20)?,
            started: number(22)?,
        })
    }
}

fn ticks(count: u64) -> Duration {
    TICK * u32::try_from(count).unwrap_or(u32::MAX)
}

/// How the machine's processors have spent their time since its start, summed over them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachineCpu {
    /// In programs, and in the kernel on their behalf.
    pub tasks: Duration,
    /// In interrupts. Depending on the kernel it is charged to the interrupted program as well.
    pub interrupts: Duration,
    /// Taken by the host of a virtual machine.
    pub stolen: Duration,
}

impl MachineCpu {
    /// Errors: `/proc/stat` can't be read.
    pub fn read() -> Result<Self> {
        let path = Path::new("/proc/stat");
        let text = fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
        Self::parse(&text).with_context(|| format!("understand {}", path.display()))
    }

    fn parse(text: &str) -> Option<Self> {
        let line = text.lines().find_map(|line| line.strip_prefix("cpu "))?;
        let fields: Vec<u64> = line.split_whitespace().map_while(|field| field.parse().ok()).collect();
        let &[user, nice, system, _idle, _iowait, irq, softirq, stolen, ..] = &fields[..] else {
            return None;
        };
        Some(Self {
            tasks: ticks(user + nice + system),
            interrupts: ticks(irq + softirq),
            stolen: ticks(stolen),
        })
    }

    /// What was spent between `earlier` and this.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        Self {
            tasks: self.tasks.saturating_sub(earlier.tasks),
            interrupts: self.interrupts.saturating_sub(earlier.interrupts),
            stolen: self.stolen.saturating_sub(earlier.stolen),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stat_line_is_read_despite_a_hostile_name() {
        let line = "7 (a) b (c) S 3 7 7 0 -1 4194560 1 2 3 4 250 50 1000 25 20 0 9 0 1 2 3";
        let expected = Stat {
            parent: 3,
            own: Duration::from_secs(3),
            reaped: Duration::from_millis(10_250),
            threads: 9,
            started: 1,
        };
        assert_eq!(Stat::parse(line), Some(expected));
        assert_eq!(Stat::parse("7 (cut) S 3 7"), None);
    }

    #[test]
    fn the_machine_line_is_split_by_who_is_to_blame() {
        let text = "cpu  100 20 30 4000 50 6 7 8 9 10\ncpu0 1 2 3\n";
        let cpu = MachineCpu::parse(text).unwrap();
        let ms = Duration::from_millis;
        assert_eq!(cpu, MachineCpu { tasks: ms(1_500), interrupts: ms(130), stolen: ms(80) });
        assert_eq!(cpu.since(MachineCpu { tasks: ms(500), ..cpu }).tasks, ms(1_000));
        assert_eq!(MachineCpu::parse("cpu  1 2\n"), None);
    }

    #[test]
    fn numbers_are_found_by_name() {
        let text = "Rss:        1636 kB\nPss:         432 kB\nPss_Dirty:   1 kB\n";
        assert_eq!((number_after(text, "Rss:"), number_after(text, "Pss:")), (Some(1636), Some(432)));
        assert_eq!(number_after(text, "Swap:"), None);
    }

    #[test]
    fn this_process_uses_something() {
        let usage = usage(&[std::process::id()]);
        assert!(usage.processes >= 1 && usage.threads >= 1 && usage.fds >= 3, "{usage:?}");
        assert!(usage.memory.rss_bytes > 500_000, "{usage:?}");
        assert!(usage.memory.pss_bytes.is_some_and(|bytes| bytes > 100_000), "{usage:?}");
    }
}
