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

use std::future::pending;
use std::sync::{Arc, Mutex, PoisonError};

use http::header::{CONNECTION, HeaderName, HeaderValue};
use http::request::Parts;
use http::{Method, Request, Response};
use hyper::body::Incoming;
use mainstay_base::error::Code;
use mainstay_base::id::RequestId;
use mainstay_base::problem::Problem;
use mainstay_base::time::Timestamp;
use mainstay_resilience::fault::{End, Slow, matches};
use mainstay_resilience::limit::Standing;
use mainstay_resilience::{Call, Error, Facts, Rejection};
use mainstay_upstream::{AnswerBody, Caller, Worker as Upstream};

use crate::access::{Asked, Entry};
use crate::actions::OnRequest;
use crate::body::Body;
use crate::census::Census;
use crate::client::Client;
use crate::coding::{self, Negotiated};
use crate::config::Settings;
use crate::forwarded::Origin;
use crate::limits::Keys;
use crate::line::Open;
use crate::meters::Meters;
use crate::mirror::Mirrors;
use crate::payload::{NoPayload, payload};
use crate::server::Shared;
use crate::snapshot::{Route, Snapshot, Target};
use crate::{forward, forwarded};

mod matched;

use matched::{Made, Matched, Next, matched};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const REQUEST_ID: HeaderName = HeaderName::from_static("mainstay-request-id");

/// What all requests of one worker pass.
pub(crate) struct Pipeline {
    shared: Shared,
    upstream: Upstream,
    mirrors: Mirrors,
    /// As the worker has seen it last.
    view: Mutex<Arc<View>>,
}

/// What is in force, with what this worker has for it.
pub(crate) struct View {
    snapshot: Arc<Snapshot>,
    /// In the order of the snapshot's targets.
    callers: Vec<Caller>,
}

/// The connection is to be dropped without an answer.
#[derive(Debug, thiserror::Error)]
#[error("the connection is dropped by an injected fault")]
pub(crate) struct Aborted;

/// Why the service's answer is not the client's.
enum Instead {
    /// This is told.
    Told(Box<Response<Body>>),
    Aborted,
}

impl From<Response<Body>> for Instead {
    fn from(told: Response<Body>) -> Self {
        Self::Told(Box::new(told))
    }
}

impl Pipeline {
    pub(crate) fn new(shared: Shared, upstream: Upstream) -> Self {
        let view = View::new(shared.snapshot.load_full(), &upstream, &shared);
        let mirrors = Mirrors::new(shared.meters.mirrors_left_out.clone());
        Self { shared, upstream, mirrors, view: Mutex::new(Arc::new(view)) }
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
        request: Request<Incoming>,
        client: Arc<Client>,
        mut open: Option<Open>,
    ) -> Result<Response<Body>, Aborted> {
        let may_switch = open.as_ref().is_some_and(Open::may_switch);
        let mut answer = self.answer(request, &client, may_switch).await?;
        if client.stop.draining.is_cancelled() && open.is_some() {
            answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        let mut switched = forward::switch(&mut answer, may_switch);
        open.iter_mut().for_each(|open| open.answered(switched.take()));
        Ok(answer.map(|body| body.holding(open)))
    }

    async fn answer(
        &self,
        request: Request<Incoming>,
        client: &Client,
        may_switch: bool,
    ) -> Result<Response<Body>, Aborted> {
        let view = self.view();
        let Snapshot { settings, routes, no_route, .. } = &*view.snapshot;
        let (begun, id) = (self.shared.env.now(), self.shared.env.request_id());
        let (mut parts, body) = request.into_parts();
        forward::name_host(&mut parts);
        let origin = settings.forwarded.origin(&parts.headers, &client.hop);
        let matched = matched(&view.snapshot, &parts, &origin);
        let (access_log, name, meters) = match &matched {
            Ok(Matched { route, .. }) => {
                let route = &routes[*route];
                (&route.access_log, route.name.as_str(), &route.meters)
            }
            Err(_) => (&settings.access_log, "none", no_route),
        };
        let is_head = parts.method == Method::HEAD;
        let mut entry = {
            let Parts { method, uri, headers, .. } = &parts;
            let asked = Asked { id, begun, origin, method, uri, headers };
            access_log.begin(&asked, name, &self.shared.env)
        };
        let answered = match matched {
            Ok(matched) => {
                let route = &routes[matched.route];
                let exchange = Exchange { view: &view, route, client, origin, id, may_switch };
                self.acted(&exchange, matched, (parts, body), entry.as_deref_mut()).await
            }
            Err(told) => Ok(*told),
        };
        let mut answer = answered?;
        meters.count(answer.status(), self.shared.env.now().saturating_since(begun));
        answer.headers_mut().insert(REQUEST_ID, value(id));
        if let Some(entry) = &mut entry {
            entry.answered(answer.status());
        }
        Ok(answer.map(|body| body.logged(entry, is_head)))
    }

    /// What the route does by itself, around what a service answers.
    async fn acted(
        &self,
        exchange: &Exchange<'_>,
        Matched { next, on_answer, made, .. }: Matched<'_>,
        (parts, body): (Parts, Incoming),
        entry: Option<&mut Entry>,
    ) -> Result<Response<Body>, Aborted> {
        let compression = exchange.route.compression.as_deref();
        let negotiated = compression.map(|it| (it, Negotiated::of(&parts.method, &parts.headers, it)));
        let answered = match next {
            Next::Answer(answer) => Ok(answer.map(Body::whole)),
            Next::Refuse(error) => {
                let source = std::error::Error::source(&error).map(ToString::to_string);
                tracing::debug!(target: "mainstay::gateway", route = %exchange.route.name, %error, source, "a route's action cannot be done");
                Err(Instead::from(forward::problem(&error)))
            }
            Next::Forward(on_request) => {
                self.forwarded(exchange, (made, on_request), (parts, body), entry).await
            }
        };
        let answer = match answered {
            Ok(mut answer) => {
                on_answer.into_iter().for_each(|it| it.apply(answer.headers_mut()));
                answer
            }
            Err(Instead::Told(mut told)) => {
                on_answer.into_iter().for_each(|it| it.apply_to_problem(told.headers_mut()));
                *told
            }
            Err(Instead::Aborted) => return Err(Aborted),
        };
        Ok(match negotiated {
            None => answer,
            Some((config, negotiated)) => {
                coding::compress(answer, &negotiated, config, &self.shared.background).map(Body::coded)
            }
        })
    }

    /// Has a service answer, if the request may be sent to one.
    async fn forwarded(
        &self,
        exchange: &Exchange<'_>,
        (made, on_request): (Made, Option<OnRequest<'_>>),
        request: (Parts, Incoming),
        entry: Option<&mut Entry>,
    ) -> Result<Response<Body>, Instead> {
        let standing = self.limited(exchange.route, made.keys.as_ref())?;
        let slow = self.injected(exchange.route).await?;
        let answer = self.sent(exchange, (made, on_request), request, entry).await?;
        let mut answer = forward::answer(answer, slow);
        if let (Some(limits), Some(standing)) = (&exchange.route.limits, standing) {
            limits.tell(answer.headers_mut(), standing);
        }
        Ok(answer)
    }

    /// Counts the request for its caller.
    fn limited(&self, route: &Route, keys: Option<&Keys>) -> Result<Option<Standing>, Instead> {
        let (Some(limits), Some(keys)) = (&route.limits, keys) else { return Ok(None) };
        limits.ask(keys, self.shared.env.now()).map(Some).map_err(|rejection| {
            let mut told = forward::problem(&rejection);
            limits.tell_rejected(told.headers_mut(), rejection);
            told.into()
        })
    }

    /// Does what faults do to the route. Returns how slowly its answer comes.
    async fn injected(&self, route: &Route) -> Result<Option<Slow>, Instead> {
        let faults = &self.shared.faults;
        if !faults.is_active() {
            return Ok(None);
        }
        let injection = faults.decide(|calls| matches(calls, &route.label), self.shared.env.now());
        if !injection.delay.is_zero() {
            tokio::time::sleep(injection.delay.as_std()).await;
        }
        match injection.end {
            None => Ok(injection.slow),
            Some(End::Error(code)) => Err(forward::problem(&Rejection::Injected { code }).into()),
            Some(End::Abort) => Err(Instead::Aborted),
            Some(End::Hang) => pending().await,
        }
    }

    async fn sent(
        &self,
        exchange: &Exchange<'_>,
        (made, on_request): (Made, Option<OnRequest<'_>>),
        (mut parts, body): (Parts, Incoming),
        entry: Option<&mut Entry>,
    ) -> Result<Response<AnswerBody>, Instead> {
        let Exchange { view, route, may_switch, .. } = exchange;
        let (payload, refused) = match payload(body, &mut parts.headers, route, &self.shared.background).await
        {
            Ok(taken) => taken,
            Err(NoPayload::Refused(refusal)) => return Err(forward::refused(&refusal).into()),
            Err(NoPayload::Gone) => return Err(forward::problem(&mainstay_upstream::Error::Body).into()),
        };
        let is_idempotent = parts.method.is_idempotent() || parts.headers.contains_key(IDEMPOTENCY_KEY);
        if let Some(path) = made.path {
            forward::set_path(&mut parts, &path);
        }
        exchange.introduce(&mut parts)?;
        on_request.into_iter().for_each(|it| it.apply(&mut parts));
        // A body that is kept has come by now: how long its client took is not the service's time.
        let facts =
            Facts { is_idempotent, criticality: route.criticality, ..Facts::new(self.shared.env.now()) };
        let call = Call { request: forward::request(parts, payload, *may_switch), facts };
        if let Some((mirror, ratio)) = route.mirror
            && self.shared.env.happens(ratio)
        {
            self.mirrors.send(&call, &view.callers[mirror]);
        }
        let target = route.target(|| made.sticky.unwrap_or_else(|| self.shared.env.draw()));
        if let Some(entry) = entry {
            entry.sent_to(view.snapshot.targets[target].service.name().as_str());
        }
        view.callers[target].call(call).await.map_err(|error| match (error, refused.why()) {
            (Error::Rejected(Rejection::Aborted), _) => Instead::Aborted,
            (_, Some(refusal)) => forward::refused(refusal).into(),
            (error, None) => forward::problem(&error).into(),
        })
    }
}

/// One request on its way.
struct Exchange<'a> {
    view: &'a View,
    route: &'a Route,
    client: &'a Client,
    origin: Origin,
    id: RequestId,
    may_switch: bool,
}

impl Exchange<'_> {
    /// Takes out what is of the client's connection, and says whom the request is from. Errors: it goes round in a ring.
    fn introduce(&self, parts: &mut Parts) -> Result<(), Instead> {
        let headers = &mut parts.headers;
        forward::strip(headers);
        self.client.tell(headers);
        self.view.snapshot.settings.forwarded.tell(headers, &self.origin, &self.client.hop);
        headers.insert(REQUEST_ID, value(self.id));
        if !forwarded::passed(headers, parts.version) {
            return Err(forward::told(&Problem::new(Code::LoopDetected, LOOP)).into());
        }
        Ok(())
    }
}

/// What is told of a request that has passed here too often.
const LOOP: &str = "the request has passed this gateway, or others that call themselves mainstay, 8 times: look where its services send what they are sent";

fn value(id: RequestId) -> HeaderValue {
    id.to_string().try_into().expect("digits, letters and dashes")
}

impl View {
    fn new(snapshot: Arc<Snapshot>, upstream: &Upstream, shared: &Shared) -> Self {
        let caller =
            |target: &Target| upstream.caller(Arc::clone(&target.service), &target.guard, &shared.faults);
        let callers = snapshot.targets.iter().map(caller).collect();
        Self { snapshot, callers }
    }
}
