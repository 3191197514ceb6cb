//! Purges: begun in every shard by a task, and done by what [tends](Space::tend) the shards.

use mainstay_base::id::{Name, Tenant};
use mainstay_base::time::Instant;
use mainstay_machine::purge::{self, Purging, Stock};
use mainstay_machine::shards::{Answer, Consistency, Error};
use mainstay_machine::state::Walk;
use mainstay_machine::task::StartPurge;
use mainstay_machine::{Outcome, State, Task, state};

use super::Space;
use super::read::Seen;

impl Space {
    /// Counts what there is in all shards, as they are now.
    pub(super) async fn stock_of(
        &self,
        (tenant, name): (Tenant, Name),
        deadline: Option<Instant>,
    ) -> Result<Stock, Error> {
        purge::check(&self.known(), &tenant, &name).map_err(|refusal| Error::Refused(Box::new(refusal)))?;
        // Before anything is looked at: what waits holds on to nothing.
        let place = self.listing(deadline).await?;
        let seen = self.see_all(deadline).await?;
        let counting = tokio::task::spawn_blocking(move || {
            // Also when nobody waits any more.
            let _place = place;
            let mut all = Stock::default();
            for seen in &seen {
                let Stock { items, held } = purge::stock(&seen.view as &dyn Walk, &tenant, &name)?;
                all = Stock { items: all.items + items, held: all.held + held };
            }
            Ok(all)
        });
        let counted = counting.await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
        counted.map_err(|error| broken(&error))
    }

    /// Has every shard begin.
    pub(super) async fn purge_everywhere(
        &self,
        of: (Tenant, Name),
        deadline: Option<Instant>,
    ) -> Result<Purging, Error> {
        let stock = self.stock_of(of.clone(), deadline).await?;
        purge::check_stock(&of.1, &stock).map_err(|refusal| Error::Refused(Box::new(refusal)))?;
        for shard in &self.shards {
            let (tenant, collection) = of.clone();
            let start = Task::from(StartPurge { tenant, collection });
            let Answer { outcome, .. } = shard.submit(start.into(), deadline, &*self.clock).await?;
            if let Outcome::Refused(refusal) = outcome {
                return Err(Error::Refused(refusal));
            }
        }
        Ok(self.purging_of(of, deadline).await?.unwrap_or_default())
    }

    /// How far it is in all shards together.
    pub(super) async fn purging_of(
        &self,
        (tenant, name): (Tenant, Name),
        deadline: Option<Instant>,
    ) -> Result<Option<Purging>, Error> {
        let seen = self.see_all(deadline).await?;
        let states: Vec<&dyn State> = seen.iter().map(|seen| &seen.view as &dyn State).collect();
        purge::purging(&states, &tenant, &name).map_err(|error| broken(&error))
    }

    /// Every shard that has slots, as it is now.
    pub(super) async fn see_all(&self, deadline: Option<Instant>) -> Result<Vec<Seen>, Error> {
        let mut seen = Vec::new();
        for shard in &self.shards {
            seen.push(shard.see(&Consistency::Linearizable, deadline, &*self.clock).await?);
        }
        Ok(seen)
    }
}

fn broken(error: &state::Error) -> Error {
    Error::Broken { reason: error.to_string() }
}
