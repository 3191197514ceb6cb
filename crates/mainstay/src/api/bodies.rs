//! The memory that request bodies take, of all connections together.
//!
//! Bytes count from their arrival until their request is answered. Nothing waits for room: a body that would go beyond it is
//! refused at once and lets go of what it has, so that those who came before can end. And room is taken by what has arrived, not by what was
//! announced, so that nobody takes it with a promise.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};

use axum::BoxError;
use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, SizeHint};
use mainstay_api::body::NoRoom;
use mainstay_base::units::Size;
use prometheus::IntGauge;

/// What all bodies take.
#[derive(Clone)]
pub struct Bodies {
    taken: Arc<AtomicU64>,
    shown: IntGauge,
}

/// What the body of one request takes, until it is dropped.
pub struct Held {
    bodies: Bodies,
    max: Size,
    bytes: AtomicU64,
}

impl Bodies {
    /// None is there. The gauge shows what they take.
    pub fn new(shown: IntGauge) -> Self {
        Self { taken: Arc::default(), shown }
    }

    /// Counts the body of a request, if it has one: what it takes is held as long as the second value lives. `max` is for all.
    pub fn count(&self, body: Body, max: Size) -> (Body, Option<Arc<Held>>) {
        if body.is_end_stream() {
            return (body, None);
        }
        let held = Arc::new(Held { bodies: self.clone(), max, bytes: AtomicU64::new(0) });
        (Body::new(Counted { body, held: Arc::clone(&held) }), Some(held))
    }
}

impl Held {
    fn take(&self, bytes: u64) -> Result<(), NoRoom> {
        let max = self.max.bytes();
        let more = |taken: u64| taken.checked_add(bytes).filter(|taken| *taken <= max);
        self.bodies.taken.fetch_update(Relaxed, Relaxed, more).map_err(|_| NoRoom { limit: self.max })?;
        self.bytes.fetch_add(bytes, Relaxed);
        self.bodies.shown.add(i64::try_from(bytes).unwrap_or(i64::MAX));
        Ok(())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let bytes = *self.bytes.get_mut();
        self.bodies.taken.fetch_sub(bytes, Relaxed);
        self.bodies.shown.sub(i64::try_from(bytes).unwrap_or(i64::MAX));
    }
}

/// A body that takes room as it arrives.
struct Counted {
    body: Body,
    held: Arc<Held>,
}

impl HttpBody for Counted {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = std::task::ready!(Pin::new(&mut self.body).poll_frame(context));
        let bytes = match &frame {
            Some(Ok(frame)) => frame.data_ref().map_or(0, Bytes::len) as u64,
            _ => 0,
        };
        Poll::Ready(match self.held.take(bytes) {
            Ok(()) => frame.map(|frame| frame.map_err(Into::into)),
            Err(error) => Some(Err(error.into())),
        })
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
    use http_body_util::BodyExt as _;

    use super::*;

    fn bodies() -> Bodies {
        Bodies::new(IntGauge::new("bytes", "Bytes.").expect("a gauge"))
    }

    async fn read(body: Body) -> Result<usize, axum::Error> {
        body.collect().await.map(|whole| whole.to_bytes().len())
    }

    #[tokio::test]
    async fn bodies_take_room_until_their_requests_are_answered() {
        let (bodies, max) = (bodies(), Size::from_bytes(10));
        let count = |bytes: usize| bodies.count(Body::from(vec![0; bytes]), max);
        let (one, of_one) = count(6);
        let (two, of_two) = count(5);
        assert_eq!(read(one).await.expect("there is room"), 6);
        let error = read(two).await.expect_err("there is none");
        assert!(error.into_inner().is::<NoRoom>());
        let (three, of_three) = count(4);
        assert_eq!(read(three).await.expect("what was refused takes none"), 4);
        assert_eq!(bodies.shown.get(), 10);
        drop((of_one, of_two));
        let (four, of_four) = count(6);
        assert_eq!(read(four).await.expect("the first is answered"), 6);
        drop((of_three, of_four));
        assert_eq!((bodies.shown.get(), bodies.taken.load(Relaxed)), (0, 0));
        assert!(count(0).1.is_none());
    }
}
