//! The description in OpenAPI of the gateway's resources, beside that of the building blocks.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use axum::body::{Body, Bytes};
use axum::http::header::{CONTENT_TYPE, HeaderName, HeaderValue, IF_MATCH, IF_NONE_MATCH};
use axum::http::{Response, Uri};
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

use mainstay_api::answer::Failure;
use mainstay_api::openapi;
use mainstay_api::streams::events::EVENT_STREAM;
use mainstay_api::target::Query;
use mainstay_api::terms::{IDEMPOTENCY_KEY, TIMEOUT};
use mainstay_base::error::Code;
use mainstay_base::id::Name;
use mainstay_base::problem::Problem;
use mainstay_gateway::config::Route;
use mainstay_gateway::explanation::{Asked, Explanation};
use mainstay_upstream::Config as Service;
use mainstay_upstream::config::Address;

use crate::gateway::faults::{Injected, Shown};
use crate::gateway::{Defined, Endpoint, Scaled};

use super::resources::endpoints::Registering;
use super::resources::scale::Scaling;

/// Problems that every request can be answered with.
const OF_ALL: [Code; 8] = [
    Code::Malformed,
    Code::Unauthenticated,
    Code::Forbidden,
    Code::Misdirected,
    Code::Invalid,
    Code::Internal,
    Code::Unavailable,
    Code::Overloaded,
];
const OF_BODIES: [Code; 4] =
    [Code::RequestTimeout, Code::Deadline, Code::TooLarge, Code::UnsupportedMediaType];
const OF_CHANGES: [Code; 11] = [
    Code::RequestTimeout,
    Code::Deadline,
    Code::NotFound,
    Code::Conflict,
    Code::OwnedByFile,
    Code::ConditionFailed,
    Code::TooLarge,
    Code::UnsupportedMediaType,
    Code::IdempotencyMismatch,
    Code::StorageFull,
    Code::QuotaExceeded,
];
const OF_REGISTRATIONS: [Code; 6] = [
    Code::RequestTimeout,
    Code::Deadline,
    Code::NotFound,
    Code::TooLarge,
    Code::UnsupportedMediaType,
    Code::QuotaExceeded,
];
const OF_SCALES: [Code; 6] = [
    Code::RequestTimeout,
    Code::Deadline,
    Code::NotFound,
    Code::Conflict,
    Code::TooLarge,
    Code::UnsupportedMediaType,
];
const OF_FAULTS: [Code; 2] = [Code::NotFound, Code::OwnedByFile];

/// `GET /v1/openapi.json`.
pub async fn show(uri: Uri) -> Result<Response<Body>, Failure> {
    static TEXT: LazyLock<Bytes> = LazyLock::new(|| {
        let mut text = serde_json::to_vec(&document()).expect("the document is plain data");
        text.push(b'\n');
        text.into()
    });
    Query::read(&uri, &[])?;
    let mut response = Response::new(Body::from(TEXT.clone()));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

/// The whole document.
fn document() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|it| {
        it.definitions_path = "/components/schemas".into();
        it.meta_schema = None;
    });
    let mut writer = Writer { schemas: settings.into_generator(), paths: Map::new() };
    let route = writer.nameless_route();
    let service = writer.schema::<Service>();
    writer.definitions("route", &route);
    writer.definitions("service", &service);
    writer.endpoints();
    writer.faults();
    writer.matches();
    let schemas = writer.schemas.take_definitions(true);
    let mut paths = Value::Object(writer.paths);
    rename(&mut paths, &schemas);
    let mut document = openapi::document();
    for (name, mut schema) in schemas.clone() {
        rename(&mut schema, &schemas);
        document["components"]["schemas"][renamed(&name)] = schema;
    }
    for (path, operations) in paths.as_object().into_iter().flatten() {
        document["paths"][path] = operations.clone();
    }
    document
}

const SCHEMAS: &str = "#/components/schemas/";

/// The name of a schema beside those of the building blocks, which have some that are called alike.
fn renamed(name: &str) -> String {
    format!("Gateway.{name}")
}

/// Lets references to these schemas lead to what they are called.
fn rename(value: &mut Value, schemas: &Map<String, Value>) {
    match value {
        Value::Array(all) => all.iter_mut().for_each(|value| rename(value, schemas)),
        Value::Object(members) => {
            for (key, value) in members {
                match value.as_str().and_then(|text| text.strip_prefix(SCHEMAS)) {
                    Some(name) if key == "$ref" && schemas.contains_key(name) => {
                        *value = format!("{SCHEMAS}{}", renamed(name)).into();
                    }
                    _ => rename(value, schemas),
                }
            }
        }
        _ => {}
    }
}

struct Writer {
    schemas: SchemaGenerator,
    paths: Map<String, Value>,
}

/// A method of a path, as it is described.
struct Operation<'a> {
    /// What generated clients call it, and one line.
    said: (&'a str, &'a str),
    /// Parameters of the query, each with its type.
    query: &'a [(&'a str, &'a str)],
    /// Those that a change may have.
    headers: &'a [HeaderName],
    request: Option<&'a Value>,
    answers: &'a [(u16, &'a Value)],
    problems: &'a [Code],
}

impl Default for Operation<'_> {
    fn default() -> Self {
        Self {
            said: ("", ""),
            query: &[],
            headers: &[],
            request: None,
            answers: &[],
            problems: &[Code::NotFound],
        }
    }
}

impl Writer {
    fn schema<T: JsonSchema>(&mut self) -> Value {
        self.schemas.subschema_for::<T>().to_value()
    }

    /// A route without its name, which is in the path.
    fn nameless_route(&mut self) -> Value {
        self.schema::<Route>();
        let mut route = self.schemas.definitions()["Route"].clone();
        if let Some(members) = route.as_object_mut() {
            members.remove("required");
        }
        if let Some(properties) = route["properties"].as_object_mut() {
            properties.remove("name");
        }
        route
    }

    /// The operations on definitions of a kind.
    fn definitions(&mut self, one: &str, body: &Value) {
        let defined = self.schema::<Defined>();
        let all = json!({ "type": "array", "items": defined });
        let list = object(&[(&format!("{one}s"), &all)]);
        let history = object(&[("versions", &all)]);
        let text = json!({ "type": "string" });
        let rollback = object(&[("to", &text)]);
        let rehearsed =
            object(&[("dry_run", &json!({ "const": true })), ("changes", &json!({ "type": "boolean" }))]);
        let either = json!({ "anyOf": [defined, rehearsed] });
        let path = |below: &str| format!("/v1/{one}s{below}");
        let (id, about) = (format!("list_{one}s"), format!("Lists the {one}s in force"));
        let page = [("limit", "integer"), ("cursor", "string")];
        let said = (id.as_str(), about.as_str());
        self.add(
            &path(""),
            "get",
            &Operation {
                said,
                query: &page,
                answers: &[(200, &list)],
                problems: &[],
                ..Operation::default()
            },
        );
        let (id, about) = (format!("get_{one}"), format!("Reads a {one}'s definition"));
        let said = (id.as_str(), about.as_str());
        self.add(
            &path("/{name}"),
            "get",
            &Operation { said, answers: &[(200, &defined)], ..Operation::default() },
        );
        let (id, about) = (format!("get_{one}_history"), format!("Reads what a {one}'s definition was"));
        let said = (id.as_str(), about.as_str());
        self.add(
            &path("/{name}/history"),
            "get",
            &Operation { said, answers: &[(200, &history)], ..Operation::default() },
        );
        for (method, below, id, about, request) in [
            ("put", "/{name}", "put", "Defines", Some(body)),
            ("delete", "/{name}", "retire", "Retires", None),
            (
                "post",
                "/{name}/rollback",
                "roll_back",
                "Goes back to an earlier definition of",
                Some(&rollback),
            ),
        ] {
            let (id, about) = (format!("{id}_{one}"), format!("{about} a {one}"));
            let operation = Operation {
                said: (&id, &about),
                query: &[("dry_run", "boolean")],
                headers: &[IF_MATCH, IF_NONE_MATCH, IDEMPOTENCY_KEY, TIMEOUT],
                request,
                answers: &[(200, &either), (201, &defined)],
                problems: &OF_CHANGES,
            };
            self.add(&path(below), method, &operation);
        }
    }

    fn endpoints(&mut self) {
        let (shown, said_of) = (self.schema::<Endpoint>(), self.schema::<Registering>());
        let list = object(&[("endpoints", &json!({ "type": "array", "items": shown }))]);
        let said = ("list_endpoints", "Lists the endpoints of a service, and how each is");
        let path = "/v1/services/{name}/endpoints";
        self.add(path, "get", &Operation { said, answers: &[(200, &list)], ..Operation::default() });
        self.paths[path]["get"]["responses"]["200"]["content"][EVENT_STREAM] =
            json!({ "schema": { "type": "string" } });
        let path = "/v1/services/{name}/endpoints/{address}";
        let said = ("get_endpoint", "Reads how an endpoint is");
        self.add(path, "get", &Operation { said, answers: &[(200, &shown)], ..Operation::default() });
        let said = ("register_endpoint", "Registers an endpoint of a service, or renews its lease");
        let put = Operation {
            said,
            request: Some(&said_of),
            answers: &[(200, &shown), (201, &shown)],
            problems: &OF_REGISTRATIONS,
            ..Operation::default()
        };
        self.add(path, "put", &put);
        let (scaled, scaling) = (self.schema::<Scaled>(), self.schema::<Scaling>());
        let path_of_scale = "/v1/services/{name}/scale";
        let said = (
            "get_scale",
            "Reads how many instances of a service's program are to take calls, by whom, and how they are",
        );
        self.add(
            path_of_scale,
            "get",
            &Operation { said, answers: &[(200, &scaled)], problems: &OF_SCALES, ..Operation::default() },
        );
        let said = (
            "scale_service",
            "Has as many instances of a service's program take calls, or leaves it to the definition",
        );
        let put = Operation {
            said,
            request: Some(&scaling),
            answers: &[(200, &scaled)],
            problems: &OF_SCALES,
            ..Operation::default()
        };
        self.add(path_of_scale, "put", &put);
        let said = ("remove_endpoint", "Takes an endpoint out that has registered");
        let answers = [(204, &Value::Null)];
        self.add(path, "delete", &Operation { said, answers: &answers, ..Operation::default() });
    }

    fn faults(&mut self) {
        let (shown, injected) = (self.schema::<Shown>(), self.schema::<Injected>());
        let list = object(&[("faults", &json!({ "type": "array", "items": shown }))]);
        let one = "/v1/faults/{name}";
        let said = ("list_faults", "Lists the faults that are injected");
        self.add(
            "/v1/faults",
            "get",
            &Operation { said, answers: &[(200, &list)], problems: &[], ..Operation::default() },
        );
        let said = ("get_fault", "Reads a fault");
        self.add(one, "get", &Operation { said, answers: &[(200, &shown)], ..Operation::default() });
        let answers = [(200, &shown), (201, &shown)];
        let said = ("put_fault", "Injects a fault");
        let put = Operation {
            said,
            request: Some(&injected),
            answers: &answers,
            problems: &OF_BODIES,
            ..Operation::default()
        };
        self.add(one, "put", &put);
        let said = ("delete_fault", "Injects a fault no longer");
        self.add(
            one,
            "delete",
            &Operation {
                said,
                answers: &[(204, &Value::Null)],
                problems: &OF_FAULTS,
                ..Operation::default()
            },
        );
    }

    fn matches(&mut self) {
        let (asked, told) = (self.schema::<Asked>(), self.schema::<Explanation>());
        let said = ("explain_request", "Tells which route takes a request, and why no other one does");
        let answers = [(200, &told)];
        let operation = Operation {
            said,
            request: Some(&asked),
            answers: &answers,
            problems: &OF_BODIES,
            ..Operation::default()
        };
        self.add("/v1/matches", "post", &operation);
    }

    fn add(&mut self, path: &str, method: &str, operation: &Operation<'_>) {
        let Operation { said: (id, summary), query, headers, request, answers, problems } = operation;
        let mut responses = Map::new();
        for (status, schema) in *answers {
            let mut response = json!({ "description": "As it was asked." });
            if !schema.is_null() {
                response["content"] = json!({ "application/json": { "schema": schema } });
            }
            responses.insert(status.to_string(), response);
        }
        let mut by_status: BTreeMap<u16, Vec<Code>> = BTreeMap::new();
        for code in problems.iter().chain(&OF_ALL) {
            by_status.entry(code.status()).or_default().push(*code);
        }
        for (status, codes) in by_status {
            let about: Vec<_> = codes
                .iter()
                .map(|code| format!("`{}`: {}.", json!(code).as_str().unwrap_or_default(), code.title()))
                .collect();
            let content =
                json!({ Problem::CONTENT_TYPE: { "schema": { "$ref": "#/components/schemas/Problem" } } });
            responses
                .insert(status.to_string(), json!({ "description": about.join(" "), "content": content }));
        }
        let parameter = |place: &str, name: &str, schema: Value| json!({ "name": name, "in": place, "required": place == "path", "schema": schema });
        let name = path.contains("{name}").then(|| parameter("path", "name", self.schema::<Name>()));
        let address =
            path.contains("{address}").then(|| parameter("path", "address", self.schema::<Address>()));
        let query = query.iter().map(|(name, of)| parameter("query", name, json!({ "type": of })));
        let headers = headers.iter().map(|name| openapi::header(name, true));
        let parameters: Vec<_> = name.into_iter().chain(address).chain(query).chain(headers).collect();
        let mut described = json!({ "operationId": id, "summary": summary, "parameters": parameters, "responses": responses });
        if let Some(schema) = request {
            described["requestBody"] =
                json!({ "required": true, "content": { "application/json": { "schema": schema } } });
        }
        let operations = self.paths.entry(path).or_insert_with(|| json!({}));
        operations[method] = described;
    }
}

/// An object that has these members, and may have others.
fn object(members: &[(&str, &Value)]) -> Value {
    let names: Vec<_> = members.iter().map(|(name, _)| *name).collect();
    let properties: Map<_, _> =
        members.iter().map(|(name, of)| ((*name).to_owned(), (*of).clone())).collect();
    json!({ "type": "object", "required": names, "properties": properties })
}
