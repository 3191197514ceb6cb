//! Waiting for what hardly ever happens, beside what happens all the time.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_util::Stream;
use futures_util::stream::FuturesUnordered;

/// A future that is polled only when it was woken itself, and not each time the task around it is. It completes once.
///
/// A task of a connection is polled several times for each request, and each time it would look at its timers and tokens anew.
pub struct Rare<F>(FuturesUnordered<F>);

impl<F: Future> Rare<F> {
    /// Waits for `future`.
    pub fn new(future: F) -> Self {
        Self([future].into_iter().collect())
    }
}

impl<F: Future> Future for Rare<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        match ready!(Pin::new(&mut self.0).poll_next(context)) {
            Some(output) => Poll::Ready(output),
            None => panic!("it has completed and is polled again"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::Notify;

    use super::*;

    #[tokio::test]
    async fn it_is_polled_when_it_was_woken_and_not_when_its_task_was() {
        let (bell, polls) = (Notify::new(), AtomicUsize::new(0));
        let mut rung = pin!(bell.notified());
        let counted = std::future::poll_fn(|context| {
            polls.fetch_add(1, Ordering::Relaxed);
            rung.as_mut().poll(context)
        });
        let mut rare = pin!(Rare::new(counted));
        for _ in 0..10 {
            tokio::select! {
                biased;
                () = rare.as_mut() => panic!("nobody has rung"),
                () = tokio::task::yield_now() => {}
            }
        }
        assert_eq!(polls.load(Ordering::Relaxed), 1);
        bell.notify_one();
        rare.await;
        assert_eq!(polls.load(Ordering::Relaxed), 2);
    }
}
