//! The driver of one shard: prepares its store, and makes owners until one is not to be followed by another.
//!
//! What an owner decides is in [`crate::owner`]; how one is driven is in `owning`. Here is what comes before the first, after one
//! has stopped, and at the end.

use std::sync::Arc;
use std::time::Duration;

use mainstay_base::error::{Classify, Code};
use mainstay_base::position::Index;
use mainstay_machine::state::{self, Walk};
use mainstay_machine::usage::Ledger;
use tokio::task::spawn_blocking;

use super::desk::Shard;
use super::open::Opened;
use super::owning::Owning;
use super::status::State;
use super::{Parts, open};
use crate::owner::{self, Applied, Stop};
use crate::store;

/// The first pause before a shard is tried to be owned again; twice as long each time.
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// A shard that was owned for as long is not one that two take from each other in turns: the pauses begin anew.
const CALM: Duration = Duration::from_secs(60);

/// What makes one shard live. It does nothing until it is [run](Driver::run).
pub struct Driver {
    pub(super) shard: Arc<Shard>,
    pub(super) opened: Opened,
    pub(super) config: owner::Config,
    pub(super) parts: Parts,
    /// How many shards there are.
    shards: u32,
    _presence: Presence,
}

/// Tells, also when the driver is dropped or panics, that nobody serves the shard any more.
struct Presence(Arc<Shard>);

/// What comes after an owner, or after an attempt to make one.
enum Next {
    End,
    Again {
        reason: String,
    },
    /// The store lacks what the log has forgotten.
    Load {
        begins: Index,
    },
    Never {
        reason: String,
    },
}

impl Driver {
    pub(super) fn new(shard: Arc<Shard>, opened: Opened, shards: u32, parts: Parts) -> Self {
        let config = owner::Config {
            shard: shard.id,
            limits: parts.log.limits(),
            guarantees: parts.log.guarantees(),
            is_exclusive: parts.is_exclusive,
            options: parts.owner.clone(),
        };
        let _presence = Presence(Arc::clone(&shard));
        Self { shard, opened, config, parts, shards, _presence }
    }

    /// Serves the shard until it is [closed](super::Space::close); then its store is flushed and closed.
    ///
    /// Dropped, it is as after a crash.
    pub async fn run(mut self) {
        let (shard, clock) = (Arc::clone(&self.shard), Arc::clone(&self.parts.clock));
        let (mut pause, mut lacks) = (PAUSE_MIN, None);
        while !shard.is_ending() {
            let began = clock.now();
            let prepared = tokio::select! {
                biased;
                prepared = self.prepare(lacks) => prepared,
                () = shard.attend(&*clock) => break,
            };
            let next = match prepared {
                Ok(applied) => {
                    lacks = None;
                    self.own(&applied).await
                }
                Err(next) => next,
            };
            if clock.now().saturating_since(began).as_std() >= CALM {
                pause = PAUSE_MIN;
            }
            match next {
                Next::End => break,
                Next::Load { begins } => lacks = Some(begins),
                Next::Again { reason } => {
                    let pause_ms = pause.as_millis() as u64;
                    tracing::warn!(target: "mainstay::shard", shard = %shard.id, reason, pause_ms, "shard not owned, trying again");
                    shard.close_desk(&reason);
                    shard.status.set(State::Waiting { reason });
                    // Over before its time only if it is to end.
                    let _ = tokio::time::timeout(pause, shard.attend(&*clock)).await;
                    pause = (pause * 2).min(PAUSE_MAX);
                }
                Next::Never { reason } => {
                    tracing::error!(target: "mainstay::shard", shard = %shard.id, reason, "shard takes no commits until the node is started again");
                    shard.close_desk(&reason);
                    shard.status.set(State::Failed { reason });
                    shard.attend(&*clock).await;
                }
            }
        }
        self.end().await;
    }

    /// Fills the store if it is empty, or lacks what is below `begins`, which the log has forgotten. Returns where it stands.
    async fn prepare(&mut self, begins: Option<Index>) -> Result<Applied, Next> {
        if let Some(begins) = begins {
            self.make_room(begins).await?;
        } else if !self.opened.is_there() {
            self.opened.renew().await.map_err(|error| failed(&error))?;
        }
        if !self.opened.is_filled().map_err(|error| failed(&error))? {
            self.load().await?;
        }
        let applied = self.opened.applied().map_err(|reason| Next::Never { reason })?;
        match begins {
            Some(begins) if applied.index().next() < begins => Err(behind(&applied, begins)),
            _ => Ok(applied),
        }
    }

    /// Empties the store, which lacks what is below `begins`, if there is a snapshot that has it. Without one its rows may be
    /// all that is left of them.
    async fn make_room(&mut self, begins: Index) -> Result<(), Next> {
        let names = self.parts.snapshots.list(self.shard.id).await.map_err(|error| failed(&error))?;
        if !names.iter().any(|name| name.index.next() >= begins) {
            let applied = self.opened.applied().map_err(|reason| Next::Never { reason })?;
            return Err(behind(&applied, begins));
        }
        self.opened.renew().await.map_err(|error| failed(&error))
    }

    async fn load(&mut self) -> Result<(), Next> {
        let (id, location) = (self.shard.id, &self.parts.snapshots);
        let filled = open::fill(&mut self.opened, location, id, self.shards).await;
        if let Some(header) = filled.map_err(|error| failed(&error))? {
            let index = header.index;
            tracing::info!(target: "mainstay::shard", shard = %id, %index, "store filled from a snapshot");
        }
        Ok(())
    }

    async fn own(&self, applied: &Applied) -> Next {
        if applied.timeline.number < self.opened.timeline_min.into() {
            let reason = format!(
                "the rows of shard {} that were restored are gone, with their snapshots: restore the backup again",
                self.shard.id
            );
            return Next::Never { reason };
        }
        self.shard.status.set(State::Recovering);
        let ledger = match self.ledger().await {
            Ok(ledger) => ledger,
            Err(error) => return failed(&error),
        };
        let stop = Owning::new(self, applied, ledger).run().await;
        let next = after(&stop);
        if !matches!(next, Next::End) {
            self.shard.close_desk(&stop.to_string());
        }
        if !self.shard.is_exclusive || matches!(stop, Stop::Store { .. } | Stop::Behind { .. }) {
            self.shard.unserve();
        }
        next
    }

    /// The counts of what the store has; of one that was never counted, by going through all rows once.
    async fn ledger(&self) -> Result<Ledger, state::Error> {
        let (view, shard) = (self.opened.store().view(), Arc::clone(&self.shard));
        let counting = spawn_blocking(move || {
            if let Some(ledger) = Ledger::load(&view)? {
                return Ok(ledger);
            }
            let mut is_empty = true;
            let rows = view.walk(&store::every_row(), false).inspect(|_| is_empty = false);
            let rows = rows.map(|row| match row {
                Ok(_) if shard.is_ending() => {
                    Err(state::Error::Unreadable { reason: "the node is stopping".to_owned() })
                }
                row => row,
            });
            let ledger = Ledger::count(rows)?;
            if !is_empty {
                tracing::info!(target: "mainstay::shard", shard = %shard.id, "rows of collections counted, which were not before");
            }
            Ok(ledger)
        });
        counting.await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
    }

    async fn end(self) {
        self.shard.close_desk("the node is stopping");
        self.shard.unserve();
        if let Err(error) = self.opened.close().await {
            // The log has what the store lacks.
            tracing::warn!(target: "mainstay::shard", shard = %self.shard.id, %error, "store not flushed, the next start reads more of the log");
        }
        self.shard.status.set(State::Closed);
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        if self.0.status.get() != State::Closed {
            self.0.abandon();
        }
    }
}

/// Whether another owner is to follow.
fn after(stop: &Stop) -> Next {
    let reason = stop.to_string();
    match stop {
        Stop::Ended => Next::End,
        Stop::Behind { begins, .. } => Next::Load { begins: *begins },
        stop if stop.code() == Code::Unavailable && !is_closed(stop) => Next::Again { reason },
        _ => Next::Never { reason },
    }
}

/// Whether the log takes nothing until the node is started again.
fn is_closed(stop: &Stop) -> bool {
    use mainstay_log::Error::{Closed, Poisoned};
    let error = match stop {
        Stop::Log(mainstay_log::writer::Stop::Failed(error)) | Stop::Unreadable(error) => error,
        _ => return false,
    };
    matches!(error, Closed | Poisoned { .. })
}

fn behind(applied: &Applied, begins: Index) -> Next {
    Next::Never { reason: Stop::Behind { applied: applied.index(), begins }.to_string() }
}

/// What comes after something that was not done before the shard could be owned.
fn failed(error: &(impl Classify + ToString)) -> Next {
    let reason = error.to_string();
    if error.code() == Code::Unavailable { Next::Again { reason } } else { Next::Never { reason } }
}
