//! What the tests share, and the suite.

use std::future::poll_fn;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;

use bytes::Bytes;
use mainstay_base::position::{Epoch, Index, ShardId};
use mainstay_base::time::SeededEntropy;
use mainstay_base::units::{Duration, Size};
use mainstay_log::accept::Acceptance;
use mainstay_log::conformance::{self, Harness};
use mainstay_log::postgres::{OpenError, Options, Postgres};
use mainstay_log::record::{Checksum, Draft, Record, RecordId};
use mainstay_log::writer::{Step, Writer};
use mainstay_log::{BoxFuture, Error, Log, Tail};
use tokio::runtime::Runtime;

mod faults;
mod limits;
mod notices;
mod preflight;
mod proxy;
mod schema;
mod server;
mod tls;

use server::Server;

const SHARD: ShardId = ShardId::new(7);

/// Times that no test waits for, so that none fails on a busy machine.
fn options(url: &str) -> Options {
    Options {
        record_max: Size::from_kib(64),
        connect_timeout: Duration::from_secs(40),
        acquire_timeout: Duration::from_secs(40),
        lock_timeout: Duration::from_secs(40),
        statement_timeout: Duration::from_secs(40),
        answer_timeout: Duration::from_secs(50),
        ..Options::new(url.parse().expect("the URL is one"))
    }
}

async fn try_open(options: Options) -> Result<Postgres, OpenError> {
    Postgres::open(options, Arc::new(SeededEntropy::new(1))).await
}

async fn open(options: Options) -> Postgres {
    try_open(options).await.expect("the log can be opened")
}

fn id() -> RecordId {
    static LAST: AtomicU64 = AtomicU64::new(1);
    RecordId::new(u128::from(LAST.fetch_add(1, Ordering::Relaxed)).to_be_bytes())
}

fn data(payload: &'static [u8]) -> Draft {
    Draft::data(id(), Bytes::from_static(payload))
}

/// A record as engines see it, who know nothing of chains.
fn record(index: u64) -> Record {
    data(b"some").seal(SHARD, Index::new(index), Epoch::new(1), Checksum::START)
}

async fn append(log: &Postgres, index: u64) -> Result<Index, Error> {
    log.append(record(index)).await.map(|appended| appended.index)
}

async fn next(log: &Postgres) -> u64 {
    let Tail { next, .. } = log.tail(SHARD).await.expect("the log has a tail");
    next.get()
}

async fn read_all(log: &Postgres) -> Vec<Record> {
    log.read(SHARD, Index::FIRST, usize::MAX).await.expect("the log can be read")
}

/// Polls once; the work goes on only when it is polled again.
async fn begin<T>(work: &mut BoxFuture<'_, T>) -> Poll<T> {
    poll_fn(|context| Poll::Ready(work.as_mut().poll(context))).await
}

/// Polls the wait, the only user of its log, until it has looked in vain.
async fn begin_wait(log: &Postgres, wait: &mut BoxFuture<'_, Result<(), Error>>) {
    loop {
        assert!(begin(wait).await.is_pending(), "R15: there is something to wait for");
        if log.stats().idle > 0 {
            return;
        }
        tokio::task::yield_now().await;
    }
}

/// Does what the writer says until it has something to tell.
async fn drive(log: &Postgres, writer: &mut Writer, mut step: Step) -> Step {
    loop {
        step = match step {
            Step::Append(record) => writer.on_append(log.append(record).await),
            Step::Read(index) => {
                let read = log.read(SHARD, index, 1).await;
                writer.on_read(read.map(|records| records.into_iter().next()))
            }
            Step::Apply(_) => writer.applied(),
            Step::Barrier => writer.append(&Draft::barrier(id())),
            end => return end,
        }
    }
}

async fn own(log: &Postgres, epoch: u64) -> Writer {
    let mut acceptance = Acceptance::new(SHARD);
    for record in read_all(log).await {
        let _ = acceptance.offer(&record);
    }
    let (mut writer, step) = Writer::claim(acceptance, Epoch::new(epoch), &Draft::epoch(id()));
    let step = drive(log, &mut writer, step).await;
    assert!(matches!(step, Step::Committed(_)), "R11: {step:?}");
    writer
}

async fn commit(log: &Postgres, writer: &mut Writer, payload: &'static [u8]) {
    let step = writer.append(&data(payload));
    let step = drive(log, writer, step).await;
    assert!(matches!(&step, Step::Committed(record) if record.payload() == payload), "R12: {step:?}");
}

/// The payloads that the log has.
async fn payloads(log: &Postgres) -> Vec<Vec<u8>> {
    read_all(log).await.iter().map(|record| record.payload().to_vec()).filter(|it| !it.is_empty()).collect()
}

/// Each log has a schema of its own in one server.
struct Schemas {
    runtime: Runtime,
    server: Server,
    made: AtomicU64,
    last: Mutex<Option<(Arc<Postgres>, Options)>>,
}

impl Schemas {
    fn keep(&self, options: Options) -> Arc<dyn Log> {
        let log = Arc::new(self.runtime.block_on(open(options.clone())));
        *self.last.lock().expect("nobody panics with it") = Some((Arc::clone(&log), options));
        log
    }
}

impl Harness for Schemas {
    fn create(&self) -> Arc<dyn Log> {
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        let schema = format!("log_{number}").parse().expect("it is a name");
        self.keep(Options { schema, ..options(&self.server.url()) })
    }

    fn restart(&self, log: Arc<dyn Log>) -> Arc<dyn Log> {
        let (last, options) =
            self.last.lock().expect("nobody panics with it").take().expect("a log was made");
        assert!(std::ptr::addr_eq(Arc::as_ptr(&log), Arc::as_ptr(&last)), "it is the last log");
        self.runtime.block_on(last.close());
        self.keep(options)
    }
}

#[test]
fn it_conforms() {
    let runtime = Runtime::new().expect("a runtime can be made");
    let server = Server::start(&[]);
    let schemas = Schemas { runtime, server, made: AtomicU64::new(0), last: Mutex::default() };
    conformance::all(&schemas);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_nodes_one_is_deposed() {
    let server = Server::start(&[]);
    let (one, two) = (open(options(&server.url())).await, open(options(&server.url())).await);
    let mut first = own(&one, 1).await;
    commit(&one, &mut first, b"one").await;
    let mut second = own(&two, 2).await;
    commit(&two, &mut second, b"two").await;
    let step = first.append(&data(b"lost"));
    let step = drive(&one, &mut first, step).await;
    assert!(matches!(step, Step::Stopped { .. }), "R9: {step:?}");
    commit(&two, &mut second, b"three").await;
    assert_eq!(payloads(&one).await, [&b"one"[..], b"two", b"three"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_acknowledged_and_what_is_trimmed_outlive_a_crash_of_the_server() {
    let mut server = Server::start(&[]);
    let log = open(options(&server.url())).await;
    for index in 1..=10 {
        append(&log, index).await.expect("R1: appends follow one another");
    }
    log.trim(SHARD, Index::new(8)).await.expect("R14: the log can be trimmed");
    server.crash();
    assert!(matches!(append(&log, 11).await, Err(Error::OutcomeUnknown { .. } | Error::Unavailable { .. })));
    server.resume();
    let (index, next) = (Index::new(5), Index::new(11));
    assert_eq!(append(&log, 5).await, Err(Error::Refused { shard: SHARD, index, next }), "R1");
    assert_eq!(log.tail(SHARD).await, Ok(Tail { begins: Index::new(8), next }), "R2, R14");
    assert_eq!(append(&log, 11).await, Ok(next), "R1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_log_says_so_and_leaves_no_connection() {
    let server = Server::start(&[]);
    let log = open(options(&server.url())).await;
    append(&log, 1).await.expect("R1");
    let mut wait = log.wait(SHARD, Index::new(2));
    begin_wait(&log, &mut wait).await;
    log.close().await;
    assert_eq!(wait.await, Err(Error::Closed));
    assert_eq!(append(&log, 2).await, Err(Error::Closed));
    assert_eq!(log.tail(SHARD).await, Err(Error::Closed));
    let connections = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'mainstay'";
    server.until(connections, "0").await;
    log.close().await;
}

/// What has not got its connection yet when the log is closed gets none afterwards.
#[tokio::test(flavor = "multi_thread")]
async fn what_connects_while_the_log_is_closed_does_nothing() {
    let server = Server::start(&[]);
    let log = open(options(&server.url())).await;
    append(&log, 1).await.expect("R1");
    let (mut busy, mut appended) = (log.tail(SHARD), log.append(record(2)));
    assert!(begin(&mut busy).await.is_pending(), "it has the idle connection");
    assert!(begin(&mut appended).await.is_pending(), "so this connects");
    drop(busy);
    log.close().await;
    assert_eq!(appended.await.map(|appended| appended.index), Err(Error::Closed));
    assert_eq!(server.sql("SELECT next FROM mainstay_log.heads").await[0][0], "2");
}
