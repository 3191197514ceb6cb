//! Trimming: the head says at once where the log begins, then the rows below are deleted in small steps.
//!
//! What is left of the rows when the steps are interrupted is forgotten all the same; the next trim deletes it.

use mainstay_base::position::{Index, ShardId};

use super::failure::Failure;
use super::{Inner, key};
use crate::error::{Act, Error};

impl Inner {
    pub(super) async fn trim_to(&self, shard: ShardId, to: Index) -> Result<(), Error> {
        let failed = |failure: Failure| failure.unavailable(Act::Trim);
        let column = i64::try_from(to.get()).ok();
        let is_moved = match column {
            Some(column) => self.trim_head(key(shard), column).await.map_err(failed)?,
            None => false,
        };
        if !is_moved {
            let next = self.tail_at(key(shard), Act::Trim).await?.next;
            if to > next {
                return Err(Error::TrimBeyondEnd { shard, to, next });
            }
        }
        let column = column.expect("the next index fits into its column, and this is not above it");
        self.delete_below(key(shard), column).await.map_err(failed)
    }

    /// Whether the head now begins where it did not before.
    async fn trim_head(&self, key: i64, to: i64) -> Result<bool, Failure> {
        let lease = self.pool.lease().await?;
        let session = lease.session();
        let moved = self.within(session.client().execute(&session.trim_head, &[&key, &to])).await;
        Ok(lease.settle(moved)? == 1)
    }

    /// Deletes rows below an index that is not above where the log begins.
    async fn delete_below(&self, key: i64, to: i64) -> Result<(), Failure> {
        let mut from = 0;
        loop {
            let lease = self.pool.lease().await?;
            let session = lease.session();
            let gone =
                self.within(session.client().query_one(&session.trim_records, &[&key, &from, &to])).await;
            match lease.settle(gone)?.get::<_, Option<i64>>(0) {
                Some(last) => from = last + 1,
                None => return Ok(()),
            }
        }
    }
}
