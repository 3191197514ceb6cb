//! A bulkhead: so many calls at a time, and those that wait take turns by their callers.
//!
//! What may not run at once waits, in one bounded whole, in a line of its caller's own. Lines take turns, and within a line the oldest is first, so that a
//! caller with a thousand waiters delays another's single one by one turn. While anything waits everything that may run does: nobody overtakes those that wait.
//!
//! When the whole is full, the longest line pays: its newest waiter is turned away for a newcomer whose own line is shorter by two or more. With one less
//! they would only change places. So a caller that fills the whole by itself keeps out nobody, and the fullest that it gets is an even share.
//!
//! How long calls wait and how much is in use it tells a [`shed::Handle`](crate::shed::Handle) that it has been given, which sheds in front of it.
//!
//! Source of the turns: Shreedhar, Varghese, "Efficient Fair Queuing Using Deficit Round Robin", SIGCOMM 1995, with calls that all cost the same.

mod config;
mod future;
mod layer;
mod list;
#[cfg(all(test, mainstay_loom))]
mod orders;
mod queue;
mod service;
mod slots;
#[cfg(test)]
mod tests;

use std::num::NonZeroU32;

use mainstay_base::time::Instant;
use mainstay_base::units::Duration;

pub use config::Config;
pub use future::Future;
pub use layer::{Handle, Held, Layer};
pub use service::Service;

use crate::call::Facts;
use crate::error::Rejection;
use queue::Queue;

/// What runs and what waits. See the [module](self).
#[derive(Debug, Clone)]
pub struct Bulkhead {
    config: Config,
    /// At the limit while anything waits, and above it only after it was lowered. Those whose turn has come run, also if they do not know yet.
    running: u32,
    places: Vec<Stage>,
    /// Places that nobody has.
    free: Vec<Place>,
    /// Of the places, those that wait.
    queue: Queue,
}

/// Where one stands that has to wait. It is its own from when it is asked until it has ended or left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place(u32);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Free,
    /// Until when; whether that is when it is due, rather than the longest wait.
    Waits {
        until: Instant,
        is_due: bool,
    },
    Passed,
    Late {
        is_due: bool,
    },
    Displaced,
}

/// A call that runs. Its end is told with [`Bulkhead::release`].
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a permit that is not released lets one call fewer run for ever"]
pub struct Permit(());

/// A call that waits. It looks at its turn with [`Bulkhead::look`], or goes away with [`Bulkhead::leave`].
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a ticket that neither looks nor leaves keeps its place for ever"]
pub struct Ticket(Place);

/// What becomes of a call that is not rejected.
#[derive(Debug, PartialEq, Eq)]
pub enum Asked {
    /// It runs.
    Passed(Permit),
    /// It waits.
    Waits {
        /// Its own.
        ticket: Ticket,
        /// When it waits no longer.
        until: Instant,
        /// The one that was turned away for it, which should look now.
        displaced: Option<Place>,
    },
}

/// How it stands with a call that waits.
#[derive(Debug, PartialEq, Eq)]
pub enum Turn {
    /// It waits on.
    Waits(Ticket),
    /// It runs.
    Passed(Permit),
    /// It waits no longer, and does not run.
    Rejected(Rejection),
}

impl Place {
    /// Its number: small, and that of another once it is free.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

impl Ticket {
    /// Where it stands.
    pub const fn place(&self) -> Place {
        self.0
    }
}

impl Bulkhead {
    /// One in which nothing runs.
    pub fn new(config: Config) -> Self {
        Self { config, running: 0, places: Vec::new(), free: Vec::new(), queue: Queue::default() }
    }

    /// How many run.
    pub const fn running(&self) -> u32 {
        self.running
    }

    /// How many wait.
    pub const fn waiting(&self) -> u32 {
        self.queue.count()
    }

    /// Asks to run a call now, or in its turn. Errors: the deadline has passed, or there is no place to wait.
    pub fn ask(&mut self, facts: &Facts) -> Result<Asked, Rejection> {
        let Config { concurrent, queue, max_wait } = self.config;
        if self.running < concurrent.get() {
            self.running += 1;
            return Ok(Asked::Passed(Permit(())));
        }
        let last = facts.now.saturating_add(max_wait);
        let is_due = facts.deadline.is_some_and(|deadline| deadline <= last);
        let until = if is_due { facts.deadline.unwrap_or(last) } else { last };
        if is_due && until <= facts.now {
            return Err(Rejection::DeadlinePassed);
        }
        if queue == 0 || until <= facts.now {
            return Err(self.full());
        }
        let mut displaced = None;
        if self.queue.count() >= queue {
            let place = self.queue.newest_of_longer_than(self.queue.count_of(facts.key) + 1);
            let place = place.ok_or_else(|| self.full())?;
            self.queue.remove(place);
            self.places[place.index()] = Stage::Displaced;
            displaced = Some(place);
        }
        let place = self.place(Stage::Waits { until, is_due });
        self.queue.push(place, facts.key);
        Ok(Asked::Waits { ticket: Ticket(place), until, displaced })
    }

    /// How it stands with one that waits.
    pub fn look(&mut self, ticket: Ticket, now: Instant) -> Turn {
        let place = ticket.place();
        let turn = match self.places[place.index()] {
            Stage::Waits { until, is_due } if until <= now => {
                self.queue.remove(place);
                Turn::Rejected(self.late(is_due))
            }
            Stage::Waits { .. } => return Turn::Waits(ticket),
            Stage::Passed => Turn::Passed(Permit(())),
            Stage::Late { is_due } => Turn::Rejected(self.late(is_due)),
            Stage::Displaced => Turn::Rejected(self.full()),
            Stage::Free => unreachable!("a ticket has its place until it has looked or left"),
        };
        self.vacate(place);
        turn
    }

    /// Tells that a call runs no more. Returns the one that runs instead, which should look now.
    pub fn release(&mut self, Permit(()): Permit, now: Instant) -> Option<Place> {
        self.running -= 1;
        self.pass_next(now)
    }

    /// Has so many wait for so long from now on.
    pub const fn rearrange(&mut self, queue: u32, max_wait: Duration) {
        (self.config.queue, self.config.max_wait) = (queue, max_wait);
    }

    /// Lets so many run from now on. Those that run go on. Returns those that run by it, which should look now.
    pub fn resize(&mut self, concurrent: NonZeroU32, now: Instant) -> Vec<Place> {
        self.config.concurrent = concurrent;
        std::iter::from_fn(|| self.pass_next(now)).collect()
    }

    /// Has the one run whose turn it is, if one more may.
    fn pass_next(&mut self, now: Instant) -> Option<Place> {
        while self.running < self.config.concurrent.get() {
            let place = self.queue.next()?;
            let stage = &mut self.places[place.index()];
            match *stage {
                // Its timer is about to tell it.
                Stage::Waits { until, is_due } if until <= now => *stage = Stage::Late { is_due },
                _ => {
                    *stage = Stage::Passed;
                    self.running += 1;
                    return Some(place);
                }
            }
        }
        None
    }

    /// Tells that one that waits has gone away. Returns the one that runs instead if it was its turn already.
    pub fn leave(&mut self, Ticket(place): Ticket, now: Instant) -> Option<Place> {
        let stage = self.places[place.index()];
        self.vacate(place);
        match stage {
            Stage::Waits { .. } => {
                self.queue.remove(place);
                None
            }
            Stage::Passed => self.release(Permit(()), now),
            Stage::Free | Stage::Late { .. } | Stage::Displaced => None,
        }
    }

    fn place(&mut self, stage: Stage) -> Place {
        if let Some(place) = self.free.pop() {
            self.places[place.index()] = stage;
            return place;
        }
        let place = u32::try_from(self.places.len()).expect("so many calls do not fit into memory");
        self.places.push(stage);
        Place(place)
    }

    fn vacate(&mut self, place: Place) {
        self.places[place.index()] = Stage::Free;
        self.free.push(place);
    }

    const fn full(&self) -> Rejection {
        Rejection::BulkheadFull { concurrent: self.running, waiting: self.queue.count() }
    }

    const fn late(&self, is_due: bool) -> Rejection {
        if is_due {
            return Rejection::DeadlinePassed;
        }
        let Config { concurrent, max_wait, .. } = self.config;
        Rejection::BulkheadWaited { concurrent: concurrent.get(), limit: max_wait }
    }
}
