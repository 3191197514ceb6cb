//! `/v1/collections/{collection}/changes`: the changes of a collection's items, as a stream of events or page by page.
//!
//! Both forms are pages of the port: a page is answered when it has an event or its time is over, and a stream is one page
//! after another ([`stream`]). A reader says itself where it goes on, by the id of the last event that it has seen.

mod stream;

use axum::body::Body;
use axum::extract::State;
use axum::http::header::{HeaderMap, HeaderName};
use axum::http::{Request, Response};

use mainstay_base::error::{Classify, Code};
use mainstay_base::id::Name;
use mainstay_base::problem::Problem;
use mainstay_base::units::Duration;
use mainstay_machine::expression::Expression;
use mainstay_machine::feed::{Events, Follow};
use mainstay_machine::position::EventId;

use crate::Api;
use crate::answer::{self, Failure, header};
use crate::call::Call;
use crate::items::by_first_segment;
use crate::streams::events;
use crate::target::{self, Query};
use crate::terms::{POSITION, one, wrong};
use crate::wire::{EventBody, EventsBody};

/// The id of the last event that a reader has seen (HTML, section 9.2.4).
pub(crate) const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// Events of a page when the caller does not say how many, and of what a stream holds at once.
pub(crate) const LIMIT_DEFAULT: usize = 100;
/// The most events of a page.
pub(crate) const LIMIT_MAX: usize = 1000;
/// The most bytes of a page's keys and values, unless it has one event only.
const PAGE_BYTES_MAX: usize = 1 << 20;
/// How long a page waits for its first event when the caller does not say.
pub(crate) const WAIT_DEFAULT: Duration = Duration::from_secs(30);

/// Which values events have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Values {
    /// None: keys and versions are enough.
    None,
    /// What an item is now.
    New,
    /// That, and what it was before.
    Both,
}

/// `GET /v1/collections/{collection}/changes`.
pub(crate) async fn follow(
    State(api): State<Api>,
    request: Request<Body>,
) -> Result<Response<Body>, Failure> {
    let (call, _) = Call::new(&api, request)?;
    let query = Query::read(&call.parts.uri, &["prefix", "filter", "after", "values", "limit", "wait"])?;
    let name = target::collection(&call.parts.uri)?;
    let by = call.partition_by(&name)?;
    let prefix = query.get("prefix").unwrap_or_default();
    let follow = Follow {
        tenant: call.tenant(),
        collection: name.clone(),
        partition: by_first_segment(by, prefix),
        prefix: prefix.to_owned(),
        filter: query.get("filter").map(filter).transpose()?,
        after: after(&call.parts.headers, &query)?,
        limit: target::limit(query.get("limit"), LIMIT_DEFAULT, LIMIT_MAX)?,
        bytes_max: PAGE_BYTES_MAX,
        wait: query.get("wait").map_or(Ok(WAIT_DEFAULT), wait)?,
    };
    let values = values(&call, &name, query.get("values"))?;
    if !events::are_wanted(&call.parts.headers) {
        return page(&call, follow, values).await;
    }
    if let Some(parameter) = ["limit", "wait"].into_iter().find(|parameter| query.get(parameter).is_some()) {
        let detail =
            format!("the parameter {parameter:?} is for pages, and a stream was asked for: leave it out");
        return Err(Problem::new(Code::Invalid, detail).fact("parameter", parameter).into());
    }
    stream::open(&call, follow, values).await
}

/// One page, as soon as there is an event, or empty when its time is over or the node stops.
async fn page(call: &Call<'_>, mut follow: Follow, values: Values) -> Result<Response<Body>, Failure> {
    let (api, deadline) = (call.api, call.terms.deadline);
    let name = follow.collection.clone();
    let waited = tokio::select! {
        page = api.shards.changes(follow.clone(), deadline) => Some(page),
        () = api.streams.closing() => None,
    };
    let page = match waited {
        Some(page) => page,
        None => {
            follow.wait = Duration::ZERO;
            api.shards.changes(follow, deadline).await
        }
    };
    let Events { events, next } = page.map_err(|error| Problem::of(&error))?;
    api.streams.told(events.len());
    let bodies = events.iter().map(|event| EventBody::new(&name, event, values).map_err(|_| damaged(&name)));
    let events = bodies.collect::<Result<_, Problem>>()?;
    let mut response = answer::json(&EventsBody { events, next: next.to_string() });
    response.headers_mut().insert(POSITION, header(next.position()));
    Ok(response)
}

/// Where to go on: a browser that connects again sends the header, and the address that it had before.
fn after(headers: &HeaderMap, query: &Query<'_>) -> Result<Option<EventId>, Problem> {
    const EXPECTED: &str = "the id of an event, or a position, as it was answered";
    if let Some(text) = one(headers, &LAST_EVENT_ID)? {
        let id = text.parse::<EventId>().map_err(|error| wrong(&LAST_EVENT_ID, error, EXPECTED));
        return id.map(Some);
    }
    let of_query = query.get("after").map(str::parse::<EventId>);
    of_query.transpose().map_err(|error| Problem::of(&error).fact("parameter", "after"))
}

fn filter(text: &str) -> Result<Expression, Problem> {
    Expression::parse(text).map_err(|error| Problem::of(&error).fact("parameter", "filter"))
}

fn wait(text: &str) -> Result<Duration, Problem> {
    text.parse().map_err(|error| {
        let detail = format!("the parameter \"wait\" {error}: send a duration with its unit, such as `30s`");
        Problem::new(Code::Invalid, detail).fact("parameter", "wait")
    })
}

fn values(call: &Call<'_>, name: &Name, text: Option<&str>) -> Result<Values, Problem> {
    let refuse = |detail: String| Problem::new(Code::Invalid, detail).fact("parameter", "values");
    match text {
        Some("none") => Ok(Values::None),
        None | Some("new") => Ok(Values::New),
        Some("both") => {
            let (definitions, tenant) = (call.api.shards.definitions(), call.tenant());
            let defined = definitions.collection(&tenant, name);
            if defined.is_some_and(|collection| collection.changes.old_values) {
                return Ok(Values::Both);
            }
            Err(refuse(format!(
                "the collection {:?} does not keep old values: define it with `changes: {{old_values: true}}`, or ask for \
                 `values=new`",
                name.as_str()
            )))
        }
        Some(_) => Err(refuse("the parameter \"values\" must be `none`, `new` or `both`".to_owned())),
    }
}

fn damaged(collection: &Name) -> Problem {
    let detail = format!("an item of {collection} is not JSON, and was when it was stored: it is damaged");
    Problem::new(Code::Internal, detail).fact("collection", collection.as_str())
}

/// Whether a reader that has begun may go on after this, in a while.
fn is_passing(error: &impl Classify) -> bool {
    matches!(error.code(), Code::Unavailable | Code::Overloaded)
}
