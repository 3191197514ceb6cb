//! The way of one request.

use std::borrow::Cow;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};

use http::header::{ALLOW, CONNECTION, HOST, HeaderName, HeaderValue};
use http::uri::Authority;
use http::{Request, Response};
use hyper::body::Incoming;
use mainstay_base::error::Code;
use mainstay_base::problem::Problem;
use mainstay_base::time::Timestamp;
use mainstay_resilience::{Call, Facts};
use mainstay_upstream::{Caller, Worker as Upstream};

use crate::body::Body;
use crate::census::Census;
use crate::client::Client;
use crate::config::Settings;
use crate::forward;
use crate::forwarded;
use crate::line::Open;
use crate::meters::{Meters, RouteMeters};
use crate::path;
use crate::routes::{self, Allow, Headers, Query, Seen};
use crate::server::Shared;
use crate::snapshot::Snapshot;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// What all requests of one worker pass.
pub(crate) struct Pipeline {
    shared: Shared,
    upstream: Upstream,
    /// As the worker has seen it last.
    view: Mutex<Arc<View>>,
}

/// What is in force, with what this worker has for it.
pub(crate) struct View {
    snapshot: Arc<Snapshot>,
    /// In the order of the snapshot's services.
    callers: Vec<Arc<Caller>>,
}

impl Pipeline {
    pub(crate) fn new(shared: Shared, upstream: Upstream) -> Self {
        let view = View::new(shared.snapshot.load_full(), &upstream);
        Self { shared, upstream, view: Mutex::new(Arc::new(view)) }
    }

    pub(crate) const fn meters(&self) -> &Meters {
        &self.shared.meters
    }

    pub(crate) const fn census(&self) -> &Arc<Census> {
        &self.shared.census
    }

    /// The time of day, for what certificates are judged by.
    pub(crate) fn wall(&self) -> Timestamp {
        self.shared.env.wall()
    }

    fn view(&self) -> Arc<View> {
        let mut view = self.view.lock().unwrap_or_else(PoisonError::into_inner);
        let current = self.shared.snapshot.load();
        if view.snapshot.generation != current.generation {
            *view = Arc::new(View::new(Arc::clone(&current), &self.upstream));
        }
        Arc::clone(&view)
    }

    /// Answers one request.
    pub(crate) async fn handle(
        self: Arc<Self>,
        request: Request<Incoming>,
        client: Arc<Client>,
        mut open: Option<Open>,
    ) -> Result<Response<Body>, Infallible> {
        let may_switch = open.as_ref().is_some_and(Open::may_switch);
        let mut answer = self.answer(request, &client, may_switch).await;
        if client.stop.draining.is_cancelled() && open.is_some() {
            answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        let mut switched = forward::switch(&mut answer, may_switch);
        open.iter_mut().for_each(|open| open.answered(switched.take()));
        Ok(answer.map(|body| body.holding(open)))
    }

    async fn answer(&self, request: Request<Incoming>, client: &Client, may_switch: bool) -> Response<Body> {
        let view = self.view();
        let begun = self.shared.env.now();
        let (answer, meters) = self.routed(&view, request, (client, may_switch)).await;
        meters.count(answer.status(), self.shared.env.now().saturating_since(begun));
        answer
    }

    /// Matched by path and host in their normal forms, and sent to the service of its route.
    async fn routed<'v>(
        &self,
        view: &'v View,
        mut request: Request<Incoming>,
        (client, may_switch): (&Client, bool),
    ) -> (Response<Body>, &'v RouteMeters) {
        let Snapshot { settings, table, routes, no_route, .. } = &*view.snapshot;
        let path = match path::normalise(request.uri().path(), &settings.paths) {
            Ok(path) => path,
            Err(error) => return (forward::problem(&error), no_route),
        };
        let authority = request.uri().authority().map(Authority::as_str);
        let named = authority.or_else(|| request.headers().get(HOST)?.to_str().ok()).unwrap_or("");
        let host = routes::host(named);
        let origin = settings.forwarded.origin(request.headers(), &client.hop);
        let seen = Seen {
            method: request.method(),
            scheme: if origin.is_https { "https" } else { "http" },
            host: &host,
            path: &path,
            query: Query(request.uri().query()),
            headers: Headers(request.headers()),
            client: origin.client,
        };
        let Some(found) = table.find(&seen) else {
            return (not_routed(table.allowed(&seen), &seen), no_route);
        };
        let route = &routes[found.route];
        if let Cow::Owned(path) = path {
            drop(host);
            forward::set_path(&mut request, &path);
        }
        let is_idempotent =
            request.method().is_idempotent() || request.headers().contains_key(IDEMPOTENCY_KEY);
        forward::strip(request.headers_mut());
        forward::name_host(&mut request);
        client.tell(request.headers_mut());
        settings.forwarded.tell(request.headers_mut(), &origin, &client.hop);
        let version = request.version();
        if !forwarded::passed(request.headers_mut(), version) {
            let detail = "the request has passed this gateway, or others that call themselves mainstay, 8 times: look where its services send what they are sent";
            return (forward::told(&Problem::new(Code::LoopDetected, detail)), &route.meters);
        }
        let answer = match forward::request(request, may_switch).await {
            Ok(request) => {
                // A body that is kept has come by now: how long its client took is not the service's time.
                let facts = Facts {
                    is_idempotent,
                    criticality: route.criticality,
                    ..Facts::new(self.shared.env.now())
                };
                view.callers[route.service].call(Call { request, facts }).await
            }
            Err(error) => Err(mainstay_resilience::Error::Service(error)),
        };
        let answer = match answer {
            Ok(answer) => forward::answer(answer),
            Err(error) => forward::problem(&error),
        };
        (answer, &route.meters)
    }

    /// What clients may do, as of now.
    pub(crate) fn settings(&self) -> Arc<Settings> {
        Arc::clone(&self.shared.snapshot.load().settings)
    }
}

/// What a request is told that no route takes.
fn not_routed(allowed: Option<Allow>, seen: &Seen<'_>) -> Response<Body> {
    let Some(allowed) = allowed else {
        let detail = format!("no route takes {} for the host `{}`", seen.path, seen.host);
        return forward::told(&Problem::new(Code::NotFound, detail));
    };
    let detail = format!("{} has {allowed}, and not {}", seen.path, seen.method);
    let mut answer = forward::told(&Problem::new(Code::MethodNotAllowed, detail));
    if let Ok(allowed) = allowed.to_string().try_into() {
        answer.headers_mut().insert(ALLOW, allowed);
    }
    answer
}

impl View {
    fn new(snapshot: Arc<Snapshot>, upstream: &Upstream) -> Self {
        let callers =
            snapshot.services.iter().map(|service| Arc::new(upstream.caller(Arc::clone(service)))).collect();
        Self { snapshot, callers }
    }
}
