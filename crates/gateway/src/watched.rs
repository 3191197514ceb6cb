//! How long tasks hold their worker's thread: nothing else on it goes on meanwhile.

use std::pin::Pin;
use std::task::{Context, Poll};

use mainstay_resilience::Env;
use pin_project_lite::pin_project;
use prometheus::Histogram;

/// One poll in so many is measured: to look at the clock costs some hundredths of what a request does.
const SAMPLED: u8 = 16;

/// What tasks are watched with.
#[derive(Debug, Clone)]
pub(crate) struct Watch {
    env: Env,
    polls: Histogram,
}

pin_project! {
    /// A task of which some polls are measured.
    pub(crate) struct Watched<F> {
        #[pin]
        task: F,
        watch: Watch,
        count: u8,
    }
}

impl Watch {
    pub(crate) const fn new(env: Env, polls: Histogram) -> Self {
        Self { env, polls }
    }

    pub(crate) fn task<F: Future>(&self, task: F) -> Watched<F> {
        Watched { task, watch: self.clone(), count: 0 }
    }
}

impl<F: Future> Future for Watched<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        *this.count = (*this.count + 1) % SAMPLED;
        if *this.count != 0 {
            return this.task.poll(context);
        }
        let begun = this.watch.env.now();
        let polled = this.task.poll(context);
        let taken = this.watch.env.now().saturating_since(begun);
        this.watch.polls.observe(taken.as_std().as_secs_f64());
        polled
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use mainstay_base::time::{ManualClock, SeededEntropy};
    use mainstay_base::units::Duration;
    use prometheus::HistogramOpts;

    use super::*;

    #[test]
    fn one_poll_in_sixteen_is_measured() {
        let clock = Arc::new(ManualClock::default());
        let counts = Arc::new(mainstay_resilience::Counts::new("test"));
        let env = Env::new(Arc::clone(&clock) as _, Arc::new(SeededEntropy::new(1)), counts);
        let polls = Histogram::with_opts(HistogramOpts::new("polls", "Polls.")).expect("a valid metric");
        let watch = Watch::new(env, polls.clone());
        let task = watch.task(std::future::poll_fn(|_| {
            clock.advance(Duration::from_millis(1));
            Poll::<()>::Pending
        }));
        let mut task = std::pin::pin!(task);
        let mut context = Context::from_waker(std::task::Waker::noop());
        for _ in 0..160 {
            assert!(task.as_mut().poll(&mut context).is_pending());
        }
        assert_eq!(polls.get_sample_count(), 10);
        assert!((polls.get_sample_sum() - 0.01).abs() < 1e-9);
    }
}
