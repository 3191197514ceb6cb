//! What a change of a definition would come to, and how far what follows from those that were made is.

use std::collections::BTreeMap;

use mainstay_base::hlc::HybridTime;
use mainstay_base::id::{Name, Tenant};
use mainstay_base::key::Slot;
use mainstay_base::time::Instant;
use mainstay_machine::command::{Change, Define, Request};
use mainstay_machine::query::{self, Standing};
use mainstay_machine::row::RowKey;
use mainstay_machine::sample::{Sample, Sampling};
use mainstay_machine::shards::{Consistency, Error, Reading, Rehearsed};
use mainstay_machine::{
    Command, Context, Definition, Evaluated, Moment, Mutation, Outcome, Overlay, State, evaluate, item, state,
};

use super::Space;
use crate::store::View;

/// Items of one shard that are looked at, about.
const SAMPLE_MAX: u64 = 64;

impl Space {
    /// Evaluates a command on the rows of `system`, and forgets what it changes.
    pub(super) async fn rehearse_in_system(
        &self,
        command: Command,
        deadline: Option<Instant>,
    ) -> Result<Reading<Rehearsed>, Error> {
        let seen = self.system.see(&Consistency::Linearizable, deadline, &*self.clock).await?;
        let (settings, definitions) = (self.settings.load(), self.known());
        let time = HybridTime::new(self.clock.wall().min(HybridTime::WALL_MAX), 0);
        let moment = Moment { time, timeline: seen.timeline() };
        let context = Context { moment, settings: &settings, definitions: &definitions };
        let (tenant, request) = (command.tenant.clone(), command.request.clone());
        let evaluated = evaluate(&command.into(), &mut Overlay::new(&seen.view), &context);
        let evaluated = evaluated.map_err(|error| Error::Broken { reason: error.to_string() })?;
        let sample = match request {
            Request::Define(define) => match sampling(&definitions, &tenant, &define, &evaluated) {
                Some(sampling) => Some(self.sample(sampling, (&tenant, &define.name), deadline).await?),
                None => None,
            },
            Request::Commit(_) => None,
        };
        Ok(seen.reading(Rehearsed { outcome: evaluated.outcome, sample }))
    }

    /// Looks at some items of each shard.
    async fn sample(
        &self,
        mut sampling: Sampling,
        (tenant, name): (&Tenant, &Name),
        deadline: Option<Instant>,
    ) -> Result<Sample, Error> {
        let views: Vec<View> = self.see_all(deadline).await?.into_iter().map(|seen| seen.view).collect();
        let (tenant, name) = (tenant.clone(), name.clone());
        let looking = tokio::task::spawn_blocking(move || {
            for view in &views {
                look(view, &mut sampling, (&tenant, &name))?;
            }
            Ok::<_, state::Error>(sampling.finish())
        });
        let sample = looking.await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
        sample.map_err(|error| Error::Broken { reason: error.to_string() })
    }

    pub(super) async fn standing_of(
        &self,
        (tenant, name): (Tenant, Name),
        deadline: Option<Instant>,
    ) -> Result<Standing, Error> {
        let known = self.known();
        let Some(definition) = known.get(&tenant, &name) else { return Ok(Standing::default()) };
        let seen = self.see_all(deadline).await?;
        let states: Vec<&dyn State> = seen.iter().map(|seen| &seen.view as &dyn State).collect();
        let standing = query::standing(&states, &tenant, (&name, definition));
        standing.map_err(|error| Error::Broken { reason: error.to_string() })
    }

    /// The versions of schemas that every shard has brought all items to.
    pub(super) fn settled(&self) -> BTreeMap<(Tenant, Name), u32> {
        let known = self.known();
        let behind = known.all().filter(|(_, _, definition)| !definition.steps.is_empty());
        let settled = behind.filter(|(tenant, name, definition)| {
            self.shards.iter().all(|shard| shard.has_settled(tenant, name, definition.schema))
        });
        let version = |(tenant, name, definition): (&Tenant, &Name, &std::sync::Arc<Definition>)| {
            ((tenant.clone(), name.clone()), definition.schema)
        };
        settled.map(version).collect()
    }
}

/// What items are to be looked at as.
fn sampling(
    definitions: &mainstay_machine::Definitions,
    tenant: &Tenant,
    define: &Define,
    evaluated: &Evaluated,
) -> Option<Sampling> {
    let before = definitions.get(tenant, &define.name)?;
    let row = RowKey::definition(tenant, &define.name);
    let written = evaluated.effects.iter().find(|mutation| mutation.key() == row.bytes());
    match (written.and_then(Mutation::value), &define.change, &evaluated.outcome) {
        (Some(value), _, _) => Sampling::of(before, Definition::decode(value).ok()?),
        (None, Change::Put(next), Outcome::Refused(_)) => Sampling::of_refused(before, next),
        _ => None,
    }
}

/// Looks at the first items of the slots of a shard that have some.
fn look(view: &View, sampling: &mut Sampling, (tenant, name): (&Tenant, &Name)) -> Result<(), state::Error> {
    let (mut from, end) = (Some(Slot::FIRST), sampling.items() + SAMPLE_MAX);
    while let Some(first) = from.filter(|_| sampling.items() < end) {
        let slots = (first, Slot::LAST);
        let Some(slot) = item::next_slot(view, slots, (tenant, name, ""))? else { return Ok(()) };
        sampling.look(view, (slot, tenant, name))?;
        from = slot.next();
    }
    Ok(())
}
