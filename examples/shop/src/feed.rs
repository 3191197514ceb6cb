//! What becomes of one item: how it is now, and every change after that, from Mainstay's change feed.
//!
//! The feed is followed from the position of the reading, so nothing lies between the two. It is a stream of server-sent events.

use std::time::Duration;

use axum::http::{HeaderName, Method, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::http::{Call, Deadline, encoded};
use crate::mainstay::{Error, Item, Mainstay};

/// No event is longer: an item has 1 MiB at most.
const EVENT_BYTES_MAX: usize = 4 << 20;

/// A feed says something every 15 s. Who has not heard from it for so long has lost it.
const SILENCE_MAX: Duration = Duration::from_secs(40);

/// The changes of one item.
#[derive(Debug)]
pub struct Feed {
    key: String,
    body: Incoming,
    /// What has come of the next event.
    bytes: Vec<u8>,
}

/// What a feed tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event<T> {
    /// The item is this now.
    Put(Item<T>),
    /// It is not there any more.
    Gone,
    /// Nothing has happened for a while.
    Heartbeat,
}

impl Feed {
    /// An item as it is now, and the feed of what becomes of it; none if it is not there.
    pub async fn of<T: DeserializeOwned>(
        api: &Mainstay,
        collection: &str,
        key: &str,
        deadline: Deadline,
    ) -> Result<Option<(Item<T>, Self)>, Error> {
        let Some((item, position)) = api.get_at(collection, key, deadline).await? else { return Ok(None) };
        let query = format!("prefix={}&after={}", encoded(key), encoded(&position));
        let call = Call::new(Method::GET, format!("/v1/collections/{collection}/changes?{query}"))
            .header(HeaderName::from_static("accept"), "text/event-stream");
        let answer = api.client().open(call, deadline).await;
        let answer = answer.map_err(|error| Error::Unavailable(error.to_string()))?;
        if answer.status() != StatusCode::OK {
            return Err(Error::Unavailable(format!("the feed of {collection}: {}", answer.status())));
        }
        Ok(Some((item, Self { key: key.to_owned(), body: answer.into_body(), bytes: Vec::new() })))
    }

    /// The next event; none when the feed has ended. Whoever wants to go on asks for the item again.
    pub async fn next<T: DeserializeOwned>(&mut self) -> Result<Option<Event<T>>, Error> {
        loop {
            let Some(text) = self.text().await? else { return Ok(None) };
            let (kind, data) = (field(&text, "event"), field(&text, "data"));
            if kind == "heartbeat" {
                return Ok(Some(Event::Heartbeat));
            }
            if !matches!(kind, "put" | "deleted" | "expired") {
                // The feed itself is at an end, and says why.
                return Ok(None);
            }
            let change: Change = document("an event", &self.key, data.as_bytes())?;
            // The feed has all keys that begin like this one.
            if change.key != self.key {
                continue;
            }
            if kind != "put" {
                return Ok(Some(Event::Gone));
            }
            let value = serde_json::from_value(change.value)
                .map_err(|error| unexpected("an event", &self.key, &error))?;
            return Ok(Some(Event::Put(Item { key: change.key, version: change.version, value })));
        }
    }

    /// The lines of the next event, up to the empty one.
    async fn text(&mut self) -> Result<Option<String>, Error> {
        loop {
            if let Some(end) = self.bytes.windows(2).position(|two| two == b"\n\n") {
                let event: Vec<u8> = self.bytes.drain(..end + 2).collect();
                return Ok(Some(String::from_utf8_lossy(&event).into_owned()));
            }
            if self.bytes.len() > EVENT_BYTES_MAX {
                return Err(Error::Unexpected(format!("an event of more than {EVENT_BYTES_MAX} bytes")));
            }
            let frame = tokio::time::timeout(SILENCE_MAX, self.body.frame()).await;
            let frame = frame.map_err(|_| Error::Unavailable("the feed is silent".to_owned()))?;
            match frame {
                None => return Ok(None),
                Some(Err(error)) => return Err(Error::Unavailable(error.to_string())),
                Some(Ok(frame)) => self.bytes.extend(frame.data_ref().into_iter().flatten()),
            }
        }
    }
}

/// What the shop reads of a change.
#[derive(Debug, Deserialize)]
struct Change {
    key: String,
    version: String,
    #[serde(default)]
    value: serde_json::Value,
}

/// The value of an event's field; empty if it has none. Mainstay writes each field in one line.
fn field<'a>(event: &'a str, name: &str) -> &'a str {
    let value = |line: &'a str| line.strip_prefix(name)?.strip_prefix(": ");
    event.lines().find_map(value).unwrap_or_default()
}

fn document<T: DeserializeOwned>(what: &str, key: &str, bytes: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(bytes).map_err(|error| unexpected(what, key, &error))
}

fn unexpected(what: &str, key: &str, error: &serde_json::Error) -> Error {
    Error::Unexpected(format!("{what} of {key}: {error}"))
}
