//! What a collection takes and what is done to it, over all shards.

use mainstay_base::id::{Name, Tenant};
use mainstay_base::time::Instant;
use mainstay_machine::row::RowKey;
use mainstay_machine::shards::{Consistency, Error, Reading};
use mainstay_machine::usage::{Flow, HotKey, Rows, Usage};
use mainstay_machine::{State, state};

use super::Space;
use super::list::shown;
use crate::traffic::{HALF_LIFE, TOP};

impl Space {
    pub(super) async fn usage_of(
        &self,
        (tenant, name): (Tenant, Name),
        deadline: Option<Instant>,
    ) -> Result<Reading<Usage>, Error> {
        let mut seen = Vec::new();
        for shard in &self.shards {
            seen.push(shard.see(&Consistency::Linearizable, deadline, &*self.clock).await?);
        }
        let since = self.shards.iter().map(|shard| shard.traffic.since).min();
        let mut usage = Usage {
            rows: Rows::default(),
            since: since.expect("there is a shard"),
            flow: Flow::default(),
            reads: Vec::new(),
            writes: Vec::new(),
            half_life: HALF_LIFE,
        };
        let row = RowKey::usage(&tenant, &name);
        for (shard, seen) in self.shards.iter().zip(&seen) {
            let broken = |error: state::Error| Error::Broken { reason: error.to_string() };
            if let Some(value) = seen.view.get(&row).map_err(broken)? {
                let rows =
                    Rows::decode(&value).map_err(|error| Error::Broken { reason: error.to_string() })?;
                usage.rows.merge(&rows);
            }
            let Some(serving) = shard.serving.load_full() else { continue };
            let done = shard.traffic.of(&tenant, &name, serving.store.stats().into(), self.clock.now());
            usage.flow.merge(done.flow);
            usage.reads.extend(done.reads);
            usage.writes.extend(done.writes);
        }
        top(&mut usage.reads);
        top(&mut usage.writes);
        let Reading { position, consistency, age, durability, .. } = shown(&seen);
        Ok(Reading { value: usage, position, consistency, age, durability })
    }
}

/// The keys of all shards that are used most. Each key is of one shard.
fn top(keys: &mut Vec<HotKey>) {
    keys.sort_by(|left, right| right.count.total_cmp(&left.count).then_with(|| left.key.cmp(&right.key)));
    keys.truncate(TOP);
}
