//! What a server must prove, and what happens when it stops holding.

use mainstay_log::{Durability, Guarantees};

use tokio::time::timeout;

use super::server::PATIENCE;
use super::*;

async fn refusal(log: &Postgres) -> String {
    match log.preflight().await {
        Err(error @ Error::Unproven { .. }) => error.to_string(),
        outcome => panic!("R2: it is not proven, and not: {outcome:?}"),
    }
}

fn durable(server: &Server, durability: Durability) -> Options {
    Options { durability, ..options(&server.url()) }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_does_not_sync_is_refused_unless_that_is_chosen() {
    let server = Server::start(&["fsync=off"]);
    let log = open(durable(&server, Durability::Synced)).await;
    let error = refusal(&log).await;
    assert!(error.contains("fsync = on") && error.contains("`written`"), "{error}");
    assert!(matches!(append(&log, 1).await, Err(Error::Unavailable { .. })), "nor is anything acknowledged");

    let log = open(durable(&server, Durability::Written)).await;
    let guarantees = Guarantees { durability: Durability::Written, fences_epochs: true };
    assert_eq!(log.preflight().await, Ok(guarantees));
    let appended = log.append(record(1)).await.expect("R1");
    assert_eq!(appended.durability, Durability::Written, "R2: each answer says so");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_switched_off_later_is_not_acknowledged_for() {
    let server = Server::start(&[]);
    let log = open(durable(&server, Durability::Synced)).await;
    log.preflight().await.expect("R2: it is proven");
    for setting in ["fsync", "full_page_writes"] {
        let before = next(&log).await;
        server.set(&format!("{setting} = off")).await;
        // A session learns of it when it gets its next statement after the signal.
        let refused = async {
            loop {
                let next = next(&log).await;
                if let Err(error) = append(&log, next).await {
                    return error;
                }
            }
        };
        let error = timeout(PATIENCE, refused).await.expect("R2: less is not acknowledged");
        assert!(matches!(&error, Error::Unavailable { reason, .. } if reason.contains(setting)), "{error}");
        assert!(refusal(&log).await.contains(setting));
        server.set(&format!("{setting} = on")).await;
        assert!(next(&log).await >= before);
        let appended = async { while append(&log, next(&log).await).await.is_err() {} };
        timeout(PATIENCE, appended).await.expect("R1: it goes on by itself");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_that_a_crash_empties_are_refused() {
    let server = Server::start(&[]);
    let log = open(durable(&server, Durability::Synced)).await;
    server.sql("ALTER TABLE mainstay_log.records SET UNLOGGED").await;
    let error = refusal(&log).await;
    assert!(error.contains("records: ALTER TABLE"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn replicated_means_on_a_standby() {
    let server = Server::start(&[]);
    let log = open(durable(&server, Durability::Replicated)).await;
    assert!(refusal(&log).await.contains("synchronous_standby_names is empty"));

    server.set("synchronous_standby_names = '*'").await;
    assert!(refusal(&log).await.contains("no standby"));

    let standby = Server::standby_of(&server, &[]);
    let synced = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync' AND state = 'streaming'";
    server.until(synced, "1").await;
    let guarantees = Guarantees { durability: Durability::Replicated, fences_epochs: true };
    assert_eq!(log.preflight().await, Ok(guarantees));
    let appended = log.append(record(1)).await.expect("R1");
    assert_eq!(appended.durability, Durability::Replicated);
    assert_eq!(standby.sql("SELECT pg_is_in_recovery()").await[0][0], "t");

    // On the standby itself there is nothing to own.
    let other = open(durable(&standby, Durability::Synced)).await;
    assert!(refusal(&other).await.contains("it is a standby"));
    assert!(matches!(append(&other, 2).await, Err(Error::Unavailable { .. })));

    // A cancelled wait is a success for the server, and none for us.
    drop(standby);
    let mut appended = log.append(record(2));
    assert!(begin(&mut appended).await.is_pending());
    let waiting = "FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
    server.until(&format!("SELECT count(*) {waiting}"), "1").await;
    server.sql(&format!("SELECT pg_cancel_backend(pid) {waiting}")).await;
    let outcome = appended.await;
    assert!(
        matches!(&outcome, Err(Error::OutcomeUnknown { reason, .. }) if reason.contains("standby")),
        "{outcome:?}"
    );
    assert_eq!(next(&log).await, 3, "it is there, and it may vanish");

    // So is one that ends because the server is told to wait for standbys no longer.
    let mut appended = log.append(record(3));
    assert!(begin(&mut appended).await.is_pending());
    server.until(&format!("SELECT count(*) {waiting}"), "1").await;
    server.set("synchronous_standby_names = ''").await;
    let outcome = appended.await;
    assert!(
        matches!(&outcome, Err(Error::OutcomeUnknown { reason, .. }) if reason.contains("standby")),
        "R2: {outcome:?}"
    );
    assert!(
        matches!(append(&log, 4).await, Err(Error::Unavailable { .. })),
        "R2: nor is any other acknowledged"
    );
}
