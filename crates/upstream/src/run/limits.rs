//! What instances may take of the machine, told to the system: open files for each process, and processor time for each instance.
//!
//! Both are told right after a program has begun, since nothing of ours runs in it before. What it has started by then has the limits of files from Mainstay; mostly that is nothing.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rustix::io::Errno;
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

/// The control group of this process, divided among its programs as soon as one needs it and it can be.
#[derive(Debug, Default)]
pub(super) struct Divided(Mutex<Option<Division>>);

/// A control group, version 2, that is divided.
#[derive(Debug)]
struct Division {
    root: PathBuf,
}

/// The control group of one instance. It goes when this does, and its processes have ended.
#[derive(Debug)]
pub(super) struct Group {
    path: PathBuf,
}

/// Where this process is itself, beside its programs: a group that is divided has no processes of its own.
const OWN: &str = "mainstay";

/// The file that lists a group's processes, and moves those into it that are written there.
const PROCESSES: &str = "cgroup.procs";

/// In which time the processor time is counted, in microseconds: the system's own choice.
const PERIOD_US: f64 = 100_000.0;

/// How many times processes are moved that have come to be in the group meanwhile: whoever starts some does so from its own group once it was moved.
const MOVES_MAX: u32 = 10;

/// Tells a file of the system something.
type Tell<'a> = &'a dyn Fn(&Path, &str) -> io::Result<()>;

impl Divided {
    /// A group for an instance, with so many cores, and the instance in it. What could not be divided is tried again each time. Errors: it cannot be divided, or the system refuses, and what it says.
    pub(super) fn hold(
        &self,
        service: &Name,
        number: Number,
        pid: i32,
        cores: Cores,
    ) -> Result<Group, String> {
        // It is there or not at any time.
        let mut division = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let division = match &mut *division {
            Some(division) => division,
            none => none.insert(Division::of_this_process()?),
        };
        division.hold(service, number, pid, cores).map_err(|error| error.to_string())
    }
}

impl Division {
    /// Divides the control group of this process. Errors: it cannot be, and why.
    fn of_this_process() -> Result<Self, String> {
        let groups = fs::read_to_string("/proc/self/cgroup").map_err(|error| error.to_string())?;
        let mounts = fs::read_to_string("/proc/self/mounts").map_err(|error| error.to_string())?;
        let path = place(&groups, &mounts).ok_or("this process is in no control group of version 2")?;
        Self::at(&path, &|file, text| fs::write(file, text))
    }

    /// Divides this one, in which this process is. All that are in it are moved into a group within, programs and what watches over them too: the system divides none that has processes of its own.
    fn at(path: &Path, tell: Tell<'_>) -> Result<Self, String> {
        // An earlier division stays when a program is replaced by itself.
        let is_own = path.file_name().is_some_and(|name| name == OWN);
        let root = if is_own { path.parent().unwrap_or(path) } else { path };
        let told = |what: &str, error: io::Error| format!("{what} {}: {error}", root.display());
        let controllers = fs::read_to_string(root.join("cgroup.controllers"))
            .map_err(|error| told("cannot read the controllers of the control group", error))?;
        if !controllers.split_whitespace().any(|controller| controller == "cpu") {
            return Err(format!("the control group {} has no controller for processors", root.display()));
        }
        let divide = || tell(&root.join("cgroup.subtree_control"), "+cpu");
        // Only the root of all has no type, and may have processes.
        if !root.join("cgroup.type").exists() {
            divide().map_err(|error| told("cannot divide the control group", error))?;
            return Ok(Self { root: root.to_owned() });
        }
        let own = root.join(OWN);
        match fs::create_dir(&own) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(told("cannot make a group within the control group", error));
            }
            _ => {}
        }
        let mut moved = BTreeSet::new();
        let divided = empty(root, &own, &mut moved, tell)
            .map_err(|error| told("cannot move processes within the control group", error))
            .and_then(|()| divide().map_err(|error| told("cannot divide the control group", error)));
        if let Err(error) = divided {
            for pid in moved {
                // It may have ended.
                let _ = tell(&root.join(PROCESSES), &pid.to_string());
            }
            let _ = fs::remove_dir(&own);
            return Err(error);
        }
        Ok(Self { root: root.to_owned() })
    }

    /// A group for an instance, with so many cores, and the instance in it. Errors: the system refuses.
    fn hold(&self, service: &Name, number: Number, pid: i32, cores: Cores) -> io::Result<Group> {
        let path = self.root.join(format!("{service}-{}-{}", number.0, pid));
        fs::create_dir(&path)?;
        let group = Group { path };
        let quota_us = (cores.get() * PERIOD_US).round();
        fs::write(group.path.join("cpu.max"), format!("{quota_us} {PERIOD_US}"))?;
        fs::write(group.path.join(PROCESSES), pid.to_string())?;
        Ok(group)
    }
}

/// Moves all processes of a group into another, and remembers which. Errors: the system refuses, or others come again and again.
fn empty(root: &Path, own: &Path, moved: &mut BTreeSet<u32>, tell: Tell<'_>) -> io::Result<()> {
    for _ in 0..MOVES_MAX {
        let listed = fs::read_to_string(root.join(PROCESSES))?;
        let pids: Vec<u32> = listed.lines().filter_map(|line| line.trim().parse().ok()).collect();
        if pids.is_empty() {
            return Ok(());
        }
        for pid in pids {
            match tell(&own.join(PROCESSES), &pid.to_string()) {
                Ok(()) => {
                    moved.insert(pid);
                }
                // It has ended meanwhile.
                Err(error) if error.raw_os_error() == Some(Errno::SRCH.raw_os_error()) => {}
                Err(error) => return Err(error),
            }
        }
    }
    Err(io::Error::other("processes come to be in it again and again"))
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

    /// A directory with the files of a group, which is removed with this.
    struct Root(PathBuf);

    impl Root {
        fn new(name: &str, controllers: &str, pids: &str) -> Self {
            let root = std::env::temp_dir().join(format!("mainstay-groups-{name}-{}", std::process::id()));
            fs::create_dir_all(&root).expect("a directory");
            for (file, text) in [
                ("cgroup.controllers", controllers),
                ("cgroup.procs", pids),
                ("cgroup.type", "domain\n"),
                ("cgroup.subtree_control", ""),
            ] {
                fs::write(root.join(file), text).expect("a file");
            }
            Self(root)
        }

        fn read(&self, file: &str) -> String {
            fs::read_to_string(self.0.join(file)).unwrap_or_default()
        }

        /// Does what Linux does: a process is in one group, and one that has processes is not divided.
        fn tell(&self, file: &Path, text: &str) -> io::Result<()> {
            if !file.ends_with("cgroup.procs") {
                let is_busy = !self.read("cgroup.procs").is_empty();
                return if is_busy { Err(Errno::BUSY.into()) } else { fs::write(file, text) };
            }
            for group in [self.0.join("cgroup.procs"), self.0.join("mainstay/cgroup.procs")] {
                let mut pids = fs::read_to_string(&group).unwrap_or_default();
                pids = pids.lines().filter(|pid| *pid != text).map(|pid| format!("{pid}\n")).collect();
                if group == file {
                    pids += &format!("{text}\n");
                }
                fs::write(&group, pids)?;
            }
            Ok(())
        }
    }

    impl Drop for Root {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).expect("it is ours");
        }
    }

    #[test]
    fn a_group_is_divided_when_all_are_moved_and_each_instance_has_its_part() {
        let root = Root::new("divided", "cpuset memory\n", "7\n8\n9\n");
        let told = Division::at(&root.0, &|file, text| root.tell(file, text)).expect_err("it cannot");
        assert!(told.contains("no controller for processors"), "{told}");
        fs::write(root.0.join("cgroup.controllers"), "cpuset cpu memory\n").expect("a file");
        let division = Division::at(&root.0, &|file, text| root.tell(file, text)).expect("it is divided");
        assert_eq!(
            (
                root.read("cgroup.procs"),
                root.read("mainstay/cgroup.procs"),
                root.read("cgroup.subtree_control")
            ),
            (String::new(), "7\n8\n9\n".into(), "+cpu".into())
        );
        let again = Division::at(&root.0.join("mainstay"), &|file, text| root.tell(file, text));
        assert!(again.is_ok_and(|again| again.root == root.0), "it is divided already");
        let cores = Cores::try_from(1.5).expect("cores");
        let group =
            division.hold(&"shop".parse().expect("a name"), Number(3), 42, cores).expect("it is held");
        assert_eq!(
            (root.read("shop-3-42/cpu.max"), root.read("shop-3-42/cgroup.procs")),
            ("150000 100000".into(), "42".into())
        );
        drop(group);
    }

    #[test]
    fn what_comes_meanwhile_is_moved_too_and_what_has_ended_is_not() {
        let root = Root::new("meanwhile", "cpu\n", "7\n8\n");
        let is_first = std::cell::Cell::new(true);
        let tell = |file: &Path, text: &str| {
            root.tell(file, text)?;
            if text == "7" && is_first.replace(false) {
                fs::write(root.0.join("cgroup.procs"), "8\n9\n")?;
            }
            if text == "8" { Err(Errno::SRCH.into()) } else { Ok(()) }
        };
        Division::at(&root.0, &tell).expect("it is divided");
        assert!(root.read("mainstay/cgroup.procs").contains('9'));
    }

    #[test]
    fn a_group_that_cannot_be_divided_is_as_it_was_and_why_is_told() {
        let root = Root::new("refused", "cpu\n", "7\n8\n");
        let refuse = |file: &Path, text: &str| match text {
            "+cpu" => Err(Errno::ACCESS.into()),
            _ => root.tell(file, text),
        };
        let told = Division::at(&root.0, &refuse).expect_err("it cannot");
        assert!(told.contains("cannot divide") && told.contains("Permission denied"), "{told}");
        assert_eq!(root.read("cgroup.procs"), "7\n8\n");
        let stubborn = |file: &Path, text: &str| {
            root.tell(file, text)?;
            if text == "+cpu" { Ok(()) } else { fs::write(root.0.join("cgroup.procs"), "8\n") }
        };
        let told = Division::at(&root.0, &stubborn).expect_err("it cannot");
        assert!(told.contains("again and again"), "{told}");
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
