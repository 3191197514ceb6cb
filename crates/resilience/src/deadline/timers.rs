//! Timers that are used again: to move one that runs to a later moment costs a call much less than to start one.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use mainstay_base::time::Instant;
use tokio::time::Sleep;

use crate::env::Env;

/// How many are kept. One that is kept holds what it would wake.
const KEPT_MAX: usize = 256;

/// Timers of one service, all on one runtime. Clones are the same.
#[derive(Debug, Clone, Default)]
pub(super) struct Timers(Arc<Mutex<Vec<Running>>>);

/// A timer that starts when it is first asked, so that what is answered at once costs none.
#[derive(Debug)]
pub(super) struct Timer {
    timers: Timers,
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    sleep: Pin<Box<Sleep>>,
    /// One moment by the environment's clock and by tokio's.
    origin: (Instant, tokio::time::Instant),
}

impl Timers {
    pub(super) fn timer(&self) -> Timer {
        Timer { timers: self.clone(), running: None }
    }

    fn kept(&self) -> MutexGuard<'_, Vec<Running>> {
        // Pushing and popping leave a valid list behind.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Timer {
    /// Waits until a moment, the same one each time.
    pub(super) fn poll_until(&mut self, moment: Instant, env: &Env, context: &mut Context<'_>) -> Poll<()> {
        let Self { timers, running } = self;
        let running = running.get_or_insert_with(|| match timers.kept().pop() {
            Some(mut kept) => {
                let at = kept.at(moment);
                kept.sleep.as_mut().reset(at);
                kept
            }
            None => Running::new(moment, env),
        });
        running.sleep.as_mut().poll(context)
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            let mut kept = self.timers.kept();
            if kept.len() < KEPT_MAX {
                kept.push(running);
            }
        }
    }
}

impl Running {
    fn new(moment: Instant, env: &Env) -> Self {
        let origin = (env.now(), tokio::time::Instant::now());
        let left = moment.saturating_since(origin.0).as_std();
        Self { sleep: Box::pin(tokio::time::sleep_until(origin.1 + left)), origin }
    }

    fn at(&self, moment: Instant) -> tokio::time::Instant {
        let (ours, tokios) = self.origin;
        tokios + moment.saturating_since(ours).as_std()
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use mainstay_base::time::SeededEntropy;
    use mainstay_base::units::Duration;

    use super::*;
    use crate::env::TokioClock;
    use crate::watch::Counts;

    #[tokio::test(start_paused = true)]
    async fn one_that_was_used_ends_at_its_new_moment() {
        let counts = Arc::new(Counts::new("test"));
        let env = Env::new(Arc::new(TokioClock::new()), Arc::new(SeededEntropy::new(1)), counts);
        let timers = Timers::default();
        // Later than the one before, which has not ended or has; and earlier.
        for (wait, is_awaited) in [(10, false), (30, true), (20, true), (5, true), (60, false), (1, true)] {
            let until = env.now().saturating_add(Duration::from_secs(wait));
            let mut timer = timers.timer();
            let ended = poll_fn(|context| timer.poll_until(until, &env, context));
            if is_awaited {
                ended.await;
                assert_eq!(env.now().saturating_since(until), Duration::ZERO, "after {wait}s");
            } else {
                let half = std::time::Duration::from_secs(wait / 2);
                assert!(tokio::time::timeout(half, ended).await.is_err());
            }
        }
        assert_eq!(timers.kept().len(), 1);
    }

    #[tokio::test]
    async fn those_that_are_kept_are_bounded() {
        let counts = Arc::new(Counts::new("test"));
        let env = Env::new(Arc::new(TokioClock::new()), Arc::new(SeededEntropy::new(1)), counts);
        let (timers, until) = (Timers::default(), env.now().saturating_add(Duration::from_secs(60)));
        let mut all: Vec<_> = (0..KEPT_MAX + 9).map(|_| timers.timer()).collect();
        for timer in &mut all {
            poll_fn(|context| Poll::Ready(timer.poll_until(until, &env, context).is_pending())).await;
        }
        drop(all);
        assert_eq!(timers.kept().len(), KEPT_MAX);
    }
}
