//! Reading at the four levels of consistency: what must have happened before a reader may look, and what it then sees.
//!
//! Everything that was answered is in the store, since answers leave after it. So where nobody else can own the shard, looking
//! at the store is linearizable, also after the owner has failed: who can't write can't have answered. Elsewhere a linearizable
//! read waits for an append that was begun after it came. What is given is never less than what was asked for.

use std::cmp::Ordering;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{AcqRel, Acquire};

use mainstay_base::position::Index;
use mainstay_base::time::{Clock, Instant};
use mainstay_base::units::Duration;
use mainstay_machine::Position;
use mainstay_machine::position::Place;
use mainstay_machine::shards::{Consistency, Durability, Error, Reading};
use tokio::time::timeout;

use super::desk::Shard;
use super::status::State;
use crate::store::{Store, View};

/// How long a reader without a deadline waits for a position.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a shard is read from.
pub(crate) struct Serving {
    pub(crate) store: Store,
    /// The number of the line of history.
    pub(crate) timeline: u32,
}

/// A time that is only ever moved forwards.
#[derive(Default)]
pub(super) struct Latest(AtomicU64);

impl Latest {
    pub(super) fn raise(&self, to: Instant) {
        self.0.fetch_max(to.as_nanos(), AcqRel);
    }

    pub(super) fn get(&self) -> Instant {
        Instant::from_nanos(self.0.load(Acquire))
    }
}

/// Rows, and what they show.
pub(super) struct Seen {
    pub(super) view: View,
    pub(super) position: Position,
    pub(super) consistency: Consistency,
    pub(super) age: Duration,
    pub(super) durability: Durability,
}

impl Seen {
    /// The number of the line of history that it is of.
    pub(super) fn timeline(&self) -> u32 {
        self.position.places().next().map_or(1, |(_, place)| place.timeline)
    }

    /// Something that was read of them.
    pub(super) fn reading<T>(self, value: T) -> Reading<T> {
        let Self { position, consistency, age, durability, .. } = self;
        Reading { value, position, consistency, age, durability }
    }
}

impl Shard {
    /// The rows as they may be seen by who asks for this consistency. Errors: [`Error`], never that an outcome is unknown.
    pub(super) async fn see(
        &self,
        asked: &Consistency,
        deadline: Option<Instant>,
        clock: &dyn Clock,
    ) -> Result<Seen, Error> {
        let now = clock.now();
        if deadline.is_some_and(|deadline| deadline <= now) {
            return Err(Error::Deadline);
        }
        // Nobody who waits holds on to the store: it may have to be closed meanwhile.
        let serving = || self.serving.load_full().ok_or_else(|| self.not_served());
        let _ = serving()?;
        if let Consistency::Session(position) = asked {
            self.reach(position, deadline, clock).await?;
        }
        let age = || clock.now().saturating_since(self.confirmed.get());
        let (consistency, age) = match asked {
            _ if self.is_exclusive => (Consistency::Linearizable, Duration::ZERO),
            Consistency::Session(_) | Consistency::Eventual => (asked.clone(), age()),
            Consistency::Bounded(by) if age() <= *by => (asked.clone(), age()),
            Consistency::Linearizable | Consistency::Bounded(_) => {
                self.look(deadline).await?;
                (Consistency::Linearizable, Duration::ZERO)
            }
        };
        let serving = serving()?;
        self.counters.read();
        // Before the view: what it shows is this, or later.
        let index = serving.store.applied();
        let position = Position::of(self.id, Place { timeline: serving.timeline, index });
        let view = serving.store.view();
        Ok(Seen { view, position, consistency, age, durability: self.durability })
    }

    /// Waits until the store has what a position says of this shard, or the shard is not served any more.
    pub(super) async fn reach(
        &self,
        position: &Position,
        deadline: Option<Instant>,
        clock: &dyn Clock,
    ) -> Result<(), Error> {
        let Some(place) = position.get(self.id) else { return Ok(()) };
        let reached = async {
            loop {
                let mut applied = pin!(self.applied.notified());
                applied.as_mut().enable();
                if let Some(reached) = self.has_reached(place) {
                    return reached;
                }
                applied.await;
            }
        };
        let left = deadline.map(|deadline| deadline.saturating_since(clock.now()));
        if let Ok(reached) = timeout(left.unwrap_or(PATIENCE).min(PATIENCE).as_std(), reached).await {
            return reached;
        }
        if left.is_some_and(|left| left <= PATIENCE) {
            return Err(Error::Deadline);
        }
        let applied = self.serving.load().as_ref().map_or(Index::new(0), |serving| serving.store.applied());
        let reason = format!(
            "shard {} has applied index {applied}, and the position asks for {}: wait, or ask for less",
            self.id, place.index
        );
        Err(Error::Unavailable { reason })
    }

    /// None while it is to be waited for.
    fn has_reached(&self, place: Place) -> Option<Result<(), Error>> {
        let serving = self.serving.load();
        let Some(serving) = serving.as_ref() else { return Some(Err(self.not_served())) };
        match place.timeline.cmp(&serving.timeline) {
            Ordering::Less => Some(Err(Error::Gone)),
            Ordering::Equal if serving.store.applied() >= place.index => Some(Ok(())),
            Ordering::Equal | Ordering::Greater => None,
        }
    }

    pub(super) fn not_served(&self) -> Error {
        let why = match self.status.get() {
            State::Recovering | State::Serving { .. } => "it is recovering".to_owned(),
            State::Waiting { reason } | State::Failed { reason } => reason,
            State::Closed => "the node is stopping".to_owned(),
        };
        Error::Unavailable { reason: format!("shard {}: {why}", self.id) }
    }

    /// Serves reads from this store.
    pub(super) fn serve(&self, store: &Store, timeline: u32) {
        self.serving.store(Some(Arc::new(Serving { store: store.clone(), timeline })));
    }

    /// Serves no reads any more, and lets go of the store.
    pub(super) fn unserve(&self) {
        self.serving.store(None);
        self.applied.notify_waiters();
    }
}
