//! The append: one statement, and when it did nothing, a look at the head that says why.

use std::error::Error as StdError;

use bytes::BytesMut;
use mainstay_base::position::Epoch;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};

use super::failure::{Attempt, Failure, describe};
use super::preflight::Settings;
use super::session::Session;
use super::stats::count;
use super::{Inner, index, key};
use crate::error::{Act, Error};
use crate::log::{Appended, Durability};
use crate::record::Record;

/// How often the statement is repeated when it did nothing and the head says that it should have: a first append
/// makes the head, and a head may have moved in between.
const ATTEMPTS_MAX: usize = 8;

/// A record on its way into the protocol's buffer: the one copy.
#[derive(Debug)]
struct Encoded<'a>(&'a Record);

impl ToSql for Encoded<'_> {
    fn to_sql(&self, _: &Type, to: &mut BytesMut) -> Result<IsNull, Box<dyn StdError + Sync + Send>> {
        self.0.encode_into(to);
        Ok(IsNull::No)
    }

    fn accepts(column: &Type) -> bool {
        *column == Type::BYTEA
    }

    to_sql_checked!();
}

/// Why the statement did nothing.
enum Reason {
    /// There is no head yet.
    NoHead,
    /// It would do its work now.
    Moved,
    Refused(Error),
}

impl Inner {
    /// Appends to the record's shard, and rings.
    pub(super) async fn append(&self, record: &Record) -> Result<Appended, Error> {
        let shard = record.head().shard;
        let outcome = self.append_at(key(shard), record).await;
        let counters = &self.counters;
        count(match &outcome {
            Ok(appended) => {
                self.bell.announce(shard, appended.index.next());
                &counters.appended
            }
            Err(Error::Refused { .. }) => &counters.refused,
            Err(Error::Fenced { .. }) => &counters.fenced,
            Err(Error::OutcomeUnknown { .. }) => &counters.unknown,
            Err(_) => &counters.failed,
        });
        outcome
    }

    /// Appends to the log with this key. Repeats only what certainly did nothing.
    pub(super) async fn append_at(&self, key: i64, record: &Record) -> Result<Appended, Error> {
        let (head, bytes) = (record.head(), record.encoded_bytes());
        let bytes_max = self.limits().record_bytes_max;
        if bytes > bytes_max {
            return Err(Error::TooLarge { shard: head.shard, bytes, bytes_max });
        }
        let Ok(at) = i64::try_from(head.index.get()) else {
            let next = self.tail_at(key, Act::Append).await?.next;
            return Err(Error::Refused { shard: head.shard, index: head.index, next });
        };
        for _ in 0..ATTEMPTS_MAX {
            if self.try_append(key, at, record).await? {
                return Ok(Appended { index: head.index, durability: self.options.durability });
            }
            match self.why_not(key, record).await.map_err(|failure| failure.unavailable(Act::Append))? {
                Reason::NoHead => {
                    self.create_head(key).await.map_err(|failure| failure.unavailable(Act::Append))?;
                }
                Reason::Moved => {}
                Reason::Refused(error) => return Err(error),
            }
        }
        let reason = "the head row changed each time it was looked at".into();
        Err(Error::Unavailable { act: Act::Append, reason })
    }

    /// Whether the record was appended; if not, this did nothing.
    async fn try_append(&self, key: i64, at: i64, record: &Record) -> Result<bool, Error> {
        let head = record.head();
        let attempt = Attempt { shard: head.shard, index: head.index, bytes: record.encoded_bytes() };
        let failed = |failure: Failure| failure.of_append(attempt);
        let lease = self.pool.lease().await.map_err(failed)?;
        let session = lease.session();
        let parameters: [&(dyn ToSql + Sync); 4] = [&key, &at, &epoch_column(head.epoch), &Encoded(record)];
        let appended = session.client().execute(&session.append, &parameters);
        let answer = if self.options.durability == Durability::Replicated {
            self.within(replicated(session, appended, &key)).await
        } else {
            self.within(appended).await
        };
        Ok(lease.settle(answer).map_err(failed)? == 1)
    }

    async fn why_not(&self, key: i64, record: &Record) -> Result<Reason, Failure> {
        let lease = self.pool.lease().await?;
        let session = lease.session();
        let row = self.within(session.client().query_one(&session.head, &[&key])).await;
        let row = lease.settle(row)?;
        let Some(next) = row.get::<_, Option<i64>>("next").map(index) else { return Ok(Reason::NoHead) };
        let highest = Epoch::new(row.get::<_, i64>("epoch").unsigned_abs());
        let head = record.head();
        let shard = head.shard;
        if next != head.index {
            return Ok(Reason::Refused(Error::Refused { shard, index: head.index, next }));
        }
        if epoch_column(highest) > epoch_column(head.epoch) {
            return Ok(Reason::Refused(Error::Fenced { shard, epoch: head.epoch, highest }));
        }
        Ok(match Settings::of(&row).unmet(self.options.durability) {
            Some((guarantee, found)) => {
                let reason = format!("the server no longer proves that {guarantee}: {found}");
                Reason::Refused(Error::Unavailable { act: Act::Append, reason })
            }
            None => Reason::Moved,
        })
    }

    async fn create_head(&self, key: i64) -> Result<(), Failure> {
        let lease = self.pool.lease().await?;
        let session = lease.session();
        let created = self.within(session.client().execute(&session.create_head, &[&key])).await;
        lease.settle(created).map(|_| ())
    }
}

/// The append's answer, unless the server may have stopped to wait for a standby: it answers that as a success, after a
/// warning when the wait is cancelled, and without one when `synchronous_standby_names` is emptied.
///
/// So the settings are looked at again behind the commit, in the same round trip. The server has its sessions read
/// new settings before it has the process read them that ends their waits.
async fn replicated(
    session: &Session,
    appended: impl Future<Output = Result<u64, tokio_postgres::Error>>,
    key: &i64,
) -> Result<u64, Failure> {
    session.link().take_warned();
    let parameters: [&(dyn ToSql + Sync); 1] = [key];
    let looked = session.client().query_one(&session.head, &parameters);
    // In this order, so that the look is sent behind the append.
    let (appended, looked) = tokio::join!(biased; appended, looked);
    let count = appended?;
    if count == 0 {
        return Ok(count);
    }
    if session.link().take_warned() {
        let reason = "the wait for a standby was cancelled: it is committed on the primary and may not be \
             replicated";
        return Err(Failure::Lost(reason.into()));
    }
    let looked = looked.map_err(|error| Failure::Lost(describe(&error)))?;
    match Settings::of(&looked).unmet(Durability::Replicated) {
        Some((_, found)) => {
            let reason = format!(
                "it is committed on the primary and may not be replicated, since the server was told to wait no longer: \
                 {found}"
            );
            Err(Failure::Lost(reason))
        }
        None => Ok(count),
    }
}

/// The epoch as the head row has it. Epochs from 2^63 on are alike there: the fence is weaker than the contract's,
/// which needs none.
fn epoch_column(epoch: Epoch) -> i64 {
    i64::try_from(epoch.get()).unwrap_or(i64::MAX)
}
