//! What a reader sees: memtables and tables that do not change, up to one batch.

use std::ops::{Bound, Deref};
use std::sync::Arc;

use bytes::Bytes;
use lsm_tree::table::filter::standard_bloom::Builder as Bloom;
use lsm_tree::{InternalValue, Result as TreeResult, SeqNo, Slice, Table};
use mainstay_machine::State;
use mainstay_machine::row::RowRange;
use mainstay_machine::state;

use super::inner::Inner;
use super::memtable::{self, Memtable};
use super::merge::{Direction, Newest};
use super::{Applied, Error, OWN_KEYS, applied};

/// The rows of one place, versions and tombstones too.
type Walk = Box<dyn Iterator<Item = TreeResult<InternalValue>> + Send>;

/// Tables in the order of their keys, none of which is in two.
pub(super) type Run = Arc<dyn Deref<Target = [Table]> + Send + Sync>;

/// Where rows are. Never changed, only replaced; what is in it may still be written to.
#[derive(Clone)]
pub(super) struct Layers {
    /// The one that batches go to.
    pub(super) active: Arc<Memtable>,
    /// Those that wait for their flush, the oldest first.
    pub(super) sealed: Vec<Sealed>,
    /// The newest first. All of their rows were applied before they came in here.
    pub(super) runs: Arc<Vec<Run>>,
}

/// A memtable that is written to no more.
#[derive(Clone)]
pub(super) struct Sealed {
    pub(super) memtable: Arc<Memtable>,
    /// The last record that was applied to it, or before it.
    pub(super) applied: u64,
}

/// The rows of a store as they were between two batches, for as long as it is held. To take one and to clone it is cheap.
///
/// Meanwhile memtables that were flushed and tables that were merged stay: a few of the former, and as much disk as was
/// rewritten. Values that are read may share larger pieces of memory, such as a block of a table.
#[derive(Clone)]
pub struct View {
    // Before the store: its tables remove their files when nobody needs them any more.
    layers: Arc<Layers>,
    below: SeqNo,
    store: Arc<Inner>,
}

impl Layers {
    fn memtables(&self) -> impl Iterator<Item = &Arc<Memtable>> {
        let sealed = self.sealed.iter().rev().map(|sealed| &sealed.memtable);
        std::iter::once(&self.active).chain(sealed)
    }

    pub(super) fn memtable_bytes(&self) -> u64 {
        self.memtables().map(|memtable| memtable.size()).sum()
    }

    /// The value of a row as it was below a number; none if there was none.
    pub(super) fn find(&self, key: &[u8], below: SeqNo) -> TreeResult<Option<Bytes>> {
        if let Some(version) = self.memtables().find_map(|memtable| memtable.get(key, below)) {
            return Ok(version.value);
        }
        let hash = Bloom::get_hash(key);
        for run in self.runs.iter() {
            let place = run.partition_point(|table| table.metadata.key_range.max()[..] < *key);
            let table = run.get(place).filter(|table| table.metadata.key_range.min()[..] <= *key);
            if let Some(row) = table.map_or(Ok(None), |table| table.get(key, SeqNo::MAX, hash))? {
                return Ok((!row.is_tombstone()).then(|| row.value.into()));
            }
        }
        Ok(None)
    }

    /// The newest versions below a number, tombstones too; `start` is below `end`.
    fn walk(&self, start: &Bytes, end: &Bytes, below: SeqNo, direction: Direction) -> Newest<Walk> {
        let mut sources: Vec<Walk> = Vec::new();
        for memtable in self.memtables().filter(|memtable| !memtable.is_empty()) {
            sources.push(Box::new(memtable::Walk::between(
                memtable,
                start.clone(),
                Some(end.clone()),
                below,
                direction,
            )));
        }
        for run in self.runs.iter() {
            let first = run.partition_point(|table| table.metadata.key_range.max() < start);
            let last = run.partition_point(|table| table.metadata.key_range.min() < end);
            if first < last {
                let bounds =
                    (Bound::Included(Slice::from(start.clone())), Bound::Excluded(end.clone().into()));
                let run = Arc::clone(run);
                let rows = (first..last).flat_map(move |table| run[table].range(bounds.clone()));
                sources.push(Box::new(direction.along(rows)));
            }
        }
        Newest::new(sources, direction)
    }
}

impl View {
    pub(super) fn new(layers: Arc<Layers>, below: SeqNo, store: Arc<Inner>) -> Self {
        Self { layers, below, store }
    }

    /// The last record whose changes it shows, and what was kept beside it; none when none was applied.
    ///
    /// Errors: [`Error::Unreadable`]; [`Error::Damaged`] when a newer program wrote it.
    pub fn applied(&self) -> Result<Option<Applied>, Error> {
        let Some(value) = self.value(applied::KEY)? else { return Ok(None) };
        applied::decode(&value).map(Some).map_err(|what| self.store.damaged(what))
    }

    /// The value of a row; none if there is none. Errors: [`Error::Unreadable`].
    pub fn value(&self, key: &[u8]) -> Result<Option<Bytes>, Error> {
        self.layers.find(key, self.below).map_err(|error| self.store.unreadable(&error))
    }

    /// The rows of a range in the order of their keys, from the disk as they are walked over.
    pub fn rows(&self, range: &RowRange) -> Rows {
        self.walk(range, Direction::Forward)
    }

    /// The same rows from the end of the range: that with the greatest key first. It costs as much.
    pub fn rows_back(&self, range: &RowRange) -> Rows {
        self.walk(range, Direction::Backward)
    }

    fn walk(&self, range: &RowRange, direction: Direction) -> Rows {
        let (start, end) = (bound(&range.start), bound(&range.end));
        let end = if end[..] > *OWN_KEYS { Bytes::from_static(OWN_KEYS) } else { end };
        let walk = (start < end).then(|| self.layers.walk(&start, &end, self.below, direction));
        Rows { walk, store: Arc::clone(&self.store) }
    }
}

/// A bound that the tree takes, with the same rows on either side: keys of rows are not empty, and shorter than its longest.
fn bound(key: &Bytes) -> Bytes {
    let key = if key.is_empty() { Bytes::from_static(&[0]) } else { key.clone() };
    key.slice(..key.len().min(u16::MAX.into()))
}

impl State for View {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, state::Error> {
        self.value(key).map_err(|error| unreadable(&error))
    }

    fn scan(&self, range: &RowRange, limit: usize) -> Result<Vec<(Bytes, Bytes)>, state::Error> {
        self.rows(range).take(limit).map(|row| row.map_err(|error| unreadable(&error))).collect()
    }
}

impl state::Walk for View {
    fn walk<'a>(&'a self, range: &RowRange, is_back: bool) -> state::Rows<'a> {
        let rows = if is_back { self.rows_back(range) } else { self.rows(range) };
        Box::new(rows.map(|row| row.map_err(|error| unreadable(&error))))
    }
}

fn unreadable(error: &Error) -> state::Error {
    state::Error::Unreadable { reason: error.to_string() }
}

/// A walk over rows of a [`View`]. The first error ends it.
pub struct Rows {
    // Before the store, as in a view.
    walk: Option<Newest<Walk>>,
    store: Arc<Inner>,
}

impl Iterator for Rows {
    /// Key and value.
    type Item = Result<(Bytes, Bytes), Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let walk = self.walk.as_mut()?;
        let is_row = |row: &TreeResult<InternalValue>| !row.as_ref().is_ok_and(InternalValue::is_tombstone);
        let row = walk.find(is_row)?.map_err(|error| self.store.unreadable(&error));
        Some(row.map(|row| (row.key.user_key.into(), row.value.into())))
    }
}

impl std::fmt::Debug for View {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("View").field("directory", &self.store.directory).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use lsm_tree::AbstractTree;
    use lsm_tree::compaction::Leveled;
    use mainstay_base::position::Index;
    use mainstay_base::time::ManualClock;
    use mainstay_machine::Mutation;

    use super::super::inner::lock;
    use super::super::{Options, Pool, Store, every_row, maintain};
    use super::*;

    fn put(key: &'static str, value: String) -> Mutation {
        Mutation::Put { key: key.into(), value: value.into() }
    }

    #[test]
    fn a_table_with_several_versions_of_a_key_shows_the_newest() {
        let pool = Pool::new(&Options::default(), Arc::new(ManualClock::default())).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&pool, directory.path()).unwrap();
        let _compacting = lock(&store.inner.compacting);
        for index in 1..=3 {
            let last = if index < 3 { put("c", String::new()) } else { Mutation::Delete { key: "c".into() } };
            let rows = [put("a", index.to_string()), put("b", index.to_string()), last];
            let applied = Applied { index: Index::new(index), memo: Bytes::new() };
            store.apply(rows.iter(), &applied).unwrap();
            store.flush().unwrap();
        }
        // As when flushes end after a compaction has been told which versions are of use, and before it chooses its tables.
        let leveled = Leveled::default().with_l0_threshold(2);
        store.inner.tree.compact(Arc::new(leveled), 1).unwrap();
        store.inner.install(0);
        let view = store.view();
        let table = maintain::tables(&view.layers).next().unwrap();
        let versions = || table.range(..Slice::from("b")).map(|row| row.unwrap().key.seqno);
        assert!(versions().count() == 3 && versions().is_sorted_by(|newer, older| newer > older));
        let shown = |rows: Rows| -> Vec<_> { rows.map(Result::unwrap).collect() };
        let [a, b] = ["a", "b"].map(|key| (Bytes::from(key), Bytes::from("3")));
        assert_eq!(shown(view.rows(&every_row())), [a.clone(), b.clone()]);
        assert_eq!(shown(view.rows_back(&every_row())), [b, a]);
    }
}
