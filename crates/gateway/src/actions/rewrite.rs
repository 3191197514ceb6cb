//! The path, query and host that a service sees instead of the client's.
//!
//! A path is made of a template, or by taking a prefix away and putting one before it. Templates can do the first for every route with a pattern; prefixes are there besides since
//! they are what is meant nine times out of ten, since taking away what is not there is a mistake that can be told, and since a route for a whole host has no part of the path
//! that a template could name.

use http::HeaderValue;
use http::uri::{Authority, PathAndQuery};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::authority;
use super::error::Error;
use super::mistake::Mistakes;
use super::query::QueryHandling;
use crate::path;
use crate::routes::{Found, Match, Place, Seen, Segment, Template};

/// What a service sees instead of the client's.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The path, as a template: `/v2/{rest}`. By default the client's, in its normal form.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// What is taken away from the beginning of the path: `/api`. It has to be what the route's own path begins with, whole segments of it. Not together with `path`. By default nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strip_prefix: Option<String>,
    /// What is put before the path, after `strip_prefix` was taken away: `/v2`. Not together with `path`. By default nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub add_prefix: Option<String>,
    /// The host that the service sees, with a port where it is to see one: `orders.internal`. By default the client's, which services need to make links.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// What becomes of the query. By default `keep`.
    pub query: QueryHandling,
}

/// The same, ready.
#[derive(Debug)]
pub(super) struct Rewrite {
    path: Path,
    host: Option<NewHost>,
    query: QueryHandling,
}

#[derive(Debug)]
enum Path {
    Same,
    Constant(PathAndQuery),
    Made(Template),
    Prefixes { strip_bytes: usize, add: Box<str> },
}

/// A host in the two forms in which requests have it.
#[derive(Debug)]
pub(super) struct NewHost {
    pub(super) value: HeaderValue,
    pub(super) authority: Authority,
}

impl Rewrite {
    pub(super) fn build(config: &Config, route: &Match, mistakes: &mut Mistakes) -> Option<Self> {
        if *config == Config::default() {
            mistakes.add(&["rewrite"], "changes nothing: say what it changes, or leave it out");
        }
        let host = match &config.host {
            Some(host) => Some(mistakes.keep(&["rewrite", "host"], new_host(host))?),
            None => None,
        };
        let path = path_of(config, route, mistakes)?;
        Some(Self { path, host, query: config.query })
    }

    pub(super) fn host(&self) -> Option<&NewHost> {
        self.host.as_ref()
    }

    /// The path and query that a request is sent on with; none if they are its own. Errors: they cannot be made.
    pub(super) fn target(
        &self,
        request: &Seen<'_>,
        found: &Found<'_, '_>,
        paths: &path::Config,
    ) -> Result<Option<PathAndQuery>, Error> {
        let query = self.query.of(request.query.0);
        let mut target = match &self.path {
            Path::Same if self.query == QueryHandling::Keep => return Ok(None),
            Path::Same => request.path.to_owned(),
            Path::Constant(target) if query.is_none() => return Ok(Some(target.clone())),
            Path::Constant(target) => target.as_str().to_owned(),
            Path::Made(template) => template
                .render_path(request, found, paths)
                .map_err(|source| Error::Template { field: "rewrite.path".to_owned(), source })?,
            Path::Prefixes { strip_bytes, add } => prefixed(&request.path[*strip_bytes..], add),
        };
        if let Some(query) = query {
            target.push('?');
            target.push_str(query);
        }
        target.try_into().map(Some).map_err(|_| Error::TooLong)
    }
}

fn prefixed(rest: &str, add: &str) -> String {
    let path = [add, rest].concat();
    if path.is_empty() { "/".to_owned() } else { path }
}

fn path_of(config: &Config, route: &Match, mistakes: &mut Mistakes) -> Option<Path> {
    let (strip, add) = (&config.strip_prefix, &config.add_prefix);
    if let Some(text) = &config.path {
        if strip.is_some() || add.is_some() {
            mistakes.add(
                &["rewrite", "path"],
                "is the whole path: leave `strip_prefix` and `add_prefix` out, or write them instead of it",
            );
        }
        let template = mistakes.keep(&["rewrite", "path"], Template::parse(text, route, Place::Path))?;
        return Some(match template.constant() {
            Some(text) => Path::Constant(text.try_into().expect("a template's path is in normal form")),
            None => Path::Made(template),
        });
    }
    if strip.is_none() && add.is_none() {
        return Some(Path::Same);
    }
    let mut right = |key: &str, prefix: &Option<String>| match prefix {
        Some(prefix) => mistakes.keep(&["rewrite", key], check_prefix(prefix)),
        None => Some(()),
    };
    right("strip_prefix", strip).and(right("add_prefix", add))?;
    if let Some(prefix) = strip.as_ref().filter(|prefix| !begins_with(route, prefix)) {
        let what = format!(
            "is not what the route's path begins with, so that it could be missing: match a path such as `{prefix}/{{rest...}}`"
        );
        mistakes.add(&["rewrite", "strip_prefix"], what);
        return None;
    }
    let strip_bytes = strip.as_ref().map_or(0, String::len);
    Some(Path::Prefixes { strip_bytes, add: add.as_deref().unwrap_or_default().into() })
}

fn check_prefix(prefix: &str) -> Result<(), String> {
    if !prefix.starts_with('/') || prefix.ends_with('/') {
        return Err(
            "write whole segments with a \"/\" before each and none at the end, such as /api".to_owned()
        );
    }
    if prefix.contains(['{', '}', '?', '#']) {
        return Err("a prefix is text: write a template as `path`".to_owned());
    }
    match path::normalise(prefix, &path::Config::default()) {
        Ok(normal) if normal == prefix => Ok(()),
        Ok(normal) => Err(format!("it is not in the normal form of paths: write it as {normal:?}")),
        Err(error) => Err(error.to_string()),
    }
}

/// Whether every path that a route matches begins with these segments.
fn begins_with(route: &Match, prefix: &str) -> bool {
    let segments = route.path.as_ref().map_or(&[][..], |path| path.segments());
    let wanted: Vec<&str> = prefix[1..].split('/').collect();
    let is_text =
        |(segment, text): (&Segment, &&str)| matches!(segment, Segment::Literal(it) if **it == **text);
    wanted.len() <= segments.len() && segments.iter().zip(&wanted).all(is_text)
}

fn new_host(text: &str) -> Result<NewHost, String> {
    let (host, _) = authority::split(text)?;
    if host.is_wildcard() {
        return Err("one host is sent on: write it without `*`".to_owned());
    }
    let wrong = || "write a host such as orders.internal, with or without a port".to_owned();
    Ok(NewHost {
        value: HeaderValue::try_from(text).map_err(|_| wrong())?,
        authority: Authority::try_from(text).map_err(|_| wrong())?,
    })
}
