//! Stores through their public surface: batches that follow from their index, and what must be there after them.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use mainstay_base::position::Index;
use mainstay_base::time::ManualClock;
use mainstay_base::units::Size;
use mainstay_log::faulty::Random;
use mainstay_machine::Mutation;
use mainstay_machine::row::RowRange;
use mainstay_machine::state::Memory;
use mainstay_shard::store::{Applied, Error, Options, Pool, Store, View, every_row};
use tempfile::TempDir;

mod background;
mod damage;
mod full;
mod kill;
mod life;
mod maintenance;
mod memory;
mod model;

/// So many different rows.
const ROWS: u64 = 2_000;

/// Everything is small, so that it is flushed and merged all the time.
fn small() -> Options {
    Options {
        memtable: Size::from_kib(16),
        table: Size::from_kib(64),
        cache: Size::from_mib(1),
        ..Options::default()
    }
}

fn pool(options: &Options) -> Pool {
    Pool::new(options, Arc::new(ManualClock::default())).expect("threads can be started")
}

fn folder() -> TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory can be made")
}

fn open(pool: &Pool, directory: &Path) -> Store {
    Store::open(pool, directory).expect("the store opens")
}

fn row_key(number: u64) -> Bytes {
    format!("\x01{:02}/{number:06}", number % 16).into()
}

fn put(number: u64, value: impl Into<Bytes>) -> Mutation {
    Mutation::Put { key: row_key(number), value: value.into() }
}

fn range(start: &'static str, end: &'static str) -> RowRange {
    RowRange { start: start.into(), end: end.into() }
}

/// What the record at this index changes: the same whenever it is asked for. Some rows change twice.
fn batch(index: u64) -> Vec<Mutation> {
    let random = Random::new(index);
    let change = |_| {
        let number = if random.one_in(4) { random.below(3) } else { random.below(ROWS) };
        if random.one_in(5) {
            return Mutation::Delete { key: row_key(number) };
        }
        let bytes = if random.one_in(10) { 3_000 } else { random.below(300) };
        put(number, vec![(index % 251) as u8; bytes as usize])
    };
    (0..random.between(1, 20)).map(change).collect()
}

/// What is kept beside this index.
fn applied(index: u64) -> Applied {
    Applied { index: Index::new(index), memo: format!("memo of {index}").into() }
}

fn apply(store: &Store, index: u64) {
    store.apply(batch(index).iter(), &applied(index)).expect("it is applied");
}

fn apply_all(store: &Store, indexes: std::ops::RangeInclusive<u64>) {
    indexes.for_each(|index| apply(store, index));
}

/// The rows after this record.
fn rows_at(index: u64) -> Memory {
    let mut rows = Memory::default();
    (1..=index).for_each(|index| rows.apply(&batch(index)));
    rows
}

fn every_row_of(view: &View) -> Vec<(Bytes, Bytes)> {
    view.rows(&every_row()).collect::<Result<_, _>>().expect("every row can be read")
}

fn rows_back(view: &View, range: &RowRange) -> Vec<(Bytes, Bytes)> {
    view.rows_back(range).collect::<Result<_, _>>().expect("every row can be read")
}

fn assert_shows(view: &View, index: u64, expected: &Memory) {
    assert_eq!(view.applied(), Ok((index > 0).then(|| applied(index))));
    let mut expected: Vec<_> = expected.rows().map(|(key, value)| (key.clone(), value.clone())).collect();
    assert!(every_row_of(view) == expected, "the rows are those after record {index}");
    expected.reverse();
    assert!(rows_back(view, &every_row()) == expected, "from the end too, after record {index}");
}
