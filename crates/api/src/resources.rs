//! The table of resources: for each path its methods, their handlers, and what is said of them to callers.
//!
//! Routes and their description come from the same rows, so that neither can have what the other has not.

use axum::handler::Handler;
use axum::http::{HeaderName, Method};
use axum::routing::{MethodFilter, MethodRouter, on};

use mainstay_base::error::Code;

use crate::changes::LAST_EVENT_ID;
use crate::items::{LIMIT_DEFAULT, LIMIT_MAX, MERGE_PATCH, TTL};
use crate::streams::events::EVENT_STREAM;
use crate::terms::{CONSISTENCY, GRPC_TIMEOUT, IDEMPOTENCY_KEY, POSITION, TIMEOUT};
use crate::{Api, changes, collections, commits, items, openapi};

/// A path and what can be done there.
pub(crate) struct Resource {
    /// As the router knows it.
    pub(crate) path: &'static str,
    pub(crate) operations: Vec<Operation>,
}

/// A method of a path.
pub(crate) struct Operation {
    pub(crate) method: Method,
    /// Answers it.
    pub(crate) handler: MethodRouter<Api>,
    /// What generated clients call it.
    pub(crate) id: &'static str,
    /// One line.
    pub(crate) summary: &'static str,
    pub(crate) parameters: Vec<Parameter>,
    pub(crate) request: Option<Content>,
    /// What it answers when all is well: the status, what that means, and the body.
    pub(crate) answers: &'static [(u16, &'static str, Option<Content>)],
    /// Beside those of every request.
    pub(crate) problems: &'static [Code],
}

/// What a caller may send beside the body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Parameter {
    Collection,
    Hold,
    Key,
    Query { name: &'static str, about: String, schema: QuerySchema },
    Header(HeaderName),
}

/// The type of a parameter of a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum QuerySchema {
    Text,
    Whole { min: usize, max: usize, default: usize },
    Flag,
}

/// What a body holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Content {
    Commit,
    CommitAnswer,
    Page,
    /// A page of events, or a stream of them.
    Events,
    /// The value of an item: of any type, which is JSON if it claims to be.
    Value,
    /// A value to be: of any type too, of which a description can only name some.
    NewValue,
    MergePatch,
    NewCollection,
    Collection,
    CollectionOrDryRun,
    Collections,
    CollectionHistory,
    CollectionUsage,
    Rollback,
    NewPurge,
    PurgeDryRun,
    Purge,
    OpenApi,
}

impl Content {
    /// The media types, or a range of them.
    pub(crate) fn media_types(self) -> &'static [&'static str] {
        match self {
            Self::Commit
            | Self::CommitAnswer
            | Self::Page
            | Self::NewCollection
            | Self::Collection
            | Self::CollectionOrDryRun
            | Self::Collections
            | Self::CollectionHistory
            | Self::CollectionUsage
            | Self::Rollback
            | Self::NewPurge
            | Self::PurgeDryRun
            | Self::Purge
            | Self::OpenApi => &["application/json"],
            Self::Events => &["application/json", EVENT_STREAM],
            Self::Value => &["*/*"],
            Self::NewValue => &["application/json", "application/octet-stream"],
            Self::MergePatch => &[MERGE_PATCH],
        }
    }
}

impl Resource {
    /// The handlers of all its operations.
    pub(crate) fn methods(self) -> MethodRouter<Api> {
        let handlers = self.operations.into_iter().map(|operation| operation.handler);
        handlers.fold(MethodRouter::new(), MethodRouter::merge)
    }
}

/// Problems that every request can be answered with.
pub(crate) const PROBLEMS_OF_ALL: &[Code] = &[
    Code::Malformed,
    Code::Unauthenticated,
    Code::Forbidden,
    Code::Misdirected,
    Code::Internal,
    Code::Unavailable,
    Code::Overloaded,
    Code::Deadline,
];

const OF_CHANGES: [Code; 10] = [
    Code::RequestTimeout,
    Code::NotFound,
    Code::Conflict,
    Code::ConditionFailed,
    Code::TooLarge,
    Code::UnsupportedMediaType,
    Code::Invalid,
    Code::IdempotencyMismatch,
    Code::OutcomeUnknown,
    Code::StorageFull,
];
const OF_COMMITS: [Code; 11] = {
    let mut codes = [Code::PartitionMismatch; 11];
    let mut place = 0;
    while place < OF_CHANGES.len() {
        codes[place] = OF_CHANGES[place];
        place += 1;
    }
    codes
};
const OF_LISTINGS: &[Code] = &[Code::NotFound, Code::Gone, Code::Invalid];
const OF_READINGS: &[Code] = &[Code::NotFound, Code::Gone, Code::ConditionFailed, Code::Invalid];

const ITEM_CHANGED: &[(u16, &str, Option<Content>)] =
    &[(201, "The item is new.", None), (204, "The item was there before.", None)];

/// Every resource.
pub(crate) fn all() -> Vec<Resource> {
    vec![
        Resource {
            path: "/v1/commits",
            operations: vec![Operation {
                parameters: for_changes(vec![]),
                request: Some(Content::Commit),
                answers: &[(200, "All of it happened.", Some(Content::CommitAnswer))],
                problems: &OF_COMMITS,
                ..operation(
                    Method::POST,
                    commits::create,
                    ("commit", "Changes items of one partition, all or nothing"),
                )
            }],
        },
        Resource { path: "/v1/collections", operations: vec![list_collections()] },
        Resource {
            path: "/v1/collections/{collection}",
            operations: vec![read_collection(), put_collection(), delete_collection()],
        },
        Resource { path: "/v1/collections/{collection}/history", operations: vec![collection_history()] },
        Resource { path: "/v1/collections/{collection}/usage", operations: vec![collection_usage()] },
        Resource { path: "/v1/collections/{collection}/rollback", operations: vec![rollback_collection()] },
        Resource {
            path: "/v1/collections/{collection}/purge",
            operations: vec![read_purge(), purge_collection()],
        },
        Resource { path: "/v1/collections/{collection}/changes", operations: vec![changes()] },
        Resource { path: "/v1/collections/{collection}/items", operations: vec![listing()] },
        Resource {
            path: "/v1/collections/{collection}/items/{*key}",
            operations: vec![read_item(), put_item(), patch_item(), delete_item()],
        },
        Resource {
            path: "/v1/collections/{collection}/holds/{hold}/items/{*key}",
            operations: vec![hold_item(), release_item()],
        },
        Resource {
            path: "/v1/openapi.json",
            operations: vec![Operation {
                answers: &[(200, "This document.", Some(Content::OpenApi))],
                ..operation(
                    Method::GET,
                    openapi::show,
                    ("describe", "Describes the building blocks' resources"),
                )
            }],
        },
    ]
}

const OF_DEFINITIONS: [Code; 12] = [
    Code::RequestTimeout,
    Code::NotFound,
    Code::Conflict,
    Code::OwnedByFile,
    Code::ConditionFailed,
    Code::TooLarge,
    Code::UnsupportedMediaType,
    Code::Invalid,
    Code::IdempotencyMismatch,
    Code::OutcomeUnknown,
    Code::StorageFull,
    Code::QuotaExceeded,
];

const COLLECTION_CHANGED: &[(u16, &str, Option<Content>)] = &[
    (200, "What it says now, or what the change would come to.", Some(Content::CollectionOrDryRun)),
    (201, "The collection is new.", Some(Content::Collection)),
];

fn list_collections() -> Operation {
    let parameters = vec![
        query(
            "limit",
            "How many collections at most.",
            QuerySchema::Whole { min: 1, max: collections::LIMIT_MAX, default: collections::LIMIT_DEFAULT },
        ),
        query("cursor", "Where to go on: `next` of the page before.", QuerySchema::Text),
    ];
    Operation {
        parameters: with_headers(parameters, [TIMEOUT, GRPC_TIMEOUT]),
        answers: &[(200, "A page of collections.", Some(Content::Collections))],
        problems: &[Code::Invalid],
        ..operation(Method::GET, collections::list, ("list_collections", "Lists collections"))
    }
}

fn read_collection() -> Operation {
    Operation {
        parameters: with_headers(vec![Parameter::Collection], [TIMEOUT, GRPC_TIMEOUT]),
        answers: &[(200, "The definition.", Some(Content::Collection))],
        problems: &[Code::NotFound, Code::Invalid],
        ..operation(Method::GET, collections::get, ("get_collection", "Reads a collection's definition"))
    }
}

fn put_collection() -> Operation {
    Operation {
        parameters: of_definition_change(),
        request: Some(Content::NewCollection),
        answers: COLLECTION_CHANGED,
        problems: &OF_DEFINITIONS,
        ..operation(Method::PUT, collections::put, ("put_collection", "Defines a collection"))
    }
}

fn delete_collection() -> Operation {
    Operation {
        parameters: of_definition_change(),
        answers: &[(200, "It is not served any more; its items stay.", Some(Content::CollectionOrDryRun))],
        problems: &OF_DEFINITIONS,
        ..operation(Method::DELETE, collections::delete, ("retire_collection", "Retires a collection"))
    }
}

fn collection_history() -> Operation {
    Operation {
        parameters: with_headers(vec![Parameter::Collection], [TIMEOUT, GRPC_TIMEOUT]),
        answers: &[(200, "Its versions, the latest first.", Some(Content::CollectionHistory))],
        problems: &[Code::NotFound, Code::Invalid],
        ..operation(
            Method::GET,
            collections::history,
            ("get_collection_history", "Reads what a collection's definition was"),
        )
    }
}

fn collection_usage() -> Operation {
    Operation {
        parameters: with_headers(vec![Parameter::Collection], [TIMEOUT, GRPC_TIMEOUT]),
        answers: &[(200, "Its items, indexes, bytes and hot keys.", Some(Content::CollectionUsage))],
        problems: &[Code::NotFound, Code::Invalid],
        ..operation(
            Method::GET,
            collections::usage,
            ("get_collection_usage", "Reads what a collection takes and what is done to it"),
        )
    }
}

fn rollback_collection() -> Operation {
    Operation {
        parameters: of_definition_change(),
        request: Some(Content::Rollback),
        answers: COLLECTION_CHANGED,
        problems: &OF_DEFINITIONS,
        ..operation(
            Method::POST,
            collections::rollback,
            ("roll_back_collection", "Goes back to an earlier definition"),
        )
    }
}

fn read_purge() -> Operation {
    Operation {
        parameters: with_headers(vec![Parameter::Collection], [TIMEOUT, GRPC_TIMEOUT]),
        answers: &[(200, "How far the purge is.", Some(Content::Purge))],
        problems: &[Code::NotFound, Code::Invalid],
        ..operation(Method::GET, collections::purging, ("get_purge", "Reads how far a purge is"))
    }
}

fn purge_collection() -> Operation {
    let dry_run = query(collections::DRY_RUN, "Only tells what would be removed.", QuerySchema::Flag);
    Operation {
        parameters: with_headers(vec![Parameter::Collection, dry_run], [TIMEOUT, GRPC_TIMEOUT]),
        request: Some(Content::NewPurge),
        answers: &[
            (200, "What would be removed.", Some(Content::PurgeDryRun)),
            (202, "It has begun, or goes on.", Some(Content::Purge)),
        ],
        problems: &OF_CHANGES,
        ..operation(
            Method::POST,
            collections::purge,
            ("purge_collection", "Removes the items of a retired collection"),
        )
    }
}

fn of_definition_change() -> Vec<Parameter> {
    for_changes(vec![
        Parameter::Collection,
        query(collections::DRY_RUN, "Only tells what would become of it.", QuerySchema::Flag),
        Parameter::Header(axum::http::header::IF_MATCH),
        Parameter::Header(axum::http::header::IF_NONE_MATCH),
    ])
}

fn query(name: &'static str, about: &str, schema: QuerySchema) -> Parameter {
    Parameter::Query { name, about: about.to_owned(), schema }
}

fn listing() -> Operation {
    let parameters = vec![
        Parameter::Collection,
        query("prefix", "What the keys begin with.", QuerySchema::Text),
        query(
            "limit",
            "How many items at most; a page of large items may have fewer.",
            QuerySchema::Whole { min: 1, max: LIMIT_MAX, default: LIMIT_DEFAULT },
        ),
        query("cursor", "Where to go on: `next` of the page before.", QuerySchema::Text),
        query(
            "filter",
            "What must hold for an item: an expression in CEL over `value` and `version`.",
            QuerySchema::Text,
        ),
        query(
            "order",
            "JSON Pointers of the fields that items are ordered by, with commas between them; `-` before the first: descending. An \
             index must give the order.",
            QuerySchema::Text,
        ),
        query("index", "The index to go through.", QuerySchema::Text),
        query(
            "fields",
            "JSON Pointers of what is shown of each item instead of its value.",
            QuerySchema::Text,
        ),
        query(
            "scan",
            "Whether a page may have fewer items, or none, since so much was looked at for it. Otherwise that is refused.",
            QuerySchema::Flag,
        ),
        query("explain", "Whether the page says what it took to find it.", QuerySchema::Flag),
    ];
    Operation {
        parameters: for_readings(parameters),
        answers: &[(200, "A page of items.", Some(Content::Page))],
        problems: OF_LISTINGS,
        ..operation(
            Method::GET,
            items::list,
            ("list_items", "Lists items of a collection, by prefix, filter and order"),
        )
    }
}

fn changes() -> Operation {
    let parameters = vec![
        Parameter::Collection,
        query("prefix", "What the keys begin with.", QuerySchema::Text),
        query(
            "filter",
            "A CEL expression over `value` and `version`, of the item as it is then, or as it was before it was deleted.",
            QuerySchema::Text,
        ),
        query(
            "after",
            "Where to go on: an event's `id`, `next` of the page before, or a position. Without it: now.",
            QuerySchema::Text,
        ),
        query(
            "values",
            "Which values events have: `none`, `new` (the default) or `both`.",
            QuerySchema::Text,
        ),
        query(
            "limit",
            "How many events at most, of a page; one of large items may have fewer.",
            QuerySchema::Whole { min: 1, max: changes::LIMIT_MAX, default: changes::LIMIT_DEFAULT },
        ),
        query("wait", "How long a page waits for its first event; `30s` when not sent.", QuerySchema::Text),
        Parameter::Header(LAST_EVENT_ID),
    ];
    Operation {
        parameters: with_headers(parameters, [TIMEOUT, GRPC_TIMEOUT]),
        answers: &[(200, "Events, as they are committed.", Some(Content::Events))],
        problems: OF_LISTINGS,
        ..operation(
            Method::GET,
            changes::follow,
            ("follow_changes", "Follows the changes of a collection's items"),
        )
    }
}

fn read_item() -> Operation {
    let parameters = vec![
        Parameter::Collection,
        Parameter::Key,
        Parameter::Header(axum::http::header::IF_MATCH),
        Parameter::Header(axum::http::header::IF_NONE_MATCH),
    ];
    Operation {
        parameters: for_readings(parameters),
        answers: &[
            (200, "The item's value, as it was put.", Some(Content::Value)),
            (304, "The caller has this version.", None),
        ],
        problems: OF_READINGS,
        ..operation(Method::GET, items::get, ("get_item", "Reads an item"))
    }
}

fn put_item() -> Operation {
    Operation {
        parameters: with_headers(of_item_change(), [TTL]),
        request: Some(Content::NewValue),
        answers: ITEM_CHANGED,
        problems: &OF_CHANGES,
        ..operation(Method::PUT, items::put, ("put_item", "Gives an item a value"))
    }
}

fn patch_item() -> Operation {
    Operation {
        parameters: of_item_change(),
        request: Some(Content::MergePatch),
        answers: ITEM_CHANGED,
        problems: &OF_CHANGES,
        ..operation(Method::PATCH, items::patch, ("patch_item", "Merges a patch into an item"))
    }
}

fn delete_item() -> Operation {
    Operation {
        parameters: of_item_change(),
        answers: &[(204, "There is no such item now, whether it was there or not.", None)],
        problems: &OF_CHANGES,
        ..operation(Method::DELETE, items::delete, ("delete_item", "Removes an item"))
    }
}

fn hold_item() -> Operation {
    Operation {
        parameters: of_hold_change(),
        answers: &[(204, "The item stays as it is until all of its holds are released.", None)],
        problems: &OF_CHANGES,
        ..operation(Method::PUT, items::hold, ("hold_item", "Holds an item"))
    }
}

fn release_item() -> Operation {
    Operation {
        parameters: of_hold_change(),
        answers: &[(204, "The item does not have this hold now, whether it had it or not.", None)],
        problems: &OF_CHANGES,
        ..operation(Method::DELETE, items::release, ("release_item", "Releases a hold of an item"))
    }
}

fn of_hold_change() -> Vec<Parameter> {
    [vec![Parameter::Hold], of_item_change()].concat()
}

fn of_item_change() -> Vec<Parameter> {
    for_changes(vec![
        Parameter::Collection,
        Parameter::Key,
        Parameter::Header(axum::http::header::IF_MATCH),
        Parameter::Header(axum::http::header::IF_NONE_MATCH),
    ])
}

fn for_changes(own: Vec<Parameter>) -> Vec<Parameter> {
    with_headers(own, [IDEMPOTENCY_KEY, TIMEOUT, GRPC_TIMEOUT])
}

fn for_readings(own: Vec<Parameter>) -> Vec<Parameter> {
    with_headers(own, [CONSISTENCY, POSITION, TIMEOUT, GRPC_TIMEOUT])
}

fn with_headers<const N: usize>(mut own: Vec<Parameter>, headers: [HeaderName; N]) -> Vec<Parameter> {
    own.extend(headers.map(Parameter::Header));
    own
}

/// An operation of which nothing is said yet but its name.
fn operation<H, T>(method: Method, handler: H, (id, summary): (&'static str, &'static str)) -> Operation
where
    H: Handler<T, Api>,
    T: 'static,
{
    let filter = MethodFilter::try_from(method.clone()).expect("the table has standard methods");
    Operation {
        method,
        handler: on(filter, handler),
        id,
        summary,
        parameters: Vec::new(),
        request: None,
        answers: &[],
        problems: &[],
    }
}
