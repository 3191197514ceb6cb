//! Headers that a route removes, sets and adds, on requests and on answers.
//!
//! In this order: what is removed, what is set in place of all there is by its name, what is added beside it. So `remove: ["x-internal-*"]` together with
//! `set: { x-internal-user: ... }` has one meaning: nothing by these names comes from outside. Headers of the connection and of the framing are made by whoever sends, and a
//! route that could change them could have two readers see two requests: they are refused.

use std::collections::BTreeMap;

use http::header::HeaderName;
use http::{HeaderMap, HeaderValue};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::error::Error;
use super::mistake::Mistakes;
use super::value::Value;
use crate::routes::{FieldName, Found, Match, Place, Seen};

/// Which headers are changed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// On requests, before they are sent to the service. By default none.
    pub request: Changes,
    /// On answers, the service's and the route's own, but not on problems that the gateway tells instead of one. By default none.
    pub answer: Changes,
}

/// Headers that are removed, then set, then added. Each is one up to 64 times. None of them can be `host`, `connection`, `transfer-encoding`, `content-length`, `te`, `upgrade`,
/// `trailer`, `keep-alive`, `proxy-connection`, or begin with `mainstay-`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Changes {
    /// Names of headers that are removed, all lines of them. A `*` at the end stands for whatever follows: `x-internal-*`. By default none.
    pub remove: Vec<FieldName>,
    /// Values of headers, by name, that stand in place of all lines of these. A value is a template; it sees the request as the client sent it. By default none.
    pub set: BTreeMap<FieldName, String>,
    /// Values of headers, by name, that are added as a line more. Likewise. By default none.
    pub add: BTreeMap<FieldName, String>,
}

/// Headers that are made by whoever sends, and what to do instead of changing them.
const OWNED: [(&str, &str); 9] = [
    ("host", "write `rewrite.host` for the one that the service sees"),
    ("connection", "it belongs to one connection and is made by the gateway: leave it out"),
    ("transfer-encoding", "it frames the body and is made by the gateway: leave it out"),
    ("content-length", "it frames the body and is made by the gateway: leave it out"),
    ("te", "it belongs to one connection and is made by the gateway: leave it out"),
    ("upgrade", "it belongs to one connection and is made by the gateway: leave it out"),
    ("trailer", "it belongs to one connection and is made by the gateway: leave it out"),
    ("keep-alive", "it belongs to one connection and is made by the gateway: leave it out"),
    ("proxy-connection", "it belongs to one connection and is made by the gateway: leave it out"),
];

/// What Mainstay's own headers begin with.
const OURS: &str = "mainstay-";

/// How many there are of each kind, at most: a request is to stay below the limits of those who read it.
const CHANGES_MAX: usize = 64;

/// Changes of headers, ready to be made.
#[derive(Debug, Default)]
pub(super) struct Edits {
    /// For errors.
    side: &'static str,
    remove: Box<[HeaderName]>,
    /// In lower case, without the `*`.
    remove_prefixes: Box<[Box<str>]>,
    set: Box<[(HeaderName, Value)]>,
    add: Box<[(HeaderName, Value)]>,
}

/// The changes of requests and of answers.
pub(super) fn build(
    config: &Config,
    route: &Match,
    has_cors: bool,
    mistakes: &mut Mistakes,
) -> (Edits, Edits) {
    let request = Edits::build(&config.request, route, "request", mistakes);
    let answer = Edits::build(&config.answer, route, "answer", mistakes);
    if has_cors {
        let Changes { remove, set, add } = &config.answer;
        for (kind, name) in kinds(remove.iter(), set.keys(), add.keys()) {
            if name.as_str().starts_with("access-control-") {
                mistakes.add(
                    &["headers", "answer", kind, name.as_str()],
                    "is what `cors` of the route says: write it there",
                );
            }
        }
    }
    (request, answer)
}

fn kinds<'c>(
    remove: impl Iterator<Item = &'c FieldName>,
    set: impl Iterator<Item = &'c FieldName>,
    add: impl Iterator<Item = &'c FieldName>,
) -> impl Iterator<Item = (&'static str, &'c FieldName)> {
    let of = |kind: &'static str| move |name| (kind, name);
    remove.map(of("remove")).chain(set.map(of("set"))).chain(add.map(of("add")))
}

/// The name of one header that may be changed; a mistake if it may not.
pub(super) fn name(field: &FieldName, at: &[&str], mistakes: &mut Mistakes) -> Option<HeaderName> {
    let text = field.as_str();
    if text.contains('*') {
        mistakes.add(at, "names no header: write its whole name, without `*`");
        return None;
    }
    if let Some((_, what)) = OWNED.iter().find(|(owned, _)| *owned == text) {
        mistakes.add(at, format!("cannot be changed: {what}"));
        return None;
    }
    if text.starts_with(OURS) {
        mistakes.add(at, "cannot be changed: the gateway sets it itself; leave it out");
        return None;
    }
    Some(HeaderName::from_bytes(text.as_bytes()).expect("a field name is the name of a header"))
}

/// What names begin with that are removed; a mistake if some of them may not be.
fn prefix(text: &str, at: &[&str], mistakes: &mut Mistakes) -> Option<Box<str>> {
    if text.contains('*') {
        mistakes.add(at, "has more than one `*`: write one, at the end");
        return None;
    }
    let owned = OWNED.iter().map(|(owned, _)| *owned).find(|owned| owned.starts_with(text));
    if let Some(owned) = owned.or((OURS.starts_with(text) || text.starts_with(OURS)).then_some(OURS)) {
        let what = format!("would take `{owned}` with it, which cannot be changed: write a longer beginning");
        mistakes.add(at, what);
        return None;
    }
    Some(text.into())
}

impl Edits {
    fn build(config: &Changes, route: &Match, side: &'static str, mistakes: &mut Mistakes) -> Self {
        for (kind, count) in
            [("remove", config.remove.len()), ("set", config.set.len()), ("add", config.add.len())]
        {
            if count > CHANGES_MAX {
                let what =
                    format!("has {count} headers, and there are at most {CHANGES_MAX}: leave some out");
                mistakes.add(&["headers", side, kind], what);
            }
        }
        let (mut remove, mut remove_prefixes) = (Vec::new(), Vec::new());
        for field in &config.remove {
            let at = ["headers", side, "remove", field.as_str()];
            match field.as_str().strip_suffix('*') {
                Some(text) => remove_prefixes.extend(prefix(text, &at, mistakes)),
                None => remove.extend(name(field, &at, mistakes)),
            }
        }
        let mut values = |kind: &str, texts: &BTreeMap<FieldName, String>| {
            let mut values = Vec::with_capacity(texts.len());
            for (field, text) in texts {
                let at = ["headers", side, kind, field.as_str()];
                let name = name(field, &at, mistakes);
                let value = Value::build(text, (route, Place::Header), &at, mistakes);
                values.extend(name.zip(value));
            }
            values.into_boxed_slice()
        };
        let (set, add) = (values("set", &config.set), values("add", &config.add));
        Self { side, remove: remove.into(), remove_prefixes: remove_prefixes.into(), set, add }
    }

    /// The values that depend on a request, in the order of their use. Nothing is allocated when there are none. Errors: one cannot be made.
    pub(super) fn make(&self, request: &Seen<'_>, found: &Found<'_, '_>) -> Result<Vec<HeaderValue>, Error> {
        let mut made = Vec::new();
        for (kind, values) in [("set", &self.set), ("add", &self.add)] {
            for (name, value) in values.iter().filter(|(_, value)| matches!(value, Value::Made(_))) {
                let field = || format!("headers.{}.{kind}.{name}", self.side);
                made.push(value.make(request, found, field)?);
            }
        }
        Ok(made)
    }

    /// Makes the changes, with the values that were made of the request.
    pub(super) fn apply(&self, headers: &mut HeaderMap, made: Vec<HeaderValue>) {
        for name in &self.remove {
            headers.remove(name);
        }
        if !self.remove_prefixes.is_empty() {
            self.remove_by_prefix(headers);
        }
        let mut made = made.into_iter();
        let mut value_of = |value: &Value| match value {
            Value::Constant(value) => value.clone(),
            Value::Made(_) => made.next().expect("a value was made for each template, in this order"),
        };
        for (name, value) in &self.set {
            headers.insert(name, value_of(value));
        }
        for (name, value) in &self.add {
            headers.append(name, value_of(value));
        }
    }

    fn remove_by_prefix(&self, headers: &mut HeaderMap) {
        let is_named = |name: &&HeaderName| {
            self.remove_prefixes.iter().any(|prefix| name.as_str().starts_with(&**prefix))
        };
        let named: Vec<HeaderName> = headers.keys().filter(is_named).cloned().collect();
        for name in named {
            headers.remove(name);
        }
    }
}
