//! What instances may take of the machine, told to the system: open files for each process, and processor time for each instance.
//!
//! Both are told right after a program has begun, since nothing of ours runs in it before. What it has started by then has the limits of files from Mainstay; mostly that is nothing.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};

use super::fleet::Number;
use crate::config::Cores;
use mainstay_base::id::Name;

/// Has a process, and what it will start, open so many files at most. Errors: the system refuses.
pub(super) fn files(pid: Pid, files: u32) -> io::Result<()> {
    // It may not be raised.
    let most = getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX);
    let files = Some(u64::from(files).min(most));
    prlimit(Some(pid), Resource::Nofile, Rlimit { current: files, maximum: files })?;
    Ok(())
}

/// The control group of this process, version 2, divided among its programs.
#[derive(Debug)]
pub(super) struct Division {
    root: PathBuf,
}

/// The control group of one instance. It goes when this does, and its processes have ended.
#[derive(Debug)]
pub(super) struct Group {
    path: PathBuf,
}

/// Where this process is itself, beside its programs: a group that is divided has no processes of its own.
const OWN: &str = "mainstay";

/// In which time the processor time is counted, in microseconds: the system's own choice.
const PERIOD_US: f64 = 100_000.0;

impl Division {
    /// Divides the control group of this process. Errors: it cannot be, and why.
    pub(super) fn of_this_process() -> Result<Self, String> {
        let groups = fs::read_to_string("/proc/self/cgroup").map_err(|error| error.to_string())?;
        let mounts = fs::read_to_string("/proc/self/mounts").map_err(|error| error.to_string())?;
        let path = place(&groups, &mounts).ok_or("this process is in no control group of version 2")?;
        Self::at(&path, std::process::id())
    }

    /// Divides this one, in which a process is.
    fn at(path: &Path, pid: u32) -> Result<Self, String> {
        // An earlier division stays when a program is replaced by itself.
        let is_own = path.file_name().is_some_and(|name| name == OWN);
        let root = if is_own { path.parent().unwrap_or(path) } else { path };
        let told = |what: &str, error: io::Error| format!("{what} {}: {error}", root.display());
        let controllers = fs::read_to_string(root.join("cgroup.controllers"))
            .map_err(|error| told("cannot read the controllers of the control group", error))?;
        if !controllers.split_whitespace().any(|controller| controller == "cpu") {
            return Err(format!("the control group {} has no controller for processors", root.display()));
        }
        let own = root.join(OWN);
        let moved = match fs::create_dir(&own) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            _ => fs::write(own.join("cgroup.procs"), pid.to_string()),
        };
        moved.map_err(|error| told("cannot make a group within", error))?;
        fs::write(root.join("cgroup.subtree_control"), "+cpu")
            .map_err(|error| told("cannot divide", error))?;
        Ok(Self { root: root.to_owned() })
    }

    /// A group for an instance, with so many cores, and the instance in it. Errors: the system refuses.
    pub(super) fn hold(&self, service: &Name, number: Number, pid: i32, cores: Cores) -> io::Result<Group> {
        let path = self.root.join(format!("{service}-{}-{}", number.0, pid));
        fs::create_dir(&path)?;
        let group = Group { path };
        let quota_us = (cores.get() * PERIOD_US).round();
        fs::write(group.path.join("cpu.max"), format!("{quota_us} {PERIOD_US}"))?;
        fs::write(group.path.join("cgroup.procs"), pid.to_string())?;
        Ok(group)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // While a process is left in it the system keeps it: it holds what is there.
        let _ = fs::remove_dir(&self.path);
    }
}

/// Where the control group of a process is, by what the system says of its groups and mounts.
fn place(groups: &str, mounts: &str) -> Option<PathBuf> {
    let within = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let mount = mounts.lines().find_map(|line| {
        let mut fields = line.split(' ');
        let (_, at, kind) = (fields.next()?, fields.next()?, fields.next()?);
        (kind == "cgroup2").then_some(at)
    })?;
    Some(Path::new(mount).join(within))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_group_of_a_process_is_found() {
        let mounts = "proc /proc proc rw 0 0\ncgroup2 /sys/fs/cgroup cgroup2 rw,nosuid 0 0\n";
        let found = place("1:cpu:/x\n0::/system.slice/mainstay.service\n", mounts);
        assert_eq!(found.as_deref(), Some(Path::new("/sys/fs/cgroup/system.slice/mainstay.service")));
        assert_eq!(place("1:cpu:/x\n", mounts), None);
        assert_eq!(place("0::/\n", "proc /proc proc rw 0 0\n"), None);
    }

    #[test]
    fn a_group_is_divided_and_each_instance_has_its_part() {
        let root = std::env::temp_dir().join(format!("mainstay-groups-{}", std::process::id()));
        fs::create_dir_all(&root).expect("a directory");
        fs::write(root.join("cgroup.controllers"), "cpuset memory\n").expect("a file");
        assert!(Division::at(&root, 7).expect_err("it cannot").contains("no controller for processors"));
        fs::write(root.join("cgroup.controllers"), "cpuset cpu memory\n").expect("a file");
        let division = Division::at(&root, 7).expect("it is divided");
        let read = |file: &str| fs::read_to_string(root.join(file)).expect("a file");
        assert_eq!(
            (read("mainstay/cgroup.procs"), read("cgroup.subtree_control")),
            ("7".into(), "+cpu".into())
        );
        assert!(
            Division::at(&root.join("mainstay"), 7).is_ok_and(|again| again.root == root),
            "it is divided already"
        );
        let cores = Cores::try_from(1.5).expect("cores");
        let group =
            division.hold(&"shop".parse().expect("a name"), Number(3), 42, cores).expect("it is held");
        assert_eq!(
            (read("shop-3-42/cpu.max"), read("shop-3-42/cgroup.procs")),
            ("150000 100000".into(), "42".into())
        );
        drop(group);
        fs::remove_dir_all(&root).expect("it is ours");
    }

    #[test]
    fn a_process_has_as_many_files_as_it_may() {
        let mut child = std::process::Command::new("sleep").arg("600").spawn().expect("a program");
        let pid = Pid::from_raw(i32::try_from(child.id()).expect("a number")).expect("it runs");
        files(pid, 64).expect("it may be told");
        let limits = fs::read_to_string(format!("/proc/{}/limits", child.id())).expect("it runs");
        let line = limits.lines().find(|line| line.starts_with("Max open files")).expect("a line");
        assert_eq!(line.split_whitespace().skip(3).take(2).collect::<Vec<_>>(), ["64", "64"], "{line}");
        child.kill().expect("it runs");
        child.wait().expect("it was killed");
    }
}
