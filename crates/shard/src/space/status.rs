//! What a shard is doing, for whoever waits for it or looks at it.

use mainstay_base::position::{Epoch, Index, ShardId};
use mainstay_base::units::Size;
use tokio::sync::watch;

use super::counters::{Counts, Tending};
use super::desk::Shard;
use crate::store;

/// What a shard is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Its store is filled, its log is read, or it is being claimed.
    Recovering,
    /// Commands and reads are served.
    Serving {
        /// The ownership.
        epoch: Epoch,
    },
    /// It is not owned, and will be tried again.
    Waiting {
        /// Why.
        reason: String,
    },
    /// It is not owned, and will not be before the node is started again.
    Failed {
        /// Why.
        reason: String,
    },
    /// It has ended as it was asked to.
    Closed,
}

/// A shard as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardView {
    /// Which.
    pub id: ShardId,
    /// What it is doing.
    pub state: State,
    /// The last record in its store; none before it is served.
    pub applied: Option<Index>,
    /// The last revision of the definitions that its rows have; 0 before it is served.
    pub revision: u64,
    /// Commands that wait.
    pub waiting: usize,
    /// Their bytes.
    pub waiting_bytes: Size,
    /// What it is doing beside its traffic.
    pub tending: Tending,
    /// What it has done.
    pub counts: Counts,
    /// Its store; none before it is served.
    pub store: Option<store::Stats>,
    /// The last record in its latest snapshot.
    pub snapshot: Option<Index>,
}

/// The state of a shard, to be watched.
pub(crate) struct Status {
    state: watch::Sender<State>,
}

impl Default for Status {
    fn default() -> Self {
        Self { state: watch::Sender::new(State::Recovering) }
    }
}

impl Status {
    pub(super) fn set(&self, state: State) {
        self.state.send_replace(state);
    }

    pub(super) fn get(&self) -> State {
        self.state.borrow().clone()
    }

    /// The ownership, if it is served.
    pub(super) fn epoch(&self) -> Option<Epoch> {
        match *self.state.borrow() {
            State::Serving { epoch } => Some(epoch),
            _ => None,
        }
    }

    pub(super) async fn ready(&self) -> Result<(), String> {
        let is_known = |state: &State| !matches!(state, State::Recovering | State::Waiting { .. });
        match self.wait_for(is_known).await {
            State::Failed { reason } => Err(reason),
            State::Closed => Err("the node is stopping".to_owned()),
            _ => Ok(()),
        }
    }

    pub(super) async fn failed(&self) -> String {
        match self.wait_for(|state| matches!(state, State::Failed { .. })).await {
            State::Failed { reason } => reason,
            _ => unreachable!("it was waited for"),
        }
    }

    /// Returns when it has ended as it was asked to.
    pub(super) async fn closed(&self) {
        self.wait_for(|state| *state == State::Closed).await;
    }

    async fn wait_for(&self, is_wanted: impl FnMut(&State) -> bool) -> State {
        let mut states = self.state.subscribe();
        let found = states.wait_for(is_wanted).await;
        found.expect("the sender is in `self`").clone()
    }
}

impl ShardView {
    pub(super) fn of(shard: &Shard) -> Self {
        let serving = shard.serving.load();
        let store = serving.as_ref().map(|serving| serving.store.stats());
        let (waiting, bytes) = shard.waiting();
        Self {
            id: shard.id,
            state: shard.status.get(),
            applied: store.as_ref().map(|stats| stats.applied),
            revision: shard.definitions.borrow().revision(),
            waiting,
            waiting_bytes: Size::from_bytes(bytes as u64),
            tending: *shard.tending.borrow(),
            counts: shard.counters.counts(),
            store,
            snapshot: shard.snapshots.latest(),
        }
    }
}
