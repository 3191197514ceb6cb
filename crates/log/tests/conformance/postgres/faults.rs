//! Connections and servers that fail in the middle: the outcome is unknown, and is resolved as the contract says.

use super::proxy::{Cut, MARK, Proxy};
use super::*;

/// How often two ask at once until each has had a connection of its own.
const TAILS_MAX: u32 = 1000;

/// Commits `MARK` while the connection is cut; it is there once, whether or not the server got it.
async fn commits_in_spite_of(cut: Cut) {
    let server = Server::start(&[]);
    let proxy = Proxy::start(server.socket()).await;
    let mut options = options(&proxy.url());
    if cut == Cut::Silence {
        options.statement_timeout = Duration::from_millis(4900);
        options.lock_timeout = Duration::from_millis(4900);
        options.answer_timeout = Duration::from_secs(5);
    }
    let log = open(options).await;
    let mut writer = own(&log, 1).await;
    commit(&log, &mut writer, b"before").await;

    // Two at once have a connection each, unless the first is done before the second begins.
    for _ in 0..TAILS_MAX {
        let _ = tokio::join!(log.tail(SHARD), log.tail(SHARD));
        if log.stats().idle == 2 {
            break;
        }
    }
    assert_eq!(log.stats().idle, 2, "each has a connection of its own");
    proxy.cut(cut);
    let Step::Append(record) = writer.append(&data(MARK)) else { panic!("R10: a ready writer appends") };
    let index = record.head().index;
    let outcome = log.append(record).await;
    assert!(proxy.has_cut(), "the record went another way");
    assert!(
        matches!(&outcome, Err(Error::OutcomeUnknown { index: at, .. }) if *at == index),
        "R8: {outcome:?}"
    );
    assert_eq!(log.stats().idle, 0, "what the others lead to is as doubtful");
    let step = writer.on_append(outcome);
    let step = drive(&log, &mut writer, step).await;
    assert!(matches!(&step, Step::Committed(record) if record.payload() == MARK), "R12: {step:?}");

    commit(&log, &mut writer, b"after").await;
    assert_eq!(payloads(&log).await, [&b"before"[..], MARK, b"after"]);
    let stats = log.stats();
    assert!(stats.unknown_total >= 1 && stats.lost_total >= 1, "{stats:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_lost_is_resolved() {
    commits_in_spite_of(Cut::Request).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn half_a_request_is_resolved() {
    commits_in_spite_of(Cut::HalfRequest).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_lost_is_resolved() {
    commits_in_spite_of(Cut::Answer).await;
}

/// What comes before the last message was sent before the commit.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_without_its_end_is_no_acknowledgement() {
    commits_in_spite_of(Cut::LastMessage).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_connection_is_given_up() {
    commits_in_spite_of(Cut::Silence).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_of_the_server_before_its_answer_is_resolved() {
    let mut server = Server::start(&[]);
    let proxy = Proxy::start(server.socket()).await;
    let log = open(options(&proxy.url())).await;
    let mut writer = own(&log, 1).await;
    for round in 0..3 {
        proxy.cut(Cut::Silence);
        let Step::Append(record) = writer.append(&data(MARK)) else { panic!("R10: a ready writer appends") };
        let mut appended = log.append(record.clone());
        assert!(begin(&mut appended).await.is_pending());
        // In the first round it crashes as soon as it can, in the others once the record is there.
        if round > 0 {
            let records = format!(
                "SELECT max(index) FROM mainstay_log.records HAVING max(index) >= {}",
                record.head().index
            );
            server.until(&records, &record.head().index.to_string()).await;
        }
        server.crash();
        let outcome = appended.await;
        server.resume();
        assert!(matches!(&outcome, Err(Error::OutcomeUnknown { .. })), "R8: {outcome:?}");
        let step = writer.on_append(outcome);
        let step = drive(&log, &mut writer, step).await;
        assert!(matches!(&step, Step::Committed(record) if record.payload() == MARK), "R12: {step:?}");
    }
    assert_eq!(payloads(&log).await, [MARK, MARK, MARK]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_append_that_is_dropped_ends_its_connection_and_disturbs_nobody() {
    let server = Server::start(&[]);
    let log = open(options(&server.url())).await;
    append(&log, 1).await.expect("R1");
    let locked = server.client().await;
    locked.batch_execute("BEGIN; SELECT FROM mainstay_log.heads FOR UPDATE").await.expect("it can be locked");
    let mut dropped = log.append(record(2));
    assert!(begin(&mut dropped).await.is_pending());
    server.until("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'", "1").await;
    drop(dropped);
    assert_eq!(log.stats().lost_total, 1);
    assert_eq!(next(&log).await, 2, "others go on");
    locked.batch_execute("COMMIT").await.expect("it can be unlocked");
    // The server may still append it: it is refused, or appended now, and there once.
    let again = append(&log, 2).await;
    assert!(matches!(again, Ok(_) | Err(Error::Refused { .. })), "{again:?}");
    assert_eq!(read_all(&log).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn ended_backends_are_replaced() {
    let server = Server::start(&[]);
    let log = open(options(&server.url())).await;
    let mut writer = own(&log, 1).await;
    let end_all =
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'mainstay'";
    for _ in 0..5 {
        server.sql(end_all).await;
        let step = writer.append(&data(b"again"));
        let step = drive(&log, &mut writer, step).await;
        assert!(matches!(step, Step::Committed(_)), "R12: {step:?}");
    }
    assert_eq!(payloads(&log).await, [b"again"; 5]);
    assert!(log.stats().lost_total >= 5, "{:?}", log.stats());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_is_ended_during_an_append_leaves_doubt() {
    let server = Server::start(&[]);
    let log = open(options(&server.url())).await;
    append(&log, 1).await.expect("R1");
    let locked = server.client().await;
    locked.batch_execute("BEGIN; SELECT FROM mainstay_log.heads FOR UPDATE").await.expect("it can be locked");
    let mut appended = log.append(record(2));
    assert!(begin(&mut appended).await.is_pending());
    let waiting = "FROM pg_stat_activity WHERE wait_event_type = 'Lock'";
    server.until(&format!("SELECT count(*) {waiting}"), "1").await;
    server.sql(&format!("SELECT pg_terminate_backend(pid) {waiting}")).await;
    let outcome = appended.await;
    assert!(matches!(outcome, Err(Error::OutcomeUnknown { .. })), "R8: {outcome:?}");
    drop(locked);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_changed_behind_the_logs_back_is_damage() {
    let server = Server::start(&[]);
    let log = open(options(&server.url())).await;
    for index in 1..=5 {
        append(&log, index).await.expect("R1");
    }
    server.sql("UPDATE mainstay_log.records SET record = set_byte(record, 52, 0) WHERE index = 2").await;
    server.sql("DELETE FROM mainstay_log.records WHERE index = 4").await;
    let read = |from| log.read(SHARD, Index::new(from), usize::MAX);
    for (damaged, words) in [(2, "checksum"), (4, "missing")] {
        let error = read(damaged).await.expect_err("R3: it is not as it was written");
        assert!(matches!(error, Error::Damaged { .. }), "R3: {error}");
        assert!(error.to_string().contains(words), "{error}");
        let before = read(damaged - 1).await.expect("R3: what comes before can be read");
        assert_eq!(before.len(), 1, "R3: it is not skipped");
    }
    assert_eq!(read(5).await.expect("R3").len(), 1);
}
