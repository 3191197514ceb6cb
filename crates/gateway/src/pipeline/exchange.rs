//! One request on its way.

use std::future::pending;
use std::sync::Arc;

use http::header::{HeaderName, HeaderValue};
use http::request::Parts;
use http::{Method, Request, Response, StatusCode};
use http_body::Body as _;
use hyper::body::Incoming;
use mainstay_base::error::{Classify as _, Code};
use mainstay_base::id::RequestId;
use mainstay_base::problem::Problem;
use mainstay_base::time::Instant;
use mainstay_resilience::fault::{End, Slow, matches};
use mainstay_resilience::limit::Standing;
use mainstay_resilience::{Call, Error, Facts, Rejection};
use mainstay_upstream::endpoint::Id;
use mainstay_upstream::{AnswerBody, Caller, Choice, Payload};

use super::matched::{Made, Matched, Next, matched};
use super::{Aborted, Pipeline, View};
use crate::access::{Asked, Entry};
use crate::actions::OnRequest;
use crate::body::Body;
use crate::client::Client;
use crate::coding::{self, Negotiated};
use crate::forwarded::Origin;
use crate::limits::Keys;
use crate::noted::Note;
use crate::pace::{Pace, Received};
use crate::payload::{NoPayload, Refused, payload};
use crate::snapshot::Route;
use crate::{forward, forwarded, grpc, timeout};

const REQUEST_ID: HeaderName = HeaderName::from_static("mainstay-request-id");

/// What is told of a request that has passed here too often.
const LOOP: &str = "the request has passed this gateway, or others that call themselves mainstay, 8 times: look where its services send what they are sent";

/// One request on its way. It stands in one place, and its stages are given a reference: a future holds all that is moved into it.
pub(super) struct Exchange<'a> {
    pipeline: &'a Pipeline,
    view: &'a View,
    client: &'a Client,
    /// Empty once it was sent on.
    parts: Parts,
    body: Option<Received<Incoming>>,
    origin: Origin,
    begun: Instant,
    id: RequestId,
    /// The same, as headers have it.
    named: HeaderValue,
    is_head: bool,
    ways: Ways,
    /// None until it is matched, and if no route takes it.
    route: Option<&'a Route>,
    matched: Option<Matched<'a>>,
    entry: Option<Box<Entry>>,
}

/// In which other ways than HTTP's own its client may be answered.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ways {
    /// By another protocol on its connection from then on.
    pub(super) may_switch: bool,
    /// By a status of gRPC.
    pub(super) is_grpc: bool,
}

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

impl<'a> Exchange<'a> {
    pub(super) fn new(
        pipeline: &'a Pipeline,
        view: &'a View,
        client: &'a Client,
        (request, pace): (Request<Incoming>, Option<Arc<Pace>>),
        ways: Ways,
    ) -> Self {
        let (mut parts, body) = request.into_parts();
        forward::name_host(&mut parts);
        let env = &pipeline.shared.env;
        let id = env.request_id();
        Self {
            origin: view.snapshot.settings.forwarded.origin(&parts.headers, &client.hop),
            begun: env.now(),
            id,
            named: HeaderValue::from_bytes(&id.encode()).expect("digits, letters and dashes"),
            is_head: parts.method == Method::HEAD,
            body: Some(Received { body, pace }),
            route: None,
            matched: None,
            entry: None,
            pipeline,
            view,
            client,
            parts,
            ways,
        }
    }

    /// Finds its route. Returns what its client is told if there is none.
    pub(super) fn begin(&mut self) -> Option<Box<Response<Body>>> {
        let snapshot = &self.view.snapshot;
        let from = (&self.origin, &self.client.listener);
        let told = match matched(snapshot, &self.parts, from, || self.pipeline.shared.env.draw()) {
            Ok(matched) => {
                self.route = Some(&snapshot.routes[matched.route]);
                self.matched = Some(matched);
                None
            }
            Err(told) => Some(told),
        };
        let access_log = self.route.map_or(&snapshot.settings.access_log, |route| &route.access_log);
        let name = self.route.map_or(&snapshot.no_route_name, |route| &route.log_name);
        let Parts { method, uri, headers, .. } = &self.parts;
        let asked = Asked { id: self.id, begun: self.begun, origin: self.origin, method, uri, headers };
        self.entry = access_log.begin(&asked, name, &self.pipeline.shared.env);
        told
    }

    /// Counts its answer, and has it logged once it was sent.
    pub(super) fn end(mut self, mut answer: Response<Body>) -> Response<Body> {
        let taken = self.pipeline.shared.env.now().saturating_since(self.begun);
        let meters = self.route.map_or(&self.view.snapshot.no_route, |route| &route.meters);
        meters.count(answer.status(), taken);
        answer.headers_mut().insert(REQUEST_ID, self.named);
        if let Some(entry) = &mut self.entry {
            entry.answered(answer.status());
        }
        if self.ways.is_grpc {
            grpc::tell(&mut answer);
        }
        if self.is_head {
            forward::withhold(&mut answer);
        }
        // Nobody reads its body, or it has become another connection.
        let is_unsent = self.is_head || answer.status() == StatusCode::SWITCHING_PROTOCOLS;
        answer.map(|body| body.logged(self.entry, is_unsent))
    }

    /// What its route does, around what a service answers.
    pub(super) async fn answer(&mut self) -> Result<Response<Body>, Aborted> {
        let (Some(route), Some(matched)) = (self.route, self.matched.take()) else {
            unreachable!("it has a route once it has begun");
        };
        let Matched { next, on_answer, made, .. } = matched;
        let negotiated = route.compression.as_deref().map(|config| {
            let negotiated = Negotiated::of(&self.parts.method, &self.parts.headers, config);
            Box::new((config, negotiated))
        });
        let answered = match next {
            Next::Answer(answer) => Ok(answer.map(Body::whole)),
            Next::Refuse(error) => {
                let source = std::error::Error::source(&*error).map(ToString::to_string);
                tracing::debug!(target: "mainstay::gateway", route = %route.name, %error, source, "a route's action cannot be done");
                Err(Instead::from(forward::problem(&*error)))
            }
            Next::Forward(on_request) => self.forwarded(route, made, on_request).await,
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
            Some(negotiated) => {
                let (config, negotiated) = *negotiated;
                let background = &self.pipeline.shared.background;
                coding::compress(answer, &negotiated, config, background).map(Body::coded)
            }
        })
    }

    /// Has a service answer, if the request may be sent to one.
    async fn forwarded(
        &mut self,
        route: &Route,
        made: Made,
        on_request: Option<Box<OnRequest<'_>>>,
    ) -> Result<Response<Body>, Instead> {
        let standing = self.limited(route, made.keys.as_deref())?;
        let faults = &self.pipeline.shared.faults;
        let slow = if faults.is_active() { Box::pin(self.injected(route)).await? } else { None };
        let Some(body) = self.body.take() else { unreachable!("it is taken once") };
        let (payload, refused) = if body.is_end_stream() {
            (Payload::Empty, Refused::default())
        } else {
            let background = &self.pipeline.shared.background;
            // Nobody waits for a body of gRPC, whose client may take all the time there is.
            let taken = (route, !self.ways.is_grpc);
            Box::pin(payload(body, &mut self.parts.headers, taken, background)).await?
        };
        let Some(target) = made.target else { unreachable!("it was checked: it has nowhere else to go") };
        let kept_to = made.choice.as_ref().and_then(|choice| choice.kept_to);
        let call = self.call(route, (made.path, on_request), (payload, made.choice))?;
        let caller = self.caller(route, target, &call);
        let mut answer = caller.call(call).await.map_err(|error| self.unanswered(&error, &refused))?;
        self.came_from(target, kept_to, &mut answer);
        let mut answer = forward::answer(answer, slow);
        if let (Some(limits), Some(standing)) = (&route.limits, standing) {
            limits.tell(answer.headers_mut(), standing);
        }
        Ok(answer)
    }

    /// Notes which endpoint has answered, and tells a client that is kept to it.
    fn came_from(&mut self, target: usize, kept_to: Option<Id>, answer: &mut Response<AnswerBody>) {
        let choosing = &self.view.snapshot.targets[target].choosing;
        if self.entry.is_none() && choosing.is_none() {
            return;
        }
        let Some(endpoint) = answer.body().endpoint() else { return };
        if let Some(entry) = &mut self.entry {
            entry.answered_by(endpoint.instance().address);
        }
        let endpoint = endpoint.id();
        // One that still takes calls, and was passed over by a single try, keeps its client.
        let is_kept = |id| self.view.snapshot.targets[target].service.roster().picture().takes(id);
        if let Some(choosing) = choosing
            && !kept_to.is_some_and(is_kept)
        {
            choosing.tell(answer.headers_mut(), kept_to, endpoint, self.origin.is_https);
        }
    }

    /// What is told of a call that was not answered. The rest of what is known of it, such as where the service is, is for the log.
    fn unanswered(&mut self, error: &Error<mainstay_upstream::Error>, refused: &Refused) -> Instead {
        if let Some(entry) = &mut self.entry {
            entry.fails(error.to_string());
        }
        match (error, refused.why()) {
            (Error::Rejected(Rejection::Aborted), _) => Instead::Aborted,
            (_, Some(refusal)) => forward::refused(refusal).into(),
            (Error::Rejected(rejection), None) => forward::problem(rejection).into(),
            (Error::Service(error), None) => {
                let problem = Problem::new(error.code(), error.told()).retry_with(error.retry());
                forward::told(&problem).into()
            }
        }
    }

    /// Counts the request for its caller.
    fn limited(&self, route: &Route, keys: Option<&Keys>) -> Result<Option<Standing>, Instead> {
        let (Some(limits), Some(keys)) = (&route.limits, keys) else { return Ok(None) };
        limits.ask(keys, self.begun).map(Some).map_err(|rejection| {
            let mut told = forward::problem(&rejection);
            limits.tell_rejected(told.headers_mut(), rejection);
            told.into()
        })
    }

    /// Does what faults do to the route. Returns how slowly its answer comes.
    async fn injected(&self, route: &Route) -> Result<Option<Slow>, Instead> {
        let injection = self.pipeline.shared.faults.decide(|calls| matches(calls, &route.label), self.begun);
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

    /// The request as its service is sent it. Errors: it goes round in a ring, or its client says something of its time that cannot be read.
    fn call(
        &mut self,
        route: &Route,
        (path, on_request): (Option<String>, Option<Box<OnRequest<'_>>>),
        (payload, choice): (Payload, Option<Choice>),
    ) -> Result<Call<mainstay_upstream::Request>, Instead> {
        let mut parts = std::mem::replace(&mut self.parts, Request::new(()).into_parts().0);
        let noted = forward::strip(&mut parts.headers);
        let asked = timeout::asked(&parts.headers, noted).map_err(|problem| forward::told(&problem))?;
        // One whose body is not kept cannot be sent again, whatever it says.
        let is_idempotent =
            payload.is_kept() && (parts.method.is_idempotent() || noted.has(Note::IdempotencyKey));
        if let Some(path) = path {
            forward::set_path(&mut parts, &path).map_err(|problem| forward::told(&problem))?;
        }
        let headers = &mut parts.headers;
        self.client.tell(headers, noted);
        self.view.snapshot.settings.forwarded.tell(headers, noted, &self.origin, &self.client.hop);
        headers.insert(REQUEST_ID, self.named.clone());
        if !forwarded::passed(headers, noted, parts.version) {
            return Err(forward::told(&Problem::new(Code::LoopDetected, LOOP)).into());
        }
        on_request.into_iter().for_each(|it| it.apply(&mut parts));
        // A body that is kept has come by now: how long its client took is not the service's time.
        let now = self.pipeline.shared.env.now();
        let deadline = asked.and_then(|asked| self.begun.checked_add(asked));
        let key = self.pipeline.shared.key(self.origin.client);
        let facts = Facts { is_idempotent, criticality: route.criticality, deadline, key, ..Facts::new(now) };
        Ok(Call {
            request: forward::request(parts, payload, choice.unwrap_or_default(), self.ways.may_switch),
            facts,
        })
    }

    /// Who sends it: the service whose turn it is. The mirror has been sent its copy then.
    fn caller(
        &mut self,
        route: &Route,
        target: usize,
        call: &Call<mainstay_upstream::Request>,
    ) -> &'a Caller {
        let env = &self.pipeline.shared.env;
        if let Some((mirror, ratio)) = route.mirror
            && env.happens(ratio)
        {
            self.pipeline.mirrors.send(call, &self.view.callers[mirror]);
        }
        if let Some(entry) = &mut self.entry {
            entry.sent_to(&self.view.snapshot.targets[target].label);
        }
        &self.view.callers[target]
    }
}

impl From<NoPayload> for Instead {
    fn from(none: NoPayload) -> Self {
        match none {
            NoPayload::Refused(refusal) => forward::refused(&refusal).into(),
            NoPayload::Gone => forward::problem(&mainstay_upstream::Error::Body).into(),
        }
    }
}
