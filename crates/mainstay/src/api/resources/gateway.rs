//! `/v1/routes`, `/v1/services`: the gateway's definitions, as those of collections are; and `/v1/matches`, what would become of a request.
//!
//! The body of a change IS the definition, without its name, which is in the path.

use axum::body::Body;
use axum::extract::State;
use axum::http::header::{ETAG, HeaderValue};
use axum::http::{Method, Request, Response, StatusCode, Uri};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use mainstay_api::answer::{self, Failure};
use mainstay_api::stamp::{DURABILITY, REPLAYED};
use mainstay_api::target::{self, Query};
use mainstay_api::terms::Terms;
use mainstay_api::{body, preconditions};
use mainstay_base::error::Code;
use mainstay_base::id::Name;
use mainstay_base::problem::Problem;
use mainstay_gateway::book::{self, Change, Changed, Kind, Record, Said, What};
use mainstay_gateway::config::Route;
use mainstay_gateway::explanation::Asked;
use mainstay_machine::Version;
use mainstay_machine::command::Caller;
use mainstay_upstream::Config as Service;

use crate::api::Context;
use crate::gateway::{Defined, Finding, Refused};

/// Definitions of a page when the caller does not say how many.
const LIMIT_DEFAULT: usize = 100;
/// The most definitions of a page.
const LIMIT_MAX: usize = 1_000;
/// The parameter that makes a change a rehearsal.
const DRY_RUN: &str = "dry_run";

/// Which version to go back to.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rollback {
    to: Version,
}

/// What would become of a request.
pub async fn explain(
    State(context): State<Context>,
    uri: Uri,
    request: Body,
) -> Result<Response<Body>, Failure> {
    Query::read(&uri, &[])?;
    let bodies = context.settings.load().bodies();
    let asked: Asked = body::json(&body::read(request, &bodies, None).await?)?;
    let explanation = context.gateway.in_force().explain(&asked).map_err(|error| Problem::of(&error))?;
    Ok(answer::json(&explanation))
}

/// All of a kind that are in force, page by page.
pub async fn list(State(context): State<Context>, uri: Uri) -> Result<Response<Body>, Failure> {
    let query = Query::read(&uri, &["limit", "cursor"])?;
    let limit = target::limit(query.get("limit"), LIMIT_DEFAULT, LIMIT_MAX)?;
    let after: Option<Name> = query.get("cursor").map(cursor).transpose()?;
    let kind = kind(&uri);
    let all = context.gateway.all(kind).into_iter();
    let mut rest = all.filter(|it| after.as_ref().is_none_or(|after| it.name > *after));
    let page: Vec<Defined> = rest.by_ref().take(limit).collect();
    let next = rest.next().and_then(|_| page.last()).map(|last| last.name.clone());
    let mut document = json!({ kind.plural(): page });
    if let Some(next) = next {
        document["next"] = json!(next);
    }
    Ok(answer::json(&document))
}

/// One that is in force.
pub async fn show(State(context): State<Context>, uri: Uri) -> Result<Response<Body>, Failure> {
    Query::read(&uri, &[])?;
    let (kind, name) = (kind(&uri), name(&uri)?);
    let found = context.gateway.all(kind).into_iter().find(|it| it.name == name);
    let Some(found) = found else { return Err(missing(&context, kind, name)) };
    Ok(with_version(answer::json(&found), found.version))
}

/// What it was, the latest first.
pub async fn history(State(context): State<Context>, uri: Uri) -> Result<Response<Body>, Failure> {
    Query::read(&uri, &[])?;
    let (kind, name) = (kind(&uri), name(&uri)?);
    let now = context.gateway.in_force();
    let versions = now.book.history(kind, &name);
    if versions.is_empty() {
        return Err(missing(&context, kind, name));
    }
    let versions: Vec<_> = versions.iter().rev().map(|record| Defined::of(record)).collect();
    Ok(answer::json(&json!({ "versions": versions })))
}

/// Changes one, or tells what that would come to: `PUT` and `DELETE` of it, and `POST` of a version to go back to.
pub async fn change(
    State(context): State<Context>,
    request: Request<Body>,
) -> Result<Response<Body>, Failure> {
    let (parts, body) = request.into_parts();
    let settings = context.settings.load_full();
    let terms = Terms::read(&parts.headers, &*context.clock, settings.timeout)?;
    let query = Query::read(&parts.uri, &[DRY_RUN])?;
    let is_dry_run = target::flag(&query, DRY_RUN)?;
    let (kind, name) = (kind(&parts.uri), name(&parts.uri)?);
    let expected = preconditions::for_definition(&parts.headers)?;
    let what = match parts.method {
        Method::DELETE => What::Retire,
        method => {
            let bytes = body::read(body, &settings.bodies(), terms.left(&*context.clock)).await?;
            if method == Method::PUT {
                What::Put(said(kind, &name, body::json(&bytes)?)?)
            } else {
                What::Rollback(body::json::<Rollback>(&bytes)?.to)
            }
        }
    };
    let caller = Caller::ANONYMOUS.as_str().to_owned();
    // A rehearsal is not what its key is kept for.
    let key = terms.idempotency.as_ref().filter(|_| !is_dry_run);
    let idempotency_key = key.map(|key| key.as_str().to_owned());
    let change = Change { kind, name, what, expected, caller, idempotency_key };
    let before = context.gateway.in_force().book.get(kind, &change.name).cloned();
    let left = terms.left(&*context.clock);
    let changed = context.gateway.change(change.clone(), is_dry_run, left).await;
    let changed = changed.map_err(|refused| problem(&refused, &change))?;
    Ok(if is_dry_run { rehearsed(&changed, before.as_deref()) } else { done(&context, &changed) })
}

/// What was done.
fn done(context: &Context, changed: &Changed) -> Response<Body> {
    let Changed { record, is_new, is_replayed, .. } = changed;
    let all = context.gateway.all(record.kind);
    // With what guards it, if it is still as it was just made.
    let shown = all.into_iter().find(|it| it.name == record.name && it.version == Some(record.version));
    let shown = shown.unwrap_or_else(|| Defined::of(record));
    let mut response = with_version(answer::json(&shown), shown.version);
    *response.status_mut() = if *is_new && !record.retired { StatusCode::CREATED } else { StatusCode::OK };
    let headers = response.headers_mut();
    headers.insert(DURABILITY, HeaderValue::from_static("synced"));
    if *is_replayed {
        headers.insert(REPLAYED, HeaderValue::from_static("true"));
    }
    response
}

/// What a change would come to.
fn rehearsed(changed: &Changed, before: Option<&Record>) -> Response<Body> {
    let Changed { record, is_change, .. } = changed;
    let mut document = json!({ "dry_run": true, "changes": is_change });
    if *is_change || before.is_some_and(|before| !before.retired) {
        document["version"] = json!(record.version);
    }
    answer::json(&document)
}

/// What a body says. Errors: it is no definition, with the place.
fn said(kind: Kind, name: &Name, mut members: Map<String, Value>) -> Result<Said, Problem> {
    if members.contains_key("name") {
        let detail =
            format!("the body does not fit at `/name`: the {kind} is named in the path, leave it out");
        return Err(Problem::new(Code::Invalid, detail).fact("pointer", "/name"));
    }
    match kind {
        Kind::Route => {
            members.insert("name".to_owned(), json!(name));
            body::of_members::<Route>(members).map(|route| Said::Route(Box::new(route)))
        }
        Kind::Service => body::of_members::<Service>(members).map(|service| Said::Service(Box::new(service))),
    }
}

/// What of a change is refused: at the caller's own definition it is invalid, at others it is a conflict.
fn problem(refused: &Refused, change: &Change) -> Failure {
    let problem = Problem::of(refused).fact(change.kind.as_str(), change.name.as_str());
    let problem = match refused {
        Refused::Book(book::Error::Condition { found, .. }) => {
            problem.fact("version", found.map(|version| version.to_string()))
        }
        Refused::Book(book::Error::OwnedByFile { written, .. }) => {
            let problem = problem.fact("file", written.file.as_str());
            match written.line {
                Some(line) => problem.fact("line", line),
                None => problem,
            }
        }
        Refused::Book(_) | Refused::Store(_) | Refused::Deadline => problem,
        Refused::Misfits(findings) => misfits(findings, change),
    };
    problem.into()
}

fn misfits(findings: &[Finding], change: &Change) -> Problem {
    let is_own = |finding: &&Finding| {
        let of = finding.of.as_ref().map(|(kind, name)| (*kind, name));
        of == Some((change.kind, &change.name))
    };
    let (kind, name) = (change.kind, change.name.as_str());
    let told = |it: &Finding| {
        let mut told = json!({ "place": it.place, "pointer": it.pointer, "reason": it.reason });
        if let Some((kind, name)) = &it.of {
            told[kind.as_str()] = json!(name);
        }
        told
    };
    let all: Vec<_> = findings.iter().map(told).collect();
    let first = findings.iter().find(is_own);
    let code = if first.is_some() { Code::Invalid } else { Code::Conflict };
    let told = first.or(findings.first()).map(ToString::to_string).unwrap_or_default();
    let problem = Problem::new(code, format!("the {kind} \"{name}\" cannot be so: {told}"));
    let problem = problem.fact(kind.as_str(), name).fact("findings", json!(all));
    match first {
        Some(first) => problem.fact("pointer", first.pointer.as_str()),
        None => problem,
    }
}

fn missing(context: &Context, kind: Kind, name: Name) -> Failure {
    let is_known = context.gateway.in_force().book.get(kind, &name).is_some();
    let (of, named) = (kind.as_str(), name.to_string());
    let error = match is_known {
        true => book::Error::Retired { kind, name },
        false => book::Error::Missing { kind, name },
    };
    Problem::of(&error).fact(of, named).into()
}

fn with_version(mut response: Response<Body>, version: Option<Version>) -> Response<Body> {
    if let Some(version) = version {
        response.headers_mut().insert(ETAG, preconditions::etag(version));
    }
    response
}

fn kind(uri: &Uri) -> Kind {
    if uri.path().starts_with("/v1/routes") { Kind::Route } else { Kind::Service }
}

/// The name in a path, whatever is below it.
fn name(uri: &Uri) -> Result<Name, Problem> {
    let kind = kind(uri);
    let below = uri.path().strip_prefix("/v1/").and_then(|it| it.strip_prefix(kind.plural()));
    let encoded = below.unwrap_or_default().split('/').nth(1).unwrap_or_default();
    target::named(encoded, &format!("the {kind}"))
}

fn cursor(text: &str) -> Result<Name, Problem> {
    text.parse().map_err(|_| {
        let detail = "the cursor is not one: send it as it was answered in `next`";
        Problem::new(Code::Invalid, detail).fact("parameter", "cursor")
    })
}
