//! Filling an empty store from a snapshot.

use bytes::Bytes;
use lsm_tree::AnyIngestion;
use mainstay_machine::row::RowRange;

use super::inner::{Inner, check_row, said};
use super::{Applied, Error, Store, applied};

/// Fills an empty store with rows in the order of their keys, which become visible and durable together. Nobody else uses
/// the store meanwhile. Dropped before its end it leaves an empty store.
pub struct Loader<'a> {
    store: &'a Inner,
    ingestion: AnyIngestion<'a>,
    last: Bytes,
    rows: u64,
}

impl Store {
    /// Begins to fill the store. Errors: [`Error::NotEmpty`], [`Error::Load`].
    pub fn load(&self) -> Result<Loader<'_>, Error> {
        let store = &*self.inner;
        let is_empty = store.applied().get() == 0 && store.layers().active.is_empty();
        if !is_empty || self.view().rows(&every_row()).next().is_some() {
            return Err(Error::NotEmpty { directory: store.directory.clone() });
        }
        let ingestion = store.tree.ingestion().map_err(|error| failed(store, &error))?;
        Ok(Loader { store, ingestion, last: Bytes::new(), rows: 0 })
    }
}

impl Loader<'_> {
    /// Adds a row. Errors: [`Error::Row`], [`Error::Unsorted`], [`Error::Load`]; the loading cannot go on.
    pub fn write(&mut self, key: &Bytes, value: &Bytes) -> Result<(), Error> {
        check_row(key, value)?;
        self.rows += 1;
        if *key <= self.last {
            return Err(Error::Unsorted { row: self.rows });
        }
        self.last = key.clone();
        self.put(key.clone(), value.clone())
    }

    /// Makes the rows durable, as the state after this record. Errors: [`Error::NotEmpty`] if something was applied
    /// meanwhile, [`Error::Load`].
    pub fn finish(mut self, applied: &Applied) -> Result<(), Error> {
        let store = self.store;
        if store.applied().get() != 0 {
            return Err(Error::NotEmpty { directory: store.directory.clone() });
        }
        let mut memo = Vec::with_capacity(applied::encoded_bytes(applied));
        applied::encode(applied, &mut memo);
        self.put(Bytes::from_static(applied::KEY), memo.into())?;
        self.ingestion.finish().map_err(|error| failed(store, &error))?;
        store.install(0);
        store.show_loaded(applied.index);
        Ok(())
    }

    fn put(&mut self, key: Bytes, value: Bytes) -> Result<(), Error> {
        self.ingestion.write(key, value).map_err(|error| failed(self.store, &error))
    }
}

fn failed(store: &Inner, error: &lsm_tree::Error) -> Error {
    Error::Load { directory: store.directory.clone(), reason: said(error) }
}

/// All rows of a store, as a range.
pub fn every_row() -> RowRange {
    RowRange { start: Bytes::new(), end: Bytes::from_static(super::OWN_KEYS) }
}
