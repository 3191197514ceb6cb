//! Opening, closing, loading, removing.

use mainstay_base::error::{Classify, Code};

use super::*;

#[test]
fn what_is_refused_changes_nothing() {
    let (pool, directory) = (pool(&small()), folder());
    let store = open(&pool, directory.path());
    assert_eq!((store.applied(), store.view().applied()), (Index::new(0), Ok(None)));
    apply(&store, 5);
    let longest = [Mutation::Put { key: vec![7; 65_534].into(), value: Bytes::new() }];
    store.apply(longest.iter(), &applied(6)).expect("it is applied");
    let (long, cut) = (Bytes::from(vec![7; 70_000]), Bytes::from(vec![7; 65_533]));
    for (start, end, rows) in
        [(&long, &cut, 0), (&cut, &long, 1), (&long, &long, 0), (&Bytes::new(), &long, 1)]
    {
        let range = RowRange { start: start.clone(), end: end.clone() };
        let view = store.view();
        for walk in [view.rows(&range), view.rows_back(&range)] {
            let found = walk.filter(|row| row.as_ref().is_ok_and(|(key, _)| key.starts_with(b"\x07")));
            assert_eq!(found.count(), rows);
        }
    }
    let expected = every_row_of(&store.view());
    let with = |key: Vec<u8>| [put(1, "first"), Mutation::Delete { key: key.into() }];
    for (key, says) in [
        (vec![], "at least a byte"),
        (vec![7; 65_535], "key of 65535 bytes"),
        (b"\xff".to_vec(), "the store's own"),
        (b"\xffapplied".to_vec(), "the store's own"),
    ] {
        let error = store.apply(with(key).iter(), &applied(7)).unwrap_err();
        assert!(matches!(error, Error::Row { .. }) && error.to_string().contains(says), "{error}");
    }
    for index in [4, 6] {
        let refused = store.apply([].iter(), &applied(index));
        assert_eq!(refused, Err(Error::Order { given: Index::new(index), last: Index::new(6) }));
    }
    assert_eq!(every_row_of(&store.view()), expected);
    assert_eq!(store.view().applied(), Ok(Some(applied(6))));
    store.apply([].iter(), &applied(9)).expect("a record may change nothing, and need not be the next");
    assert_eq!(store.view().applied(), Ok(Some(applied(9))));
}

#[test]
fn a_store_is_open_once_and_closes_when_nothing_holds_it() {
    let (pool, directory) = (pool(&small()), folder());
    let store = open(&pool, directory.path());
    apply_all(&store, 1..=50);
    let again = Store::open(&pool, &directory.path().join("."));
    assert!(matches!(again, Err(Error::InUse { .. })), "{again:?}");

    let (handle, view) = (store.clone(), store.view());
    let walk = view.rows(&every_row());
    for held in [Box::new(view) as Box<dyn std::any::Any>, Box::new(walk)] {
        let error = store.clone().close().unwrap_err();
        assert_eq!((error.code(), error), (Code::Unavailable, in_use(directory.path())));
        drop(held);
    }
    drop(store);
    apply_all(&handle, 51..=300);
    handle.flush().expect("what could not be closed goes on");
    let durable = handle.durable_applied();
    assert_eq!(durable, Index::new(300));
    handle.close().expect("nothing holds it");
    let store = open(&pool, directory.path());
    assert_eq!(store.applied(), durable);
    assert_shows(&store.view(), 300, &rows_at(300));
}

fn in_use(directory: &Path) -> Error {
    Error::InUse { directory: directory.canonicalize().expect("it exists") }
}

#[test]
fn nothing_is_written_after_the_pool_has_ended() {
    let (pool, directory) = (pool(&small()), folder());
    let store = open(&pool, directory.path());
    apply_all(&store, 1..=100);
    drop(pool);
    for error in [
        store.apply([].iter(), &applied(101)).unwrap_err(),
        store.flush().unwrap_err(),
        store.settle().unwrap_err(),
    ] {
        assert!(matches!(error, Error::Closed { .. }), "{error}");
    }
    assert_shows(&store.view(), 100, &rows_at(100));
    store.close().expect("nothing holds it");
}

#[test]
fn a_removed_store_is_gone_and_can_be_made_anew() {
    let (pool, above) = (pool(&small()), folder());
    let directory = above.path().join("shard-7");
    let store = open(&pool, &directory);
    apply_all(&store, 1..=100);
    store.flush().expect("there is room");
    store.close().expect("nothing holds it");
    // As an interrupted removal leaves it.
    let doomed = above.path().join("shard-7.removed");
    std::fs::create_dir_all(doomed.join("tables")).expect("a directory can be made");
    mainstay_shard::store::remove(&directory).expect("it can be removed");
    mainstay_shard::store::remove(&directory).expect("none is fine");
    assert_eq!(std::fs::read_dir(above.path()).expect("it exists").count(), 0);

    std::fs::create_dir_all(doomed.join("tables")).expect("a directory can be made");
    let store = open(&pool, &directory);
    assert!(!doomed.exists(), "opening ends a removal");
    assert_shows(&store.view(), 0, &Memory::default());
}

#[test]
fn a_loaded_store_is_durable_and_can_be_written_to() {
    let (pool, directory) = (pool(&small()), folder());
    let store = open(&pool, directory.path());
    let mut rows = rows_at(700);
    drop(store.load().expect("it is empty"));
    let mut loader = store.load().expect("it is still empty");
    for (key, value) in rows.rows() {
        loader.write(key, value).expect("they are in order");
    }
    assert_shows(&store.view(), 0, &Memory::default());
    loader.finish(&applied(700)).expect("there is room");
    assert_shows(&store.view(), 700, &rows);
    assert_eq!((store.applied(), store.durable_applied()), (Index::new(700), Index::new(700)));
    assert!(matches!(store.load(), Err(Error::NotEmpty { .. })));
    store.close().expect("nothing holds it");

    let store = open(&pool, directory.path());
    assert_shows(&store.view(), 700, &rows);
    assert!(matches!(store.load(), Err(Error::NotEmpty { .. })));
    for index in 701..=1_200 {
        apply(&store, index);
        rows.apply(&batch(index));
    }
    store.settle().expect("there is room");
    assert_shows(&store.view(), 1_200, &rows);
}

#[test]
fn what_cannot_be_loaded_is_refused() {
    let (pool, directory) = (pool(&small()), folder());
    let store = open(&pool, directory.path());
    let mut loader = store.load().expect("it is empty");
    let value = Bytes::from_static(b"value");
    loader.write(&row_key(3), &value).expect("it is the first");
    assert_eq!(loader.write(&row_key(3), &value), Err(Error::Unsorted { row: 2 }));
    assert_eq!(loader.write(&row_key(1), &value), Err(Error::Unsorted { row: 3 }));
    assert!(matches!(loader.write(&Bytes::from_static(b"\xff"), &value), Err(Error::Row { .. })));
    apply(&store, 1);
    assert!(matches!(loader.finish(&applied(7)), Err(Error::NotEmpty { .. })));
    assert!(matches!(store.load(), Err(Error::NotEmpty { .. })));
    assert_shows(&store.view(), 1, &rows_at(1));
}
