//! Which connections have a request in flight.
//!
//! From a request's head until its answer's last byte was taken by the connection, a [`Flight`] lives. A connection
//! without one may be closed: because it was idle too long, whatever protocol it speaks and however little of it
//! has arrived, or because the node stops.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, SizeHint};
use tokio::sync::Notify;

/// The requests of one connection. Cloning gives another handle to the same count.
#[derive(Clone, Default)]
pub struct Flights(Arc<Count>);

#[derive(Default)]
struct Count {
    in_flight: AtomicUsize,
    /// Requests that began since the connection was opened.
    begun: AtomicU64,
    landed: Notify,
}

/// How finely idle time is measured: a connection is closed after its limit and at most this share of it more.
const TICKS: u32 = 4;

impl Flights {
    /// A request begins.
    pub fn begin(&self) -> Flight {
        self.0.begun.fetch_add(1, Ordering::Relaxed);
        self.0.in_flight.fetch_add(1, Ordering::Relaxed);
        Flight(Arc::clone(&self.0))
    }

    /// Whether no request has begun since the connection was opened.
    pub fn none_yet(&self) -> bool {
        self.0.begun.load(Ordering::Relaxed) == 0
    }

    /// Completes when no request is in flight.
    pub async fn none(&self) {
        while self.0.in_flight.load(Ordering::Acquire) > 0 {
            self.0.landed.notified().await;
        }
    }

    /// Completes when there was no request for as long as `limit`. Costs a request nothing.
    pub async fn idle(&self, limit: Duration) {
        let mut idle_ticks = 0;
        let mut begun = 0;
        while idle_ticks < TICKS {
            tokio::time::sleep(limit / TICKS).await;
            let now = self.0.begun.load(Ordering::Relaxed);
            let quiet = now == begun && self.0.in_flight.load(Ordering::Relaxed) == 0;
            idle_ticks = if quiet { idle_ticks + 1 } else { 0 };
            begun = now;
        }
    }
}

/// One request in flight.
pub struct Flight(Arc<Count>);

impl Flight {
    /// Lets the flight last as long as the body of its answer.
    pub fn carry(self, body: Body) -> Carried {
        Carried { body, _flight: self }
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        if self.0.in_flight.fetch_sub(1, Ordering::Release) == 1 {
            self.0.landed.notify_one();
        }
    }
}

/// A body that holds its flight.
pub struct Carried {
    body: Body,
    _flight: Flight,
}

impl HttpBody for Carried {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn idle_means_no_request_for_the_whole_limit() {
        let (flights, limit) = (Flights::default(), Duration::from_secs(4));
        let flight = flights.begin();
        let idle = flights.clone();
        let idle = tokio::time::timeout(Duration::from_secs(60), async move { idle.idle(limit).await });
        let ended = async {
            tokio::time::sleep(Duration::from_secs(10)).await;
            drop(flight);
            tokio::time::Instant::now()
        };
        let (idle, ended) = tokio::join!(idle, ended);
        idle.expect("it became idle");
        let waited = ended.elapsed();
        assert!(waited >= Duration::from_secs(3) && waited <= Duration::from_secs(5), "{waited:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_flight_lasts_until_its_body_is_gone() {
        let flights = Flights::default();
        flights.none().await;
        let body = flights.begin().carry(Body::from("answer"));
        let second = flights.begin();
        let waiting = flights.clone();
        let none = tokio::time::timeout(Duration::from_secs(1), async move { waiting.none().await });
        drop(second);
        assert!(none.await.is_err(), "the body is still there");
        drop(body);
        flights.none().await;
    }
}
