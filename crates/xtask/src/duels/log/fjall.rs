//! fjall as a log: a batch for each group, with its journal synced.

use std::path::Path;

use anyhow::{Context as _, Result};
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use mainstay_base::units::Size;
use mainstay_lab::bench::front::{self, Store};
use mainstay_lab::bench::{Opened, Subject};
use mainstay_log::record::Record;

pub(super) fn subject() -> Subject {
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    Subject {
        name: super::PEER.to_owned(),
        version: super::locked("fjall"),
        settings: vec![
            pair("commit", "one `WriteBatch` for each group"),
            pair("durability", "`PersistMode::SyncData`: fdatasync of the journal, as in the log"),
            pair("key", "a number that counts up, 8 bytes, big-endian"),
            pair("value", "the record in format 1"),
            pair("everything else", "as it comes"),
        ],
        synced: true,
        run_in: Size::ZERO,
        open: Box::new(open),
    }
}

fn open(folder: &Path) -> Result<Opened> {
    let database = Database::builder(folder).open().context("open fjall")?;
    let records = database.keyspace("log", KeyspaceCreateOptions::default).context("make a keyspace")?;
    front::open(Fjall { database, records, next: 0, value: Vec::new() })
}

struct Fjall {
    database: Database,
    records: Keyspace,
    next: u64,
    value: Vec<u8>,
}

impl Store for Fjall {
    fn commit(&mut self, records: &[Record]) -> Result<()> {
        let mut batch = self.database.batch().durability(Some(PersistMode::SyncData));
        for record in records {
            self.value.clear();
            record.encode_into(&mut self.value);
            batch.insert(&self.records, self.next.to_be_bytes(), &self.value[..]);
            self.next += 1;
        }
        batch.commit().context("commit a batch to fjall")
    }
}
