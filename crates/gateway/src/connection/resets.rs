//! Clients that begin streams over HTTP/2 and reset them before they are answered (CVE-2023-44487): each costs a request, and none of them counts as open.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll};

use pin_project_lite::pin_project;
use tokio::sync::Notify;

/// So many resets are a client that has lost interest: a page that is left has about as many requests under way.
const RESETS_MAX: u32 = 256;

/// How many streams of a connection began, and how many were reset before they were answered. Clones are the same one.
#[derive(Debug, Clone, Default)]
pub(super) struct Resets(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    begun: AtomicU32,
    reset: AtomicU32,
    too_many: Notify,
}

impl Resets {
    /// A stream that begins, until it is answered.
    pub(super) fn until_answered<F: Future>(&self, answer: F) -> UntilAnswered<F> {
        self.0.begun.fetch_add(1, Ordering::Relaxed);
        UntilAnswered { answer, open: Open { counts: Arc::clone(&self.0), is_answered: false } }
    }

    /// Waits until there are more than a connection may have, and half of all its streams.
    pub(super) async fn too_many(&self) {
        self.0.too_many.notified().await;
    }
}

pin_project! {
    /// The answer of a stream.
    pub(super) struct UntilAnswered<F> {
        #[pin]
        answer: F,
        open: Open,
    }
}

struct Open {
    counts: Arc<Counts>,
    is_answered: bool,
}

impl Drop for Open {
    fn drop(&mut self) {
        if self.is_answered {
            return;
        }
        let reset = self.counts.reset.fetch_add(1, Ordering::Relaxed) + 1;
        if reset > RESETS_MAX && reset > self.counts.begun.load(Ordering::Relaxed) / 2 {
            self.counts.too_many.notify_one();
        }
    }
}

impl<F: Future> Future for UntilAnswered<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let answer = std::task::ready!(this.answer.poll(context));
        this.open.is_answered = true;
        Poll::Ready(answer)
    }
}
