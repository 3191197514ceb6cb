//! The stream of an order, with an API that is played: what it asks for, what it passes on, when it ends, and how many there may be.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;
use futures_util::stream;
use shop::http::Deadline;
use tokio::sync::mpsc;

use super::{Stream, Visitor, listen, serve};
use crate::feed_node::{PATIENCE, order};

/// An API with one order in it, of whoever asks, and a feed that tells what the test says.
#[derive(Clone, Default)]
struct Api {
    /// The query of each feed that was opened.
    queries: Arc<Mutex<Vec<String>>>,
    /// What the next feed tells; without it, nothing, for ever.
    feed: Arc<Mutex<Option<mpsc::Receiver<&'static str>>>>,
}

impl Api {
    async fn start(&self) -> String {
        let routes = Router::new()
            .route("/v1/collections/orders/items/{customer}/{order}", get(item))
            .route("/v1/collections/orders/changes", get(changes));
        listen(routes.with_state(self.clone())).await
    }

    fn feed(&self) -> mpsc::Sender<&'static str> {
        let (tell, told) = mpsc::channel(8);
        *self.feed.lock().unwrap() = Some(told);
        tell
    }
}

async fn item() -> Response {
    let headers =
        [("etag", "\"1-7\""), ("mainstay-position", "1.2/3 x"), ("content-type", "application/json")];
    (headers, order("placed").to_string()).into_response()
}

async fn changes(State(api): State<Api>, RawQuery(query): RawQuery) -> Response {
    api.queries.lock().unwrap().push(query.unwrap());
    let told = api.feed.lock().unwrap().take();
    let told = stream::unfold(told, async |told| match told {
        Some(mut told) => {
            let text = told.recv().await?;
            Some((Ok::<_, std::io::Error>(Bytes::from_static(text.as_bytes())), Some(told)))
        }
        None => std::future::pending().await,
    });
    ([("content-type", "text/event-stream")], Body::from_stream(told)).into_response()
}

#[tokio::test]
async fn the_feed_is_followed_from_where_the_order_was_read() {
    let api = Api::default();
    let tell = api.feed();
    let shop = serve(&api.start().await, "http://127.0.0.1:1").await;
    let visitor = Visitor::new(&shop);
    let mut stream = Stream::open(&visitor, "o-1").await;
    let first = stream.event().await.unwrap();
    assert!(first.contains("retry: 1000") && first.contains(r#""state":"placed""#), "{first}");
    let asked = format!("prefix={}%2Fo-1&after=1.2%2F3%20x", visitor.customer);
    assert_eq!(*api.queries.lock().unwrap(), [asked]);

    // An event may come in pieces, and a sign of life is passed on.
    tell.send("event: heart").await.unwrap();
    tell.send("beat\nid: 1\ndata: {}\n").await.unwrap();
    tell.send("\nevent: gone\nid: 1\ndata: {}\n\nevent: put\n").await.unwrap();
    assert_eq!(stream.event().await.unwrap(), ": heartbeat");
    assert_eq!(stream.event().await, None, "a feed that has lost its place is opened anew by the browser");
}

#[tokio::test]
async fn a_feed_that_breaks_off_or_makes_no_sense_ends_the_stream() {
    let api = Api::default();
    let shop = serve(&api.start().await, "http://127.0.0.1:1").await;
    let visitor = Visitor::new(&shop);
    for last in ["event: pu", "event: put\nid: 1\ndata: {\n\n", ""] {
        let tell = api.feed();
        let mut stream = Stream::open(&visitor, "o-1").await;
        stream.order().await.unwrap();
        tell.send(last).await.unwrap();
        drop(tell);
        assert_eq!(stream.event().await, None, "{last:?}");
    }
}

#[tokio::test]
async fn so_many_are_followed_at_once_and_no_more() {
    let api = Api::default();
    let shop = serve(&api.start().await, "http://127.0.0.1:1").await;
    let visitor = Visitor::new(&shop);
    let mut streams = Vec::new();
    for _ in 0..256 {
        streams.push(Stream::open(&visitor, "o-1").await);
    }
    let turned_away = visitor.get("/orders/o-1/events").await;
    assert_eq!(
        (turned_away.status, turned_away.code().as_str()),
        (StatusCode::SERVICE_UNAVAILABLE, "unavailable")
    );
    // A browser that goes away leaves its place.
    streams.pop();
    let deadline = Deadline::after(PATIENCE);
    loop {
        let call = visitor.call(Method::GET, "/orders/o-1/events");
        if visitor.shop.open(call, Deadline::after(PATIENCE)).await.unwrap().status() == StatusCode::OK {
            break;
        }
        assert!(!deadline.is_over(), "the place is not free again");
    }
}
