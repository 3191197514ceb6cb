//! What becomes of an order, for the page that shows it: a stream that begins with how the order is now and ends when it is final.
//!
//! A stream that ends before that is opened again by the browser, and begins anew with how the order is then. So nothing has to be
//! remembered of it, and it may end for any reason.

use std::convert::Infallible;
use std::pin::Pin;
use std::time::Duration;

use axum::Extension;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::sse::{self, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, Stream};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, sleep_until};

use crate::feed::{Event, Feed};
use crate::orders::order::{Answered, ORDERS, Order, order_key};
use crate::service::{self, Problem};

use super::Storefront;
use super::visit::Visit;

/// How long one stream may last: an order is final within seconds, and one that is not is asked for anew.
const FOLLOWED_TIME_MAX: Duration = Duration::from_secs(10 * 60);

/// How soon a browser opens a stream again that ended.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// An order that is followed.
struct Followed {
    id: String,
    feed: Feed,
    /// What is to be told before the feed is read on.
    first: Option<Order>,
    is_final: bool,
    until: Instant,
    told_to_end: Pin<Box<dyn Future<Output = ()> + Send>>,
    _place: OwnedSemaphorePermit,
}

/// The stream of one of the customer's own orders.
pub async fn follow(
    State(storefront): State<Storefront>,
    Extension(visit): Extension<Visit>,
    order: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    let Path(order) = order.map_err(|error| Problem::not_found(error.body_text()))?;
    service::id("order", &order)?;
    let unavailable = |detail: &str| Problem::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", detail);
    let place = storefront.places.try_acquire_owned();
    let place =
        place.map_err(|_| unavailable("so many orders are followed already: ask for the page again"))?;
    let told_to_end = service::told_to_end().map_err(|error| unavailable(&error.to_string()))?;
    let key = order_key(&visit.customer, &order);
    let found = Feed::of::<Order>(&storefront.api, ORDERS, &key, visit.deadline).await;
    let found =
        found.map_err(|_| unavailable("the order cannot be read at the moment: ask for the page again"))?;
    let Some((item, feed)) = found else {
        return Err(Problem::not_found(format!("you have no order {order}")));
    };
    let followed = Followed {
        id: order,
        feed,
        first: Some(item.value),
        is_final: false,
        until: Instant::now() + FOLLOWED_TIME_MAX,
        told_to_end: Box::pin(told_to_end),
        _place: place,
    };
    Ok(Sse::new(followed.events()).into_response())
}

impl Followed {
    fn events(self) -> impl Stream<Item = Result<sse::Event, Infallible>> {
        stream::unfold(self, async |mut followed| Some((Ok(followed.next().await?), followed)))
    }

    /// The next event for the browser; none when there is nothing more to tell, or no time.
    async fn next(&mut self) -> Option<sse::Event> {
        if let Some(order) = self.first.take() {
            return Some(self.tell(order).retry(AGAIN_AFTER));
        }
        if self.is_final {
            return None;
        }
        let event = tokio::select! {
            event = self.feed.next::<Order>() => event.ok()??,
            () = sleep_until(self.until) => return None,
            () = &mut self.told_to_end => return None,
        };
        match event {
            Event::Put(item) => Some(self.tell(item.value)),
            Event::Heartbeat => Some(sse::Event::default().comment("heartbeat")),
            Event::Gone => None,
        }
    }

    fn tell(&mut self, order: Order) -> sse::Event {
        self.is_final = order.state.is_final();
        let answered = Answered { id: self.id.clone(), order };
        let data = serde_json::to_string(&answered).expect("an order is JSON");
        sse::Event::default().event("order").data(data)
    }
}
