//! Files that are not what was written.

use std::fs;
use std::path::PathBuf;

use mainstay_machine::State;

use super::*;

fn store_with_tables(pool: &Pool, directory: &Path) {
    let store = open(pool, directory);
    apply_all(&store, 1..=300);
    store.settle().expect("there is room");
    store.close().expect("nothing holds it");
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(directory).expect("it exists").map(|file| file.expect("it can be read").path());
    files.filter(|path| path.is_file()).collect()
}

#[test]
fn no_flipped_bit_of_a_manifest_is_believed() {
    let (pool, directory) = (pool(&small()), folder());
    store_with_tables(&pool, directory.path());
    // Opening removes older manifests.
    open(&pool, directory.path()).close().expect("nothing holds it");
    let files = files(directory.path());
    assert_eq!(files.len(), 2, "the manifest and what names it: {files:?}");
    for path in files {
        let intact = fs::read(&path).expect("it can be read");
        for at in 0..intact.len() {
            let mut bytes = intact.clone();
            bytes[at] ^= 1 << (at % 8);
            fs::write(&path, bytes).expect("it can be written");
            let opened = Store::open(&pool, directory.path());
            assert!(matches!(opened, Err(Error::Damaged { .. })), "byte {at} of {path:?}: {opened:?}");
        }
        fs::write(&path, &intact[..intact.len() - 1]).expect("it can be written");
        assert!(matches!(Store::open(&pool, directory.path()), Err(Error::Damaged { .. })), "{path:?} cut");
        fs::remove_file(&path).expect("it can be removed");
        let error = Store::open(&pool, directory.path()).unwrap_err().to_string();
        assert!(error.contains("missing") && error.contains("remove the directory"), "{error}");
        fs::write(&path, intact).expect("it can be written");
    }
    assert_shows(&open(&pool, directory.path()).view(), 300, &rows_at(300));
}

#[test]
fn a_damaged_block_is_an_error_of_its_rows() {
    let (pool, directory) = (pool(&small()), folder());
    store_with_tables(&pool, directory.path());
    let store = open(&pool, directory.path());
    let intact = every_row_of(&store.view());
    for path in files(&directory.path().join("tables")) {
        let mut bytes = fs::read(&path).expect("it can be read");
        bytes[600] ^= 1;
        fs::write(&path, bytes).expect("it can be written");
    }
    // What was read before is in the cache.
    drop(store);
    let pool = self::pool(&small());
    let store = open(&pool, directory.path());
    let view = store.view();
    for mut walk in [view.rows(&every_row()), view.rows_back(&every_row())] {
        let error = walk.by_ref().find_map(Result::err).expect("the damage is found");
        assert!(matches!(&error, Error::Unreadable { .. }), "{error}");
        assert!(walk.next().is_none(), "an error ends a walk");
    }
    let (mut readable, mut unreadable) = (0, 0);
    for (key, value) in intact {
        match view.get(&key) {
            Ok(found) => {
                assert_eq!(found, Some(value), "what is read is what was written");
                readable += 1;
            }
            Err(error) => {
                assert!(error.to_string().contains("cannot be read"), "{error}");
                unreadable += 1;
            }
        }
    }
    assert!(readable > 0 && unreadable > 0, "{readable} rows readable, {unreadable} not");
}

#[test]
fn a_failed_write_stops_the_store_and_nothing_else() {
    let (pool, directory) = (pool(&small()), folder());
    let store = open(&pool, directory.path());
    apply_all(&store, 1..=30);
    store.settle().expect("there is room");
    let (tables, away) = (directory.path().join("tables"), directory.path().join("away"));
    fs::rename(&tables, &away).expect("it can be renamed");
    apply(&store, 31);
    let error = store.flush().unwrap_err();
    let says = error.to_string();
    assert!(matches!(error, Error::Broken { .. }), "{says}");
    let path = directory.path().canonicalize().expect("it exists");
    assert!(says.contains(&*path.to_string_lossy()) && says.contains("No such file"), "{says}");
    assert!(says.contains("mend the disk and start again"), "{says}");
    fs::rename(&away, &tables).expect("it can be renamed");
    for error in [
        store.apply([].iter(), &applied(32)).unwrap_err(),
        store.flush().unwrap_err(),
        store.settle().unwrap_err(),
    ] {
        assert!(matches!(error, Error::Broken { .. }), "it is not tried again: {error}");
    }
    assert_eq!((store.applied(), store.durable_applied()), (Index::new(31), Index::new(30)));
    assert_shows(&store.view(), 31, &rows_at(31));
    store.close().expect("nothing holds it");
    let store = open(&pool, directory.path());
    assert_shows(&store.view(), 30, &rows_at(30));
    apply_all(&store, 31..=40);
    store.flush().expect("there is room");
}

#[test]
fn a_missing_table_is_told_when_the_store_is_opened() {
    let (pool, directory) = (pool(&small()), folder());
    store_with_tables(&pool, directory.path());
    let table = files(&directory.path().join("tables")).pop().expect("there are tables");
    fs::remove_file(table).expect("it can be removed");
    let error = Store::open(&pool, directory.path()).unwrap_err();
    assert!(matches!(error, Error::Damaged { .. }), "{error}");
}
