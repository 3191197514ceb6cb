//! The description of the resources in OpenAPI 3.1, made of their table and of the types that they read and write.
//!
//! The schemas are those of the types by `schemars`, which also describes the configuration: OpenAPI 3.1 takes JSON Schema
//! as it is, so types are described once, and a generator of its own for OpenAPI would need every type described again.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use axum::body::Body;
use axum::extract::State;
use axum::http::header::{CONTENT_TYPE, ETAG, HeaderValue};
use axum::http::{HeaderName, Method, Request, Response};
use bytes::Bytes;
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

use mainstay_base::error::Code;
use mainstay_base::id::Name;
use mainstay_base::key::Key;
use mainstay_base::problem::Problem;
use mainstay_machine::Collection;

use crate::Api;
use crate::answer::Failure;
use crate::call::Call;
use crate::items::{EXPIRES_AT, HOLDS};
use crate::resources::{self, Content, Operation, PROBLEMS_OF_ALL, Parameter, QuerySchema};
use crate::stamp::{AGE, DURABILITY, REPLAYED};
use crate::streams::events::EVENT_STREAM;
use crate::target::Query;
use crate::terms::{CONSISTENCY, IDEMPOTENCY_KEY, POSITION};
use crate::wire::{
    CollectionBody, CollectionsBody, CommitAnswer, CommitBody, EventsBody, HistoryBody, PageBody, PurgeBody,
    PurgingBody, RehearsalBody, RollbackBody, StockBody, UsageBody,
};

/// `GET /v1/openapi.json`.
pub(crate) async fn show(State(api): State<Api>, request: Request<Body>) -> Result<Response<Body>, Failure> {
    static TEXT: LazyLock<Bytes> = LazyLock::new(|| {
        let mut text = serde_json::to_vec(&document()).expect("the document is plain data");
        text.push(b'\n');
        text.into()
    });
    let (call, _) = Call::new(&api, request)?;
    Query::read(&call.parts.uri, &[])?;
    let mut response = Response::new(Body::from(TEXT.clone()));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

/// The document.
pub fn document() -> Value {
    let settings = || {
        SchemaSettings::draft2020_12().with(|it| {
            it.definitions_path = "/components/schemas".into();
            it.meta_schema = None;
        })
    };
    let mut writer =
        Writer { sent: settings().into_generator(), answered: settings().for_serialize().into_generator() };
    let mut paths = Map::new();
    for resource in resources::all() {
        let operations = resource.operations.iter();
        let operations = operations
            .map(|operation| (operation.method.as_str().to_lowercase(), writer.operation(operation)));
        paths.insert(resource.path.replace("{*", "{"), Value::Object(operations.collect()));
    }
    let mut schemas = writer.sent.take_definitions(true);
    schemas.extend(writer.answered.take_definitions(true));
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Mainstay",
            "version": env!("CARGO_PKG_VERSION"),
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "paths": paths,
        "components": { "schemas": schemas },
    })
}

struct Writer {
    /// Of what callers send.
    sent: SchemaGenerator,
    /// Of what they are answered.
    answered: SchemaGenerator,
}

impl Writer {
    fn operation(&mut self, operation: &Operation) -> Value {
        let is_change = operation.method != Method::GET;
        let parameters: Vec<_> =
            operation.parameters.iter().map(|it| self.parameter(it, is_change)).collect();
        let mut responses = Map::new();
        for (status, about, content) in operation.answers {
            let mut response = json!({ "description": about, "headers": headers(operation) });
            if let Some(content) = content {
                response["content"] = self.content(*content);
            }
            responses.insert(status.to_string(), response);
        }
        let mut problems: BTreeMap<u16, Vec<Code>> = BTreeMap::new();
        for code in operation.problems.iter().chain(PROBLEMS_OF_ALL) {
            problems.entry(code.status()).or_default().push(*code);
        }
        for (status, codes) in problems {
            responses.insert(status.to_string(), self.problem(&codes));
        }
        let mut described = json!({
            "operationId": operation.id,
            "summary": operation.summary,
            "parameters": parameters,
            "responses": responses,
        });
        if let Some(content) = operation.request {
            described["requestBody"] = json!({ "required": true, "content": self.content(content) });
        }
        described
    }

    fn content(&mut self, content: Content) -> Value {
        let schema = match content {
            Content::Commit => schema::<CommitBody<'_>>(&mut self.sent),
            Content::CommitAnswer => schema::<CommitAnswer>(&mut self.answered),
            Content::Page => schema::<PageBody<'_>>(&mut self.answered),
            Content::Events => schema::<EventsBody<'_>>(&mut self.answered),
            Content::Value | Content::NewValue | Content::MergePatch => json!({}),
            Content::NewCollection => schema::<Collection>(&mut self.sent),
            Content::Collection => schema::<CollectionBody>(&mut self.answered),
            Content::CollectionOrDryRun => {
                let either = [
                    schema::<CollectionBody>(&mut self.answered),
                    schema::<RehearsalBody>(&mut self.answered),
                ];
                json!({ "anyOf": either })
            }
            Content::Collections => schema::<CollectionsBody>(&mut self.answered),
            Content::CollectionHistory => schema::<HistoryBody>(&mut self.answered),
            Content::CollectionUsage => schema::<UsageBody>(&mut self.answered),
            Content::Rollback => schema::<RollbackBody>(&mut self.sent),
            Content::NewPurge => schema::<PurgeBody>(&mut self.sent),
            Content::PurgeDryRun => schema::<StockBody>(&mut self.answered),
            Content::Purge => schema::<PurgingBody>(&mut self.answered),
            Content::OpenApi => json!({ "type": "object" }),
        };
        let media_types = content.media_types().iter();
        let described = |media_type: &&str| match *media_type {
            EVENT_STREAM => json!({ "schema": { "type": "string" } }),
            _ => json!({ "schema": schema }),
        };
        media_types.map(|media_type| ((*media_type).to_owned(), described(media_type))).collect()
    }

    fn problem(&mut self, codes: &[Code]) -> Value {
        let about: Vec<_> = codes.iter().map(|code| format!("`{code}`: {}.", code.title())).collect();
        let schema = schema::<Problem>(&mut self.answered);
        json!({
            "description": about.join(" "),
            "content": { Problem::CONTENT_TYPE: { "schema": schema } },
        })
    }

    fn parameter(&mut self, parameter: &Parameter, is_change: bool) -> Value {
        let path = |name: &str, about: &str, schema: Value| json!({ "name": name, "in": "path", "required": true, "description": about, "schema": schema });
        match parameter {
            Parameter::Collection => path("collection", "The collection.", schema::<Name>(&mut self.sent)),
            Parameter::Hold => path("hold", "The hold.", schema::<Name>(&mut self.sent)),
            Parameter::Key => path(
                "key",
                "The item's key, whose slashes may stand as they are.",
                schema::<Key>(&mut self.sent),
            ),
            Parameter::Query { name, about, schema } => {
                let schema = match schema {
                    QuerySchema::Text => json!({ "type": "string" }),
                    QuerySchema::Flag => json!({ "type": "boolean", "default": false }),
                    QuerySchema::Whole { min, max, default } => {
                        json!({ "type": "integer", "minimum": min, "maximum": max, "default": default })
                    }
                };
                json!({ "name": name, "in": "query", "description": about, "schema": schema })
            }
            Parameter::Header(name) => header(name, is_change),
        }
    }
}

fn schema<T: JsonSchema>(generator: &mut SchemaGenerator) -> Value {
    generator.subschema_for::<T>().to_value()
}

/// A version as a header names it.
const VERSION: &str = "(0|[1-9a-f][0-9a-f]{0,7})-(0|[1-9a-f][0-9a-f]{0,15})";
/// A place in one log: what a position has of each shard, those in ascending order.
const PLACE: &str = "(0|[1-9a-f][0-9a-f]{0,7})\\.(0|[1-9a-f][0-9a-f]{0,7})\\.(0|[1-9a-f][0-9a-f]{0,15})";
/// A place within a record, of which the first has the number 1: a place with the number of a change.
const WITHIN: &str = "(0|[1-9a-f][0-9a-f]{0,7})\\.(0|[1-9a-f][0-9a-f]{0,7})\\.([1-9a-f][0-9a-f]{0,15})\\.(0|[1-9a-f][0-9a-f]{0,7})";
/// A whole number of nanoseconds that is less than two centuries.
const DURATION: &str = "([0-9]{1,18}ns|[0-9]{1,15}(\\.[0-9]{1,3})?us|[0-9]{1,12}(\\.[0-9]{1,6})?ms|\
                        [0-9]{1,9}(\\.[0-9]{1,9})?s|[0-9]{1,8}(\\.[0-9]{1,9})?m|\
                        [0-9]{1,6}(\\.[0-9]{1,9})?h|[0-9]{1,4}(\\.[0-9]{1,9})?d)";

/// The parameter of a request that a header is, written alike at all resources.
///
/// `is_change`: of a request that changes what is there.
pub fn header(name: &HeaderName, is_change: bool) -> Value {
    let (about, schema) = sent_header(name, is_change);
    json!({ "name": name.as_str(), "in": "header", "description": about, "schema": schema })
}

/// What a header of a request means, and how it is written.
fn sent_header(name: &HeaderName, is_change: bool) -> (&'static str, Value) {
    let text = |pattern: &str| json!({ "type": "string", "pattern": pattern });
    let event_id = || text(&format!("^(0|({PLACE}|{WITHIN})(_({PLACE}|{WITHIN}))*)$"));
    match name.as_str() {
        "idempotency-key" => (
            "Makes the request safe to send again: the first answer is kept and given again. Sent while the first is still under way, it waits for that answer.",
            text(
                "^(\"[\\x21\\x23-\\x5b\\x5d-\\x7e]{1,255}\"|[\\x21\\x23-\\x2b\\x2d-\\x3a\\x3c-\\x7e]{1,255})$",
            ),
        ),
        "mainstay-consistency" => (
            "How fresh the answer must be; `linearizable` when not sent. `session` needs `Mainstay-Position`.",
            text(&format!("^(linearizable|session|eventual|bounded={DURATION})$")),
        ),
        "mainstay-position" => (
            "The position that a `session` must show, from the `Mainstay-Position` of an earlier answer, or an event's id.",
            event_id(),
        ),
        "last-event-id" => (
            "The id of the last event that was seen, as browsers send it; it counts before `after`.",
            event_id(),
        ),
        "mainstay-timeout" => ("How long the whole request may take.", text(&format!("^{DURATION}$"))),
        "mainstay-ttl" => (
            "How long the item is there; without it, as long as its collection says.",
            text(&format!("^{DURATION}$")),
        ),
        "grpc-timeout" => ("The same, as gRPC writes it.", text("^[0-9]{1,8}[HMSmun]$")),
        "if-match" => (
            "The version that must be there, in double quotes as in `ETag`; `*`: any.",
            text(&format!("^(\\*|\"{VERSION}\")$")),
        ),
        "if-none-match" if is_change => {
            ("`*`: nothing may be there yet.", json!({ "type": "string", "const": "*" }))
        }
        "if-none-match" => (
            "Versions that the caller has, as in `ETag` and with commas between them; `*`: any.",
            json!({ "type": "string" }),
        ),
        other => unreachable!("the table has the header {other}, which is not described"),
    }
}

/// The headers of answers.
fn headers(operation: &Operation) -> Value {
    let described = |(name, about): (HeaderName, &str)| {
        (name.to_string(), json!({ "description": about, "schema": { "type": "string" } }))
    };
    let has = |header: &HeaderName| operation.parameters.contains(&Parameter::Header(header.clone()));
    let of_state = [
        (POSITION, "Who reads here or later sees what this answer shows; opaque."),
        (CONSISTENCY, "How fresh the answer really is: as was asked, or fresher."),
        (AGE, "How old the state that it shows may be."),
        (DURABILITY, "What that state survives: `memory`, `written`, `synced` or `replicated`."),
    ];
    let of_changes = [(REPLAYED, "`true` when the answer was given before, to the same key.")];
    let of_items = [
        (ETAG, "The item's version."),
        (EXPIRES_AT, "From when on the item is absent, unless it is held; not there for one without an end."),
        (HOLDS, "The holds of the item, with commas between them; not there when there are none."),
    ];
    let is_change = has(&IDEMPOTENCY_KEY);
    let mut headers = Map::new();
    if is_change || has(&CONSISTENCY) {
        headers.extend(of_state.map(described));
    }
    if is_change {
        headers.extend(of_changes.map(described));
    }
    let is_of_value = !operation.parameters.contains(&Parameter::Hold);
    if is_of_value && operation.parameters.contains(&Parameter::Key) {
        headers.extend(of_items.map(described));
    }
    Value::Object(headers)
}
