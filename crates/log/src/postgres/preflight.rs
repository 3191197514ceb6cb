//! The proof, before the first append, that the server does what its acknowledgement will be taken for.

use std::sync::Arc;

use bytes::Bytes;
use mainstay_base::position::{Epoch, Index, ShardId};
use tokio::task::JoinSet;
use tokio_postgres::Row;

use super::Inner;
use super::failure::Failure;
use crate::error::{Act, Error};
use crate::log::{Appended, Durability, Guarantees};
use crate::record::{Checksum, Draft, Record, RecordId};

/// The oldest server whose behaviour the statements rest on.
const VERSION_MIN: i32 = 130_000;
const RACERS: usize = 32;
/// Stands in the scratch log's records, whose real key is above every shard's.
const SCRATCH: ShardId = ShardId::new(u32::MAX);

/// What durability rests on: the columns of `SETTINGS`, by name.
pub(super) struct Settings {
    syncs: bool,
    full_page_writes: bool,
    synchronous_commit: String,
    has_standby_names: bool,
}

impl Settings {
    pub fn of(row: &Row) -> Self {
        Self {
            syncs: row.get("syncs"),
            full_page_writes: row.get("full_page_writes"),
            synchronous_commit: row.get("synchronous_commit"),
            has_standby_names: row.get("has_standby_names"),
        }
    }

    /// What does not hold, and what to change. The condition of the appending statement says the same.
    pub fn unmet(&self, durability: Durability) -> Option<(&'static str, String)> {
        let is_synced = matches!(durability, Durability::Synced | Durability::Replicated);
        if self.synchronous_commit != "on" {
            let found = format!(
                "synchronous_commit is {} in a session that has set it to on: connect to the server itself, or through a \
                 pooler in session mode",
                self.synchronous_commit
            );
            return Some(("a commit waits for its sync", found));
        }
        if is_synced && !self.syncs {
            let found = "fsync is off: set fsync = on, or choose durability `written`".into();
            return Some(("what it acknowledges is synced", found));
        }
        if is_synced && !self.full_page_writes {
            let found =
                "full_page_writes is off: set full_page_writes = on, or choose durability `written`".into();
            return Some(("a page that is torn by a loss of power is restored", found));
        }
        if durability == Durability::Replicated && !self.has_standby_names {
            let found =
                "synchronous_standby_names is empty: name the standbys, or choose durability `synced`".into();
            return Some(("what it acknowledges is on a standby", found));
        }
        None
    }
}

fn unproven(guarantee: &str, found: impl Into<String>) -> Error {
    Error::Unproven { guarantee: guarantee.to_owned(), found: found.into() }
}

impl Inner {
    pub(super) async fn prove(self: &Arc<Self>) -> Result<Guarantees, Error> {
        self.prove_settings().await?;
        self.prove_append().await?;
        Ok(self.guarantees())
    }

    async fn prove_settings(&self) -> Result<(), Error> {
        // A link of its own: a session would not be made to a standby.
        let link = self.connector.connect(|_| ()).await.map_err(preflight)?;
        let row = self.within(link.client.query_one(&self.sql.inspect, &[])).await.map_err(preflight)?;
        let version: i32 = row.get("version");
        if version < VERSION_MIN {
            let found = format!("its version is {}, and 13 or later is needed: upgrade it", version / 10_000);
            return Err(unproven("the server is known to behave as the engine needs", found));
        }
        if row.get("is_standby") {
            return Err(unproven("the server takes writes", "it is a standby: connect to the primary"));
        }
        if let Some(unlogged) = row.get::<_, Option<&str>>("unlogged") {
            let found = format!(
                "of the schema's tables these are not logged: {unlogged}: ALTER TABLE ... SET LOGGED"
            );
            return Err(unproven("its tables survive a crash", found));
        }
        let durability = self.options.durability;
        if let Some((guarantee, found)) = Settings::of(&row).unmet(durability) {
            return Err(unproven(guarantee, found));
        }
        let (synchronous, hidden) = (row.get::<_, i64>("synchronous"), row.get::<_, i64>("hidden"));
        if durability == Durability::Replicated && synchronous == 0 {
            let found = if hidden > 0 {
                "pg_stat_replication does not show this user the standbys: GRANT pg_monitor TO the user"
            } else {
                "no standby that synchronous_standby_names names is connected and caught up: start one, or choose \
                 durability `synced`"
            };
            return Err(unproven("what it acknowledges is on a standby", found));
        }
        Ok(())
    }

    /// Races appends for one index of a log that is no shard's, then tries what must be refused.
    async fn prove_append(self: &Arc<Self>) -> Result<(), Error> {
        let lease = self.pool.lease().await.map_err(preflight)?;
        let key = self.within(lease.session().client().query_one(&self.sql.scratch, &[])).await;
        let key: i64 = lease.settle(key).map_err(preflight)?.get(0);
        let proof = self.prove_append_on(key).await;
        let lease = self.pool.lease().await.map_err(preflight)?;
        let forgotten = self.within(lease.session().client().execute(&self.sql.forget, &[&key])).await;
        lease.settle(forgotten).map_err(preflight)?;
        proof
    }

    async fn prove_append_on(self: &Arc<Self>, key: i64) -> Result<(), Error> {
        const GUARANTEE: &str = "of appends that race for an index one succeeds";
        let mut racers = JoinSet::new();
        for racer in 0..RACERS {
            let (inner, record) = (Arc::clone(self), scratch(racer, Index::FIRST, 2));
            racers.spawn_on(async move { (inner.append_at(key, &record).await, record) }, &self.handle);
        }
        let mut won = Vec::new();
        while let Some(raced) = racers.join_next().await {
            match raced.expect("an append does not panic") {
                (Ok(Appended { .. }), record) => won.push(record),
                (Err(Error::Refused { .. }), _) => {}
                (Err(error), _) => return Err(in_preflight(error)),
            }
        }
        if won.len() != 1 {
            return Err(unproven(GUARANTEE, format!("of {RACERS} appends, {} succeeded", won.len())));
        }
        if self.read_at(key, SCRATCH, Index::FIRST, 1).await.map_err(in_preflight)? != won {
            return Err(unproven(GUARANTEE, "another record is read than was appended"));
        }
        match self.append_at(key, &scratch(RACERS, Index::new(2), 1)).await {
            Err(Error::Fenced { .. }) => Ok(()),
            Err(error @ (Error::Unavailable { .. } | Error::Closed)) => Err(error),
            outcome => Err(unproven("it refuses lower epochs", format!("the answer to one is {outcome:?}"))),
        }
    }
}

fn scratch(racer: usize, index: Index, epoch: u64) -> Record {
    let id = RecordId::new((racer as u128).to_be_bytes());
    Draft::data(id, Bytes::from_static(b"preflight")).seal(SCRATCH, index, Epoch::new(epoch), Checksum::START)
}

fn preflight(failure: Failure) -> Error {
    failure.unavailable(Act::Preflight)
}

/// Of a scratch log nobody needs to know what became of an append.
fn in_preflight(error: Error) -> Error {
    match error {
        Error::Closed => Error::Closed,
        Error::Unavailable { reason, .. } => Error::Unavailable { act: Act::Preflight, reason },
        error => Error::Unavailable { act: Act::Preflight, reason: error.to_string() },
    }
}
