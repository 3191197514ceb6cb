//! File systems that are really full.
//!
//! Each test starts itself again in a mount namespace of its own, where it mounts a small file system; both are gone
//! when that process is.

use super::*;

/// Where the mounted file system is, for the process in the namespace.
const MOUNTED: &str = "MAINSTAY_TEST_MOUNTED";

/// What is kept away from the log until the test gives it back.
const FILLER_BYTES: usize = 1 << 20;

/// So much is told in several times the time that it takes to fill the file system.
const REPORTS_MAX: usize = 20_000;

/// Runs this test's `inside` on a file system that the shell command mounts at `$1`, with `$2` for a file.
fn on_file_system(name: &str, mount: &str, inside: fn(&Path)) {
    #[expect(clippy::disallowed_methods, reason = "how the process in the namespace gets its directory")]
    if let Ok(mounted) = std::env::var(MOUNTED) {
        return inside(Path::new(&mounted));
    }
    let folder = temporary();
    let (at, image) = (folder.path().join("mounted"), folder.path().join("image"));
    fs::create_dir(&at).expect("a directory can be made");
    let namespace: &[_] = if rustix::process::geteuid().is_root() {
        &["--mount"]
    } else {
        &["--user", "--map-root-user", "--mount"]
    };
    let probe = Command::new("unshare")
        .args(namespace)
        .args(["sh", "-c", &format!("{mount} >/dev/null"), "sh"])
        .args([&at, &image])
        .output()
        .expect("unshare is there, as on every Linux");
    if !probe.status.success() {
        skipped(name, &String::from_utf8_lossy(&probe.stderr));
        return;
    }
    let script = format!("{mount} && shift 2 && exec \"$@\"");
    let mut wrapper: Vec<&OsStr> = vec![OsStr::new("unshare")];
    wrapper.extend(namespace.iter().map(OsStr::new));
    wrapper.extend(["sh", "-c", &script, "sh"].map(OsStr::new));
    wrapper.extend([at.as_os_str(), image.as_os_str()]);
    let module = module_path!().split_once("::").expect("it is a module of the binary").1;
    let status = child::this_test(&wrapper, &format!("{module}::{name}")).env(MOUNTED, &at).status();
    assert!(status.expect("it starts").success(), "it fails on its file system: see above");
}

/// Says that nothing was tested, and why; `.config/nextest.toml` has it shown.
#[expect(clippy::print_stderr, reason = "a test that is skipped must say so")]
fn skipped(name: &str, why: &str) {
    eprintln!("SKIPPED, NOTHING TESTED: {name} needs to mount a file system, as root can: {}", why.trim());
}

/// Notes what the process tells, until it tells this.
fn until(child: &mut Child, history: &mut History, is_it: impl Fn(&Report) -> bool) -> Report {
    for _ in 0..REPORTS_MAX {
        let report = child.next().expect("it works until it is killed");
        let is_trouble = matches!(report, Report::Unavailable { .. } | Report::Unknown { .. });
        assert!(!is_trouble, "lack of space is no other trouble: {report:?}");
        history.note(&report);
        if is_it(&report) {
            return report;
        }
    }
    panic!("what must come does not come: a log that is full stays full, or one that should be is not");
}

/// Until appends are refused, and goes on being refused; every refusal is followed by reading everything.
fn until_full(child: &mut Child, history: &mut History) -> String {
    let is_full = |report: &Report| matches!(report, Report::Full { .. });
    (0..20).for_each(|_| drop(until(child, history, is_full)));
    until(child, history, |report| matches!(report, Report::ReadBack { .. }));
    match until(child, history, is_full) {
        Report::Full { error, .. } => error,
        other => unreachable!("{other:?} is not that"),
    }
}

fn until_acknowledged(child: &mut Child, history: &mut History, count: usize) {
    for _ in 0..count {
        until(child, history, |report| matches!(report, Report::Acknowledged { .. }));
    }
}

/// Ends the process and looks at the log, on the file system as it is.
fn kill(child: Child, history: &mut History) {
    child.kill().iter().for_each(|report| history.note(report));
    history.check(false);
}

/// Takes all that is left of something: files, or bytes.
fn take_all(directory: &Path, name: &str, bytes: &[u8]) -> u32 {
    fs::create_dir(directory.join(name)).expect("there is room for a directory");
    for number in 0.. {
        match fs::write(directory.join(name).join(number.to_string()), bytes) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::StorageFull => return number,
            Err(error) => panic!("it fills up: {error}"),
        }
    }
    unreachable!("it fills up")
}

fn fills_up_and_recovers(mounted: &Path) {
    let directory = mounted.join("log");
    let mut history = History::new(&directory, 21);
    let filler = mounted.join("filler");
    fs::write(&filler, vec![1; FILLER_BYTES]).expect("there is room");

    // No bytes are left, and then some are given back to the process that was refused.
    let hoards = |history: &mut History| Job { trims: false, ..history.next_job() };
    let mut child = Child::start(&hoards(&mut history), &[]);
    let error = until_full(&mut child, &mut history);
    assert!(error.contains("left, and the next segment takes"), "{error}");
    fs::remove_file(&filler).expect("it can be removed");
    until_acknowledged(&mut child, &mut history, 50);
    until_full(&mut child, &mut history);
    kill(child, &mut history);

    // The next process is refused from its start, until its trims let segments go.
    let mut child = Child::start(&history.next_job(), &[]);
    until(&mut child, &mut history, |report| matches!(report, Report::Full { .. }));
    until_acknowledged(&mut child, &mut history, 500);
    kill(child, &mut history);

    // There are bytes but no more files.
    let taken = take_all(mounted, "files", &[]);
    assert!(taken > 0, "files are what runs out");
    let mut child = Child::start(&hoards(&mut history), &[]);
    let error = until_full(&mut child, &mut history);
    assert!(error.contains("No space left on device"), "{error}");
    fs::remove_dir_all(mounted.join("files")).expect("it can be removed");
    until_acknowledged(&mut child, &mut history, 50);
    kill(child, &mut history);
}

#[test]
fn a_full_ext4_refuses_appends_and_recovers_by_itself() {
    let mount =
        "truncate --size 0 $2 && truncate --size 8M $2 && mkfs.ext4 -q -N 128 $2 && mount -o loop $2 $1";
    on_file_system("a_full_ext4_refuses_appends_and_recovers_by_itself", mount, fills_up_and_recovers);
}

#[test]
fn a_full_tmpfs_refuses_appends_and_recovers_by_itself() {
    let mount = "mount -t tmpfs -o size=4m,nr_inodes=128 tmpfs $1";
    on_file_system("a_full_tmpfs_refuses_appends_and_recovers_by_itself", mount, fills_up_and_recovers);
}
