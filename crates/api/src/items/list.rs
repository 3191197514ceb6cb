//! `/v1/collections/{collection}/items`: the items of a collection, page by page.

use axum::body::Body;
use axum::extract::State;
use axum::http::{Request, Response};

use mainstay_base::error::{Code, Retry};
use mainstay_base::id::Name;
use mainstay_base::key::PartitionBy;
use mainstay_base::problem::Problem;
use mainstay_machine::item::Listed;
use mainstay_machine::shards::List;

use super::{cursor, search};
use crate::Api;
use crate::answer::{self, Failure};
use crate::call::{Call, failed};
use crate::stamp;
use crate::target::{self, Query};
use crate::wire::{ExplainBody, ItemBody, PageBody};

/// Items of a page when the caller does not say how many.
pub(crate) const LIMIT_DEFAULT: usize = 100;
/// The most items of a page.
pub(crate) const LIMIT_MAX: usize = 1000;
/// The most bytes of a page's keys and values, unless it has one item only.
const PAGE_BYTES_MAX: usize = 4 << 20;

const PARAMETERS: [&str; 9] =
    ["prefix", "limit", "cursor", "filter", "order", "index", "fields", "scan", "explain"];

/// `GET /v1/collections/{collection}/items`.
pub(crate) async fn list(State(api): State<Api>, request: Request<Body>) -> Result<Response<Body>, Failure> {
    let (call, _) = Call::new(&api, request)?;
    let query = Query::read(&call.parts.uri, &PARAMETERS)?;
    let name = target::collection(&call.parts.uri)?;
    let by = call.partition_by(&name)?;
    let prefix = query.get("prefix").unwrap_or_default();
    let list = List {
        tenant: call.tenant(),
        collection: name.clone(),
        partition: by_first_segment(by, prefix),
        prefix: prefix.to_owned(),
        after: query.get("cursor").map(cursor::read).transpose()?,
        limit: target::limit(query.get("limit"), LIMIT_DEFAULT, LIMIT_MAX)?,
        bytes_max: PAGE_BYTES_MAX,
        search: search::read(&query, call.settings.machine.limits.query_reads_max)?,
        consistency: call.terms.consistency,
    };
    let (fields, is_explained) = (search::fields(&query)?, target::flag(&query, "explain")?);
    let reading = api.shards.list(list, call.terms.deadline).await.map_err(failed)?;
    let headers = stamp::of_reading(&reading);
    let page = reading.value;
    let items = page
        .items
        .iter()
        .map(|listed| ItemBody::new(listed, fields.as_deref()).map_err(|_| damaged(&name, listed)));
    let items = items.collect::<Result<Vec<_>, Problem>>()?;
    let explain = is_explained.then(|| ExplainBody::new(&page));
    let mut response = answer::json(&PageBody { items, next: page.next.as_ref().map(cursor::text), explain });
    response.headers_mut().extend(headers);
    Ok(response)
}

/// The partition of all keys with this prefix, if there is only one.
pub(crate) fn by_first_segment(
    by: PartitionBy,
    prefix: &str,
) -> Option<mainstay_base::key::Partition<'static>> {
    let (first, _) = prefix.split_once('/').filter(|_| by == PartitionBy::FirstSegment)?;
    by.parse(first).ok().map(mainstay_base::key::Partition::into_owned)
}

fn damaged(collection: &Name, listed: &Listed) -> Problem {
    let detail = format!(
        "the item {collection}/{} is not JSON, and was when it was stored: it is damaged",
        listed.key
    );
    Problem::new(Code::Internal, detail)
        .retry_with(Retry::Never)
        .fact("collection", collection.as_str())
        .fact("key", listed.key.as_str())
}
