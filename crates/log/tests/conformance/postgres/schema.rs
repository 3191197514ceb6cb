//! The tables: several logs, several nodes, other formats, few rights.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_start_at_once_make_one_log() {
    let server = Server::start(&[]);
    for schema in ["one", "two", "select"] {
        let mut opening = tokio::task::JoinSet::new();
        for _ in 0..8 {
            let options = Options { schema: schema.parse().unwrap(), ..options(&server.url()) };
            opening.spawn(open(options));
        }
        let logs = opening.join_all().await;
        logs[0].preflight().await.expect("R2: whatever the name is");
        append(&logs[0], 1).await.expect("R1");
        for log in &logs {
            assert_eq!(next(log).await, 2, "it is the same log");
        }
    }
    let log = open(options(&server.url())).await;
    assert_eq!(next(&log).await, 1, "each schema is a log of its own");
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_of_another_format_are_refused_by_name() {
    let server = Server::start(&[]);
    let log = open(options(&server.url())).await;
    server.sql("UPDATE mainstay_log.identity SET format = 2").await;
    let error = try_open(options(&server.url())).await.err().expect("it is refused").to_string();
    assert!(error.contains("format 2") && error.contains("use a newer program"), "{error}");
    let error = append(&log, 1).await.expect_err("new sessions of a running node are refused as well");
    assert!(matches!(error, Error::Unavailable { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_with_few_rights_uses_tables_that_are_there() {
    let server = Server::start(&[]);
    server.sql("CREATE ROLE app LOGIN").await;
    let url = server.url().replace("postgres@", "app@");
    let error = try_open(options(&url)).await.err().expect("it may not create").to_string();
    assert!(error.contains("permission denied"), "{error}");
    drop(open(options(&server.url())).await);
    server
        .sql(
            "GRANT USAGE ON SCHEMA mainstay_log TO app; \
             GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA mainstay_log TO app; \
             GRANT USAGE ON ALL SEQUENCES IN SCHEMA mainstay_log TO app",
        )
        .await;
    let log = open(options(&url)).await;
    log.preflight().await.expect("it proves its guarantees");
    append(&log, 1).await.expect("R1");
    log.trim(SHARD, Index::new(2)).await.expect("R14");
    assert_eq!(server.sql("SELECT count(*) FROM mainstay_log.heads").await[0][0], "1", "preflight tidies up");
}

/// A failover or a restored backup can put other tables where the log's were.
#[tokio::test(flavor = "multi_thread")]
async fn other_tables_of_the_same_name_are_not_taken_for_the_log() {
    let server = Server::start(&[]);
    let log = open(options(&server.url())).await;
    append(&log, 1).await.expect("R1");
    server.sql("DROP SCHEMA mainstay_log CASCADE").await;
    drop(open(options(&server.url())).await);
    // The statements that the session has prepared are of tables that are gone.
    let _ = append(&log, 2).await;
    server
        .sql("SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE application_name = 'mainstay'")
        .await;
    let error = loop {
        match append(&log, 2).await {
            Err(Error::OutcomeUnknown { .. }) => {}
            outcome => break outcome.expect_err("it is not the same log"),
        }
    };
    assert!(error.to_string().contains("another log"), "{error}");
}
