//! The engine with its threads, on directories of the operating system.

use std::io::ErrorKind;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll, Waker};
use std::thread;

use mainstay_log::conformance::{self, Harness};
use mainstay_log::local::Local;
use mainstay_log::{Act, BoxFuture, Durability, Log};
use tempfile::TempDir;

use super::files::{Call, Files};
use super::*;

fn temporary() -> TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory can be made")
}

fn open_local(directory: &TempDir, options: &Options) -> Result<(Local, Recovery), Error> {
    Local::open(directory.path(), options, Arc::new(ManualClock::default()), &SeededEntropy::new(3))
}

fn on(files: &Files) -> Local {
    let entropy = SeededEntropy::new(3);
    let clock = Arc::new(ManualClock::default());
    Local::open_on(Arc::new(files.clone()), &options(), clock, &entropy).unwrap().0
}

/// Runs a future on this thread.
fn run<T: Send>(future: impl Future<Output = T> + Send) -> T {
    let result = Mutex::new(None);
    let work: BoxFuture<'_, ()> = Box::pin(async { *result.lock().unwrap() = Some(future.await) });
    Directories::default().block_on(work);
    result.into_inner().unwrap().expect("the future ended")
}

#[derive(Default)]
struct Directories(Mutex<Option<(TempDir, Arc<Local>)>>);

impl Directories {
    fn options(&self) -> Options {
        Options {
            segment: Size::from_kib(256),
            first_segment: Size::from_kib(64),
            record_max: Size::from_kib(64),
            group_max: Size::from_kib(64),
            ..Options::default()
        }
    }
}

impl Harness for Directories {
    fn create(&self) -> Arc<dyn Log> {
        let directory = temporary();
        let local = Arc::new(open_local(&directory, &self.options()).unwrap().0);
        *self.0.lock().unwrap() = Some((directory, Arc::clone(&local)));
        local
    }

    fn restart(&self, log: Arc<dyn Log>) -> Arc<dyn Log> {
        let (directory, local) = self.0.lock().unwrap().take().expect("a log was made");
        run(local.close()).expect("the log closes");
        assert_eq!(run(log.tail(SHARD)), Err(Error::Closed));
        let (local, recovery) =
            open_local(&directory, &self.options()).expect("closing unlocks the directory");
        assert!(recovery.is_clean);
        let local = Arc::new(local);
        *self.0.lock().unwrap() = Some((directory, Arc::clone(&local)));
        local
    }
}

#[test]
fn it_conforms() {
    conformance::all(&Directories::default());
}

#[test]
fn many_producers_share_syncs_and_lose_nothing() {
    const PRODUCERS: u32 = 16;
    let directory = temporary();
    let (local, _) = open_local(&directory, &options()).unwrap();
    thread::scope(|scope| {
        for number in 0..PRODUCERS {
            let local = &local;
            scope.spawn(move || {
                let shard = ShardId::new(number);
                for index in 1..=50 {
                    let _ = run(local.append(record(shard, index))).expect("the append succeeds");
                    if index % 10 == 0 {
                        run(local.trim(shard, Index::new(index - 4))).expect("the trim succeeds");
                        let read = run(local.read(shard, Index::new(index - 4), ALL)).unwrap();
                        assert_eq!(read.len(), 5);
                    }
                }
            });
        }
    });
    let stats = local.stats();
    assert_eq!(stats.records, 800);
    assert!(stats.group_records.sum == 800 && stats.groups >= stats.syncs / 2);
    assert!(stats.bytes_written >= stats.bytes_given && stats.bytes_given > 0);
    assert!(!stats.poisoned && !stats.full && stats.segments > 0);
    // As in a crash.
    drop(local);
    let (local, recovery) = open_local(&directory, &options()).unwrap();
    assert!(!recovery.is_clean && recovery.cut.is_none());
    for number in 0..PRODUCERS {
        let shard = ShardId::new(number);
        let tail = run(local.tail(shard)).unwrap();
        assert_eq!(tail.next, Index::new(51));
        let read = run(local.read(shard, Index::new(46), ALL)).unwrap();
        assert_eq!(read, (46..=50).map(|index| record(shard, index)).collect::<Vec<_>>());
    }
}

#[test]
fn a_second_opener_is_locked_out_until_the_first_closes() {
    let directory = temporary();
    let (first, _) = open_local(&directory, &options()).unwrap();
    let error = open_local(&directory, &options()).map(drop).unwrap_err();
    let own = format!("in use by process {}: stop it first", std::process::id());
    assert!(error.to_string().contains(&own), "{error}");
    run(first.close()).unwrap();
    let (second, _) =
        open_local(&directory, &options()).expect("closing unlocks, though the first is still there");
    drop(first);
    assert!(open_local(&directory, &options()).is_err());
    drop(second);
    assert!(open_local(&directory, &options()).is_ok());
}

#[test]
fn a_closed_log_says_so() {
    let directory = temporary();
    let (local, _) = open_local(&directory, &options()).unwrap();
    let _ = run(local.append(record(SHARD, 1))).unwrap();
    run(local.close()).unwrap();
    assert_eq!(run(local.append(record(SHARD, 2))), Err(Error::Closed));
    assert_eq!(run(local.read(SHARD, Index::FIRST, 1)), Err(Error::Closed));
    assert_eq!(run(local.tail(SHARD)), Err(Error::Closed));
    assert_eq!(run(local.wait(SHARD, Index::new(1))), Err(Error::Closed));
    assert_eq!(run(local.trim(SHARD, Index::new(1))), Err(Error::Closed));
    assert_eq!(run(local.preflight()), Err(Error::Closed));
    assert_eq!(run(local.close()), Err(Error::Closed));
}

#[test]
fn closing_ends_waits() {
    let local = on(&Files::new());
    thread::scope(|scope| {
        let waiter = scope.spawn(|| run(local.wait(SHARD, Index::new(5))));
        run(local.close()).unwrap();
        assert_eq!(waiter.join().unwrap(), Err(Error::Closed));
    });
}

#[test]
fn preflight_writes_and_leaves_nothing() {
    let directory = temporary();
    let (local, _) = open_local(&directory, &options()).unwrap();
    assert_eq!(run(local.preflight()), Ok(local.guarantees()));
    assert!(local.guarantees().fences_epochs);
    assert!(!directory.path().join("preflight").exists());
}

#[test]
fn preflight_refuses_memory_under_synced_and_says_what_to_change() {
    let Ok(directory) = tempfile::tempdir_in("/dev/shm") else { return };
    let (local, _) = open_local(&directory, &options()).unwrap();
    let error = run(local.preflight()).unwrap_err().to_string();
    assert!(error.contains("tmpfs") && error.contains("choose the durability written"), "{error}");
    drop(local);
    let written = Options { durability: Durability::Written, ..options() };
    let (local, _) = open_local(&directory, &written).unwrap();
    assert_eq!(run(local.preflight()).unwrap().durability, Durability::Written);
}

#[test]
fn preflight_fails_on_a_disk_that_does_not_sync() {
    let files = Files::new();
    let local = on(&files);
    files.fail(Call::SyncSpare, ErrorKind::Other);
    let error = run(local.preflight()).unwrap_err();
    assert!(matches!(error, Error::Unavailable { act: Act::Preflight, .. }), "{error}");
}

#[test]
fn a_full_disk_is_no_reason_not_to_start() {
    let files = Files::new();
    let local = on(&files);
    let _ = run(local.append(record(SHARD, 1))).unwrap();
    run(local.close()).unwrap();
    files.set_room(Some(0));
    let local = on(&files);
    assert_eq!(run(local.preflight()), Ok(local.guarantees()));
    run(local.trim(SHARD, Index::new(2))).unwrap();
    assert!(!files.names().contains(&"preflight".into()));
}

#[test]
fn a_poisoned_log_is_told_and_closes_without_a_seal() {
    let files = Files::new();
    let local = on(&files);
    let _ = run(local.append(record(SHARD, 1))).unwrap();
    files.fail(Call::SyncSegment, ErrorKind::Other);
    let outcome = run(local.append(record(SHARD, 2)));
    assert!(matches!(outcome, Err(Error::OutcomeUnknown { .. })), "{outcome:?}");
    let outcome = run(local.append(record(SHARD, 2)));
    assert!(matches!(outcome, Err(Error::Poisoned { .. })), "{outcome:?}");
    assert!(local.stats().poisoned);
    assert_eq!(run(local.read(SHARD, Index::FIRST, ALL)).map(|read| read.len()), Ok(1));
    assert!(matches!(run(local.close()), Err(Error::Poisoned { .. })));
}

#[test]
fn a_full_queue_refuses_appends_and_loses_none_that_it_took() {
    let files = Files::new();
    let local = on(&files);
    let mut taken = Vec::new();
    let paused = files.pause();
    // The first ones may be with the writer, which waits for the disk.
    let error = loop {
        let index = taken.len() as u64 + 1;
        let mut append = local.append(record(SHARD, index));
        match append.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Pending => taken.push(append),
            Poll::Ready(outcome) => break outcome.unwrap_err(),
        }
    };
    assert!((4096..=8192).contains(&taken.len()), "{} are taken", taken.len());
    assert!(
        matches!(&error, Error::Unavailable { act: Act::Append, reason } if reason.contains("busy")),
        "{error}"
    );
    drop(paused);
    for (append, index) in taken.into_iter().zip(1..) {
        assert_eq!(run(append).unwrap().index, Index::new(index));
    }
}

#[test]
fn a_shard_that_holds_much_back_is_told() {
    let files = Files::new();
    let options = Options { pin_max: Size::from_kib(100), ..options() };
    let entropy = SeededEntropy::new(3);
    let clock = Arc::new(ManualClock::default());
    let (local, _) = Local::open_on(Arc::new(files.clone()), &options, clock, &entropy).unwrap();
    let _ = run(local.append(record(OTHER, 1))).unwrap();
    for index in 1..=20 {
        let _ = run(local.append(record(SHARD, index))).unwrap();
    }
    assert!(local.pins().is_empty());
    for index in 21..=40 {
        let _ = run(local.append(record(SHARD, index))).unwrap();
    }
    run(local.trim(SHARD, Index::new(40))).unwrap();
    let pins = local.pins();
    assert_eq!(pins.len(), 1);
    assert_eq!((pins[0].shard, pins[0].from), (OTHER, Index::FIRST));
    assert!(pins[0].bytes > 192 << 10 && pins[0].bytes == local.stats().pinned_bytes);
    run(local.trim(OTHER, Index::new(2))).unwrap();
    assert!(local.pins().is_empty());
}

#[test]
fn a_directory_that_cannot_be_is_an_error_with_its_path() {
    let directory = temporary();
    let file = directory.path().join("file");
    std::fs::write(&file, b"").unwrap();
    let clock = Arc::new(ManualClock::default());
    let error =
        Local::open(&file.join("log"), &options(), clock, &SeededEntropy::new(1)).map(drop).unwrap_err();
    assert!(matches!(&error, Error::Unavailable { act: Act::Open, reason } if reason.contains("file/log")));
}

#[test]
fn a_directory_and_those_above_it_are_made() {
    let directory = temporary();
    let path = directory.path().join("a/b/log");
    let clock = Arc::new(ManualClock::default());
    let (_, recovery) = Local::open(&path, &options(), clock, &SeededEntropy::new(1)).unwrap();
    assert!(recovery.is_new && path.join(segment(1)).exists());
}

/// How often it was woken.
#[derive(Default)]
struct Woken(AtomicUsize);

impl std::task::Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Relaxed);
    }
}

#[test]
fn a_failed_sync_ends_waits_and_nobody_waits_for_a_poisoned_log() {
    let files = Files::new();
    let local = on(&files);
    let _ = run(local.append(record(SHARD, 1))).unwrap();
    let mut waits = [SHARD, OTHER].map(|shard| local.wait(shard, Index::new(9)));
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(Arc::clone(&woken));
    let mut context = Context::from_waker(&waker);
    waits.iter_mut().for_each(|wait| assert!(wait.as_mut().poll(&mut context).is_pending()));
    files.fail(Call::SyncSegment, ErrorKind::Other);
    assert!(run(local.append(record(SHARD, 2))).is_err());
    assert_eq!(woken.0.load(Relaxed), 2);
    for wait in waits {
        assert!(matches!(run(wait), Err(Error::Poisoned { .. })));
    }
    assert!(matches!(run(local.wait(SHARD, Index::new(2))), Err(Error::Poisoned { .. })));
    assert_eq!(run(local.wait(SHARD, Index::FIRST)), Ok(()), "what is there can be read");
}

#[test]
fn a_link_in_place_of_the_lock_is_not_followed() {
    let (directory, elsewhere) = (temporary(), temporary());
    let target = elsewhere.path().join("theirs");
    std::os::unix::fs::symlink(&target, directory.path().join("LOCK")).unwrap();
    let error = open_local(&directory, &options()).map(drop).unwrap_err();
    assert!(
        matches!(&error, Error::Unavailable { act: Act::Open, reason } if reason.contains("LOCK")),
        "{error}"
    );
    assert!(!target.exists());
}

#[test]
fn a_read_that_panics_fails_alone() {
    let files = Files::new();
    let local = on(&files);
    let _ = run(local.append(record(SHARD, 1))).unwrap();
    // More often than there are threads.
    for _ in 0..5 {
        files.on_read(|| panic!("as the test demands"));
        let error = run(local.read(SHARD, Index::FIRST, ALL)).unwrap_err();
        assert!(matches!(&error, Error::Unavailable { act: Act::Read, .. }), "{error}");
    }
    assert_eq!(run(local.read(SHARD, Index::FIRST, ALL)), Ok(vec![record(SHARD, 1)]));
}

/// A waker that uses the log when it is dropped, as one does that is the last to know of a task.
#[test]
fn a_waker_may_use_the_log_when_it_is_dropped() {
    struct Uses(Arc<Local>);

    impl Drop for Uses {
        fn drop(&mut self) {
            assert!(run(self.0.tail(SHARD)).is_ok());
        }
    }

    impl std::task::Wake for Uses {
        fn wake(self: Arc<Self>) {}
    }

    let local = Arc::new(on(&Files::new()));
    let waker = || Waker::from(Arc::new(Uses(Arc::clone(&local))));
    let mut wait = local.wait(SHARD, Index::FIRST);
    for _ in 0..2 {
        assert!(wait.as_mut().poll(&mut Context::from_waker(&waker())).is_pending());
    }
    drop(wait);
}
