//! What routes do to requests and answers, seen as clients and services see it.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};

use http::header::{HOST, HeaderName};
use http::{HeaderMap, HeaderValue, Method, Request};
use mainstay_base::error::Classify;
use mainstay_base::id::Name;
use serde_json::{Value as Json, json};

use super::*;
use crate::routes::{Headers, Query, Table};

mod answers;
mod configuration;
mod cors;
mod guide;
mod headers;
mod redirects;
mod rewrites;
mod security;
mod yaml;

/// A route with what it does.
struct Route {
    table: Table,
    actions: Option<Actions>,
    paths: path::Config,
}

/// What a client asks: `GET https://example.com/a?b=c`, with lines `name: value` behind it.
#[derive(Debug, Clone)]
struct Asked {
    scheme: String,
    parts: Parts,
    host: String,
    path: String,
}

/// What became of it.
#[derive(Debug, PartialEq, Eq)]
struct Passed {
    /// What the service saw, as [`Asked`] is written.
    sent: Option<String>,
    /// What the client got: the status, lines of headers, an empty line, the body. A problem has its detail behind its status.
    got: String,
}

impl Route {
    #[track_caller]
    fn new(matching: Json, config: Json) -> Self {
        let matching: Match = serde_json::from_value(matching).unwrap();
        let config: Config = serde_json::from_value(config).unwrap();
        let actions = Actions::build(&config, &matching);
        let actions = actions.unwrap_or_else(|mistakes| panic!("{mistakes:?}"));
        let name: Name = "route".parse().unwrap();
        let table = Table::build([(&name, &matching)].into_iter()).unwrap();
        Self { table, actions, paths: path::Config::default() }
    }

    /// For every request.
    #[track_caller]
    fn of(config: Json) -> Self {
        Self::new(json!({}), config)
    }

    /// What becomes of a request, when a service gives this answer: a status, and lines of headers.
    fn pass(&self, asked: &str, answered: &str) -> Passed {
        self.pass_asked(Asked::new(asked), answered)
    }

    fn pass_asked(&self, asked: Asked, answered: &str) -> Passed {
        let Some(actions) = &self.actions else { panic!("the route does something") };
        let (next, on_answer) = {
            let seen = asked.seen();
            let found = self.table.find(&seen).unwrap().expect("the route takes it");
            actions.begin(&seen, &found, &self.paths)
        };
        let (status, mut headers) = answer(answered);
        let (sent, status, body) = match next {
            Next::Forward(on_request) => {
                let mut asked = asked;
                on_request.apply(&mut asked.parts);
                on_answer.apply(&mut headers);
                (Some(asked.to_text()), status, Bytes::new())
            }
            Next::Answer(answer) => {
                let (parts, body) = answer.into_parts();
                headers = parts.headers;
                on_answer.apply(&mut headers);
                (None, parts.status.as_str().to_owned(), body)
            }
            Next::Refuse(error) => {
                headers.clear();
                on_answer.apply_to_problem(&mut headers);
                (None, format!("{} {error}", error.code().status()), Bytes::new())
            }
        };
        let mut got = format!("{status}\n{}", lines(&headers));
        if !body.is_empty() {
            write!(got, "\n{}", str::from_utf8(&body).unwrap()).unwrap();
        }
        Passed { sent, got }
    }

    /// What the service sees of a request.
    #[track_caller]
    fn sent(&self, asked: &str) -> String {
        let passed = self.pass(asked, "200");
        passed.sent.unwrap_or_else(|| panic!("{asked}: {}", passed.got))
    }

    /// What the client gets without a service.
    #[track_caller]
    fn got(&self, asked: &str) -> String {
        let passed = self.pass(asked, "200");
        assert_eq!(passed.sent, None, "{asked}");
        passed.got
    }
}

impl Asked {
    fn new(text: &str) -> Self {
        let mut lines = text.lines().map(str::trim_start);
        let (method, url) = lines.next().unwrap().split_once(' ').unwrap();
        let (scheme, rest) = url.split_once("://").unwrap();
        let (authority, target) = rest.split_at(rest.find('/').unwrap());
        let mut request = Request::builder().method(method).uri(target).header(HOST, authority);
        for line in lines {
            let (name, value) = line.split_once(": ").unwrap();
            request = request.header(name, value);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let path = path::normalise(parts.uri.path(), &path::Config::PERMISSIVE).unwrap().into_owned();
        let host = crate::routes::host(authority).into_owned();
        Self { scheme: scheme.to_owned(), parts, host, path }
    }

    fn seen(&self) -> Seen<'_> {
        Seen {
            method: &self.parts.method,
            scheme: &self.scheme,
            host: &self.host,
            path: &self.path,
            query: Query(self.parts.uri.query()),
            headers: Headers(&self.parts.headers),
            listener: "",
            client: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7)),
        }
    }

    fn to_text(&self) -> String {
        let Parts { method, uri, headers, .. } = &self.parts;
        let mut others = headers.clone();
        others.remove(HOST);
        let host = headers[HOST].to_str().unwrap();
        format!("{method} {}://{host}{}\n{}", self.scheme, uri.path_and_query().unwrap(), lines(&others))
    }
}

/// The status and headers of an answer.
fn answer(text: &str) -> (String, HeaderMap) {
    let (status, rest) = text.split_once('\n').unwrap_or((text, ""));
    let mut headers = HeaderMap::new();
    for line in rest.lines().map(str::trim) {
        let (name, value) = line.split_once(": ").unwrap();
        headers.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
    }
    (status.to_owned(), headers)
}

/// Headers by name, each line as it is sent.
fn lines(headers: &HeaderMap) -> String {
    let line = |(name, value): (&HeaderName, &HeaderValue)| {
        format!("{name}: {}\n", value.to_str().expect("it is visible ASCII"))
    };
    let mut lines: Vec<_> = headers.iter().map(line).collect();
    lines.sort_by_key(|line| line.split(':').next().map(ToOwned::to_owned));
    lines.concat()
}

/// A document with one member.
fn within(field: &str, value: Json) -> Json {
    Json::Object([(field.to_owned(), value)].into_iter().collect())
}

/// What is wrong with a route, as text.
fn wrong_in(matching: Json, config: Json) -> Vec<String> {
    let matching: Match = serde_json::from_value(matching).unwrap();
    let config: Config = serde_json::from_value(config).unwrap();
    let mistakes = config.check(&matching).expect_err("something is wrong with it");
    mistakes.iter().map(ToString::to_string).collect()
}

/// Each configuration has one mistake, with these words.
#[track_caller]
fn all_wrong(cases: &[(Json, &str)]) {
    for (config, words) in cases {
        let found = wrong_in(json!({ "path": "/a/{one}/{rest...}" }), config.clone());
        assert!(found.len() == 1 && found[0].contains(words), "{config}: {found:?}");
    }
}
