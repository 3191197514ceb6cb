//! Logs that fail: what is told, what still works, and what a restart makes of it.

use std::sync::Arc;

use mainstay_log::faulty::{Act, Fault, SimDisk};

use super::world::Engine;
use super::*;

#[tokio::test]
async fn a_poisoned_log_ends_writing_and_not_reading() {
    let disk = SimDisk::new(3);
    let world = World::new(Engine::Disk(disk.clone()));
    let running = world.start().await;
    let space = Arc::clone(&running.space);
    let _ = done(&space, commit(vec![put("a/1", "1")])).await;
    // It may be a file made ready that fails first, which harms nobody.
    let mut tries = 0;
    let unknown = loop {
        tries += 1;
        disk.fault_next(Act::Sync, Fault::Error);
        let key = format!("a/try-{tries}");
        match space.submit(commit(vec![put(&key, "1"), add("a/count", 1)]), None).await {
            Ok(_) => assert!(tries < 20, "a sync fails at last"),
            Err(error) => break error,
        }
    };
    assert!(matches!(unknown, Error::OutcomeUnknown { .. }), "it may be in the log: {unknown}");
    let reason = space.failed().await;
    assert!(reason.contains("until it is restarted"), "{reason}");
    assert_eq!(state(&space), State::Failed { reason: reason.clone() });
    assert_eq!(space.ready().await, Err(reason));
    let write = space.submit(commit(vec![put("a/2", "1")]), None).await;
    assert!(matches!(write, Err(Error::Unavailable { .. })), "it is not begun: {write:?}");
    assert_eq!(now(&space, "a/1").await, "\"1\"", "nobody else can have written");
    assert_eq!(now(&space, &format!("a/try-{tries}")).await, "", "what is in doubt is not shown");
    drop(space);
    running.stop().await;

    disk.clear_faults();
    disk.crash_machine();
    let running = world.start().await;
    let space = &*running.space;
    assert_eq!(now(space, "a/1").await, "\"1\"");
    let in_doubt = now(space, &format!("a/try-{tries}")).await;
    let count = now(space, "a/count").await;
    let expected = if in_doubt.is_empty() { tries - 1 } else { tries };
    assert_eq!(
        count,
        if expected == 0 { String::new() } else { expected.to_string() },
        "whole or not at all"
    );
    let _ = done(space, commit(vec![put("a/2", "1")])).await;
    running.stop().await;
}

#[tokio::test]
async fn a_full_disk_ends_writing_until_there_is_room() {
    let disk = SimDisk::new(5);
    let world = World::new(Engine::Disk(disk.clone()));
    let running = world.start().await;
    let space = &*running.space;
    let write = |number: usize| commit(vec![put(&format!("a/{number}"), &"x".repeat(20_000)), add("a/n", 1)]);
    let _ = done(space, write(0)).await;
    disk.set_capacity(1 << 20);
    let mut written = 1;
    let full = loop {
        match space.submit(write(written), None).await {
            Ok(_) => written += 1,
            Err(error) => break error,
        }
        assert!(written < 200, "it is full sooner or later");
    };
    let Error::StorageFull { reason } = &full else { panic!("it is full, and not: {full}") };
    assert!(!reason.is_empty());
    assert!(matches!(state(space), State::Serving { .. }));
    assert_eq!(now(space, "a/n").await, written.to_string(), "reading goes on, and nothing of it happened");
    assert_eq!(now(space, &format!("a/{written}")).await, "");
    disk.set_capacity(1 << 30);
    // Room is looked for by a thread of the log.
    loop {
        match space.submit(write(written), None).await {
            Ok(_) => break,
            Err(error) => assert!(matches!(error, Error::StorageFull { .. }), "{error}"),
        }
        tokio::task::yield_now().await;
    }
    assert_eq!(now(space, "a/n").await, (written + 1).to_string());
    running.stop().await;
    let running = world.start().await;
    assert_eq!(now(&running.space, "a/n").await, (written + 1).to_string());
    running.stop().await;
}

#[tokio::test]
async fn a_log_that_has_lost_its_end_is_refused() {
    let world = World::new(Engine::Folder);
    let running = world.start().await;
    let _ = done(&running.space, commit(vec![put("a/1", "1")])).await;
    running.stop().await;
    let log = world.folder.path().join("log");
    let kept = world.folder.path().join("kept");
    std::fs::rename(&log, &kept).unwrap();
    let refused = world.begin().await.map(|_| ()).unwrap_err();
    assert!(matches!(refused, mainstay_log::Error::Damaged { .. }), "the store knows of more: {refused}");
    let _ = std::fs::remove_dir_all(&log);
    std::fs::rename(&kept, &log).unwrap();
    let running = world.start().await;
    assert_eq!(now(&running.space, "a/1").await, "\"1\"");
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_ahead_of_its_log_is_not_served() {
    let mut world = World::memory();
    let running = world.start().await;
    let _ = done(&running.space, commit(vec![put("a/1", "1")])).await;
    running.stop().await;
    world.engine = World::memory().engine;
    let running = world.begin().await.unwrap();
    let reason = running.space.ready().await.unwrap_err();
    assert!(reason.contains("the log has lost its end"), "{reason}");
    let read = get(&running.space, "a/1", Consistency::Eventual, None).await;
    assert!(matches!(read, Err(Error::Unavailable { .. })), "{read:?}");
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn rows_of_before_a_restore_are_not_served_after_it() {
    let mut world = World::memory();
    let running = world.start().await;
    let _ = done(&running.space, commit(vec![put("a/1", "1")])).await;
    running.stop().await;
    world.timeline_min = 2;
    let running = world.begin().await.unwrap();
    let reason = running.space.ready().await.unwrap_err();
    assert!(reason.contains("restore the backup again"), "{reason}");
    let write = running.space.submit(commit(vec![put("a/1", "2")]), None).await;
    assert!(matches!(write, Err(Error::Unavailable { .. })), "{write:?}");
    let counts = running.space.counts();
    assert_eq!((counts.submitted, counts.failed), (1, 1), "what is sent away is counted");
    running.stop().await;
}
