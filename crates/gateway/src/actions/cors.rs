//! Cross-origin resource sharing: which scripts of other origins may read answers, by the Fetch standard (<https://fetch.spec.whatwg.org/#http-cors-protocol>).
//!
//! The gateway answers preflights itself, and says of an answer what the configuration says, in place of what the service did. An origin that is not listed gets no header of
//! CORS, also where the service gave it one.

use bytes::Bytes;
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_METHOD, HeaderName, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use mainstay_base::units::Duration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

mod origin;

pub use origin::{Origin, OriginError};

use super::mistake::Mistakes;
use crate::routes::{FieldName, Match, MethodName, Seen};

/// Which scripts of other origins may use the route, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The origins, from 1 to 256: `https://app.example.com`, with a port if it is not the scheme's own; `https://*.example.com` for all names below one, at any depth; `*` for
    /// all; `null` for pages without one, such as files and sandboxed frames.
    pub origins: Vec<Origin>,
    /// The methods that scripts may use besides GET, HEAD and POST, which browsers ask nobody about, up to 64; `*` for all. By default those of the route's `match`, or GET, HEAD, POST,
    /// PUT, PATCH and DELETE where it takes all.
    pub methods: Vec<MethodName>,
    /// The headers that scripts may send besides those that browsers ask nobody about, up to 64; `*` for all but `authorization`, which has to be named. By default `content-type`,
    /// without which no JSON can be sent.
    pub headers: Vec<FieldName>,
    /// The headers of answers that scripts may read besides the few that they may always, up to 64; `*` for all. By default none.
    pub expose: Vec<FieldName>,
    /// Whether scripts may have requests carry cookies and certificates. Not with `*` or `null` for anything. By default `false`: a listed origin could act as whoever is logged in.
    pub credentials: bool,
    /// How long a browser may keep the answer to a preflight, in whole seconds, up to 24h; some keep it for less. 0s has it ask each time. By default 10m: few requests ask twice, and
    /// a change is with everybody soon.
    pub max_age: Duration,
}

impl Default for Config {
    fn default() -> Self {
        let content_type =
            FieldName::try_from("content-type".to_owned()).expect("it is the name of a header");
        Self {
            origins: Vec::new(),
            methods: Vec::new(),
            headers: vec![content_type],
            expose: Vec::new(),
            credentials: false,
            max_age: Duration::from_secs(600),
        }
    }
}

impl Config {
    /// The most origins.
    pub const ORIGINS_MAX: usize = 256;

    /// The most methods, and names of headers in each list.
    pub const NAMES_MAX: usize = 64;

    /// The longest `max_age`: no browser keeps it longer.
    pub const MAX_AGE_MAX: Duration = Duration::from_secs(24 * 60 * 60);
}

/// The same, ready.
#[derive(Debug)]
pub(super) struct Cors {
    /// None: all of them.
    origins: Option<Box<[Origin]>>,
    credentials: bool,
    methods: HeaderValue,
    headers: Option<HeaderValue>,
    expose: Option<HeaderValue>,
    max_age: HeaderValue,
}

/// What is said to the origin of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Grant {
    /// That all may read, which does not depend on the origin.
    All,
    /// That this one may.
    Origin(HeaderValue),
    /// Nothing.
    Nothing,
}

const ALL: HeaderValue = HeaderValue::from_static("*");
const TRUE: HeaderValue = HeaderValue::from_static("true");
const VARY_ORIGIN: HeaderValue = HeaderValue::from_static("Origin");

/// Everything that an answer can say of CORS.
const SAID: [HeaderName; 7] = [
    ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_ALLOW_CREDENTIALS,
    ACCESS_CONTROL_EXPOSE_HEADERS,
    ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_HEADERS,
    ACCESS_CONTROL_MAX_AGE,
    HeaderName::from_static("access-control-allow-private-network"),
];

/// The method that a preflight asks for; none if a request is no preflight. A route that takes this method has to take the preflight as well, whatever methods it names:
/// look for it with this method first.
pub fn preflight(request: &Seen<'_>) -> Option<Method> {
    let headers = request.headers.0;
    if *request.method != Method::OPTIONS || !headers.contains_key(ORIGIN) {
        return None;
    }
    Method::from_bytes(headers.get(ACCESS_CONTROL_REQUEST_METHOD)?.as_bytes()).ok()
}

impl Cors {
    pub(super) fn build(config: &Config, route: &Match, mistakes: &mut Mistakes) -> Option<Self> {
        check_origins(config, mistakes);
        let is_all = config.origins.contains(&Origin::Any);
        let methods: Vec<&str> = config.methods.iter().map(|name| name.method().as_str()).collect();
        let headers: Vec<&str> = config.headers.iter().map(FieldName::as_str).collect();
        let expose: Vec<&str> = config.expose.iter().map(FieldName::as_str).collect();
        for (key, names) in [("methods", &methods), ("headers", &headers), ("expose", &expose)] {
            let at = ["cors", key];
            if config.credentials && names.contains(&"*") {
                mistakes.add(
                    &at,
                    "has `*`, which with `credentials` is only a name to browsers: write the names",
                );
            }
            if names.len() > Config::NAMES_MAX {
                let what = format!("has {} names, and there are at most {}", names.len(), Config::NAMES_MAX);
                mistakes.add(&at, format!("{what}: leave some out"));
            }
        }
        let max_age = config.max_age;
        if max_age > Config::MAX_AGE_MAX || Duration::from_secs(max_age.as_secs_up()) != max_age {
            mistakes.add(&["cors", "max_age"], format!("is {max_age}: write whole seconds up to 24h"));
        }
        let list = |names: &[&str]| -> HeaderValue {
            names.join(", ").try_into().expect("names of methods and headers are visible ASCII")
        };
        let some = |names: &[&str]| (!names.is_empty()).then(|| list(names));
        Some(Self {
            origins: (!is_all).then(|| config.origins.clone().into()),
            credentials: config.credentials,
            methods: some(&methods).unwrap_or_else(|| list(&methods_of(route))),
            headers: some(&headers),
            expose: some(&expose),
            max_age: max_age.as_secs_up().into(),
        })
    }

    /// What is said to the origin of a request.
    pub(super) fn grant(&self, request: &Seen<'_>) -> Grant {
        let Some(origins) = &self.origins else { return Grant::All };
        let mut lines = request.headers.0.get_all(ORIGIN).iter();
        // Browsers send one; of several nobody knows which another reader takes.
        let (Some(origin), None) = (lines.next(), lines.next()) else { return Grant::Nothing };
        let is_listed = origins.iter().any(|listed| listed.matches(origin.as_bytes()));
        if is_listed { Grant::Origin(origin.clone()) } else { Grant::Nothing }
    }

    /// The answer to a preflight; none if its origin is not listed. It names all that may be asked for, whatever was: browsers compare, and keep it for other requests.
    pub(super) fn answer(&self, grant: &Grant) -> Option<Response<Bytes>> {
        if *grant == Grant::Nothing {
            return None;
        }
        let mut answer = Response::new(Bytes::new());
        *answer.status_mut() = StatusCode::NO_CONTENT;
        let headers = answer.headers_mut();
        self.allow(grant, headers);
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, self.methods.clone());
        if let Some(names) = &self.headers {
            headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, names.clone());
        }
        headers.insert(ACCESS_CONTROL_MAX_AGE, self.max_age.clone());
        Some(answer)
    }

    /// Says in an answer what there is to be said, and nothing else.
    pub(super) fn apply(&self, grant: &Grant, headers: &mut HeaderMap) {
        for name in &SAID {
            headers.remove(name);
        }
        self.allow(grant, headers);
        if let Some(names) = self.expose.as_ref().filter(|_| *grant != Grant::Nothing) {
            headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, names.clone());
        }
    }

    fn allow(&self, grant: &Grant, headers: &mut HeaderMap) {
        match grant {
            Grant::All => {
                headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, ALL);
                return;
            }
            Grant::Origin(origin) => {
                headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
                if self.credentials {
                    headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, TRUE);
                }
            }
            Grant::Nothing => {}
        }
        // Of a request without an origin too: what a cache keeps of it would be given to scripts.
        if !varies_by_origin(headers) {
            headers.append(VARY, VARY_ORIGIN);
        }
    }
}

fn varies_by_origin(headers: &HeaderMap) -> bool {
    let lines = headers.get_all(VARY).iter().filter_map(|line| line.to_str().ok());
    lines
        .flat_map(|line| line.split(','))
        .map(str::trim)
        .any(|name| name == "*" || name.eq_ignore_ascii_case("origin"))
}

fn check_origins(config: &Config, mistakes: &mut Mistakes) {
    let (origins, at) = (&config.origins, ["cors", "origins"]);
    if origins.is_empty() {
        mistakes.add(&at, "names nobody: write those that may, such as https://app.example.com");
    }
    if origins.len() > Config::ORIGINS_MAX {
        let what = format!("has {} origins, and there are at most {}", origins.len(), Config::ORIGINS_MAX);
        mistakes.add(&at, format!("{what}: use wildcards, or several routes"));
    }
    if origins.len() > 1 && origins.contains(&Origin::Any) {
        mistakes.add(&at, "has `*`, which is every origin, beside others: leave it or them out");
    }
    for (origin, who) in [(Origin::Any, "any page"), (Origin::Null, "any page that hides where it is from")] {
        if config.credentials && origins.contains(&origin) {
            let what = format!(
                "has `{origin}` together with `credentials`, so that {who} could act as whoever is logged in: name the origins, or leave `credentials` out"
            );
            mistakes.add(&at, what);
        }
    }
}

/// The methods of a route, with the HEAD that its GET takes.
fn methods_of(route: &Match) -> Vec<&str> {
    let mut methods: Vec<&str> = route.methods.iter().map(|name| name.method().as_str()).collect();
    if methods.is_empty() {
        return vec!["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"];
    }
    if methods.contains(&"GET") && !methods.contains(&"HEAD") {
        methods.push("HEAD");
    }
    methods
}
