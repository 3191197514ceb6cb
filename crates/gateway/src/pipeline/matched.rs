//! Which route takes a request, and what its stages make of it.

use std::borrow::Cow;

use bytes::Bytes;
use http::Response;
use http::header::{ALLOW, HOST};
use http::request::Parts;
use mainstay_base::error::Code;
use mainstay_base::problem::Problem;
use mainstay_resilience::Key;
use mainstay_upstream::Choice;

use crate::actions::{self, OnAnswer, OnRequest, preflight};
use crate::body::Body;
use crate::forward;
use crate::forwarded::Origin;
use crate::limits::Keys;
use crate::listener::Listener;
use crate::path;
use crate::routes::{self, Found, Headers, Query, Seen};
use crate::snapshot::{Snapshot, To};

/// What a preflight is told for a route without rules for scripts.
pub(crate) const NOT_FOR_SCRIPTS: &str =
    "the route that takes this method here has no rules for scripts of other origins";

/// A route, and what its stages have made of the request. What few routes have is in boxes: all of it is held until the answer is there.
pub(super) struct Matched<'s> {
    pub(super) route: usize,
    pub(super) next: Next<'s>,
    pub(super) on_answer: Option<Box<OnAnswer<'s>>>,
    pub(super) made: Made,
}

/// What becomes of the request.
pub(super) enum Next<'s> {
    /// The gateway answers.
    Answer(Box<Response<Bytes>>),
    /// The gateway cannot do what the route says.
    Refuse(Box<actions::Error>),
    /// It is sent on, with the changes of the route if it makes any.
    Forward(Option<Box<OnRequest<'s>>>),
}

/// What is made of a request while it is still as it came.
#[derive(Default)]
pub(super) struct Made {
    /// By which it is counted, if it is.
    pub(super) keys: Option<Box<Keys>>,
    /// What it is sent to; none if it is not sent.
    pub(super) target: Option<usize>,
    /// What the endpoint is chosen by there.
    pub(super) choice: Option<Choice>,
    /// Its path in the normal form, if it came in another.
    pub(super) path: Option<String>,
}

/// The route that takes a request. Errors: what the client is told.
pub(super) fn matched<'s>(
    snapshot: &'s Snapshot,
    parts: &Parts,
    (origin, listener): (&Origin, &Listener),
    draw: impl FnOnce() -> u64,
) -> Result<Matched<'s>, Box<Response<Body>>> {
    let paths = &snapshot.settings.paths;
    let path =
        path::normalise(parts.uri.path(), paths).map_err(|error| Box::new(forward::problem(&error)))?;
    let host = routes::host(parts.headers.get(HOST).map_or("", |host| host.to_str().unwrap_or("")));
    let called = listener.called();
    let seen = Seen {
        method: &parts.method,
        scheme: if origin.is_https { "https" } else { "http" },
        host: &host,
        path: &path,
        query: Query(parts.uri.query()),
        headers: Headers(&parts.headers),
        listener: called.name(snapshot.generation),
        client: origin.client,
    };
    let found = find(snapshot, &seen)?.ok_or_else(|| Box::new(not_routed(snapshot, &seen)))?;
    let route = &snapshot.routes[found.route];
    let (next, on_answer) = match &route.actions {
        None => (Next::Forward(None), None),
        Some(actions) => {
            let (next, on_answer) = actions.begin(&seen, &found, paths);
            (next.into(), Some(Box::new(on_answer)))
        }
    };
    let sticky = match &route.to {
        Some(To::Split { sticky_by: Some(key), .. }) => key.of(&seen),
        _ => None,
    };
    // The same for the same text on each node, and after each start.
    let number = || sticky.map_or_else(draw, |text| Key::of(0, text.as_bytes()).bits() as u64);
    let target = route.to.is_some().then(|| route.target(number));
    let choosing = target.and_then(|target| snapshot.targets[target].choosing.as_ref());
    let made = Made {
        keys: route.limits.as_ref().map(|limits| Box::new(limits.keys(&seen))),
        target,
        choice: choosing.map(|choosing| choosing.choice(&seen, &parts.headers)),
        path: match &path {
            Cow::Borrowed(_) => None,
            Cow::Owned(path) => Some(path.clone()),
        },
    };
    Ok(Matched { route: found.route, next, on_answer, made })
}

impl<'s> From<actions::Next<'s>> for Next<'s> {
    fn from(next: actions::Next<'s>) -> Self {
        match next {
            actions::Next::Answer(answer) => Self::Answer(Box::new(answer)),
            actions::Next::Refuse(error) => Self::Refuse(Box::new(error)),
            actions::Next::Forward(on_request) => Self::Forward(Some(Box::new(on_request))),
        }
    }
}

/// The route that takes a request; a preflight is for the route of the method that it asks for, if that has rules for scripts, and no other route's rules answer for it. Errors:
/// what the client is told.
fn find<'s, 'r>(
    snapshot: &'s Snapshot,
    seen: &Seen<'r>,
) -> Result<Option<Found<'s, 'r>>, Box<Response<Body>>> {
    let costly = |costly: routes::Costly| Box::new(forward::problem(&costly));
    let has_cors = |found: &Found<'_, '_>| snapshot.routes[found.route].has_cors;
    let asked_for = preflight(seen).map(|method| snapshot.table.find_for(&method, seen));
    let asked_for = asked_for.transpose().map_err(costly)?.flatten();
    if asked_for.as_ref().is_some_and(has_cors) {
        return Ok(asked_for);
    }
    let found = snapshot.table.find(seen).map_err(costly)?;
    if asked_for.is_some() && found.as_ref().is_some_and(has_cors) {
        return Err(Box::new(forward::told(&Problem::new(Code::Forbidden, NOT_FOR_SCRIPTS))));
    }
    Ok(found)
}

/// What a request is told that no route takes.
fn not_routed(snapshot: &Snapshot, seen: &Seen<'_>) -> Response<Body> {
    let Some(allowed) = snapshot.table.allowed(seen) else {
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
