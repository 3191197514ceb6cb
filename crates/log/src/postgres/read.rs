//! Reading: pages of records beside the head that they were read under.

use mainstay_base::position::{Index, ShardId};
use tokio_postgres::Row;

use super::failure::Failure;
use super::sql::PAGE_RECORDS_MAX;
use super::{Inner, index};
use crate::error::{Act, Damage, Error, Place};
use crate::record::{HEADER_BYTES, Record};

impl Inner {
    pub(super) async fn read_at(
        &self,
        key: i64,
        shard: ShardId,
        from: Index,
        bytes_max: usize,
    ) -> Result<Vec<Record>, Error> {
        let (mut records, mut bytes) = (Vec::new(), 0);
        // No index is above what the column holds.
        let Ok(mut next) = i64::try_from(from.get()) else { return Ok(records) };
        loop {
            let wanted = i64::try_from((bytes_max - bytes).max(1)).unwrap_or(i64::MAX);
            // No record is shorter than its header.
            let count = (wanted / HEADER_BYTES as i64 + 1).min(PAGE_RECORDS_MAX);
            let rows = self.page(key, [next, wanted, count]).await;
            let rows = rows.map_err(|failure| failure.unavailable(Act::Read))?;
            let before = records.len();
            take(&rows, shard, index(next), &mut records)?;
            let added = &records[before..];
            bytes += added.iter().map(Record::encoded_bytes).sum::<usize>();
            let is_whole_page = added.len() as i64 == count;
            next += added.len() as i64;
            if !is_whole_page || bytes >= bytes_max {
                return Ok(records);
            }
        }
    }

    async fn page(&self, key: i64, [from, bytes, count]: [i64; 3]) -> Result<Vec<Row>, Failure> {
        let lease = self.pool.lease().await?;
        let session = lease.session();
        let rows = self.within(session.client().query(&session.read, &[&key, &from, &bytes, &count])).await;
        lease.settle(rows)
    }
}

/// Decodes a page onto the records that were read before it, up to the first that is not as it should be: that is
/// an error only if it is the first of all.
fn take(rows: &[Row], shard: ShardId, from: Index, records: &mut Vec<Record>) -> Result<(), Error> {
    let is_first = records.is_empty();
    let (begins, end) =
        rows.first().map_or((Index::FIRST, Index::FIRST), |row| (index(row.get(0)), index(row.get(1))));
    if from < begins {
        return if is_first { Err(Error::Trimmed { shard, index: from, begins }) } else { Ok(()) };
    }
    let mut expected = from;
    let damage = loop {
        let at = usize::try_from(expected.get() - from.get()).expect("a page fits in memory");
        // A head without records is one row without a record.
        let found = rows.get(at).and_then(|row| Some((index(row.get::<_, Option<i64>>(2)?), row)));
        match found {
            Some((found, row)) if found == expected => match Record::decode_copied(row.get(3)) {
                Ok(record) => records.push(record),
                Err(error) => break Damage::Record(error),
            },
            None if at > 0 || from >= end => return Ok(()),
            Some(_) | None => break Damage::Storage("its row is missing".into()),
        }
        expected = expected.next();
    };
    if is_first && expected == from {
        return Err(Error::Damaged { place: Place::Record { shard, index: from }, damage });
    }
    Ok(())
}
