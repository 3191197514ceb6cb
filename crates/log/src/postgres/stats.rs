//! What the engine counts, for metrics.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// What the engine has done since it was opened, and how it is now. Counters only grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stats {
    /// Connections that were made, without the one that listens.
    pub connected_total: u64,
    /// Connections that were lost or given up.
    pub lost_total: u64,
    /// Connections that wait for work now.
    pub idle: usize,
    /// Operations that wait for a connection now.
    pub waiting: usize,
    /// Acknowledged appends.
    pub appended_total: u64,
    /// Appends refused for their index.
    pub refused_total: u64,
    /// Appends refused for their epoch.
    pub fenced_total: u64,
    /// Appends with an unknown outcome.
    pub unknown_total: u64,
    /// Appends that failed and did nothing.
    pub failed_total: u64,
    /// Whether notifications of other processes' appends come in now.
    pub is_listening: bool,
    /// How often listening began.
    pub listened_total: u64,
    /// Notifications that came in.
    pub notified_total: u64,
    /// Looks for an append because no notification came in time.
    pub polled_total: u64,
}

/// The counters behind [`Stats`].
#[derive(Debug, Default)]
pub(super) struct Counters {
    connected: AtomicU64,
    lost: AtomicU64,
    pub appended: AtomicU64,
    pub refused: AtomicU64,
    pub fenced: AtomicU64,
    pub unknown: AtomicU64,
    pub failed: AtomicU64,
    is_listening: AtomicBool,
    listened: AtomicU64,
    pub notified: AtomicU64,
    pub polled: AtomicU64,
}

/// Adds one.
pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl Counters {
    pub fn connected(&self) {
        count(&self.connected);
    }

    pub fn lost(&self) {
        count(&self.lost);
    }

    pub fn listens(&self, is_listening: bool) {
        self.is_listening.store(is_listening, Ordering::Relaxed);
        if is_listening {
            count(&self.listened);
        }
    }

    pub fn read(&self, (idle, waiting): (usize, usize)) -> Stats {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Stats {
            connected_total: get(&self.connected),
            lost_total: get(&self.lost),
            idle,
            waiting,
            appended_total: get(&self.appended),
            refused_total: get(&self.refused),
            fenced_total: get(&self.fenced),
            unknown_total: get(&self.unknown),
            failed_total: get(&self.failed),
            is_listening: self.is_listening.load(Ordering::Relaxed),
            listened_total: get(&self.listened),
            notified_total: get(&self.notified),
            polled_total: get(&self.polled),
        }
    }
}
