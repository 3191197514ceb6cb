//! Where askers and the driver of one shard meet: the inbox, the bell that wakes the driver, and what it serves from.
//!
//! The desk's lock is held for a push or a take, never across I/O or an await. The driver is woken only when it has said that it
//! waits for work, so that what comes while a batch is in flight costs no wake-up.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwapOption;
use mainstay_base::hlc::HybridTime;
use mainstay_base::position::ShardId;
use mainstay_base::time::{Clock, Instant};
use mainstay_machine::shards::{Answer, Durability, Error};
use mainstay_machine::{Definitions, Input, Position};
use tokio::sync::{Notify, oneshot, watch};
use tokio::time::timeout;

use super::Parts;
use super::counters::{Counters, Tending};
use super::read::{Latest, Serving};
use super::status::{State, Status};
use crate::feed::Feed;
use crate::inbox::{Entry, Inbox};
use crate::owner::{Options, Take, durability};
use crate::snapshot::keeper::Taken;
use crate::store::View;
use crate::traffic::Traffic;

/// A command or task that waits, and whoever waits for its answer.
pub(super) struct Pending {
    pub(super) input: Input,
    pub(super) answer: oneshot::Sender<Result<Answer, Error>>,
}

/// A read that waits until it may look, and whoever makes it.
pub(super) struct PendingRead {
    pub(super) deadline: Option<Instant>,
    pub(super) answer: oneshot::Sender<Result<Position, Error>>,
}

/// A cut that waits until nothing is in flight, and whoever makes it.
pub(super) struct PendingCut {
    pub(super) at: HybridTime,
    pub(super) answer: oneshot::Sender<Result<(View, HybridTime), Error>>,
}

/// What askers and the driver of one shard share.
pub(crate) struct Shard {
    pub(crate) id: ShardId,
    pub(super) is_exclusive: bool,
    pub(super) durability: Durability,
    desk: Mutex<Desk>,
    /// Rung for the driver.
    bell: Notify,
    /// Rung when something was applied, for reads that wait for a position.
    pub(super) applied: Notify,
    /// There once the shard was owned here, and as long as it may be read.
    pub(crate) serving: ArcSwapOption<Serving>,
    /// When the last append that was acknowledged was begun: nobody else owned the shard then.
    pub(super) confirmed: Latest,
    /// When the append that is under way was begun.
    begun: Latest,
    /// What its rows define, as of the last batch.
    pub(super) definitions: watch::Sender<Arc<Definitions>>,
    pub(super) status: Status,
    pub(crate) counters: Counters,
    pub(crate) snapshots: Taken,
    pub(super) feed: Feed,
    pub(super) traffic: Traffic,
    /// What it is doing beside its traffic.
    pub(super) tending: watch::Sender<Tending>,
}

struct Desk {
    inbox: Inbox<Pending>,
    reads: Vec<PendingRead>,
    cuts: Vec<PendingCut>,
    /// The driver has taken everything and waits for more.
    is_hungry: bool,
    /// When the driver wakes by itself.
    wakes_at: Option<Instant>,
    /// Why nothing is taken.
    closed: Option<String>,
    is_ending: bool,
}

/// What the driver was given.
#[derive(Default)]
pub(super) struct Given {
    pub(super) work: Vec<Entry<Pending>>,
    pub(super) reads: Vec<PendingRead>,
    pub(super) cuts: Vec<PendingCut>,
}

/// Requests that wait for linearizable reads at once: each is small.
const READS_MAX: usize = 4_096;

impl Shard {
    pub(super) fn new(id: ShardId, parts: &Parts, of_log: mainstay_log::Durability) -> Self {
        let desk = Desk {
            inbox: Inbox::new(parts.inbox.clone()),
            reads: Vec::new(),
            cuts: Vec::new(),
            is_hungry: false,
            wakes_at: None,
            closed: None,
            is_ending: false,
        };
        Self {
            id,
            is_exclusive: parts.is_exclusive,
            durability: durability(of_log),
            desk: Mutex::new(desk),
            bell: Notify::new(),
            applied: Notify::new(),
            serving: ArcSwapOption::empty(),
            confirmed: Latest::default(),
            begun: Latest::default(),
            definitions: watch::Sender::default(),
            status: Status::default(),
            snapshots: Taken::default(),
            feed: Feed::new(&parts.feed),
            traffic: Traffic::new(parts.clock.wall()),
            counters: Counters::default(),
            tending: watch::Sender::default(),
        }
    }

    /// Leaves a command or task here and waits for its answer.
    pub(super) async fn submit(
        self: &Arc<Self>,
        input: Input,
        deadline: Option<Instant>,
        clock: &dyn Clock,
    ) -> Result<Answer, Error> {
        let (answer, answered) = oneshot::channel();
        self.counters.submitted();
        self.push(input, deadline, answer, clock.now())?;
        answered.await.unwrap_or_else(|_| Err(Error::OutcomeUnknown { reason: self.gone() }))
    }

    /// Errors: nothing was begun, and nothing will be.
    fn push(
        &self,
        input: Input,
        deadline: Option<Instant>,
        answer: oneshot::Sender<Result<Answer, Error>>,
        now: Instant,
    ) -> Result<(), Error> {
        let (tenant, bytes) = (input.tenant().clone(), input.bytes());
        let entry = Entry { tenant, bytes, deadline, item: Pending { input, answer } };
        let mut desk = self.desk();
        if let Some(reason) = &desk.closed {
            let refused = Err(Error::Unavailable { reason: reason.clone() });
            self.counters.answered(&refused);
            return refused.map(drop);
        }
        let out = desk.inbox.push(entry, now);
        let is_sooner =
            deadline.is_some_and(|deadline| desk.wakes_at.is_none_or(|wakes_at| deadline < wakes_at));
        let is_to_ring = std::mem::take(&mut desk.is_hungry) || is_sooner;
        drop(desk);
        if is_to_ring {
            self.bell.notify_one();
        }
        for overloaded in out {
            self.counters.overloaded();
            let what = format!("shard {}", self.id);
            let error = Error::Overloaded { what, waiting: overloaded.waiting, after: overloaded.after };
            // Who waits no longer need not know.
            let _ = overloaded.item.answer.send(Err(error));
        }
        Ok(())
    }

    /// Waits until it may be read here with everything that was answered before.
    pub(super) async fn look(&self, deadline: Option<Instant>) -> Result<Position, Error> {
        let (answer, answered) = oneshot::channel();
        {
            let mut desk = self.desk();
            if let Some(reason) = &desk.closed {
                return Err(Error::Unavailable { reason: reason.clone() });
            }
            let waiting = desk.reads.len();
            if waiting >= READS_MAX {
                let what = format!("shard {}", self.id);
                let after = Options::default().retry_delay_max;
                return Err(Error::Overloaded { what, waiting, after });
            }
            desk.reads.push(PendingRead { deadline, answer });
        }
        self.bell.notify_one();
        answered.await.unwrap_or_else(|_| Err(Error::Unavailable { reason: self.gone() }))
    }

    /// Waits for a moment at which the rows are all that was committed up to a time, and everything later gets a later one.
    /// Returns the rows and the last time in them.
    pub(crate) async fn cut(&self, at: HybridTime) -> Result<(View, HybridTime), Error> {
        let (answer, answered) = oneshot::channel();
        {
            let mut desk = self.desk();
            if let Some(reason) = &desk.closed {
                return Err(Error::Unavailable { reason: reason.clone() });
            }
            desk.cuts.push(PendingCut { at, answer });
        }
        self.bell.notify_one();
        answered.await.unwrap_or_else(|_| Err(Error::Unavailable { reason: self.gone() }))
    }

    /// Takes what waits. When that is nothing, the next that comes rings.
    pub(super) fn take(&self, take: Option<Take>, now: Instant) -> Given {
        let mut desk = self.desk();
        let (reads, cuts) = (std::mem::take(&mut desk.reads), std::mem::take(&mut desk.cuts));
        let Some(take) = take else { return Given { work: Vec::new(), reads, cuts } };
        let mut work = Vec::new();
        while work.is_empty() && !desk.inbox.is_empty() {
            work = desk.inbox.take(take, now);
            // Nobody waits for those any more, and they are not begun.
            work.retain(|entry| !entry.item.answer.is_closed());
        }
        desk.is_hungry = work.is_empty();
        Given { work, reads, cuts }
    }

    /// Answers whoever has waited past its deadline.
    pub(super) fn expire(&self, now: Instant) {
        let expired = self.desk().inbox.expire(now);
        for entry in expired {
            let answer = Err(Error::Deadline);
            self.counters.answered(&answer);
            let _ = entry.item.answer.send(answer);
        }
    }

    /// While there is no owner: answers whoever has waited past its deadline, and returns when the driver is to end.
    pub(super) async fn attend(&self, clock: &dyn Clock) {
        while !self.is_ending() {
            let now = clock.now();
            self.expire(now);
            match self.sleeps_until(None) {
                Some(due) => drop(timeout(due.saturating_since(now).as_std(), self.rung()).await),
                None => self.rung().await,
            }
        }
    }

    /// The driver sleeps until then, unless it is rung for. Returns the earliest time that it has to wake at.
    pub(super) fn sleeps_until(&self, due: Option<Instant>) -> Option<Instant> {
        let mut desk = self.desk();
        desk.wakes_at = [due, desk.inbox.deadline_min()].into_iter().flatten().min();
        desk.wakes_at
    }

    /// Waits until there is something for the driver.
    pub(super) async fn rung(&self) {
        self.bell.notified().await;
    }

    /// From now on what is asked for is taken.
    pub(super) fn open_desk(&self) {
        let mut desk = self.desk();
        if !desk.is_ending {
            desk.closed = None;
        }
    }

    /// Takes nothing more, and refuses what waits.
    pub(super) fn close_desk(&self, reason: &str) {
        let mut desk = self.desk();
        desk.closed = Some(reason.to_owned());
        let (waiting, reads) = (desk.inbox.clear(), std::mem::take(&mut desk.reads));
        let cuts = std::mem::take(&mut desk.cuts);
        drop(desk);
        let error = || Error::Unavailable { reason: reason.to_owned() };
        for entry in waiting {
            let refused = Err(error());
            self.counters.answered(&refused);
            let _ = entry.item.answer.send(refused);
        }
        for read in reads {
            let _ = read.answer.send(Err(error()));
        }
        for cut in cuts {
            let _ = cut.answer.send(Err(error()));
        }
    }

    /// Asks the driver to end.
    pub(super) fn close(&self) {
        self.desk().is_ending = true;
        self.close_desk("the node is stopping");
        self.bell.notify_one();
    }

    pub(super) fn is_ending(&self) -> bool {
        self.desk().is_ending
    }

    /// An append is begun.
    pub(super) fn append_begins(&self, now: Instant) {
        self.begun.raise(now);
    }

    /// The append that was begun last is acknowledged.
    pub(super) fn append_is_confirmed(&self) {
        self.confirmed.raise(self.begun.get());
    }

    /// How many commands wait, and their bytes.
    pub(super) fn waiting(&self) -> (usize, usize) {
        let desk = self.desk();
        (desk.inbox.waiting(), desk.inbox.bytes())
    }

    /// Whether a cut waits that the driver has not taken.
    #[cfg(test)]
    pub(super) fn has_cuts(&self) -> bool {
        !self.desk().cuts.is_empty()
    }

    /// Nobody serves the shard any more, and nobody was asked to end: nobody waits in vain.
    pub(super) fn abandon(&self) {
        self.close_desk(&self.gone());
        self.unserve();
        self.status.set(State::Failed { reason: self.gone() });
    }

    fn gone(&self) -> String {
        format!("the driver of shard {} has ended without an answer", self.id)
    }

    fn desk(&self) -> MutexGuard<'_, Desk> {
        // Whatever panicked under it was between two steps.
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
