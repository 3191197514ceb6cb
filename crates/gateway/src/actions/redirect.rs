//! Redirects: elsewhere, or to the same place over TLS.
//!
//! Where a redirect leads is what its template says, whatever the request ([`Place::Location`]), and one that cannot be made is an error.

use bytes::Bytes;
use http::header::LOCATION;
use http::{HeaderValue, Response, StatusCode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::error::Error;
use super::mistake::Mistakes;
use super::query::QueryHandling;
use super::value::Value;
use crate::path;
use crate::routes::{Found, Host, Match, Place, Seen};

/// Where clients are sent: `to`, or the same over another `scheme`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where every request is sent, as a template: a path such as `/new/{rest}`, or a URL such as `https://new.example.com/{rest}`, whose host is text, ends with text such as
    /// `.example.com`, or is `${{ request.host }}`. By default nowhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// `https`: requests without TLS are sent to the same host, path and query with TLS, all others go on. By default none are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheme: Option<Scheme>,
    /// The port that they are sent to, from 1 to 65535. By default 443, which is not written. Only with `scheme`.
    #[schemars(range(min = 1))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// The status: 301, 302, 303, 307 or 308. By default 308: it is for good, so that clients can keep it, and a POST stays one, while 301 and 302 make a GET of it. 307 is the same
    /// for the time being; 303 is a GET always.
    #[schemars(extend("enum" = [301, 302, 303, 307, 308]))]
    pub status: u16,
    /// What becomes of the query. By default `keep`; behind one that `to` has itself.
    pub query: QueryHandling,
}

/// What clients are to use instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Scheme {
    /// HTTP over TLS.
    Https,
}

impl Default for Config {
    fn default() -> Self {
        Self { to: None, scheme: None, port: None, status: 308, query: QueryHandling::Keep }
    }
}

/// The same, ready.
#[derive(Debug)]
pub(super) struct Redirect {
    to: To,
    status: StatusCode,
    query: QueryHandling,
}

#[derive(Debug)]
enum To {
    Place(Value),
    /// To this port, none being the scheme's own.
    Https(Option<u16>),
}

impl Redirect {
    pub(super) fn build(config: &Config, route: &Match, mistakes: &mut Mistakes) -> Option<Self> {
        if !matches!(config.status, 301 | 302 | 303 | 307 | 308) {
            let what = format!("is {}, which is no redirect: write 301, 302, 303, 307 or 308", config.status);
            mistakes.add(&["redirect", "status"], what);
        }
        if config.port.is_some() && config.scheme.is_none() {
            mistakes.add(&["redirect", "port"], "goes with `scheme`: write it into `to`, or leave it out");
        }
        if config.port == Some(0) {
            mistakes.add(&["redirect", "port"], "is 0, which is no port: write one from 1 to 65535");
        }
        let to = match (&config.to, config.scheme) {
            (Some(to), None) => {
                let at = ["redirect", "to"];
                let to = Value::build(to, (route, Place::Location), &at, mistakes)?;
                To::Place(to)
            }
            (None, Some(Scheme::Https)) => To::Https(config.port.filter(|port| *port != 443)),
            _ => {
                mistakes.add(&["redirect"], "needs one of `to` and `scheme`: write where clients are sent");
                return None;
            }
        };
        Some(Self { to, status: StatusCode::from_u16(config.status).ok()?, query: config.query })
    }

    /// Whether a request is sent elsewhere.
    pub(super) fn takes(&self, request: &Seen<'_>) -> bool {
        match self.to {
            To::Place(_) => true,
            To::Https(_) => request.scheme != "https",
        }
    }

    /// The answer that sends a request elsewhere. Errors: where to cannot be made.
    pub(super) fn answer(&self, request: &Seen<'_>, found: &Found<'_, '_>) -> Result<Response<Bytes>, Error> {
        let place = match &self.to {
            To::Place(value) => value.make(request, found, || "redirect.to".to_owned())?,
            To::Https(port) => secure(request, *port)?,
        };
        let place = match self.query.of(request.query.0) {
            Some(query) => with_query(&place, query),
            None => place,
        };
        let mut answer = Response::new(Bytes::new());
        *answer.status_mut() = self.status;
        answer.headers_mut().insert(LOCATION, place);
        Ok(answer)
    }
}

/// The same host and path over TLS.
fn secure(request: &Seen<'_>, port: Option<u16>) -> Result<HeaderValue, Error> {
    // Over HTTP/2 nobody has looked at the letters of a host yet.
    let host = Host::try_from(request.host.to_owned()).ok().filter(|host| !host.is_wildcard());
    let host = host.ok_or(Error::Host)?;
    let port = port.map(|port| format!(":{port}")).unwrap_or_default();
    let place = format!("https://{host}{port}{}", request.path);
    Ok(place.try_into().expect("hosts and paths in normal form are visible ASCII"))
}

/// A location with a query more, before what follows a `#`.
fn with_query(place: &HeaderValue, query: &str) -> HeaderValue {
    let place = place.to_str().expect("a location is visible ASCII");
    let (place, fragment) = place.split_at(place.find('#').unwrap_or(place.len()));
    let mut whole = String::with_capacity(place.len() + 1 + query.len() + fragment.len());
    whole.push_str(place);
    match place.split_once('?') {
        None => whole.push('?'),
        Some((_, own)) if own.is_empty() || own.ends_with('&') => {}
        Some(_) => whole.push('&'),
    }
    for byte in query.bytes() {
        match byte {
            b'!'..=b'~' => whole.push(byte.into()),
            byte => path::push_encoded(&mut whole, byte),
        }
    }
    whole.push_str(fragment);
    whole.try_into().expect("it is visible ASCII")
}
