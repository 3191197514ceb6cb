//! The driver of one shard: prepares its store, and makes owners until one is not to be followed by another.
//!
//! What an owner decides is in [`crate::owner`]; how one is driven is in `owning`. Here is what comes before the first, after one
//! has stopped, and at the end.

use std::sync::Arc;
use std::time::Duration;

use mainstay_base::error::{Classify, Code};
use mainstay_base::position::Index;

use super::desk::Shard;
use super::open::Opened;
use super::owning::Owning;
use super::status::State;
use super::{Parts, open};
use crate::owner::{self, Applied, Stop};

/// The first pause before a shard is tried to be owned again; twice as long each time.
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// What makes one shard live. It does nothing until it is [run](Driver::run).
pub struct Driver {
    pub(super) shard: Arc<Shard>,
    pub(super) opened: Opened,
    pub(super) config: owner::Config,
    pub(super) parts: Parts,
    /// How many shards there are.
    shards: u32,
}

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
        Self { shard, opened, config, parts, shards }
    }

    /// Serves the shard until it is [closed](super::Space::close); then its store is flushed and closed.
    ///
    /// Dropped, it is as after a crash.
    pub async fn run(mut self) {
        let mut pause = PAUSE_MIN;
        let mut begins = None;
        while !self.shard.is_ending() {
            let next = match self.prepare(begins.take()).await {
                Ok(applied) => self.own(&applied).await,
                Err(next) => next,
            };
            match next {
                Next::End => break,
                Next::Load { begins: index } => begins = Some(index),
                Next::Again { reason } => {
                    let pause_ms = pause.as_millis() as u64;
                    tracing::warn!(target: "mainstay::shard", shard = %self.shard.id, reason, pause_ms, "shard not owned, trying again");
                    self.shard.status.set(State::Waiting { reason });
                    // Rung for when it is to end.
                    let _ = tokio::time::timeout(pause, self.shard.rung()).await;
                    pause = (pause * 2).min(PAUSE_MAX);
                }
                Next::Never { reason } => {
                    tracing::error!(target: "mainstay::shard", shard = %self.shard.id, reason, "shard takes no commits until the node is started again");
                    self.shard.close_desk(&reason);
                    self.shard.status.set(State::Failed { reason });
                    while !self.shard.is_ending() {
                        self.shard.rung().await;
                    }
                }
            }
        }
        self.end().await;
    }

    /// Fills the store if it is empty, or lacks what the log has forgotten. Returns where it stands.
    async fn prepare(&mut self, begins: Option<Index>) -> Result<Applied, Next> {
        if begins.is_some() {
            self.opened.renew().await.map_err(|error| never(&error))?;
        }
        if !self.opened.is_filled().map_err(|error| never(&error))? {
            self.load().await?;
        }
        let applied = self.opened.applied().map_err(|reason| Next::Never { reason })?;
        match begins {
            Some(begins) if applied.index().next() < begins => {
                let reason = Stop::Behind { applied: applied.index(), begins }.to_string();
                Err(Next::Never { reason })
            }
            _ => Ok(applied),
        }
    }

    async fn load(&mut self) -> Result<(), Next> {
        let (id, location) = (self.shard.id, &self.parts.snapshots);
        match open::fill(&mut self.opened, location, id, self.shards).await {
            Ok(Some(header)) => {
                let index = header.index;
                tracing::info!(target: "mainstay::shard", shard = %id, %index, "store filled from a snapshot");
                Ok(())
            }
            Ok(None) => Ok(()),
            Err(error) if error.code() == Code::Unavailable => Err(Next::Again { reason: error.to_string() }),
            Err(error) => Err(never(&error)),
        }
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
        let stop = Owning::new(self, applied).run().await;
        let next = after(&stop);
        if !matches!(next, Next::End) {
            self.shard.close_desk(&stop.to_string());
        }
        if !self.shard.is_exclusive || matches!(stop, Stop::Store { .. }) {
            self.shard.serving.store(None);
        }
        next
    }

    async fn end(self) {
        self.shard.close_desk("the node is stopping");
        self.shard.serving.store(None);
        if let Err(error) = self.opened.close().await {
            // The log has what the store lacks.
            tracing::warn!(target: "mainstay::shard", shard = %self.shard.id, %error, "store not flushed, the next start reads more of the log");
        }
        self.shard.status.set(State::Closed);
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

fn never(error: &impl ToString) -> Next {
    Next::Never { reason: error.to_string() }
}
