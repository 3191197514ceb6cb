//! Deleted ranges, what is counted, and what is left on disk.

use std::sync::mpsc::{Receiver, sync_channel};

use super::*;

fn delete(store: &Store, range: RowRange) -> Receiver<Result<(), Error>> {
    let (told, outcome) = sync_channel(1);
    store.delete_range(range, move |outcome| told.send(outcome).expect("somebody listens"));
    outcome
}

fn without(mut rows: Memory, range: &RowRange) -> Memory {
    let keys: Vec<_> = rows.rows().map(|(key, _)| key.clone()).filter(|key| range.contains(key)).collect();
    let gone: Vec<_> = keys.into_iter().map(|key| Mutation::Delete { key }).collect();
    rows.apply(&gone);
    rows
}

#[test]
fn a_range_is_deleted_whole_and_alone_and_for_good() {
    let (pool, directory) = (pool(&small()), folder());
    let store = open(&pool, directory.path());
    apply_all(&store, 1..=500);
    store.settle().expect("there is room");
    apply_all(&store, 501..=800);
    let before = store.view();
    let gone = range("\x0103/", "\x0109/");
    let outcomes = [range("b", "a"), gone.clone(), gone.clone()].map(|range| delete(&store, range));
    outcomes.iter().for_each(|outcome| assert_eq!(outcome.recv(), Ok(Ok(()))));
    let mut expected = without(rows_at(800), &gone);
    assert_shows(&store.view(), 800, &expected);
    assert_shows(&before, 800, &rows_at(800));
    drop(before);
    store.close().expect("nothing holds it");

    let store = open(&pool, directory.path());
    assert_shows(&store.view(), 800, &expected);
    apply_all(&store, 801..=900);
    (801..=900).for_each(|index| expected.apply(&batch(index)));
    store.settle().expect("there is room");
    assert_shows(&store.view(), 900, &expected);
}

#[test]
fn a_deletion_that_was_told_is_durable() {
    // Nothing is flushed by itself.
    let (pool, directory) = (pool(&Options::default()), folder());
    let store = open(&pool, directory.path());
    apply_all(&store, 1..=50);
    let gone = range("\x0103/", "\x0109/");
    assert_eq!(delete(&store, gone.clone()).recv(), Ok(Ok(())));
    store.close().expect("nothing holds it");
    assert_shows(&open(&pool, directory.path()).view(), 50, &without(rows_at(50), &gone));
}

#[test]
fn every_deletion_is_told_how_it_ended() {
    let (pool, directory) = (pool(&small()), folder());
    let store = open(&pool, directory.path());
    apply_all(&store, 1..=20);
    // The first holds the thread until it is let go.
    let (begun, begins) = sync_channel(1);
    let (let_go, held) = sync_channel::<()>(0);
    store.delete_range(range("a", "b"), move |outcome| {
        begun.send(outcome).expect("somebody listens");
        held.recv().expect("it is let go");
    });
    assert_eq!(begins.recv(), Ok(Ok(())));
    let mut waiting: Vec<_> = (0..65).map(|_| delete(&store, range("a", "b"))).collect();
    let refused = waiting.pop().map(|outcome| outcome.recv());
    assert_eq!(refused, Some(Ok(Err(Error::Busy { waiting: 64 }))));
    assert_eq!(store.stats().deletions, 64);
    // The pool ends while one of its threads is held.
    std::thread::scope(|scope| {
        scope.spawn(|| drop(pool));
        let_go.send(()).expect("the thread is held");
    });
    drop(store);
    for outcome in waiting {
        assert!(matches!(outcome.recv(), Ok(Ok(()) | Err(Error::Closed { .. }))));
    }
}

#[test]
fn what_is_done_is_counted() {
    let (pool, directory) = (pool(&small()), folder());
    let store = open(&pool, directory.path());
    assert_eq!(store.stats().write_amplification(), None);
    for from in [1, 101, 201, 301] {
        apply_all(&store, from..=from + 99);
        store.flush().expect("there is room");
    }
    let given: usize = (1..=400)
        .flat_map(batch)
        .map(|mutation| mutation.key().len() + mutation.value().map_or(0, Bytes::len))
        .sum();
    store.settle().expect("there is room");
    let stats = store.stats();
    assert!((given as u64..given as u64 + 400 * 64).contains(&stats.bytes_applied), "{stats:?}");
    assert_eq!((stats.sealed, stats.deletions, stats.memtables), (0, 0, Size::ZERO));
    assert!(stats.level0_runs <= stats.runs && stats.runs <= stats.tables, "{stats:?}");
    assert!(stats.level0_runs < 4 && stats.bytes_compacted > 0, "what was to be merged is merged: {stats:?}");
    let amplification = stats.write_amplification().expect("something was applied");
    assert!((0.3..10.0).contains(&amplification), "{amplification}: {stats:?}");
    assert!(stats.disk.bytes() < stats.bytes_flushed, "overwritten rows are gone: {stats:?}");
    assert_eq!(stats.last_error, None);
    every_row_of(&store.view());
    let shared = pool.stats();
    assert_eq!((shared.stores, shared.memtables, pool.memtables_ratio()), (1, Size::ZERO, 0.0));
    assert!(shared.cache > Size::ZERO && shared.cache <= shared.cache_max, "{shared:?}");
}

#[test]
fn what_nobody_holds_leaves_the_disk() {
    let (pool, directory) = (pool(&small()), folder());
    let store = open(&pool, directory.path());
    apply_all(&store, 1..=200);
    let view = store.view();
    apply_all(&store, 201..=600);
    store.settle().expect("there is room");
    assert_shows(&view, 200, &rows_at(200));
    drop(view);
    apply_all(&store, 601..=1_000);
    store.settle().expect("there is room");
    // The tree lets go of what it has replaced when it replaces something again.
    let is_tidy = |index: u64| {
        apply(&store, index);
        store.settle().expect("there is room");
        let files = std::fs::read_dir(directory.path().join("tables")).expect("it exists").count();
        files == store.stats().tables
    };
    assert!((1_001..1_010).any(is_tidy), "{:?}", store.stats());
    store.close().expect("nothing holds it");
    assert_eq!(pool.stats().memtables, Size::ZERO);
}
