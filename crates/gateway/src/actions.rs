//! What a route does to requests and answers besides sending them on: rewriting, headers, redirects, answers of its own, CORS, security headers.
//!
//! A route's [`Config`] is made once into [`Actions`], in which whatever does not depend on a request is ready. A request then passes [`Actions::begin`], which looks at the
//! request as it came and says what is next: an answer, or the request sent on. All that is made of parts of the request is made there, before anything is changed and
//! before a service has done anything: templates see the original request, and one that cannot be made is an error of the request and never a change left out.
//!
//! Each answer then passes [`OnAnswer`], whoever gave it. Pure: no I/O, no clock; knows nothing of services. What is constant is not allocated for a request.

use bytes::Bytes;
use http::header::HOST;
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Response, Uri};

pub mod answer;
mod authority;
pub mod cors;
mod error;
pub mod headers;
mod mistake;
mod query;
pub mod redirect;
pub mod rewrite;
pub mod security;
#[cfg(test)]
mod tests;
mod value;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use cors::preflight;
pub use error::Error;
pub use mistake::Mistake;
pub use query::QueryHandling;

use crate::path;
use crate::routes::{Found, Match, Seen};
use answer::Answer;
use cors::{Cors, Grant};
use headers::Edits;
use mistake::Mistakes;
use redirect::Redirect;
use rewrite::Rewrite;
use security::{Security, SecurityHeaders};

/// What a route does to requests and answers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// What the service sees instead of the client's path, query and host. By default the client's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rewrite: Option<rewrite::Config>,
    /// Headers that are removed, set and added. By default none.
    pub headers: headers::Config,
    /// Sends clients elsewhere, all of them or those without TLS. By default nobody.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redirect: Option<redirect::Config>,
    /// Answers without a service. By default the service answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer: Option<answer::Config>,
    /// Which scripts of other origins may read answers. By default the gateway says nothing of it, and the service may.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cors: Option<cors::Config>,
    /// Headers by which browsers protect users: `true` for the defaults, or a mapping that changes them. By default `false`, since a page may rely on what they forbid.
    pub security_headers: SecurityHeaders,
}

/// What a route does, ready for requests.
#[derive(Debug)]
pub struct Actions {
    redirect: Option<Redirect>,
    answer: Option<Answer>,
    rewrite: Option<Rewrite>,
    on_request: Edits,
    on_answer: Edits,
    cors: Option<Cors>,
    security: Option<Security>,
}

/// What becomes of a request.
#[derive(Debug)]
pub enum Next<'a> {
    /// It is answered with this, which has to pass [`OnAnswer::apply`] yet.
    Answer(Response<Bytes>),
    /// It is sent on, after [`OnRequest::apply`].
    Forward(OnRequest<'a>),
    /// It is answered with the problem that this is, which has to pass [`OnAnswer::apply_to_problem`] yet.
    Refuse(Error),
}

/// What is changed on a request before it is sent on.
#[derive(Debug)]
pub struct OnRequest<'a> {
    actions: &'a Actions,
    target: Option<PathAndQuery>,
    made: Vec<HeaderValue>,
}

/// What is changed on the answer to a request.
#[derive(Debug)]
pub struct OnAnswer<'a> {
    actions: &'a Actions,
    /// The values that were made for the route's changes of headers; none where these are not to be made.
    made: Option<Vec<HeaderValue>>,
    cors: Option<(&'a Cors, Grant)>,
    is_secure: bool,
}

impl Config {
    /// Whether some requests are sent to a service: the route has to name one. Those that `redirect.to` or `answer` takes are all there are.
    pub fn needs_service(&self) -> bool {
        self.answer.is_none() && self.redirect.as_ref().is_none_or(|redirect| redirect.to.is_none())
    }

    /// What the types cannot state, for a route that matches this. Errors: every mistake, with its place and what to do.
    pub fn check(&self, route: &Match) -> Result<(), Vec<Mistake>> {
        Actions::build(self, route).map(drop)
    }
}

impl Actions {
    /// Makes what a route does; none if it does nothing. Errors: every mistake, with its place and what to do.
    pub fn build(config: &Config, route: &Match) -> Result<Option<Self>, Vec<Mistake>> {
        let mut mistakes = Mistakes::default();
        let has_cors = config.cors.is_some();
        let (on_request, on_answer) = headers::build(&config.headers, route, has_cors, &mut mistakes);
        let redirect = config.redirect.as_ref();
        if config.answer.is_some() && redirect.is_some_and(|redirect| redirect.to.is_some()) {
            mistakes.add(
                &["answer"],
                "is never given, since `redirect.to` takes every request: leave one of them out",
            );
        }
        if config.rewrite.is_some() && !config.needs_service() {
            mistakes
                .add(&["rewrite"], "changes nothing, since no request is sent to a service: leave it out");
        }
        if config.headers.request != headers::Changes::default() && !config.needs_service() {
            mistakes.add(
                &["headers", "request"],
                "changes nothing, since no request is sent to a service: leave it out",
            );
        }
        let actions = Self {
            redirect: redirect.and_then(|redirect| Redirect::build(redirect, route, &mut mistakes)),
            answer: config.answer.as_ref().and_then(|answer| Answer::build(answer, route, &mut mistakes)),
            rewrite: config
                .rewrite
                .as_ref()
                .and_then(|rewrite| Rewrite::build(rewrite, route, &mut mistakes)),
            on_request,
            on_answer,
            cors: config.cors.as_ref().and_then(|cors| Cors::build(cors, route, &mut mistakes)),
            security: config.security_headers.get().map(|security| Security::build(security, &mut mistakes)),
        };
        mistakes.into_result()?;
        let does_something = *config != Config::default();
        Ok(does_something.then_some(actions))
    }

    /// What becomes of a request that the route has taken, and what is done to its answer. Paths are made in the normal form of `paths`, that of the request's own.
    ///
    /// The first of these that holds: a preflight is answered by `cors`; `redirect` leads elsewhere; `answer` answers; the request is sent on.
    pub fn begin(
        &self,
        request: &Seen<'_>,
        found: &Found<'_, '_>,
        paths: &path::Config,
    ) -> (Next<'_>, OnAnswer<'_>) {
        let mut on_answer = OnAnswer {
            actions: self,
            made: None,
            cors: self.cors.as_ref().map(|cors| (cors, cors.grant(request))),
            is_secure: request.scheme == "https",
        };
        if let Some((cors, grant)) = on_answer.cors.as_ref().filter(|_| preflight(request).is_some()) {
            let next = cors.answer(grant).map_or(Next::Refuse(Error::Origin), Next::Answer);
            if matches!(next, Next::Answer(_)) {
                // It says of CORS all that there is.
                on_answer.cors = None;
            }
            return (next, on_answer);
        }
        match self.next(request, found, paths) {
            Ok((next, made)) => {
                on_answer.made = Some(made);
                (next, on_answer)
            }
            Err(error) => (Next::Refuse(error), on_answer),
        }
    }

    /// The next step, with the values for the answer's headers.
    fn next(
        &self,
        request: &Seen<'_>,
        found: &Found<'_, '_>,
        paths: &path::Config,
    ) -> Result<(Next<'_>, Vec<HeaderValue>), Error> {
        let on_answer = self.on_answer.make(request, found)?;
        if let Some(redirect) = self.redirect.as_ref().filter(|redirect| redirect.takes(request)) {
            return Ok((Next::Answer(redirect.answer(request, found)?), on_answer));
        }
        if let Some(answer) = &self.answer {
            return Ok((Next::Answer(answer.answer(request, found)?), on_answer));
        }
        let target = self.rewrite.as_ref().map(|rewrite| rewrite.target(request, found, paths));
        let target = target.transpose()?.flatten();
        let made = self.on_request.make(request, found)?;
        Ok((Next::Forward(OnRequest { actions: self, target, made }), on_answer))
    }
}

impl OnRequest<'_> {
    /// Changes the request.
    pub fn apply(self, parts: &mut Parts) {
        self.actions.on_request.apply(&mut parts.headers, self.made);
        let host = self.actions.rewrite.as_ref().and_then(Rewrite::host);
        if let Some(host) = host {
            parts.headers.insert(HOST, host.value.clone());
        }
        if self.target.is_none() && host.is_none() {
            return;
        }
        let mut uri = std::mem::take(&mut parts.uri).into_parts();
        uri.path_and_query = self.target.or(uri.path_and_query);
        // Over HTTP/2 the host stands there.
        if let (Some(authority), Some(host)) = (&mut uri.authority, host) {
            *authority = host.authority.clone();
        }
        // As with CONNECT, where it is all of the target: a path stands without it.
        if uri.scheme.is_none() && uri.path_and_query.is_some() {
            uri.authority = None;
        }
        parts.uri = Uri::from_parts(uri).expect("with a scheme it had all parts, and without it has one");
    }
}

impl OnAnswer<'_> {
    /// Changes an answer of the service, or one that [`Actions::begin`] gave.
    pub fn apply(mut self, headers: &mut HeaderMap) {
        if let Some(security) = &self.actions.security {
            security.hide(headers);
        }
        if let Some(made) = self.made.take() {
            self.actions.on_answer.apply(headers, made);
        }
        self.protect(headers);
    }

    /// Changes a problem that the gateway tells instead of an answer. Scripts may read it as they may the answer; but what `headers.answer` says, which may be that the answer
    /// can be kept for an hour, was not meant for it.
    pub fn apply_to_problem(self, headers: &mut HeaderMap) {
        self.protect(headers);
    }

    fn protect(&self, headers: &mut HeaderMap) {
        if let Some((cors, grant)) = &self.cors {
            cors.apply(grant, headers);
        }
        if let Some(security) = &self.actions.security {
            security.apply(headers, self.is_secure);
        }
    }
}
