//! What would become of a request, for people: the route that takes it, why no other does, and where it goes.
//!
//! It is worked out from definitions alone, as a request is matched, and nothing is sent or counted. It serves no request: it takes time in proportion to the number of routes.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use http::header::HOST;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use mainstay_base::error::{Classify, Code};
use mainstay_base::id::Name;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::actions::preflight;
use crate::config::Definitions;
use crate::path;
use crate::routes::{self, Headers, Query, Seen, Table};

mod taken;

pub use taken::{Taken, To};

/// A request as a person describes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    /// The method, as it is sent: `GET`.
    pub method: String,
    /// The URL: `https://shop.example/a?b=c`; or a path with its query, whose host is in the header `Host`.
    pub url: String,
    /// The headers, in the order in which they are sent. By default none.
    #[serde(default)]
    pub headers: Vec<Header>,
    /// The name of the listener by which it comes in. By default one without a name; where all have names, any of them, if the same becomes of the request by each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listener: Option<Name>,
    /// Where it comes from. By default 127.0.0.1.
    #[serde(default = "loopback")]
    #[schemars(with = "String")]
    pub client: IpAddr,
}

const fn loopback() -> IpAddr {
    IpAddr::V4(Ipv4Addr::LOCALHOST)
}

/// A line of a request's head.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// Its name, in any case.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// What would become of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Explanation {
    /// The method by which it is matched: that which a preflight asks for, else its own.
    pub method: String,
    /// The host in its normal form; empty without one.
    pub host: String,
    /// The path in its normal form; as it came if it has none.
    pub path: String,
    /// The listener by which it comes in, if that has a name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listener: Option<Name>,
    /// A browser asks by it whether a script may send another request, and the gateway answers.
    pub is_preflight: bool,
    /// The route that takes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route: Option<Taken>,
    /// Why none does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<Refused>,
    /// Why each other route does not, in the order of the routes.
    pub others: Vec<Other>,
}

/// What a client is answered that no route serves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Refused {
    /// The number of the answer: 400, 404 or 405.
    pub status: u16,
    /// Why.
    pub reason: String,
}

/// A route that does not take the request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Other {
    /// Its name.
    pub route: Name,
    /// The first of its conditions that does not hold, with what is there instead.
    pub why: String,
}

/// A request that cannot be one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The method.
    #[error("{0:?} is not a method: write one such as GET")]
    Method(String),
    /// The URL.
    #[error(
        "{0:?} is not a URL: write one such as http://shop.example/a?b=c, or a path that begins with a slash"
    )]
    Url(String),
    /// A header.
    #[error("{0:?} is not a header: write a name and a value of visible ASCII")]
    Header(String),
    /// The listener.
    #[error("there is no listener `{name}`: {known}")]
    Listener {
        /// Its name.
        name: Name,
        /// Those there are.
        known: String,
    },
    /// The listener is not said, and what becomes of the request depends on it.
    #[error(
        "each listener has a name, and by which one the request comes in decides what becomes of it: {outcomes}; name one (`listener`, on the command line `--listener`)"
    )]
    Unsaid {
        /// What becomes of it by each.
        outcomes: String,
    },
}

impl Classify for Error {
    fn code(&self) -> Code {
        Code::Invalid
    }
}

/// What a request is when it is sent.
struct Sent {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    client: IpAddr,
}

impl Asked {
    /// Whether it can be a request. Errors: why not.
    pub fn check(&self) -> Result<(), Error> {
        self.sent().map(drop)
    }

    fn sent(&self) -> Result<Sent, Error> {
        let method = self.method.parse().map_err(|_| Error::Method(self.method.clone()))?;
        let wrong = || Error::Url(self.url.clone());
        let uri: Uri = self.url.parse().map_err(|_| wrong())?;
        let is_absolute = matches!(uri.scheme_str(), Some("http" | "https"));
        if !is_absolute && !self.url.starts_with('/') {
            return Err(wrong());
        }
        let mut headers = HeaderMap::new();
        for Header { name, value } in &self.headers {
            let wrong = || Error::Header(name.clone());
            let (name, value) = (name.parse::<HeaderName>(), value.parse::<HeaderValue>());
            headers.append(name.map_err(|_| wrong())?, value.map_err(|_| wrong())?);
        }
        if let Some(authority) = uri.authority()
            && !headers.contains_key(HOST)
        {
            headers.insert(HOST, authority.as_str().parse().map_err(|_| wrong())?);
        }
        Ok(Sent { method, uri, headers, client: self.client })
    }
}

impl Definitions {
    /// What would become of a request under these, which were checked, with these rules of paths. Errors: it cannot be a request.
    ///
    /// # Panics
    /// If the definitions are not right.
    pub fn explain(&self, asked: &Asked, paths: &path::Config) -> Result<Explanation, Error> {
        let sent = asked.sent()?;
        if let Some(name) = asked.listener.as_ref().filter(|name| !self.listeners.contains(*name)) {
            return Err(Error::Listener { name: name.clone(), known: self.known_listeners() });
        }
        let table = self.table().unwrap_or_else(|mistakes| panic!("they were checked: {mistakes:?}"));
        if asked.listener.is_some() || self.has_unnamed_listener || self.listeners.is_empty() {
            return Ok(self.explain_by(asked.listener.as_ref(), &sent, &table, paths));
        }
        let by_each = self.listeners.iter().map(|name| self.explain_by(Some(name), &sent, &table, paths));
        let by_each: Vec<_> = by_each.collect();
        let is_alike =
            by_each.iter().all(|it| (&it.route, &it.refused) == (&by_each[0].route, &by_each[0].refused));
        match by_each.iter().map(outcome).collect::<Vec<_>>() {
            outcomes if !is_alike => Err(Error::Unsaid { outcomes: outcomes.join(", ") }),
            _ => Ok(by_each.into_iter().next().expect("there is a listener")),
        }
    }

    /// What would become of it by the listener of this name, or by one without.
    fn explain_by(
        &self,
        listener: Option<&Name>,
        sent: &Sent,
        table: &Table,
        paths: &path::Config,
    ) -> Explanation {
        let Sent { method, uri, headers, client } = sent;
        let host = routes::host(headers.get(HOST).map_or("", |host| host.to_str().unwrap_or("")));
        let normal = match path::normalise(uri.path(), paths) {
            Ok(normal) => normal,
            Err(error) => return unreadable((method, uri), listener, &host, &error),
        };
        let seen = Seen {
            method,
            scheme: uri.scheme_str().unwrap_or("http"),
            host: &host,
            path: &normal,
            query: Query(uri.query()),
            headers: Headers(headers),
            listener: listener.map_or("", Name::as_str),
            client: *client,
        };
        let find = |method: &Method| table.find_for(method, &seen).ok().flatten();
        let has_cors =
            |method: &Method| find(method).is_some_and(|found| self.routes[found.route].cors.is_some());
        let preflight = preflight(&seen).filter(has_cors);
        let seen = Seen { method: preflight.as_ref().unwrap_or(method), ..seen.clone() };
        let explained = table.explain(&seen);
        let params = find(seen.method).map(|found| owned(found.params())).unwrap_or_default();
        let refused = explained.route.is_none().then(|| match &explained.allowed {
            Some(allowed) => {
                Refused { status: 405, reason: format!("{normal} has {allowed}, and not {}", seen.method) }
            }
            None => Refused { status: 404, reason: format!("no route takes {normal} for the host `{host}`") },
        });
        let other =
            |other: &routes::Other<'_>| Other { route: other.name.clone(), why: other.why.to_string() };
        Explanation {
            method: seen.method.to_string(),
            host: host.to_string(),
            path: normal.to_string(),
            listener: listener.cloned(),
            is_preflight: preflight.is_some(),
            route: explained.route.map(|(place, _)| Taken::new(self, &self.routes[place], params)),
            refused,
            others: explained.others.iter().map(other).collect(),
        }
    }
}

/// What becomes of a request by a listener, in a few words.
fn outcome(explained: &Explanation) -> String {
    let Explanation { listener, route, refused, .. } = explained;
    let taken = route.as_ref().map(|route| format!("the route {}", route.name));
    let refused = refused.as_ref().map(|refused| refused.status.to_string());
    let [by, what] =
        [listener.as_ref().map(Name::to_string), taken.or(refused)].map(Option::unwrap_or_default);
    format!("by {by} {what}")
}

fn owned<'a>(params: impl Iterator<Item = (&'a str, &'a str)>) -> BTreeMap<String, String> {
    params.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn unreadable(
    (method, uri): (&Method, &Uri),
    listener: Option<&Name>,
    host: &str,
    error: &path::Error,
) -> Explanation {
    Explanation {
        method: method.to_string(),
        host: host.to_owned(),
        path: uri.path().to_owned(),
        listener: listener.cloned(),
        is_preflight: false,
        route: None,
        refused: Some(Refused { status: error.code().status(), reason: error.to_string() }),
        others: Vec::new(),
    }
}

#[cfg(test)]
mod tests;
