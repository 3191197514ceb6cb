//! Where work is done that would hold up a worker's thread.

use std::mem;
use std::num::NonZeroUsize;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio_util::sync::PollSemaphore;

/// The threads for pieces of work that are too long for a worker's: so many pieces at a time, for whoever has a clone, and others in the order in which they came. The threads are
/// those that the runtime has for what blocks.
#[derive(Debug, Clone)]
pub struct Background {
    /// Never closed.
    places: Arc<Semaphore>,
}

impl Background {
    /// So many pieces at a time. As many as there are cores keep the machine busy; more only take turns.
    pub fn new(at_once: NonZeroUsize) -> Self {
        Self { places: Arc::new(Semaphore::new(at_once.get())) }
    }
}

/// What is done in pieces.
pub(super) trait Work: Send + 'static {
    /// Does one.
    fn run(&mut self);
}

/// One body's work, and where it is. It is never in two places: a piece has to end before the next begins.
pub(super) struct Desk<W> {
    place: Place<W>,
    places: PollSemaphore,
}

enum Place<W> {
    Here(Box<W>),
    /// For a place in the background.
    Waiting(Box<W>),
    Away(JoinHandle<Box<W>>),
    /// The runtime ends, and polls nobody any more.
    Gone,
}

impl<W: Work> Desk<W> {
    pub(super) fn new(work: W, background: &Background) -> Self {
        let places = PollSemaphore::new(Arc::clone(&background.places));
        Self { place: Place::Here(Box::new(work)), places }
    }

    /// The work, between two pieces.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<&mut W> {
        loop {
            self.place = match mem::replace(&mut self.place, Place::Gone) {
                Place::Here(work) => {
                    self.place = Place::Here(work);
                    break;
                }
                Place::Waiting(mut work) => {
                    let Poll::Ready(held) = self.places.poll_acquire(context) else {
                        self.place = Place::Waiting(work);
                        return Poll::Pending;
                    };
                    Place::Away(spawn_blocking(move || {
                        let _held = held;
                        work.run();
                        work
                    }))
                }
                Place::Away(mut handle) => match Pin::new(&mut handle).poll(context) {
                    Poll::Ready(Ok(work)) => Place::Here(work),
                    Poll::Ready(Err(error)) if error.is_panic() => {
                        std::panic::resume_unwind(error.into_panic())
                    }
                    Poll::Ready(Err(_)) => Place::Gone,
                    Poll::Pending => {
                        self.place = Place::Away(handle);
                        return Poll::Pending;
                    }
                },
                Place::Gone => return Poll::Pending,
            };
        }
        match &mut self.place {
            Place::Here(work) => Poll::Ready(work),
            _ => Poll::Pending,
        }
    }

    /// Does a piece of the work that is here: now if it is short, else in the background.
    pub(super) fn begin(&mut self, is_short: bool) {
        if let Place::Here(work) = &mut self.place
            && is_short
        {
            work.run();
        } else if let Place::Here(work) = mem::replace(&mut self.place, Place::Gone) {
            self.place = Place::Waiting(work);
        }
    }

    /// Whether a piece is under way.
    pub(super) const fn is_busy(&self) -> bool {
        !matches!(self.place, Place::Here(_))
    }
}
