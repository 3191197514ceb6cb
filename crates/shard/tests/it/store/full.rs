//! A file system that is really full.
//!
//! The test starts itself again in a mount namespace of its own, where it mounts a small file system; both are gone when that
//! process is.

use std::ffi::OsStr;
use std::io::Write;
use std::process::Command;
use std::{env, fs};

use mainstay_base::error::{Classify, Code};

use super::*;

/// Where the mounted file system is, for the process in the namespace.
const MOUNTED: &str = "MAINSTAY_TEST_MOUNTED_STORE";

/// What is kept away from the store until the test gives it back.
const FILLER_BYTES: usize = 6 << 20;

#[test]
fn a_full_disk_stops_a_store_until_there_is_room() {
    #[expect(clippy::disallowed_methods, reason = "how the process in the namespace gets its directory")]
    if let Ok(mounted) = env::var(MOUNTED) {
        return fills_up_and_recovers(Path::new(&mounted));
    }
    let folder = folder();
    let mount = "mount -t tmpfs -o size=8m tmpfs $1";
    let namespaces: [&[_]; 2] = [&["--mount"], &["--user", "--map-root-user", "--mount"]];
    let is_possible = |namespace: &&&[&str]| {
        let mut probe = Command::new("unshare");
        probe.args(**namespace).args(["sh", "-c", mount, "sh"]).arg(folder.path());
        probe.output().is_ok_and(|output| output.status.success())
    };
    let Some(namespace) = namespaces.iter().find(is_possible) else { return skipped() };
    let name = module_path!().split_once("::").expect("it is a module of the binary").1;
    let test = format!("{name}::a_full_disk_stops_a_store_until_there_is_room");
    let script = format!("{mount} && shift && exec \"$@\"");
    let binary = env::current_exe().expect("a test knows where it is");
    let mut command = Command::new("unshare");
    command.args(*namespace).args(["sh", "-c", &script, "sh"]).arg(folder.path());
    command.arg(binary).args([OsStr::new(&test), OsStr::new("--exact"), OsStr::new("--nocapture")]);
    let status = command.env(MOUNTED, folder.path()).status().expect("it starts");
    assert!(status.success(), "it fails on its file system: see above");
}

/// Says that nothing was tested, and why.
#[expect(clippy::print_stderr, reason = "a test that is skipped must say so")]
fn skipped() {
    eprintln!("SKIPPED, NOTHING TESTED: a_full_disk_stops_a_store needs to mount a file system, as root can");
}

fn fills_up_and_recovers(mounted: &Path) {
    let filler = mounted.join("filler");
    fs::write(&filler, vec![1; FILLER_BYTES]).expect("there is room");
    let pool = pool(&Options { memtables_max: Size::from_kib(512), ..small() });
    // Nothing is overwritten, so that the disk is full for good.
    let grown = |index: u64| -> Vec<_> {
        (0..10).map(|row| put(10_000 + index * 10 + row, random_value(index))).collect()
    };
    let store = open(&pool, &mounted.join("store"));
    // Memory is full, and no room was found for it.
    let until_full = || {
        let first = store.applied().get() + 1;
        let refused = (first..first + 100_000)
            .find_map(|index| store.apply(grown(index).iter(), &applied(index)).err());
        let error = refused.expect("it is full sooner or later");
        assert!(matches!(error, Error::Full { .. }) && error.code() == Code::StorageFull, "{error}");
        assert!(error.to_string().contains("No space left on device"), "{error}");
        assert!(pool.memtables_ratio() < 1.3, "memory is bounded: {}", pool.memtables_ratio());
    };
    let shows_all = || {
        let rows = every_row_of(&store.view());
        assert_eq!(rows.len() as u64, store.applied().get() * 10, "reading goes on");
    };
    let tables = || fs::read_dir(mounted.join("store/tables")).expect("it exists").count();
    until_full();
    shows_all();
    assert!(store.stats().last_error.is_some_and(|error| error.contains("No space left")));
    let is_refused = |_: &i32| {
        until_full();
        matches!(store.flush(), Err(Error::Full { .. }))
    };
    // Now and then a compaction that fails leaves room for a flush, which makes tables: then it is looked again.
    let files_of_failures = || {
        let (before, durable) = (tables(), store.durable_applied());
        assert!((0..12).filter(is_refused).count() > 6, "it is tried again, and still full");
        (store.durable_applied() == durable).then(|| (before, tables()))
    };
    let found = (0..20).find_map(|_| files_of_failures());
    let (before, after) = found.expect("nothing is overwritten, so that there is no room in the end");
    assert!(after < before + 6, "what failed is removed: {after} files, {before} before");

    fs::remove_file(&filler).expect("it can be removed");
    while store.flush().is_err() {
        std::thread::yield_now();
    }
    let index = store.applied().get();
    assert_eq!(store.durable_applied().get(), index, "it heals by itself");
    for index in index + 1..index + 20 {
        store.apply(grown(index).iter(), &applied(index)).expect("there is room");
    }
    store.settle().expect("there is room");
    assert_eq!(store.stats().last_error, None);
    shows_all();

    // When the manifest is on disk that the next attempt would write again, there is no next attempt.
    let filled = fs::write(&filler, vec![1; 2 * FILLER_BYTES]);
    assert!(filled.is_err(), "it takes all that is left");
    until_full();
    let mut current =
        fs::OpenOptions::new().write(true).open(mounted.join("store/current")).expect("it is there");
    current.write_all(&[0xfe; 8]).expect("its bytes have their place");
    (0..100).find(|_| !matches!(store.flush(), Err(Error::Full { .. })));
    assert!(matches!(store.flush(), Err(Error::Broken { .. })), "{:?}", store.flush());
    shows_all();
}

/// Bytes that do not compress.
fn random_value(index: u64) -> Bytes {
    Random::new(index).bytes(300).into()
}
