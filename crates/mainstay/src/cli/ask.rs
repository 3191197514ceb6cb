//! A node that is up, as commands ask it: found by the lock of its data directory, over its API, with the token of the
//! configuration. What it refuses is told in its own words.

use std::fmt::{self, Display, Formatter};
use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use axum::body::Bytes;
use axum::http::Request;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::http::request::Builder;
use mainstay_base::error::Code;
use mainstay_base::problem::Problem;
use mainstay_lab::fetch;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::config::Config;
use crate::life::lock;

/// Definitions of a page.
const PAGE: usize = 1_000;

/// How much longer than `api.timeout` an answer may take, which is what the node promises.
const ANSWER_MARGIN: Duration = Duration::from_secs(10);

const UNREADABLE: &str = "the node's answer cannot be read";

/// A node that is up.
pub struct Node {
    api: SocketAddr,
    token: Option<String>,
}

/// A request that the node has not done.
#[derive(Debug)]
pub struct Refused {
    api: SocketAddr,
    status: u16,
    problem: Option<Problem>,
}

/// An answer as what it is of. Errors: it is something else.
pub fn typed<T: DeserializeOwned>(document: Value) -> Result<T> {
    serde_json::from_value(document).context(UNREADABLE)
}

/// What was answered, unless that there is no such thing.
pub fn found(answer: Result<Value>) -> Result<Option<Value>> {
    match answer {
        Ok(document) => Ok(Some(document)),
        Err(error) if error.downcast_ref::<Refused>().and_then(Refused::code) == Some(Code::NotFound) => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// How long the answer to what `api.timeout` bounds may take.
pub fn answer_timeout(config: &Config) -> Duration {
    config.api.timeout.as_std() + ANSWER_MARGIN
}

impl Node {
    /// The node that has the data directory. Errors: there is none, or it serves nothing yet; either says what to do.
    pub fn find(config: &Config) -> Result<Self> {
        let data = &config.data;
        match lock::check_free(config.data.as_path()) {
            Ok(()) => bail!(
                "no node is up on the data directory {data}: start one with `mainstay up`, or name the configuration or the \
                 directory (`--set data=DIR`) of the one that is"
            ),
            Err(lock::Error::Held { holder: Some(holder), .. }) if holder.api.is_some() => {
                Ok(Self::at(holder.api.expect("it was just looked at"), config))
            }
            Err(lock::Error::Held { holder, .. }) => {
                let holder = holder.map_or_else(|| "another process".to_owned(), |holder| holder.to_string());
                bail!(
                    "the data directory {data} is in use by {holder}, which serves no API: try again once the node is ready"
                )
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The node whose API listens there.
    pub fn at(api: SocketAddr, config: &Config) -> Self {
        let token = config.api.token.as_ref().map(|token| token.expose().to_owned());
        Self { api, token }
    }

    /// All definitions of a kind, such as `collections`, from as many pages as they take.
    pub fn all(&self, kind: &str, timeout: Duration) -> Result<Vec<Value>> {
        let (mut all, mut cursor) = (Vec::new(), String::new());
        loop {
            let path = format!("/v1/{kind}?limit={PAGE}{cursor}");
            let mut page = self.send(Request::get(path), None, timeout)?;
            all.extend(typed::<Vec<Value>>(page[kind].take())?);
            match page["next"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return Ok(all),
            }
        }
    }

    /// Gives each line of an answer that goes on to `each`, until it ends or `each` says that it is enough. Errors: nothing came for as long as `silence`, or [`Refused`].
    pub fn follow(
        &self,
        request: Builder,
        silence: Duration,
        each: impl FnMut(&str) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        let request = self.known(request).body(Bytes::new()).context("cannot write the request")?;
        match fetch::lines(self.api, request, silence, each)? {
            None => Ok(()),
            Some(answer) => Err(self.refused(&answer).into()),
        }
    }

    /// A request of whoever may use this node.
    fn known(&self, request: Builder) -> Builder {
        match &self.token {
            Some(token) => request.header(AUTHORIZATION, format!("Bearer {token}")),
            None => request,
        }
    }

    fn refused(&self, answer: &fetch::Fetched) -> Refused {
        let problem = serde_json::from_slice::<Problem>(&answer.body).ok();
        Refused { api: self.api, status: answer.status, problem }
    }

    /// What it answers, as JSON (`null` for nothing), to a request with this document, if any, as its body. Errors: no whole
    /// answer within `timeout`, or [`Refused`].
    pub fn send(&self, request: Builder, document: Option<&Value>, timeout: Duration) -> Result<Value> {
        let mut request = self.known(request);
        if document.is_some() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        let body = document.map(Value::to_string).unwrap_or_default();
        let request = request.body(body.into()).context("cannot write the request")?;
        let answer = fetch::send(self.api, request, timeout)?;
        if answer.status == 204 {
            return Ok(Value::Null);
        }
        if (200..300).contains(&answer.status) {
            return serde_json::from_slice(&answer.body).context(UNREADABLE);
        }
        bail!(self.refused(&answer))
    }
}

impl Refused {
    /// The code of its problem, if it has one.
    pub fn code(&self) -> Option<Code> {
        self.problem.as_ref().map(Problem::code)
    }
}

impl Display for Refused {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let detail = self.problem.as_ref().map_or("it does not say why", Problem::detail);
        write!(f, "the node at {} answers {}: {detail}", self.api, self.status)?;
        self.problem.iter().flat_map(more).try_for_each(|line| write!(f, "\n  {line}"))
    }
}

/// What a problem tells beyond its detail, line by line: each of several places, and items that would fail.
fn more(problem: &Problem) -> Vec<String> {
    let text = |value: &Value, name: &str| value[name].as_str().unwrap_or_default().replace('\n', " ");
    let of = |name: &str| problem.facts().get(name).and_then(Value::as_array).cloned().unwrap_or_default();
    let (findings, violations) = (of("findings"), of("violations"));
    let mut lines: Vec<String> = Vec::new();
    if findings.len() > 1 {
        lines.extend(findings.iter().map(|it| format!("{}: {}", text(it, "pointer"), text(it, "reason"))));
    }
    if violations.len() > 1 {
        lines
            .extend(violations.iter().map(|it| format!("{:?} {}", text(it, "pointer"), text(it, "message"))));
    }
    if let Some(sample) = problem.facts().get("sample") {
        let count = |name: &str| sample[name].as_u64().unwrap_or_default();
        let (items, failing) = (count("items"), count("failing"));
        lines.push(format!("of {items} items that were looked at {failing} would not be valid"));
        let examples = sample["examples"].as_array().into_iter().flatten();
        lines.extend(examples.map(|it| format!("{:?}: {}", text(it, "key"), text(it, "reason"))));
    }
    lines
}

impl std::error::Error for Refused {}
