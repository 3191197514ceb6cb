//! Answers without a service: a text, a document, or nothing but a status.
//!
//! Data of a request in a body stays data: it is written as the body's media type takes it, and a type that has no such form takes none (CWE-79).

use std::collections::BTreeMap;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderName, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, Method, Response, StatusCode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::error::Error;
use super::headers;
use super::mistake::Mistakes;
use super::value::Value;
use crate::routes::{Escape, FieldName, Found, Match, Place, Seen, Template};

/// What is answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The status, from 200 to 599. By default 200.
    #[schemars(range(min = 200, max = 599))]
    pub status: u16,
    /// The body, up to 64KiB: a text, or a list or mapping, which is answered as JSON. `${{ expression }}` in a text, also in one within a document, is a part of the request,
    /// written so that it is data there; other braces are text. None with 204, 205 and 304. HEAD is answered without it. By default empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<Json>,
    /// The media type of the body. Expressions in a text need `text/plain`, HTML, XML or JSON. By default `text/plain; charset=utf-8` for a text, and `application/json` for a document.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// Other headers, by name, with templates as values. By default none; but every body has `x-content-type-options: nosniff`, so that browsers take it for what it is.
    pub headers: BTreeMap<FieldName, String>,
}

impl Default for Config {
    fn default() -> Self {
        Self { status: 200, body: None, content_type: None, headers: BTreeMap::new() }
    }
}

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const NO_SNIFF: HeaderValue = HeaderValue::from_static("nosniff");

/// The same, ready.
#[derive(Debug)]
pub(super) struct Answer {
    status: StatusCode,
    body: Body,
    /// None if there is no body.
    content_type: Option<HeaderValue>,
    headers: Box<[(HeaderName, Value)]>,
}

#[derive(Debug)]
enum Body {
    Constant(Bytes),
    Made(Template),
}

impl Answer {
    pub(super) fn build(config: &Config, route: &Match, mistakes: &mut Mistakes) -> Option<Self> {
        let status = StatusCode::from_u16(config.status).ok().filter(|_| (200..600).contains(&config.status));
        if status.is_none() {
            let what = format!("is {}, which ends no request: write one from 200 to 599", config.status);
            mistakes.add(&["answer", "status"], what);
        }
        if config.body.is_some() && matches!(config.status, 204 | 205 | 304) {
            mistakes.add(&["answer", "body"], format!("is never sent with {}: leave it out", config.status));
        }
        if config.body.is_none() && config.content_type.is_some() {
            mistakes.add(&["answer", "content_type"], "is that of a body, and there is none: leave it out");
        }
        let content_type = match (&config.content_type, &config.body) {
            (_, None) => None,
            (Some(text), _) => {
                let value = media_type(text).ok_or("it is no media type: write one such as text/html");
                Some(mistakes.keep(&["answer", "content_type"], value)?)
            }
            (None, Some(Json::String(_))) => Some(TEXT),
            (None, Some(_)) => Some(JSON),
        };
        let empty = Json::String(String::new());
        let body = config.body.as_ref().unwrap_or(&empty);
        let body = body_of(body, content_type.as_ref().unwrap_or(&TEXT), route, mistakes);
        let mut headers = Vec::with_capacity(config.headers.len());
        for (field, text) in &config.headers {
            let at = ["answer", "headers", field.as_str()];
            if field.as_str() == CONTENT_TYPE.as_str() {
                mistakes.add(&at, "is written as `content_type`");
            }
            let name = headers::name(field, &at, mistakes);
            headers.extend(name.zip(Value::build(text, (route, Place::Header), &at, mistakes)));
        }
        Some(Self { status: status?, body: body?, content_type, headers: headers.into() })
    }

    /// The answer to a request. Errors: something of it cannot be made.
    pub(super) fn answer(&self, request: &Seen<'_>, found: &Found<'_, '_>) -> Result<Response<Bytes>, Error> {
        let body = match &self.body {
            Body::Constant(body) => body.clone(),
            Body::Made(template) => template
                .render_body(request, found)
                .map_err(|source| Error::Template { field: "answer.body".to_owned(), source })?
                .into(),
        };
        let mut answer = Response::new(Bytes::new());
        *answer.status_mut() = self.status;
        let headers = answer.headers_mut();
        if let Some(content_type) = &self.content_type {
            headers.insert(CONTENT_TYPE, content_type.clone());
            headers.insert(X_CONTENT_TYPE_OPTIONS, NO_SNIFF);
        }
        for (name, value) in &self.headers {
            let value = value.make(request, found, || format!("answer.headers.{name}"))?;
            headers.insert(name, value);
        }
        if *request.method == Method::HEAD {
            if self.content_type.is_some() {
                // What GET would be answered (RFC 9110, section 8.6).
                headers.insert(CONTENT_LENGTH, body.len().into());
            }
        } else {
            *answer.body_mut() = body;
        }
        Ok(answer)
    }
}

/// A media type with its parameters, such as `text/html; charset=utf-8`; none if it is none.
fn media_type(text: &str) -> Option<HeaderValue> {
    let (kind, sub) = essence(text).split_once('/')?;
    let is_token = |text: &str| {
        let is_right = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&byte);
        !text.is_empty() && text.bytes().all(is_right)
    };
    let is_visible = text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    text.parse().ok().filter(|_| is_token(kind) && is_token(sub) && is_visible)
}

fn essence(content_type: &str) -> &str {
    content_type.split(';').next().unwrap_or(content_type).trim_end()
}

/// How data is written into a body of a media type; none if it cannot be.
fn escape(content_type: &str) -> Option<Escape> {
    let essence = essence(content_type).to_ascii_lowercase();
    match &*essence {
        "text/plain" => Some(Escape::Plain),
        "text/html" | "text/xml" | "application/xml" => Some(Escape::Markup),
        "application/json" => Some(Escape::Json),
        other if other.ends_with("+json") => Some(Escape::Json),
        other if other.ends_with("+xml") => Some(Escape::Markup),
        _ => None,
    }
}

fn body_of(body: &Json, content_type: &HeaderValue, route: &Match, mistakes: &mut Mistakes) -> Option<Body> {
    let at = ["answer", "body"];
    let escape = escape(content_type.to_str().unwrap_or_default());
    let template = match body {
        Json::String(text) => Template::parse(text, route, Place::Body(escape.unwrap_or(Escape::Plain))),
        _ if escape != Some(Escape::Json) => {
            mistakes.add(
                &["answer", "content_type"],
                "is not JSON, and the body is: write a text, or leave it out",
            );
            return None;
        }
        document => Template::json(document, route),
    };
    let template = mistakes.keep(&at, template)?;
    match template.constant() {
        Some(text) => Some(Body::Constant(Bytes::copy_from_slice(text.as_bytes()))),
        None if escape.is_none() => {
            mistakes.add(&at, "has an expression, and its media type has no form in which data stays data: write plain text, HTML, XML or JSON, or leave expressions out");
            None
        }
        None => Some(Body::Made(template)),
    }
}
