//! The requests that are due and wait for a free connection of one worker thread.
//!
//! It is bounded. What does not fit was due and is never sent, which the outcome counts: a generator that silently
//! sent less would make a slow server look good.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

use tokio::sync::Notify;

use crate::clock::Moment;

/// Due moments, oldest first. Single-threaded: tasks of one worker share it by reference.
#[derive(Debug)]
pub(super) struct Queue {
    due: RefCell<VecDeque<Moment>>,
    capacity: usize,
    closed: Cell<bool>,
    changed: Notify,
}

impl Queue {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            due: RefCell::new(VecDeque::with_capacity(capacity.min(1024))),
            capacity,
            closed: Cell::new(false),
            changed: Notify::new(),
        }
    }

    /// Adds a due request and wakes one connection; false if the queue is full.
    #[must_use]
    pub(super) fn push(&self, intended: Moment) -> bool {
        let mut due = self.due.borrow_mut();
        if due.len() >= self.capacity {
            return false;
        }
        due.push_back(intended);
        self.changed.notify_one();
        true
    }

    /// No more will be added: who finds the queue empty is done.
    pub(super) fn close(&self) {
        self.closed.set(true);
        self.changed.notify_waiters();
    }

    /// The oldest due request, waited for; none when the queue is closed and empty.
    pub(super) async fn take(&self) -> Option<Moment> {
        loop {
            if let Some(intended) = self.due.borrow_mut().pop_front() {
                return Some(intended);
            }
            if self.closed.get() {
                return None;
            }
            // Nothing runs between the checks above and the first poll of this: all is on one thread.
            self.changed.notified().await;
        }
    }

    /// Takes everything that still waits.
    pub(super) fn drain(&self) -> usize {
        self.due.borrow_mut().drain(..).count()
    }
}
