//! `/v1/collections/{collection}/items`: the items of a collection, page by page.

use axum::body::Body;
use axum::extract::State;
use axum::http::{Request, Response};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use mainstay_base::error::{Code, Retry};
use mainstay_base::id::Name;
use mainstay_base::key::{Key, PartitionBy, Slot};
use mainstay_base::problem::Problem;
use mainstay_machine::item::Listed;
use mainstay_machine::shards::{Cursor, List};

use crate::Api;
use crate::answer::{self, Failure};
use crate::call::Call;
use crate::stamp;
use crate::target::{self, Query};
use crate::wire::{ItemBody, PageBody};

/// Items of a page when the caller does not say how many.
pub(crate) const LIMIT_DEFAULT: usize = 100;
/// The most items of a page.
pub(crate) const LIMIT_MAX: usize = 1000;
/// The most bytes of a page's keys and values, unless it has one item only.
const PAGE_BYTES_MAX: usize = 4 << 20;

/// The first byte of every cursor of this form.
const FORMAT: u8 = 1;

/// `GET /v1/collections/{collection}/items`.
pub(crate) async fn list(State(api): State<Api>, request: Request<Body>) -> Result<Response<Body>, Failure> {
    let (call, _) = Call::new(&api, request)?;
    let query = Query::read(&call.parts.uri, &["prefix", "limit", "cursor"])?;
    let name = target::collection(&call.parts.uri)?;
    let by = call.partition_by(&name)?;
    let prefix = query.get("prefix").unwrap_or_default();
    let list = List {
        tenant: call.tenant(),
        collection: name.clone(),
        partition: by_first_segment(by, prefix),
        prefix: prefix.to_owned(),
        after: query.get("cursor").map(cursor).transpose()?,
        limit: target::limit(query.get("limit"), LIMIT_DEFAULT, LIMIT_MAX)?,
        bytes_max: PAGE_BYTES_MAX,
        consistency: call.terms.consistency,
    };
    let reading = api.shards.list(list, call.terms.deadline).await.map_err(|error| Problem::of(&error))?;
    let headers = stamp::of_reading(&reading);
    let page = reading.value;
    let items = page.items.iter().map(|listed| ItemBody::new(listed).map_err(|_| damaged(&name, listed)));
    let items = items.collect::<Result<_, Problem>>()?;
    let mut response = answer::json(&PageBody { items, next: page.next.as_ref().map(text) });
    response.headers_mut().extend(headers);
    Ok(response)
}

/// The partition of all keys with this prefix, if there is only one.
fn by_first_segment(by: PartitionBy, prefix: &str) -> Option<mainstay_base::key::Partition<'static>> {
    let (first, _) = prefix.split_once('/').filter(|_| by == PartitionBy::FirstSegment)?;
    by.parse(first).ok().map(mainstay_base::key::Partition::into_owned)
}

/// The format, the slot (2 bytes, the higher first) and the key, in base64 for addresses (RFC 4648, section 5).
fn text(cursor: &Cursor) -> String {
    let [high, low] = cursor.slot.get().to_be_bytes();
    URL_SAFE_NO_PAD.encode([&[FORMAT, high, low], cursor.key.as_str().as_bytes()].concat())
}

fn cursor(text: &str) -> Result<Cursor, Problem> {
    let read = || {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let [FORMAT, high, low, key @ ..] = &bytes[..] else { return None };
        let slot = Slot::new(u16::from_be_bytes([*high, *low]))?;
        let key: Key = str::from_utf8(key).ok()?.parse().ok()?;
        Some(Cursor { slot, key })
    };
    read().ok_or_else(|| {
        let detail = "the cursor is not one: send it as it was answered in `next`";
        Problem::new(Code::Invalid, detail).fact("parameter", "cursor")
    })
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
