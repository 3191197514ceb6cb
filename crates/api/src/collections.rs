//! `/v1/collections`: what collections there are, how that changes, and what it was.
//!
//! The body of a change IS the definition; what is answered says around it which version it has, where it was written and how many
//! shards have it.

mod purge;

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::header::ETAG;
use axum::http::{Request, Response, StatusCode};

use mainstay_base::error::Code;
use mainstay_base::id::Name;
use mainstay_base::problem::Problem;
use mainstay_machine::command::{Change, Define};
use mainstay_machine::content::ContentType;
use mainstay_machine::{Collection, Definition};

use crate::answer::{self, Failure};
use crate::call::{Call, failed, wrong_type};
use crate::preconditions::{self, etag};
use crate::target::{self, Query};
use crate::wire::{CollectionBody, CollectionsBody, HistoryBody, RehearsalBody, RollbackBody, UsageBody};
use crate::{Api, body, stamp};

pub(crate) use purge::{purge, purging};

/// Collections of a page when the caller does not say how many.
pub(crate) const LIMIT_DEFAULT: usize = 100;
/// The most collections of a page.
pub(crate) const LIMIT_MAX: usize = 1000;

/// The parameter that makes a change a rehearsal.
pub(crate) const DRY_RUN: &str = "dry_run";

/// `GET /v1/collections`.
pub(crate) async fn list(State(api): State<Api>, request: Request<Body>) -> Result<Response<Body>, Failure> {
    let (call, _) = Call::new(&api, request)?;
    let query = Query::read(&call.parts.uri, &["limit", "cursor"])?;
    let limit = target::limit(query.get("limit"), LIMIT_DEFAULT, LIMIT_MAX)?;
    let after: Option<Name> = query.get("cursor").map(cursor).transpose()?;
    let (definitions, tenant) = (api.shards.definitions(), call.tenant());
    let served = definitions.of(&tenant).filter(|(_, definition)| !definition.is_retired);
    let mut rest = served.filter(|(name, _)| after.as_ref().is_none_or(|after| *name > after));
    let collections: Vec<_> =
        rest.by_ref().take(limit).map(|(name, definition)| shown(&api, name, definition)).collect();
    let next = rest.next().and_then(|_| collections.last()).map(|last| last.name.clone());
    Ok(answer::json(&CollectionsBody { collections, next }))
}

/// `GET /v1/collections/{collection}`.
pub(crate) async fn get(State(api): State<Api>, request: Request<Body>) -> Result<Response<Body>, Failure> {
    let (call, _) = Call::new(&api, request)?;
    Query::read(&call.parts.uri, &[])?;
    let name = target::collection(&call.parts.uri)?;
    let (definitions, tenant) = (api.shards.definitions(), call.tenant());
    let found = definitions.get(&tenant, &name).filter(|found| !found.is_retired);
    let Some(found) = found else { return Err(missing(&name, definitions.get(&tenant, &name)).into()) };
    let standing =
        api.shards.standing((tenant.clone(), name.clone()), call.terms.deadline).await.map_err(failed)?;
    let body = shown(&api, &name, found).with_standing(found, standing);
    Ok(with_version(answer::json(&body), found))
}

/// `PUT /v1/collections/{collection}`.
pub(crate) async fn put(State(api): State<Api>, request: Request<Body>) -> Result<Response<Body>, Failure> {
    let (call, body) = Call::new(&api, request)?;
    let bytes = read_json(&call, body).await?;
    let collection = body::json::<Collection>(&bytes)?;
    change(&call, Change::Put(Box::new(collection))).await
}

/// `DELETE /v1/collections/{collection}`.
pub(crate) async fn delete(
    State(api): State<Api>,
    request: Request<Body>,
) -> Result<Response<Body>, Failure> {
    let (call, _) = Call::new(&api, request)?;
    change(&call, Change::Retire).await
}

/// `GET /v1/collections/{collection}/history`.
pub(crate) async fn history(
    State(api): State<Api>,
    request: Request<Body>,
) -> Result<Response<Body>, Failure> {
    let (call, _) = Call::new(&api, request)?;
    Query::read(&call.parts.uri, &[])?;
    let name = target::collection(&call.parts.uri)?;
    let read = api.shards.history((call.tenant(), name.clone()), call.terms.deadline).await;
    let reading = read.map_err(failed)?;
    let headers = stamp::of_reading(&reading);
    if reading.value.is_empty() {
        return Err(Failure::from(missing(&name, None)).headers(headers));
    }
    let versions =
        reading.value.iter().map(|definition| CollectionBody::new(&name, definition, None)).collect();
    let mut response = answer::json(&HistoryBody { versions });
    response.headers_mut().extend(headers);
    Ok(response)
}

/// `GET /v1/collections/{collection}/usage`; of a retired one too, since its items stay.
pub(crate) async fn usage(State(api): State<Api>, request: Request<Body>) -> Result<Response<Body>, Failure> {
    let (call, _) = Call::new(&api, request)?;
    Query::read(&call.parts.uri, &[])?;
    let name = target::collection(&call.parts.uri)?;
    let (definitions, tenant) = (api.shards.definitions(), call.tenant());
    let Some(definition) = definitions.get(&tenant, &name) else { return Err(missing(&name, None).into()) };
    let reading =
        api.shards.usage((tenant.clone(), name.clone()), call.terms.deadline).await.map_err(failed)?;
    let headers = stamp::of_reading(&reading);
    let mut response = answer::json(&UsageBody::new(&name, definition, reading.value));
    response.headers_mut().extend(headers);
    Ok(response)
}

/// `POST /v1/collections/{collection}/rollback`.
pub(crate) async fn rollback(
    State(api): State<Api>,
    request: Request<Body>,
) -> Result<Response<Body>, Failure> {
    let (call, body) = Call::new(&api, request)?;
    let bytes = read_json(&call, body).await?;
    let RollbackBody { to } = body::json(&bytes)?;
    change(&call, Change::Rollback(to)).await
}

async fn read_json(call: &Call<'_>, body: Body) -> Result<bytes::Bytes, Failure> {
    let content_type = call.content_type()?;
    if content_type != ContentType::JSON {
        return Err(wrong_type(content_type.as_str(), "application/json"));
    }
    Ok(call.read(body).await?)
}

/// Changes a definition, or tells what that would come to.
async fn change(call: &Call<'_>, change: Change) -> Result<Response<Body>, Failure> {
    let query = Query::read(&call.parts.uri, &[DRY_RUN])?;
    let is_dry_run = target::flag(&query, DRY_RUN)?;
    let name = target::collection(&call.parts.uri)?;
    let expected = preconditions::for_definition(&call.parts.headers)?;
    let is_retiring = matches!(change, Change::Retire);
    let define = Define { name: name.clone(), change, expected, settled: 0 };
    if is_dry_run {
        return rehearse(call, define).await;
    }
    let done = call.define(define).await?;
    let (definitions, tenant) = (call.api.shards.definitions(), call.tenant());
    let mut response = match definitions.get(&tenant, &name) {
        Some(found) if !(is_retiring && done.results.iter().all(|result| !result.existed)) => {
            with_version(answer::json(&shown(call.api, &name, found)), found)
        }
        found => return Err(Failure::from(missing(&name, found)).headers(done.headers)),
    };
    let is_new = done.results.iter().any(|result| result.version.is_some() && !result.existed);
    *response.status_mut() = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    response.headers_mut().extend(done.headers);
    Ok(response)
}

async fn rehearse(call: &Call<'_>, define: Define) -> Result<Response<Body>, Failure> {
    let (definitions, tenant) = (call.api.shards.definitions(), call.tenant());
    let before = definitions.get(&tenant, &define.name).map(|found| found.version);
    let (results, sample, headers) = call.rehearse(define).await?;
    let version = results.first().and_then(|result| result.version);
    let changes = version.is_some() && version != before;
    let mut response = answer::json(&RehearsalBody { dry_run: true, changes, version, sample });
    response.headers_mut().extend(headers);
    Ok(response)
}

fn shown(api: &Api, name: &Name, definition: &Arc<Definition>) -> CollectionBody {
    CollectionBody::new(name, definition, Some(api.shards.active(definition.revision())))
}

fn with_version(mut response: Response<Body>, definition: &Definition) -> Response<Body> {
    response.headers_mut().insert(ETAG, etag(definition.version));
    response
}

/// The problem of a collection that is not served.
pub(crate) fn missing(name: &Name, retired: Option<&Arc<Definition>>) -> Problem {
    let shown = name.as_str();
    let detail = if retired.is_some() {
        format!(
            "the collection {shown:?} was retired: put its definition, or roll back to one of its history"
        )
    } else {
        format!("there is no collection {shown:?}: create it first")
    };
    Problem::new(Code::NotFound, detail).fact("collection", shown)
}

fn cursor(text: &str) -> Result<Name, Problem> {
    text.parse().map_err(|_| {
        let detail = "the cursor is not one: send it as it was answered in `next`";
        Problem::new(Code::Invalid, detail).fact("parameter", "cursor")
    })
}
