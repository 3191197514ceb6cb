//! Waiting for what other processes append: by notification, and without.

use tokio::time::timeout;

use super::proxy::{Cut, Proxy};
use super::server::PATIENCE;
use super::*;

/// Options under which nobody looks without being notified.
fn patient(url: &str) -> Options {
    Options { poll_interval: Duration::from_secs(3600), ..options(url) }
}

/// The end of a wait that must end.
async fn woken(wait: BoxFuture<'_, Result<(), Error>>) -> Result<(), Error> {
    timeout(PATIENCE, wait).await.expect("R15: a wait ends with the append that is waited for")
}

/// Once the log listens.
async fn listening(server: &Server, count: &str) {
    let listeners = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%LISTEN mainstay_log%' AND state = 'idle' \
         AND pid <> pg_backend_pid()";
    server.until(listeners, count).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_notification_wakes_who_waits_in_another_process() {
    let server = Server::start(&[]);
    let (reader, writer) = (open(patient(&server.url())).await, open(patient(&server.url())).await);
    listening(&server, "2").await;
    for index in 1..=10 {
        let mut wait = reader.wait(SHARD, Index::new(index));
        begin_wait(&reader, &mut wait).await;
        append(&writer, index).await.expect("R1");
        assert_eq!(woken(wait).await, Ok(()), "R15");
        assert_eq!(next(&reader).await, index + 1);
    }
    let stats = reader.stats();
    assert!(stats.is_listening && stats.notified_total >= 1 && stats.polled_total == 0, "{stats:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn listening_begins_again_and_misses_nothing() {
    let server = Server::start(&[]);
    let (reader, writer) = (open(patient(&server.url())).await, open(patient(&server.url())).await);
    listening(&server, "2").await;
    for index in 1..=3 {
        let mut wait = reader.wait(SHARD, Index::new(index));
        begin_wait(&reader, &mut wait).await;
        server
            .sql(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%LISTEN mainstay_log%' \
                 AND pid <> pg_backend_pid()",
            )
            .await;
        append(&writer, index).await.expect("R1");
        assert_eq!(woken(wait).await, Ok(()), "R15");
    }
    assert!(reader.stats().listened_total >= 2, "{:?}", reader.stats());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_cannot_listen_looks_from_time_to_time() {
    let server = Server::start(&[]);
    let proxy = Proxy::start(server.socket()).await;
    proxy.cut(Cut::Listening);
    let poll_interval = Duration::from_millis(20);
    let reader = open(Options { poll_interval, ..options(&proxy.url()) }).await;
    let writer = open(options(&server.url())).await;
    let mut wait = reader.wait(SHARD, Index::FIRST);
    begin_wait(&reader, &mut wait).await;
    append(&writer, 1).await.expect("R1");
    assert_eq!(woken(wait).await, Ok(()), "R15");
    let stats = reader.stats();
    assert!(!stats.is_listening && stats.listened_total == 0 && stats.polled_total >= 1, "{stats:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nonsense_on_the_channel_harms_nobody() {
    let server = Server::start(&[]);
    let log = open(patient(&server.url())).await;
    listening(&server, "1").await;
    let mut wait = log.wait(SHARD, Index::FIRST);
    begin_wait(&log, &mut wait).await;
    server
        .sql(
            "NOTIFY mainstay_log_mainstay_log, 'shard seven please'; NOTIFY mainstay_log_mainstay_log, '7:1'",
        )
        .await;
    append(&log, 1).await.expect("R1");
    assert_eq!(woken(wait).await, Ok(()), "R15");
}
