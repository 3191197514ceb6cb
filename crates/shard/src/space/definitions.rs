//! Definitions: changed in the shard `system`, and brought from there to every other shard.
//!
//! Each shard tells which revision its rows have. Whoever [rolls out](Space::roll_out) looks at that and at what `system` has, and
//! submits the difference as a task until all have it; nothing is remembered in between, so it goes on after anything.

use std::sync::Arc;

use futures_util::future::join_all;
use mainstay_base::id::{Name, Tenant};
use mainstay_base::position::ShardId;
use mainstay_base::time::Instant;
use mainstay_machine::command::Request;
use mainstay_machine::definition::{self, Definition};
use mainstay_machine::index::State as IndexState;
use mainstay_machine::row::{IndexName, RowKey};
use mainstay_machine::shards::{Active, Answer, Consistency, Error, Reading};
use mainstay_machine::task::{Adopt, Declare};
use mainstay_machine::{Command, Definitions, Input, Outcome, Refusal, State, Task};
use tokio::time::{sleep, timeout};

use super::Space;
use super::desk::Shard;

/// The shard whose rows are the definitions with their history. No slot is in it.
pub(crate) const SYSTEM: ShardId = ShardId::new(0);

/// How long a shard that did not take its definitions is left alone.
const PAUSE: std::time::Duration = std::time::Duration::from_millis(50);

/// What configuration files define was not put in force.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Undeclared {
    /// It contradicts what there is.
    #[error("{}", .0.detail())]
    Refused(Box<Refusal>),
    /// The shard `system` has no answer.
    #[error("the definitions cannot be stored: {0}")]
    Failed(#[from] Error),
}

impl Shard {
    /// Its owner evaluates under these.
    pub(super) fn defines(&self, definitions: &Arc<Definitions>) {
        self.definitions.send_if_modified(|known| {
            let is_new = !Arc::ptr_eq(known, definitions);
            if is_new {
                *known = Arc::clone(definitions);
            }
            is_new
        });
    }

    /// Whether all items of a collection are at this version of its schema.
    pub(super) fn has_settled(&self, tenant: &Tenant, name: &Name, version: u32) -> bool {
        let known = self.definitions.borrow().get(tenant, name).map(|definition| definition.schema);
        let Some(serving) = self.serving.load_full().filter(|_| known == Some(version)) else { return false };
        let number = IndexName::DOCUMENTS;
        let row = RowKey::index_state(IndexName { tenant, collection: name, number });
        let found = serving.store.view().get(&row).ok().flatten();
        let state = found.and_then(|value| IndexState::decode(&value).ok());
        state.is_some_and(|state| state.is_through())
    }

    fn has_revision(&self, revision: u64) -> bool {
        self.definitions.borrow().revision() >= revision
    }

    async fn reaches_revision(&self, revision: u64) {
        let mut definitions = self.definitions.subscribe();
        let reached = definitions.wait_for(|definitions| definitions.revision() >= revision).await;
        reached.expect("the sender is in `self`");
    }
}

impl Space {
    /// Puts what configuration files define in force, and returns when every shard has it. Cancel-safe, but what was begun may
    /// happen.
    ///
    /// Errors: [`Undeclared`]; nothing was changed, unless the outcome is unknown.
    pub async fn declare(&self, declare: Declare) -> Result<(), Undeclared> {
        let declare = Declare { settled: self.settled(), ..declare };
        let input = Input::Task(Task::Declare(declare));
        let answer = self.system.submit(input, None, &*self.clock).await?;
        if let Outcome::Refused(refusal) = answer.outcome {
            return Err(Undeclared::Refused(refusal));
        }
        self.everywhere(self.known().revision()).await;
        Ok(())
    }

    /// Brings the definitions of `system` to every shard, as long as the space is open.
    pub async fn roll_out(&self) {
        join_all(self.shards.iter().map(|shard| self.follow(shard))).await;
    }

    /// Brings a shard up with `system`, whenever it is behind.
    async fn follow(&self, shard: &Arc<Shard>) {
        let mut system = self.system.definitions.subscribe();
        // One that is not served yet has nothing that it could be brought up from.
        let _ = shard.status.ready().await;
        while !shard.is_ending() {
            let wanted = Arc::clone(&system.borrow_and_update());
            let revision = shard.definitions.borrow().revision();
            if revision >= wanted.revision() {
                tokio::select! {
                    changed = system.changed() => changed.expect("the sender is in `self`"),
                    () = shard.status.closed() => return,
                }
                continue;
            }
            let adopt = Task::Adopt(Adopt::between(revision, &wanted));
            match shard.submit(adopt.into(), None, &*self.clock).await {
                Ok(Answer { outcome: Outcome::Committed(_), .. }) => {}
                Ok(Answer { outcome: Outcome::Refused(refusal), .. }) => {
                    tracing::debug!(target: "mainstay::shard", shard = %shard.id, %refusal, "definitions not adopted, trying again");
                    sleep(PAUSE).await;
                }
                Err(error) => {
                    tracing::debug!(target: "mainstay::shard", shard = %shard.id, %error, "definitions not adopted, trying again");
                    sleep(PAUSE).await;
                }
            }
        }
    }

    pub(super) fn known(&self) -> Arc<Definitions> {
        Arc::clone(&self.system.definitions.borrow())
    }

    pub(super) fn active_in(&self, revision: u64) -> Active {
        let shards = self.shards.iter().filter(|shard| shard.has_revision(revision)).count();
        Active { shards: u32::try_from(shards).expect("shards have numbers of 32 bits"), of: self.count() }
    }

    /// Returns when every shard has this revision.
    async fn everywhere(&self, revision: u64) {
        join_all(self.shards.iter().map(|shard| shard.reaches_revision(revision))).await;
    }

    pub(super) async fn define_in_system(
        &self,
        mut command: Command,
        deadline: Option<Instant>,
    ) -> Result<Answer, Error> {
        if let Request::Define(define) = &mut command.request {
            let of = (command.tenant.clone(), define.name.clone());
            define.settled = self.settled().get(&of).copied().unwrap_or_default();
        }
        let answer = self.system.submit(command.into(), deadline, &*self.clock).await?;
        if let Outcome::Committed(_) = &answer.outcome {
            let everywhere = self.everywhere(self.known().revision());
            match deadline.map(|deadline| deadline.saturating_since(self.clock.now())) {
                // What is not there by then is told by whoever asks how far it is.
                Some(left) => drop(timeout(left.as_std(), everywhere).await),
                None => everywhere.await,
            }
        }
        Ok(answer)
    }

    pub(super) async fn history_in_system(
        &self,
        (tenant, name): (Tenant, Name),
        deadline: Option<Instant>,
    ) -> Result<Reading<Vec<Definition>>, Error> {
        let seen = self.system.see(&Consistency::Linearizable, deadline, &*self.clock).await?;
        let history = definition::history(&seen.view, &tenant, &name);
        let history = history.map_err(|error| Error::Broken { reason: error.to_string() })?;
        Ok(seen.reading(history))
    }
}
