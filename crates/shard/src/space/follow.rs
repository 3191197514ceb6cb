//! Following changes: of each shard what its feed has, or what the log has for readers that the feed has left behind.
//!
//! A page goes through the shards in turns that begin after the one where the page before it has ended, so that a busy shard keeps
//! nobody from the others. Which records of the log count is decided as everywhere ([`mainstay_log::accept`]), and none is shown that is not
//! applied. Whoever waits holds on to nothing but an id.

use std::sync::Arc;

use futures_util::future::select_all;
use mainstay_base::key::slot;
use mainstay_base::position::Index;
use mainstay_base::time::Instant;
use mainstay_machine::Position;
use mainstay_machine::feed::{Events, EventsBuilder, Follow};
use mainstay_machine::position::{EventId, Place};
use mainstay_machine::shards::Error;
use tokio::time::timeout;

use super::Space;
use super::desk::Shard;
use crate::feed::Part;

mod log;

pub(super) use log::Source;

/// What of one shard is looked at for a page before the others get their turn.
const TURN_BYTES: usize = 1 << 20;

/// What one look at the shards has come to.
struct Look {
    page: Events,
    /// Whether there was more to look at.
    is_behind: bool,
}

impl Space {
    pub(super) async fn follow_changes(
        &self,
        mut follow: Follow,
        deadline: Option<Instant>,
    ) -> Result<Events, Error> {
        let now = self.clock.now();
        if deadline.is_some_and(|deadline| deadline <= now) {
            return Err(Error::Deadline);
        }
        let shards = self.followed(&follow);
        let end = now.checked_add(follow.wait).into_iter().chain(deadline).min();
        let mut after = begin(&shards, follow.after.take(), deadline, self).await?;
        loop {
            let mut moved: Vec<_> = shards.iter().map(|shard| Box::pin(shard.applied.notified())).collect();
            // What is applied from here on is noticed.
            for moved in &mut moved {
                moved.as_mut().enable();
            }
            let Look { page, is_behind } = self.look(&follow, &after, &shards).await?;
            let left = end.map(|end| end.saturating_since(self.clock.now()).as_std());
            if !page.events.is_empty() || left.is_some_and(|left| left.is_zero()) {
                return Ok(page);
            }
            after = page.next;
            if is_behind {
                tokio::task::yield_now().await;
                continue;
            }
            let rung = select_all(moved);
            match left {
                Some(left) => drop(timeout(left, rung).await),
                None => drop(rung.await),
            }
        }
    }

    /// The shards that may have what is followed.
    fn followed(&self, follow: &Follow) -> Vec<Arc<Shard>> {
        match &follow.partition {
            Some(partition) => vec![Arc::clone(self.shard(slot(&follow.tenant, partition)))],
            None => self.shards.clone(),
        }
    }

    /// Looks once at each of the shards, or until the page is full.
    async fn look(&self, follow: &Follow, after: &EventId, shards: &[Arc<Shard>]) -> Result<Look, Error> {
        let steps_max = self.settings.load().limits.check_steps_max;
        let mut page = EventsBuilder::new(follow, after, steps_max);
        let last = after.partly().and_then(|(last, _)| shards.iter().position(|shard| shard.id == last));
        // First what is left of the record that was told last; then that shard is the last to get its turn.
        let first = last.map_or(0, |last| last + 1);
        let turns = shards[first..].iter().chain(&shards[..first]);
        let mut is_behind = false;
        if let Some(last) = last {
            is_behind |= self.turn(&shards[last], &mut page, 1).await?;
        }
        for shard in turns {
            if page.is_full() || page.partly().is_some() {
                break;
            }
            is_behind |= self.turn(shard, &mut page, TURN_BYTES).await?;
        }
        Ok(Look { page: page.finish(), is_behind })
    }

    /// Looks at what comes next of a shard. Returns whether there is more of it.
    async fn turn(
        &self,
        shard: &Shard,
        page: &mut EventsBuilder<'_>,
        bytes_max: usize,
    ) -> Result<bool, Error> {
        let timeline = served(shard)?.timeline;
        let seen = page.seen(shard.id);
        let Part { records, reached } = match shard.feed.after(seen, bytes_max) {
            Some(part) => part,
            None => self.read_log(shard, Place { timeline, index: seen }, bytes_max).await?,
        };
        for changes in &records {
            let flow = page.read(shard.id, changes);
            if flow.map_err(|error| Error::Broken { reason: error.to_string() })?.is_break() {
                return Ok(true);
            }
            // A filter may be dear, and others have work too.
            tokio::task::consume_budget().await;
        }
        page.reach(shard.id, Place { timeline, index: reached });
        Ok(reached < shard.feed.last())
    }
}

/// Where to begin, in each of the shards.
async fn begin(
    shards: &[Arc<Shard>],
    after: Option<EventId>,
    deadline: Option<Instant>,
    space: &Space,
) -> Result<EventId, Error> {
    let mut position = Position::default();
    for shard in shards {
        let now = served(shard)?;
        let place = match &after {
            None => now,
            Some(after) => asked(shard, after.position(), now)?,
        };
        if place.index > now.index {
            // Whoever has answered it is ahead of who is asked.
            shard.reach(&Position::of(shard.id, place), deadline, &*space.clock).await?;
        }
        position.reach(shard.id, place);
    }
    let partly = after.and_then(|after| after.partly());
    let partly = partly.filter(|(partly, _)| shards.iter().any(|shard| shard.id == *partly));
    Ok(partly.map_or_else(
        || position.clone().into(),
        |(shard, change)| EventId::within(position.clone(), shard, change),
    ))
}

/// The place in a shard that is asked for, which is at `now`.
fn asked(shard: &Shard, position: &Position, now: Place) -> Result<Place, Error> {
    // The first line of history is the only one that begins with nothing.
    let place = position.get(shard.id).unwrap_or(Place { timeline: 1, index: Index::new(0) });
    if place.timeline < now.timeline {
        return Err(trimmed("it is of an earlier history, which a restore has ended"));
    }
    if shard.is_exclusive && place > now {
        let id = shard.id;
        return Err(trimmed(&format!("shard {id} does not have it, and has lost what its log did not keep")));
    }
    Ok(place)
}

/// Where a shard stands. Errors: it is not served.
fn served(shard: &Shard) -> Result<Place, Error> {
    let serving = shard.serving.load();
    let serving = serving.as_ref().ok_or_else(|| shard.not_served())?;
    Ok(Place { timeline: serving.timeline, index: serving.store.applied() })
}

fn trimmed(reason: &str) -> Error {
    Error::Trimmed { reason: reason.to_owned() }
}
