//! A stream of events (HTML, section 9.2): one page after another, each made when the connection has taken the one before.
//!
//! That is all there is of a buffer: while a caller takes nothing, nothing is read for it. A caller that has not taken anything for
//! too long is not served any more, and goes on elsewhere or later by the last id that it has. Without events the place
//! that was reached is told now and then, so that a reader of rare events does not fall behind what is kept.

use std::convert::Infallible;

use axum::body::Body;
use axum::http::Response;
use bytes::Bytes;
use futures_util::stream::unfold;

use mainstay_base::error::{Classify, Code};
use mainstay_base::problem::Problem;
use mainstay_base::time::Instant;
use mainstay_base::units::Duration;
use mainstay_machine::feed::{Event, Events, Follow};
use mainstay_machine::position::EventId;
use mainstay_machine::shards::Error;

use super::{Values, damaged, is_passing};
use crate::Api;
use crate::answer::{Failure, header};
use crate::call::Call;
use crate::streams::Open;
use crate::streams::events::{self, PATIENCE};
use crate::terms::POSITION;
use crate::wire::EventBody;

/// How long to wait before a shard that is not served is asked again.
const PAUSE: Duration = Duration::from_millis(500);

struct Stream {
    api: Api,
    follow: Follow,
    values: Values,
    open: Open,
    /// What comes next, if it is known.
    page: Option<Result<Events, Error>>,
    /// Where the caller goes on.
    reached: EventId,
    /// When the last chunk was given to the connection.
    given: Option<Instant>,
    is_over: bool,
}

/// Opens a stream, once it is known that it can begin.
pub(super) async fn open(
    call: &Call<'_>,
    mut follow: Follow,
    values: Values,
) -> Result<Response<Body>, Failure> {
    let open = call.api.streams.open(&call.settings.streams)?;
    follow.wait = Duration::ZERO;
    let first = call.api.shards.changes(follow.clone(), call.terms.deadline).await;
    let first = first.map_err(|error| Problem::of(&error))?;
    let begun = follow.after.clone().unwrap_or_else(|| first.next.clone());
    let position = header(begun.position());
    let (page, reached) = (Some(Ok(first)), begun);
    let api = call.api.clone();
    let stream = Stream { api, follow, values, open, page, reached, given: None, is_over: false };
    let mut response = events::answer(unfold(stream, Stream::next));
    response.headers_mut().insert(POSITION, position);
    Ok(response)
}

impl Stream {
    /// The next chunk; none at the end.
    async fn next(mut self) -> Option<(Result<Bytes, Infallible>, Self)> {
        let now = self.api.clock.now();
        if self.given.is_some_and(|given| now.saturating_since(given) >= PATIENCE) {
            self.open.stalled();
            return None;
        }
        if self.is_over {
            return None;
        }
        let chunk = match self.page().await? {
            Ok(Events { events, next }) => {
                let chunk = self.events(&events, &next);
                self.reached = next;
                chunk
            }
            Err(error) => self.end(&error),
        };
        self.given = Some(self.api.clock.now());
        Some((Ok(chunk), self))
    }

    /// The next page, which is empty when it is time for a sign of life; none when the node stops.
    async fn page(&mut self) -> Option<Result<Events, Error>> {
        if let Some(page) = self.page.take() {
            return Some(page);
        }
        let heartbeat = self.api.settings.load().streams.heartbeat;
        let follow = Follow { wait: heartbeat, after: Some(self.reached.clone()), ..self.follow.clone() };
        let page = tokio::select! {
            biased;
            () = self.api.streams.closing() => return None,
            page = self.api.shards.changes(follow, None) => page,
        };
        match page {
            Err(error) if is_passing(&error) => {
                // It is told where it stands, as if there was nothing new.
                tokio::select! {
                    () = self.api.streams.closing() => return None,
                    () = tokio::time::sleep(PAUSE.as_std()) => {}
                }
                Some(Ok(Events { events: Vec::new(), next: self.reached.clone() }))
            }
            page => Some(page),
        }
    }

    fn events(&mut self, events: &[Event], next: &EventId) -> Bytes {
        if events.is_empty() {
            return chunk("heartbeat", &next.to_string(), "{}");
        }
        self.api.streams.told(events.len());
        let mut text = String::new();
        for event in events {
            let Ok(body) = EventBody::new(&self.follow.collection, event, self.values) else {
                self.is_over = true;
                let problem = serde_json::to_string(&damaged(&self.follow.collection));
                let problem = problem.expect("a problem is plain data");
                events::write(&mut text, "problem", Some(&self.reached.to_string()), &problem);
                break;
            };
            let data = serde_json::to_string(&body).expect("an event is plain data");
            events::write(&mut text, body.kind(), Some(&event.id.to_string()), &data);
        }
        text.into()
    }

    /// The last chunk, after which the caller is left to itself.
    fn end(&mut self, error: &Error) -> Bytes {
        self.is_over = true;
        if error.code() == Code::Gone {
            self.open.gone();
        }
        let problem = serde_json::to_string(&Problem::of(error)).expect("a problem is plain data");
        let kind = if error.code() == Code::Gone { "gone" } else { "problem" };
        chunk(kind, &self.reached.to_string(), &problem)
    }
}

fn chunk(kind: &str, id: &str, data: &str) -> Bytes {
    let mut text = String::new();
    events::write(&mut text, kind, Some(id), data);
    text.into()
}
