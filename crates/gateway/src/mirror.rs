//! Copies of requests that are sent to another service, whose answers nobody sees.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt as _;
use mainstay_resilience::Call;
use mainstay_upstream::{Caller, Choice, Head, Request};
use prometheus::IntCounter;
use tokio::sync::Semaphore;

/// Copies of one worker that may be under way at a time: what a slow service has more is not sent.
const UNDER_WAY_MAX: usize = 256;

/// How long an answer is read: that of a stream without end gives its place back.
const READ_LONGEST: Duration = Duration::from_secs(60);

/// Sends copies.
#[derive(Debug)]
pub(crate) struct Mirrors {
    places: Arc<Semaphore>,
    left_out: IntCounter,
}

impl Mirrors {
    pub(crate) fn new(left_out: IntCounter) -> Self {
        Self { places: Arc::new(Semaphore::new(UNDER_WAY_MAX)), left_out }
    }

    /// Sends a copy of a call, if its body is all there and there are not too many under way.
    pub(crate) fn send(&self, call: &Call<Request>, caller: &Caller) {
        let place = Arc::clone(&self.places).try_acquire_owned().ok();
        let Some(place) = place.filter(|_| call.request.payload.is_kept()) else {
            self.left_out.inc();
            return;
        };
        let mut copy = call.clone();
        // Its endpoint is chosen by itself, and nobody would speak what the service spoke after an upgrade.
        copy.request.head =
            Arc::new(Head { upgrade: None, choice: Choice::default(), ..(*call.request.head).clone() });
        let answer = caller.call(copy);
        #[expect(
            clippy::disallowed_methods,
            reason = "it has a place of those there are, and the time that its policy gives it, and ends with its thread's runtime"
        )]
        tokio::spawn(async move {
            let _place = place;
            // Read to its end, if it has one soon, so that the connection can be used again. How it goes is counted by the policies.
            let Ok(answer) = answer.await else { return };
            let mut body = answer.into_body();
            let read = async { while let Some(Ok(_)) = body.frame().await {} };
            let _ = tokio::time::timeout(READ_LONGEST, read).await;
        });
    }
}
