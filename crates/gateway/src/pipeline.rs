//! The way of one request, in order. A route pays only for the stages that it uses.
//!
//! 1. path: in its normal form, by which routes are matched and which services see;
//! 2. origin: whom it is from, by the proxies before the gateway that are believed;
//! 3. route: the one that takes it; all that its stages make of the request is made here;
//! 4. actions: a preflight, a redirect or an answer of the gateway's own ends it here;
//! 5. limits: by rate, for each caller;
//! 6. faults that are injected into the route;
//! 7. body: bounded, decompressed, kept if it is small;
//! 8. headers: what is of the connection goes, what is true of the client comes, the route's own changes last;
//! 9. target: the service whose turn it is in a split; and a copy to the mirror;
//! 10. policies and the service (room `upstream`);
//! 11. answer: the route's changes of headers, then compression;
//! 12. metrics, and a line in the access log once its last byte is sent.

use std::sync::{Arc, Mutex, PoisonError};

use http::header::{CONNECTION, HeaderValue};
use http::{Method, Request, Response};
use hyper::body::Incoming;
use mainstay_base::time::Timestamp;
use mainstay_upstream::{Caller, Worker as Upstream};

use crate::body::Body;
use crate::census::Census;
use crate::client::Client;
use crate::config::Settings;
use crate::forward;
use crate::head::http2;
use crate::line::Open;
use crate::meters::Meters;
use crate::mirror::Mirrors;
use crate::pace::Pace;
use crate::server::Shared;
use crate::snapshot::{Snapshot, Target};
use crate::watched::Watch;

mod exchange;
mod matched;

use exchange::{Exchange, Ways};

/// What all requests of one worker pass.
pub(crate) struct Pipeline {
    shared: Shared,
    upstream: Upstream,
    mirrors: Mirrors,
    watch: Watch,
    /// As the worker has seen it last.
    view: Mutex<Arc<View>>,
}

/// What is in force, with what this worker has for it.
pub(crate) struct View {
    snapshot: Arc<Snapshot>,
    /// In the order of the snapshot's targets.
    callers: Vec<Caller>,
}

/// What a request came by, which has to be told how it goes on.
pub(crate) enum Carrier {
    /// A connection over HTTP/1.
    Line(Open),
    /// A stream over HTTP/2.
    Stream {
        pace: Arc<Pace>,
        /// Whether it is a call of gRPC.
        is_grpc: bool,
    },
}

/// The connection is to be dropped without an answer.
#[derive(Debug, thiserror::Error)]
#[error("the connection is dropped by an injected fault")]
pub(crate) struct Aborted;

impl Pipeline {
    pub(crate) fn new(shared: Shared, upstream: Upstream) -> Self {
        let view = View::new(shared.snapshot.load_full(), &upstream, &shared);
        let mirrors = Mirrors::new(shared.meters.mirrors_left_out.clone());
        let watch = Watch::new(shared.env.clone(), shared.meters.polls.clone());
        Self { shared, upstream, mirrors, watch, view: Mutex::new(Arc::new(view)) }
    }

    pub(crate) const fn meters(&self) -> &Meters {
        &self.shared.meters
    }

    /// What tasks are watched with.
    pub(crate) const fn watch(&self) -> &Watch {
        &self.watch
    }

    pub(crate) const fn census(&self) -> &Arc<Census> {
        &self.shared.census
    }

    /// The time of day, for what certificates are judged by.
    pub(crate) fn wall(&self) -> Timestamp {
        self.shared.env.wall()
    }

    /// What clients may do, as of now.
    pub(crate) fn settings(&self) -> Arc<Settings> {
        Arc::clone(&self.shared.snapshot.load().settings)
    }

    fn view(&self) -> Arc<View> {
        let mut view = self.view.lock().unwrap_or_else(PoisonError::into_inner);
        let current = self.shared.snapshot.load();
        if view.snapshot.generation != current.generation {
            *view = Arc::new(View::new(Arc::clone(&current), &self.upstream, &self.shared));
        }
        Arc::clone(&view)
    }

    /// Answers one request.
    pub(crate) async fn handle(
        self: Arc<Self>,
        mut request: Request<Incoming>,
        client: Arc<Client>,
        carrier: Carrier,
    ) -> Result<Response<Body>, Aborted> {
        let (mut open, pace, is_grpc) = match carrier {
            Carrier::Line(open) => (Some(open), None, false),
            Carrier::Stream { pace, is_grpc } => (None, Some(pace), is_grpc),
        };
        let may_switch = open.as_ref().is_some_and(Open::may_switch);
        let view = self.view();
        if pace.is_some() {
            if let Err(refusal) = http2::check(&request, &view.snapshot.settings.limits) {
                self.meters().refused(refusal.reason.name());
                let mut told = forward::refused_stream(refusal);
                if request.method() == Method::HEAD {
                    forward::withhold(&mut told);
                }
                return Ok(told);
            }
            forward::join_cookies(request.headers_mut());
        }
        let mut exchange =
            Exchange::new(&self, &view, &client, (request, pace), Ways { may_switch, is_grpc });
        let answer = match exchange.begin() {
            Some(told) => *told,
            None => exchange.answer().await?,
        };
        let mut answer = exchange.end(answer);
        if client.listener.stop().is_draining() && open.is_some() {
            answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        let mut switched = forward::switch(&mut answer, may_switch);
        open.iter_mut().for_each(|open| open.answered(switched.take()));
        Ok(answer.map(|body| body.holding(open)))
    }
}

impl View {
    fn new(snapshot: Arc<Snapshot>, upstream: &Upstream, shared: &Shared) -> Self {
        let caller =
            |target: &Target| upstream.caller(Arc::clone(&target.service), &target.guard, &shared.faults);
        let callers = snapshot.targets.iter().map(caller).collect();
        Self { snapshot, callers }
    }
}
