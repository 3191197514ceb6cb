//! Locks, pools and disks that are not to be had: nothing was done, and it says so.

use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

use tokio::time::timeout;

use super::proxy::Proxy;
use super::server::PATIENCE;
use super::*;

fn assert_unavailable(outcome: Result<Index, Error>, words: &str) {
    match outcome {
        Err(Error::Unavailable { reason, .. }) => assert!(reason.contains(words), "{reason}"),
        outcome => panic!("R8: nothing was done, and not: {outcome:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_append_waits_for_a_lock_for_a_bounded_time_and_does_nothing() {
    let server = Server::start(&[]);
    let lock_timeout = Duration::from_millis(50);
    let log = open(Options { lock_timeout, ..options(&server.url()) }).await;
    append(&log, 1).await.expect("R1");
    let locked = server.client().await;
    let lock = "BEGIN; SELECT FROM mainstay_log.heads WHERE shard = 7 FOR UPDATE";
    locked.batch_execute(lock).await.expect("it can be locked");
    assert_unavailable(append(&log, 2).await, "55P03");
    locked.batch_execute("COMMIT").await.expect("it can be unlocked");
    assert_eq!(next(&log).await, 2);
    append(&log, 2).await.expect("R1: the session is as good as before");
    assert_eq!(log.stats().lost_total, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn more_operations_than_connections_wait_bounded_in_time_and_number() {
    let server = Server::start(&[]);
    let mut options = options(&server.url());
    options.connections_max = 2;
    options.waiting_max = 32;
    options.acquire_timeout = Duration::from_millis(300);
    let log = open(options).await;
    append(&log, 1).await.expect("R1");
    let locked = server.client().await;
    locked.batch_execute("BEGIN; SELECT FROM mainstay_log.heads FOR UPDATE").await.expect("it can be locked");

    let mut busy: Vec<_> = (0..2).map(|_| log.append(record(2))).collect();
    let mut waiting: Vec<_> = (0..32).map(|_| log.append(record(2))).collect();
    for work in busy.iter_mut().chain(&mut waiting) {
        assert!(begin(work).await.is_pending());
    }
    assert_eq!(log.stats().waiting, 32);
    assert_unavailable(append(&log, 2).await, "32 operations wait already");
    for work in waiting {
        assert_unavailable(work.await.map(|appended| appended.index), "busy for 300 ms");
    }
    assert_eq!(log.stats().waiting, 0);

    locked.batch_execute("COMMIT").await.expect("it can be unlocked");
    let mut appended = 0;
    for work in busy {
        appended += usize::from(work.await.is_ok());
    }
    assert_eq!((appended, next(&log).await), (1, 3), "R8: those that were refused did nothing");
}

/// The server keeps its end until it has an answer; ours must not wait for that.
#[tokio::test(flavor = "multi_thread")]
async fn connections_that_do_not_become_ready_are_given_up() {
    let server = Server::start(&[]);
    let proxy = Proxy::start(server.socket()).await;
    let mut options = options(&proxy.url());
    options.connect_timeout = Duration::from_secs(1);
    options.lock_timeout = Duration::from_secs(3000);
    options.statement_timeout = options.lock_timeout;
    options.answer_timeout = Duration::from_secs(3001);
    let log = open(options).await;
    let locked = server.client().await;
    let lock = "BEGIN; LOCK mainstay_log.identity IN ACCESS EXCLUSIVE MODE";
    locked.batch_execute(lock).await.expect("it can be locked");
    for _ in 0..2 {
        assert_unavailable(append(&log, 1).await, "ready in time");
    }
    let given_up = async {
        // The one that listens stays.
        while proxy.open() > 1 {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, given_up).await.expect("connections that nobody has any more are ended");
    locked.batch_execute("COMMIT").await.expect("it can be unlocked");
    append(&log, 1).await.expect("R1");
}

/// As a host is whose machine is off, or whose server hangs.
#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_does_not_answer_does_not_keep_the_others_from_being_asked() {
    let server = Server::start(&[]);
    let proxy = Proxy::start(server.socket()).await;
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
    let port = silent.local_addr().expect("it is bound").port();
    let url = proxy.url().replace("127.0.0.1:", &format!("127.0.0.1:{port},127.0.0.1:"));
    let log = open(Options { connect_timeout: Duration::from_secs(4), ..options(&url) }).await;
    append(&log, 1).await.expect("R1");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_server_nothing_is_done() {
    let mut server = Server::start(&[]);
    let log = open(options(&server.url())).await;
    server.crash();
    // The first may be sent before the end of its connection is noticed.
    let _ = append(&log, 1).await;
    assert_unavailable(append(&log, 1).await, "error connecting");
    assert!(matches!(log.tail(SHARD).await, Err(Error::Unavailable { .. })));
    server.resume();
    append(&log, 1).await.expect("R1: it comes back by itself");
}

/// The server's answer when a file cannot grow.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_the_disk_is_full_refuses_records_and_nothing_else() {
    let server = Server::start(&[]);
    let log = open(options(&server.url())).await;
    append(&log, 1).await.expect("R1");
    server
        .sql(
            "CREATE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS \
             $$ BEGIN RAISE EXCEPTION 'could not extend file' USING ERRCODE = 'disk_full'; END $$; \
             CREATE TRIGGER no_room BEFORE INSERT ON mainstay_log.records FOR EACH ROW EXECUTE FUNCTION no_room()",
        )
        .await;
    let full = append(&log, 2).await;
    assert!(matches!(&full, Err(Error::Full { bytes: 56, reason }) if reason.contains("53100")), "{full:?}");
    assert_eq!(read_all(&log).await.len(), 1);
    log.trim(SHARD, Index::new(2)).await.expect("R14: trimming works");
    server.sql("DROP TRIGGER no_room ON mainstay_log.records").await;
    append(&log, 2).await.expect("R1: it recovers by itself");
}

/// The same with a disk that is full; who is not root has none to fill, and `.config/nextest.toml` has that shown.
#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::print_stderr, reason = "a test that is skipped must say so")]
async fn a_full_disk_refuses_records_and_nothing_else() {
    let Some(disk) = SmallDisk::mount() else {
        eprintln!(
            "SKIPPED, NOTHING TESTED: a full disk of PostgreSQL needs to mount a file system, as root can"
        );
        return;
    };
    let server = Server::start(&[]);
    let log = open(options(&server.url())).await;
    append(&log, 1).await.expect("R1");
    server.give(disk.folder.path());
    server.sql(&format!("CREATE TABLESPACE small LOCATION '{}'", disk.folder.path().display())).await;
    server.sql("ALTER TABLE mainstay_log.records SET TABLESPACE small").await;

    let large = |index| data(&[1; 60_000]).seal(SHARD, Index::new(index), Epoch::new(1), Checksum::START);
    let mut index = 2;
    let full = loop {
        match log.append(large(index)).await {
            Ok(_) => index += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(&full, Error::Full { bytes: 60_052, reason } if reason.contains("53100")), "{full}");
    assert_eq!(next(&log).await, index, "R8: it did nothing");
    assert_eq!(read_all(&log).await.len() as u64, index - 1);

    log.trim(SHARD, Index::new(index)).await.expect("R14: trimming works");
    disk.grow();
    let _ = log.append(large(index)).await.expect("R1: it recovers by itself");
}

/// A file system of 4 MiB, in memory.
struct SmallDisk {
    folder: tempfile::TempDir,
}

impl SmallDisk {
    fn mount() -> Option<Self> {
        let folder = tempfile::Builder::new().prefix("pg").tempdir().expect("a folder can be made");
        mount(folder.path(), "size=4m").then(|| Self { folder })
    }

    fn grow(&self) {
        assert!(mount(self.folder.path(), "remount,size=64m"), "it can grow");
    }
}

fn mount(folder: &Path, options: &str) -> bool {
    let mut mount = Command::new("mount");
    mount.args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(folder).stderr(Stdio::null());
    mount.status().is_ok_and(|status| status.success())
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").stderr(Stdio::null()).arg(self.folder.path()).status();
        assert!(thread::panicking() || unmounted.is_ok_and(|status| status.success()), "it can be unmounted");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn long_logs_are_read_and_trimmed_in_pages() {
    let server = Server::start(&[]);
    let log = open(options(&server.url())).await;
    for index in 1..=1500 {
        append(&log, index).await.expect("R1");
    }
    let read = read_all(&log).await;
    let indexes: Vec<u64> = read.iter().map(|record| record.head().index.get()).collect();
    assert_eq!(indexes, Vec::from_iter(1..=1500), "R3: they are read to the end");
    log.trim(SHARD, Index::new(1400)).await.expect("R14");
    let rows = server.sql("SELECT count(*), min(index) FROM mainstay_log.records").await;
    assert_eq!(rows[0], ["101", "1400"], "R14: what is trimmed is gone from the tables");
}

/// Indexes and epochs that no column holds are answered like others.
#[tokio::test(flavor = "multi_thread")]
async fn the_largest_numbers_are_answered() {
    let server = Server::start(&[]);
    let log = open(options(&server.url())).await;
    let largest = Index::new(u64::MAX);
    let refused = Error::Refused { shard: SHARD, index: largest, next: Index::FIRST };
    assert_eq!(append(&log, u64::MAX).await, Err(refused));
    assert_eq!(log.read(SHARD, largest, 1).await, Ok(Vec::new()));
    let beyond = Error::TrimBeyondEnd { shard: SHARD, to: largest, next: Index::FIRST };
    assert_eq!(log.trim(SHARD, largest).await, Err(beyond));
    let last = data(b"some").seal(SHARD, Index::FIRST, Epoch::new(u64::MAX), Checksum::START);
    let _ = log.append(last.clone()).await.expect("R1");
    assert_eq!(read_all(&log).await, [last], "R3: the record keeps its epoch");
    assert!(matches!(append(&log, 2).await, Err(Error::Fenced { .. })));
}
