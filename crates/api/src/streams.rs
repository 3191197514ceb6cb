//! The streams that are open: how many there may be, what they have told, and that they end when the node stops.

pub mod events;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use tokio::sync::watch;

use mainstay_base::error::Code;
use mainstay_base::problem::Problem;
use mainstay_base::units::Duration;

/// How many streams there may be, and how often they give a sign of life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Streams that may be open at once.
    pub open_max: u32,
    /// How long a stream without events is silent.
    pub heartbeat: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { open_max: 1024, heartbeat: Duration::from_secs(15) }
    }
}

/// All streams of a listener. Cloning gives another handle.
#[derive(Debug, Clone, Default)]
pub struct Streams(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    is_closing: watch::Sender<bool>,
    open: AtomicU64,
    events: AtomicU64,
    gone: AtomicU64,
    stalled: AtomicU64,
}

/// What streams, and pages of changes, have done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Streams that are open.
    pub open: u64,
    /// Events that were told.
    pub events: u64,
    /// Streams that have ended since what they were to tell was not kept or not there any more.
    pub gone: u64,
    /// Streams that have ended since their callers took nothing.
    pub stalled: u64,
}

/// A stream that is open, until it is dropped.
#[derive(Debug)]
pub struct Open(Streams);

impl Streams {
    /// Ends all that are open, each after what it has told, and opens none any more.
    pub fn close(&self) {
        self.0.is_closing.send_replace(true);
    }

    /// What they have done.
    pub fn counts(&self) -> Counts {
        let Inner { open, events, gone, stalled, .. } = &*self.0;
        let [open, events, gone, stalled] = [open, events, gone, stalled].map(|count| count.load(Relaxed));
        Counts { open, events, gone, stalled }
    }

    /// Returns when they are to end. Cancel-safe.
    pub async fn closing(&self) {
        let mut closing = self.0.is_closing.subscribe();
        closing.wait_for(|is_closing| *is_closing).await.expect("the sender is in `self`");
    }

    /// One more, until it is dropped. Errors: [`Code::Unavailable`] when the node is stopping, [`Code::Overloaded`] when too many are open.
    pub fn open(&self, limits: &Limits) -> Result<Open, Problem> {
        if *self.0.is_closing.borrow() {
            return Err(Problem::new(Code::Unavailable, "the node is stopping: connect again"));
        }
        let max = limits.open_max;
        let one_more = |open: u64| (open < max.into()).then_some(open + 1);
        match self.0.open.fetch_update(Relaxed, Relaxed, one_more) {
            Ok(_) => Ok(Open(self.clone())),
            Err(_) => {
                let detail = format!(
                    "{max} streams are open, as many as there may be: connect again later, or ask for pages"
                );
                Err(Problem::new(Code::Overloaded, detail).fact("limit", max))
            }
        }
    }

    /// Counts events that were told.
    pub fn told(&self, events: usize) {
        self.0.events.fetch_add(events as u64, Relaxed);
    }
}

impl Open {
    /// Counts it as ended since what it was to tell is not there any more.
    pub fn gone(&self) {
        self.0.0.gone.fetch_add(1, Relaxed);
    }

    /// Counts it as ended since its caller took nothing.
    pub fn stalled(&self) {
        self.0.0.stalled.fetch_add(1, Relaxed);
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.0.open.fetch_sub(1, Relaxed);
    }
}
