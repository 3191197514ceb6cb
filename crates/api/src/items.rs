//! `/v1/collections/{collection}/items/{key}`: one item, whose body is its value and whose headers are the rest.
//!
//! A change is a commit with one operation, and what `If-Match` and `If-None-Match` ask are its conditions.

pub(crate) mod cursor;
mod holds;
mod list;
mod search;

use axum::body::Body;
use axum::extract::State;
use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HeaderName, HeaderValue};
use axum::http::{HeaderMap, Request, Response, StatusCode};

use mainstay_base::error::Code;
use mainstay_base::id::Name;
use mainstay_base::key::Partition;
use mainstay_base::problem::Problem;
use mainstay_machine::Version;
use mainstay_machine::command::{Commit, ItemName, Operation};
use mainstay_machine::content::{ContentType, Value};
use mainstay_machine::json::{self, Json};
use mainstay_machine::shards::Get;

use crate::Api;
use crate::answer::{Failure, header};
use crate::call::{Call, failed as shards_failed, wrong_type};
use crate::preconditions::{self, ForReading, Verdict, etag};
use crate::stamp;
use crate::target::{self, Query};
use crate::terms::{one, wrong};

pub(crate) use holds::{hold, release};
pub(crate) use list::{LIMIT_DEFAULT, LIMIT_MAX, by_first_segment, list};

/// The media type of a patch (RFC 7396).
pub(crate) const MERGE_PATCH: &str = "application/merge-patch+json";

/// How long an item is to be there.
pub(crate) const TTL: HeaderName = HeaderName::from_static("mainstay-ttl");
/// From when on an item is absent, unless it is held.
pub(crate) const EXPIRES_AT: HeaderName = HeaderName::from_static("mainstay-expires");
/// The holds of an item, with commas between them.
pub(crate) const HOLDS: HeaderName = HeaderName::from_static("mainstay-holds");

const TTL_EXPECTED: &str = "a duration with its unit, such as `30m`";

/// `GET /v1/collections/{collection}/items/{key}`.
pub(crate) async fn get(State(api): State<Api>, request: Request<Body>) -> Result<Response<Body>, Failure> {
    let (call, _) = Call::new(&api, request)?;
    Query::read(&call.parts.uri, &[])?;
    let item = target::item(&call.parts.uri)?;
    let partition = partition(&call, &item)?;
    let conditions = ForReading::read(&call.parts.headers)?;
    let get = Get { tenant: call.tenant(), partition, item, consistency: call.terms.consistency };
    let reading = api.shards.get(get, call.terms.deadline).await.map_err(shards_failed)?;
    let mut headers = stamp::of_reading(&reading);
    // The name went with the question, and is needed again only if something is wrong.
    let name = || target::item(&call.parts.uri);
    let Some(found) = reading.value else { return Err(missing(&name()?).headers(headers)) };
    let tag = etag(found.version);
    let mut response = Response::new(Body::empty());
    match conditions.judge(found.version, &tag) {
        Verdict::Show => {
            headers.insert(CONTENT_TYPE, media_type(&found.content_type));
            *response.body_mut() = found.bytes.into();
        }
        Verdict::NotModified => *response.status_mut() = StatusCode::NOT_MODIFIED,
        Verdict::Failed => return Err(failed(&name()?, found.version).headers(headers)),
    }
    headers.insert(ETAG, tag);
    if let Some(expires) = found.expires {
        headers.insert(EXPIRES_AT, header(expires));
    }
    if !found.holds.is_empty() {
        let names: Vec<_> = found.holds.iter().map(Name::as_str).collect();
        headers.insert(HOLDS, header(names.join(", ")));
    }
    // A browser that is shown an item must not run it as a page of the API.
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; sandbox"));
    *response.headers_mut() = headers;
    Ok(response)
}

/// `PUT /v1/collections/{collection}/items/{key}`.
pub(crate) async fn put(State(api): State<Api>, request: Request<Body>) -> Result<Response<Body>, Failure> {
    let (call, body) = Call::new(&api, request)?;
    let content_type = call.content_type()?;
    let item = target::item(&call.parts.uri)?;
    let bytes = call.read(body).await?;
    let value = Value::new(content_type, bytes).map_err(|error| not_json(&error))?;
    let ttl = one(&call.parts.headers, &TTL)?;
    let ttl = ttl.map(|text| text.parse().map_err(|error| wrong(&TTL, error, TTL_EXPECTED))).transpose()?;
    change(&call, Operation::Put { item, value, ttl }).await
}

/// `PATCH /v1/collections/{collection}/items/{key}`.
pub(crate) async fn patch(State(api): State<Api>, request: Request<Body>) -> Result<Response<Body>, Failure> {
    let (call, body) = Call::new(&api, request)?;
    let content_type = call.content_type()?;
    let essence = content_type.as_str().split(';').next().unwrap_or_default().trim_end();
    if !essence.eq_ignore_ascii_case(MERGE_PATCH) {
        let accepted = (HeaderName::from_static("accept-patch"), HeaderValue::from_static(MERGE_PATCH));
        return Err(wrong_type(content_type.as_str(), MERGE_PATCH).headers(HeaderMap::from_iter([accepted])));
    }
    let item = target::item(&call.parts.uri)?;
    let bytes = call.read(body).await?;
    let patch = Json::new(bytes).map_err(|error| not_json(&error))?;
    change(&call, Operation::MergePatch { item, patch }).await
}

/// `DELETE /v1/collections/{collection}/items/{key}`.
pub(crate) async fn delete(
    State(api): State<Api>,
    request: Request<Body>,
) -> Result<Response<Body>, Failure> {
    let (call, _) = Call::new(&api, request)?;
    let item = target::item(&call.parts.uri)?;
    change(&call, Operation::Delete { item }).await
}

/// Commits one operation: 201 when it made the item, else 204.
async fn change(call: &Call<'_>, operation: Operation) -> Result<Response<Body>, Failure> {
    Query::read(&call.parts.uri, &[])?;
    let item = operation.item();
    let partition = partition(call, item)?;
    let conditions = preconditions::for_change(&call.parts.headers, item)?;
    let done = call.commit(partition, Commit { conditions, operations: vec![operation] }).await?;
    let result = done.results.first().copied();
    let version = result.and_then(|result| result.version);
    let is_new = version.is_some() && result.is_some_and(|result| !result.existed);
    let mut response = Response::new(Body::empty());
    *response.status_mut() = if is_new { StatusCode::CREATED } else { StatusCode::NO_CONTENT };
    *response.headers_mut() = done.headers;
    if let Some(version) = version {
        response.headers_mut().insert(ETAG, etag(version));
    }
    Ok(response)
}

/// The partition of an item, by the rule of its collection.
fn partition(call: &Call<'_>, item: &ItemName) -> Result<Partition<'static>, Failure> {
    Ok(call.partition_by(&item.collection)?.partition(&item.key).into_owned())
}

fn missing(item: &ItemName) -> Failure {
    about(Problem::new(Code::NotFound, format!("there is no item {item}")), item).into()
}

fn failed(item: &ItemName, version: Version) -> Failure {
    let detail = format!("the item {item} has version {version}, not that of `If-Match`");
    about(Problem::new(Code::ConditionFailed, detail), item).fact("version", version.to_string()).into()
}

fn about(problem: Problem, item: &ItemName) -> Problem {
    problem.fact("collection", item.collection.as_str()).fact("key", item.key.as_str())
}

/// The content type as a header's value.
fn media_type(of: &ContentType) -> HeaderValue {
    if *of == ContentType::JSON { HeaderValue::from_static("application/json") } else { header(of) }
}

/// The body is the value, so a place in the one is a place in the other.
fn not_json(error: &json::Error) -> Problem {
    Problem::of(error)
}
