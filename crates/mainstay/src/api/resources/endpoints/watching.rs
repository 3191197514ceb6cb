//! The endpoints of a service as a stream of events: all that there are, then what becomes of them.
//!
//! Nothing is collected for a reader. When the connection has taken what it was sent, what there is now is compared with what the reader knows: it is told the difference, however many changes made it.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::http::Response;
use futures_util::stream::unfold;
use serde::Serialize;
use serde_json::json;
use tokio::sync::watch;

use mainstay_api::answer::Failure;
use mainstay_api::streams::Open;
use mainstay_api::streams::events::{self, PATIENCE};
use mainstay_base::error::Code;
use mainstay_base::problem::Problem;
use mainstay_base::time::Instant;
use mainstay_upstream::Service;

use crate::api::Context;
use crate::gateway::Endpoint;

struct Watching {
    context: Context,
    service: Arc<Service>,
    /// Changes when something may have become of an endpoint.
    changes: watch::Receiver<u64>,
    /// The services that there are.
    services: watch::Receiver<Vec<Arc<Service>>>,
    open: Open,
    /// What the reader knows; nothing before the first event.
    known: Option<BTreeMap<SocketAddr, Endpoint>>,
    /// When the last chunk was given to the connection.
    given: Option<Instant>,
    is_over: bool,
}

/// Opens a stream.
pub fn open(context: Context, service: Arc<Service>) -> Result<Response<Body>, Failure> {
    let api = context.shards.resources();
    let open = api.streams.open(&api.settings.load().streams)?;
    let (changes, services) = (service.roster().changes(), context.gateway.services());
    let (known, given, is_over) = (None, None, false);
    let watching = Watching { context, service, changes, services, open, known, given, is_over };
    Ok(events::answer(unfold(watching, Watching::next)))
}

impl Watching {
    /// The next chunk; none at the end.
    async fn next(mut self) -> Option<(Result<Bytes, Infallible>, Self)> {
        let now = self.context.clock.now();
        if self.given.is_some_and(|given| now.saturating_since(given) >= PATIENCE) {
            self.open.stalled();
            return None;
        }
        if self.is_over {
            return None;
        }
        let chunk = self.chunk().await?;
        self.given = Some(self.context.clock.now());
        Some((Ok(chunk.into()), self))
    }

    /// What there is to tell, as soon as there is something, or a sign of life; none when the node stops.
    async fn chunk(&mut self) -> Option<String> {
        let api = self.context.shards.resources().clone();
        let heartbeat = api.settings.load().streams.heartbeat;
        let silence = tokio::time::sleep(heartbeat.as_std());
        tokio::pin!(silence);
        loop {
            // Before it is looked: what changes from then on is seen.
            self.changes.mark_unchanged();
            self.services.mark_unchanged();
            if !self.is_there() {
                return Some(self.end());
            }
            let (text, events) = self.difference();
            if events > 0 {
                api.streams.told(events);
                return Some(text);
            }
            tokio::select! {
                biased;
                () = api.streams.closing() => return None,
                changed = self.changes.changed() => changed.ok()?,
                changed = self.services.changed() => changed.ok()?,
                () = &mut silence => return Some(event("heartbeat", &json!({}))),
            }
        }
    }

    /// Whether the service is there still, and is the one that it was: its endpoints stay when its definition changes.
    fn is_there(&self) -> bool {
        let is_it = |service: &Arc<Service>| Arc::ptr_eq(service.roster(), self.service.roster());
        self.services.borrow().iter().any(is_it)
    }

    /// The last chunk, after which the caller is left to itself.
    fn end(&mut self) -> String {
        self.is_over = true;
        self.open.gone();
        let detail = format!("the service `{}` is not there any more", self.service.name());
        event("gone", &Problem::new(Code::NotFound, detail))
    }

    /// What the reader does not know yet, and how many events that is.
    fn difference(&mut self) -> (String, usize) {
        let now = self.context.gateway.endpoints_of(&self.service);
        let steady = now.iter().map(|endpoint| (endpoint.address, endpoint.steady())).collect();
        let Some(known) = self.known.replace(steady) else {
            return (event("endpoints", &json!({ "endpoints": now })), 1);
        };
        let known_now = self.known.as_ref().expect("it was just put there");
        let removed = known.keys().filter(|address| !known_now.contains_key(address));
        let mut all: Vec<_> =
            removed.map(|address| event("removed", &json!({ "address": address }))).collect();
        for endpoint in &now {
            match known.get(&endpoint.address) {
                None => all.push(event("added", endpoint)),
                Some(before) if *before != known_now[&endpoint.address] => {
                    all.push(event("changed", endpoint));
                }
                Some(_) => {}
            }
        }
        (all.concat(), all.len())
    }
}

fn event(kind: &str, data: &impl Serialize) -> String {
    let mut text = String::new();
    let data = serde_json::to_string(data).expect("an event is plain data");
    events::write(&mut text, kind, None, &data);
    text
}
