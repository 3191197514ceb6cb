//! SQLite as a log: a transaction for each group, write-ahead log, synced at each commit.

use std::path::Path;

use anyhow::{Context as _, Result};
use mainstay_base::units::Size;
use mainstay_lab::bench::front::{self, Store};
use mainstay_lab::bench::{Opened, Subject};
use mainstay_log::record::Record;
use rusqlite::Connection;

/// What its manual advises for many small durable writes by one process.
const SETUP: &str = "
PRAGMA locking_mode = EXCLUSIVE;
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;
CREATE TABLE log (number INTEGER PRIMARY KEY, record BLOB NOT NULL);
";

const INSERT: &str = "INSERT INTO log (record) VALUES (?1)";

/// What decides its speed here, asked of a running one.
const TELLING: [&str; 6] =
    ["journal_mode", "synchronous", "locking_mode", "wal_autocheckpoint", "page_size", "cache_size"];

pub(super) fn subject() -> Subject {
    let mut settings = vec![
        ("commit".to_owned(), "one transaction for each group, a prepared insert for each record".to_owned()),
        ("table".to_owned(), "the record in format 1 as a blob, under a number that counts up".to_owned()),
        ("sync".to_owned(), "fdatasync of the write-ahead log (built with HAVE_FDATASYNC)".to_owned()),
    ];
    settings.extend(read_back().unwrap_or_default());
    Subject {
        name: "SQLite".to_owned(),
        version: rusqlite::version().to_owned(),
        settings,
        synced: true,
        run_in: Size::ZERO,
        open: Box::new(open),
    }
}

fn open(folder: &Path) -> Result<Opened> {
    front::open(Sqlite { connection: connect(folder)?, record: Vec::new() })
}

fn connect(folder: &Path) -> Result<Connection> {
    let connection = Connection::open(folder.join("log.sqlite")).context("open SQLite")?;
    connection.execute_batch(SETUP).context("set SQLite up")?;
    Ok(connection)
}

fn read_back() -> Result<Vec<(String, String)>> {
    let folder = tempfile::tempdir().context("make a folder for SQLite")?;
    let connection = connect(folder.path())?;
    let ask = |name: &str| {
        let value = connection.pragma_query_value(None, name, |row| row.get::<_, rusqlite::types::Value>(0));
        value.map(|value| (name.to_owned(), show(value))).with_context(|| format!("ask SQLite for {name}"))
    };
    TELLING.into_iter().map(ask).collect()
}

fn show(value: rusqlite::types::Value) -> String {
    match value {
        rusqlite::types::Value::Integer(number) => number.to_string(),
        rusqlite::types::Value::Text(text) => text,
        other => format!("{other:?}"),
    }
}

struct Sqlite {
    connection: Connection,
    record: Vec<u8>,
}

impl Store for Sqlite {
    fn commit(&mut self, records: &[Record]) -> Result<()> {
        let transaction = self.connection.transaction().context("begin a transaction")?;
        let mut insert = transaction.prepare_cached(INSERT).context("prepare an insert")?;
        for record in records {
            self.record.clear();
            record.encode_into(&mut self.record);
            insert.execute([&self.record]).context("insert a record")?;
        }
        drop(insert);
        transaction.commit().context("commit a transaction")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_syncs_its_write_ahead_log_at_each_commit() {
        let settings = read_back().unwrap();
        let is = |name: &str, value: &str| settings.contains(&(name.to_owned(), value.to_owned()));
        assert!(is("journal_mode", "wal") && is("locking_mode", "exclusive"), "{settings:?}");
        assert!(is("synchronous", "2"), "2 is FULL: {settings:?}");
    }
}
