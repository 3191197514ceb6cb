//! Which route takes what, and which tables are refused.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use http::{HeaderMap, HeaderName};
use serde_json::Value;

use super::*;
use crate::path;

mod configuration;
mod guide;
mod mistakes;
mod precedence;
mod properties;
mod reference;
mod requests;
mod templates;
mod walk;

/// A request as tests write it: `GET example.com/a?b=c`, with `--listener NAME` and header lines `name: value` behind it, each after a line feed.
#[derive(Debug, Clone)]
struct Request {
    method: Method,
    host: String,
    path: String,
    query: Option<String>,
    headers: HeaderMap,
    listener: String,
}

impl Request {
    fn new(text: &str) -> Self {
        let mut lines = text.lines().map(str::trim);
        let (method, target) = lines.next().unwrap().split_once(' ').unwrap();
        let (target, query) = match target.split_once('?') {
            Some((target, query)) => (target, Some(query.to_owned())),
            None => (target, None),
        };
        let at = target.find('/').unwrap();
        let (mut headers, mut listener) = (HeaderMap::new(), String::new());
        for line in lines {
            if let Some(name) = line.strip_prefix("--listener ") {
                name.clone_into(&mut listener);
                continue;
            }
            let (name, value) = line.split_once(": ").unwrap();
            headers.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
        }
        Self {
            method: method.parse().unwrap(),
            host: host(&target[..at]).into_owned(),
            path: path::normalise(&target[at..], &path::Config::default()).unwrap().into_owned(),
            query,
            headers,
            listener,
        }
    }

    fn seen(&self) -> Seen<'_> {
        Seen {
            method: &self.method,
            scheme: "https",
            host: &self.host,
            path: &self.path,
            query: Query(self.query.as_deref()),
            headers: Headers(&self.headers),
            listener: &self.listener,
            client: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7)),
        }
    }
}

type Routes = Vec<(Name, Match)>;

/// Routes as JSON: `{"name": {"path": ...}, ...}`.
fn routes(json: &str) -> Routes {
    let routes: BTreeMap<Name, Match> =
        serde_json::from_str(json).unwrap_or_else(|error| panic!("{json}: {error}"));
    routes.into_iter().collect()
}

fn build(routes: &Routes) -> Result<Table, Vec<Mistake>> {
    Table::build(routes.iter().map(|(name, wanted)| (name, wanted)))
}

fn table(json: &str) -> Table {
    build(&routes(json)).unwrap_or_else(|mistakes| panic!("{json}: {mistakes:?}"))
}

/// The name of the route that takes a request, and what its names stand for; `-` for none.
fn taken(table: &Table, request: &str) -> String {
    let request = Request::new(request);
    let Some(found) = table.find(&request.seen()).unwrap() else { return "-".to_owned() };
    let params: String = found.params().map(|(name, value)| format!(" {name}={value}")).collect();
    format!("{}{params}", table.routes[found.route].name)
}

/// Each request with the route that takes it.
#[track_caller]
fn takes(json: &str, expected: &[(&str, &str)]) {
    let table = table(json);
    for (request, expected) in expected {
        assert_eq!(taken(&table, request), *expected, "{request}");
    }
}

fn one(json: Value) -> Match {
    serde_json::from_value(json).unwrap()
}
