//! What a route matches, as it is configured.

use std::collections::BTreeMap;

use mainstay_base::id::Name;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

mod condition;
mod host;
mod pattern;
mod words;

pub use condition::Condition;
pub(super) use condition::Text;
pub use host::{Host, HostError, Hosts, host};
pub use pattern::{Pattern, PatternError, Segment};
pub use words::{FieldName, MethodName, WordError};

use super::when::When;

/// What a route matches: everything that is said here has to hold. Without anything it is every request.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Match {
    /// The host that the request is for, or several, up to 64: `example.com`, or `*.example.com` for every name below it, at any depth, and not itself. By default any.
    pub host: Hosts,
    /// The path: `/a/b` exactly; with `{name}` for one segment that is not empty; with `{rest...}` at the end for whatever follows, so that `/a/{rest...}` matches `/a`, `/a/`
    /// and `/a/b/c`. At most 32 segments and 8 names. By default any path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<Pattern>,
    /// The listeners that the request may have come in by, as their `name` in `listen.gateway` says, up to 64: what is for a program's own services need not be reachable on the public address. By default
    /// any listener, also one without a name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub listeners: Vec<Name>,
    /// The methods, in upper case. A route with GET takes HEAD too where none names HEAD. By default any.
    pub methods: Vec<MethodName>,
    /// What holds for headers, by their names, up to 16. Several lines of one header are one value with `, ` between them (RFC 9110, section 5.3). By default nothing.
    pub headers: BTreeMap<FieldName, Condition>,
    /// What holds for parameters of the query, by their names, up to 16, decoded as forms are. What is said of a parameter that is there more than once has to hold for each
    /// of its values. By default nothing.
    pub query: BTreeMap<String, Condition>,
    /// A condition in CEL over `request.method`, `request.path`, `request.host`, `request.headers`, `request.query`, `request.scheme`, `request.listener`, `client.address` and `client.network`. Where it has no
    /// result it does not hold; a request on which it takes too long is answered 400. By default none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub when: Option<When>,
    /// Of routes with the same host and path that match a request, one with a higher priority takes it, whatever their conditions. By default 0: conditions decide
    /// by how specific they are.
    pub priority: i32,
}

impl Match {
    /// The most hosts of a route.
    pub const HOSTS_MAX: usize = 64;

    /// The most listeners of a route: as many as there may be.
    pub const LISTENERS_MAX: usize = 64;

    /// The most conditions on headers, and on the query.
    pub const CONDITIONS_MAX: usize = 16;

    /// What the types cannot state. Errors: the field, and what is wrong with it and what to do.
    pub fn check(&self) -> Result<(), (&'static str, String)> {
        if self.host.len() > Self::HOSTS_MAX {
            let reason = format!(
                "has {} hosts, and there are at most {}: use a wildcard, or several routes",
                self.host.len(),
                Self::HOSTS_MAX
            );
            return Err(("host", reason));
        }
        if let Some(host) = twice(&self.host) {
            return Err(("host", format!("names {host} twice: leave one out")));
        }
        if self.listeners.len() > Self::LISTENERS_MAX {
            let reason = format!(
                "has {} names, and there are at most {}: leave it out for all listeners",
                self.listeners.len(),
                Self::LISTENERS_MAX
            );
            return Err(("listeners", reason));
        }
        if let Some(name) = twice(&self.listeners) {
            return Err(("listeners", format!("names {name} twice: leave one out")));
        }
        if let Some(method) = twice(&self.methods) {
            return Err(("methods", format!("names {method} twice: leave one out")));
        }
        for (field, count) in [("headers", self.headers.len()), ("query", self.query.len())] {
            if count > Self::CONDITIONS_MAX {
                let reason = format!(
                    "has {count} conditions, and there are at most {}: leave some out",
                    Self::CONDITIONS_MAX
                );
                return Err((field, reason));
            }
        }
        for (name, condition) in &self.headers {
            if name.as_str() == "host" {
                return Err(("headers", "has a condition on `host`: write it as `host`".to_owned()));
            }
            condition.check_header().map_err(|reason| ("headers", format!("on `{name}` {reason}")))?;
        }
        for (name, condition) in &self.query {
            condition.check().map_err(|reason| ("query", format!("on {name:?} {reason}")))?;
        }
        Ok(())
    }
}

fn twice<T: PartialEq>(list: &[T]) -> Option<&T> {
    list.iter().enumerate().find(|(place, one)| list[..*place].contains(one)).map(|(_, one)| one)
}
