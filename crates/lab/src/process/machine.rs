//! What a reader must know of the machine to judge a figure measured on it.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::proc::{Pid, number_after};

/// Facts about this machine. What can't be found out is empty or none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// The processor's name.
    pub cpu_model: String,
    /// Processors this process may run on.
    pub cores: usize,
    /// Main memory, in bytes.
    pub memory_bytes: u64,
    /// Name and release of the kernel.
    pub kernel: String,
    /// Instruction set.
    pub architecture: String,
    /// The control group's limit of CPU time, as the kernel prints it (quota and period in microseconds).
    pub cgroup_cpu_max: Option<String>,
    /// The control group's limit of memory, as the kernel prints it.
    pub cgroup_memory_max: Option<String>,
    /// Whether the scheduler groups processes by session, which slows down servers whose clients are in another.
    pub autogroup_enabled: bool,
}

impl Machine {
    /// Looks at the machine.
    #[must_use]
    pub fn look() -> Self {
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let release = line("/proc/sys/kernel/osrelease").unwrap_or_default();
        Self {
            cpu_model: cpu_model(&cpuinfo).unwrap_or_default(),
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            memory_bytes: number_after(&meminfo, "MemTotal:").unwrap_or(0) * 1024,
            kernel: format!("Linux {release}").trim_end().to_owned(),
            architecture: std::env::consts::ARCH.to_owned(),
            cgroup_cpu_max: cgroup_limit("cpu.max"),
            cgroup_memory_max: cgroup_limit("memory.max"),
            autogroup_enabled: line("/proc/sys/kernel/sched_autogroup_enabled").as_deref() == Some("1"),
        }
    }

    /// The facts as pairs of a name and a value, for a report.
    #[must_use]
    pub fn facts(&self) -> Vec<(String, String)> {
        let unlimited = || "none".to_owned();
        let gibibytes = self.memory_bytes as f64 / f64::from(1 << 30);
        let pairs = [
            ("processor", self.cpu_model.clone()),
            ("cores", self.cores.to_string()),
            ("memory", format!("{gibibytes:.1} GiB")),
            ("kernel", format!("{} {}", self.kernel, self.architecture)),
            ("control group CPU limit", self.cgroup_cpu_max.clone().unwrap_or_else(unlimited)),
            ("control group memory limit", self.cgroup_memory_max.clone().unwrap_or_else(unlimited)),
            ("scheduler autogroups", if self.autogroup_enabled { "on" } else { "off" }.to_owned()),
        ];
        pairs.map(|(name, value)| (name.to_owned(), value)).into()
    }
}

/// The scheduler's autogroup of a process, such as `/autogroup-12`; none if there are none or the process has ended.
#[must_use]
pub fn autogroup(pid: Pid) -> Option<String> {
    // The line also names the group's priority, which may change.
    line(&format!("/proc/{pid}/autogroup"))?.split_whitespace().next().map(ToOwned::to_owned)
}

fn line(path: &str) -> Option<String> {
    Some(fs::read_to_string(path).ok()?.trim().to_owned()).filter(|line| !line.is_empty())
}

fn cpu_model(cpuinfo: &str) -> Option<String> {
    let line = cpuinfo.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// The tightest limit is that of some ancestor; the nearest one that is set is printed.
fn cgroup_limit(file: &str) -> Option<String> {
    let own = fs::read_to_string("/proc/self/cgroup").ok()?;
    let path = own.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let mut folder: PathBuf = Path::new("/sys/fs/cgroup").join(path);
    while folder.starts_with("/sys/fs/cgroup") {
        let limit = fs::read_to_string(folder.join(file)).unwrap_or_default();
        let limit = limit.trim();
        if !limit.is_empty() && !limit.starts_with("max") {
            return Some(limit.to_owned());
        }
        folder.pop();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_a_name_and_a_kernel() {
        let machine = Machine::look();
        assert!(machine.cores > 0 && machine.memory_bytes > 1 << 20, "{machine:?}");
        assert!(machine.kernel.starts_with("Linux "));
        assert!(machine.facts().iter().any(|(name, _)| name == "processor"));
    }

    #[test]
    fn the_model_is_the_first_of_its_name() {
        let text =
            "processor\t: 0\nmodel name\t: Example CPU @ 2.00GHz\nprocessor\t: 1\nmodel name\t: Other\n";
        assert_eq!(cpu_model(text).as_deref(), Some("Example CPU @ 2.00GHz"));
        assert_eq!(cpu_model(""), None);
    }

    #[test]
    fn children_share_the_autogroup_of_their_session() {
        let own = autogroup(std::process::id());
        let mut child = std::process::Command::new("sleep").arg("30").spawn().unwrap();
        let of_child = autogroup(child.id());
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(own, of_child);
    }
}
