//! Who may call: protection against web pages, and the token.
//!
//! A browser on the same machine can send requests here on behalf of any page it shows. Three facts give such
//! requests away: a `Host` that is not ours (a name that was made to resolve here), `Origin` or
//! `Sec-Fetch-Site` from elsewhere, and content types that a plain form can send. The last is for methods that there
//! are, since any other is refused as such: the node's own resources take JSON ([`json_only`]), and those over what is
//! committed say themselves what they take.

use std::net::IpAddr;

use axum::body::{Body, HttpBody};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, ORIGIN};
use axum::http::request::Parts;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, Method, Request, Response, Version};
use axum::middleware::Next;
use serde_json::json;

use mainstay_api::answer::Failure;
use mainstay_base::error::Code;
use mainstay_base::problem::Problem;

use super::Config;

/// Refuses what must not reach any resource.
/// Whoever holds a token for what is asked for may ask for that without the node's: `may` says so.
pub fn check(request: &Parts, settings: &Config, may: impl FnOnce(&str) -> bool) -> Result<(), Problem> {
    let named = named_host(request)?;
    let target = request.uri.authority();
    for host in target.into_iter().chain(&named) {
        known_host(host, settings)?;
    }
    same_site(&request.headers, target.or(named.as_ref()))?;
    if is_probe(request) { Ok(()) } else { token(&request.headers, settings, may) }
}

/// Lets only JSON through to a resource, and what has no body and no method of a form.
pub async fn json_only(request: Request<Body>, next: Next) -> Result<Response<Body>, Failure> {
    let has_body = !request.body().is_end_stream();
    content_type(request.method(), request.headers(), has_body)?;
    Ok(next.run(request).await)
}

/// The host of the header `Host`, beside which the request's target may name one. HTTP/1.1 needs exactly one `Host`
/// (RFC 9112, section 3.2); HTTP/1.0, which some probes speak and no browser does, may go without.
fn named_host(request: &Parts) -> Result<Option<Authority>, Problem> {
    let mut sent = request.headers.get_all(HOST).iter();
    let wrong = || {
        let detail = "the request needs exactly one `Host` header with a host name or address";
        Problem::new(Code::Malformed, detail)
    };
    let (Some(host), None) = (sent.next(), sent.next()) else {
        let is_complete = request.version != Version::HTTP_11 && request.headers.get(HOST).is_none();
        return if is_complete { Ok(None) } else { Err(wrong()) };
    };
    Authority::try_from(host.as_bytes()).map(Some).map_err(|_| wrong())
}

fn known_host(authority: &Authority, settings: &Config) -> Result<(), Problem> {
    let host = authority.host();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    let named = |name: &str| host.eq_ignore_ascii_case(name);
    if address.is_ok() || named("localhost") || settings.hosts.iter().any(|it| named(it)) {
        return Ok(());
    }
    let detail = format!(
        "the host `{host}` is not served here; use an IP address or `localhost`, or add the name to `api.hosts`"
    );
    Err(Problem::new(Code::Misdirected, detail).fact("host", host))
}

fn same_site(headers: &HeaderMap, host: Option<&Authority>) -> Result<(), Problem> {
    let refused = |header: &str, value: &str| {
        let detail = format!(
            "the request comes from another web site (`{header}: {value}`); the API serves only its own pages"
        );
        Problem::new(Code::Forbidden, detail).fact("header", header)
    };
    if let Some(site) = headers.get("sec-fetch-site").map(|it| it.to_str().unwrap_or("?"))
        && !matches!(site, "same-origin" | "none")
    {
        return Err(refused("Sec-Fetch-Site", site));
    }
    if let Some(origin) = headers.get(ORIGIN).map(|it| it.to_str().unwrap_or("?")) {
        let own = origin.split_once("://").and_then(|(_, rest)| rest.parse::<Authority>().ok());
        if own.is_none() || own.as_ref() != host {
            return Err(refused("Origin", origin));
        }
    }
    Ok(())
}

/// Probes are asked by machines that hold no secrets, and tell none.
fn is_probe(request: &Parts) -> bool {
    matches!(request.uri.path(), "/v1/health/live" | "/v1/health/ready")
}

/// The token that a request has.
pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    let sent = headers.get(AUTHORIZATION).and_then(|it| it.to_str().ok());
    let sent = sent.and_then(|it| it.split_once(' ')).filter(|it| it.0.eq_ignore_ascii_case("bearer"));
    sent.map(|(_, token)| token.trim())
}

/// Whether this is the node's token, if it has one.
pub fn is_token(sent: &str, settings: &Config) -> bool {
    settings.token.as_ref().is_some_and(|token| same(sent.as_bytes(), token.expose().as_bytes()))
}

fn token(headers: &HeaderMap, settings: &Config, may: impl FnOnce(&str) -> bool) -> Result<(), Problem> {
    if settings.token.is_none() {
        return Ok(());
    }
    match bearer(headers) {
        Some(sent) if is_token(sent, settings) || may(sent) => Ok(()),
        Some(_) => Err(Problem::new(Code::Unauthenticated, "the token is not the one of `api.token`")),
        None => Err(Problem::new(
            Code::Unauthenticated,
            "send the token of `api.token` as `Authorization: Bearer`",
        )),
    }
}

/// Compares without telling by its time how much was right.
pub fn same(sent: &[u8], token: &[u8]) -> bool {
    let difference = sent.iter().zip(token).fold(0, |sum, (a, b)| sum | (a ^ b));
    sent.len() == token.len() && std::hint::black_box(difference) == 0
}

/// A change must come with a content type that a plain form cannot send. A request without a body needs
/// none, unless its method is one that a form can send.
fn content_type(method: &Method, headers: &HeaderMap, has_body: bool) -> Result<(), Problem> {
    if matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
        || (!has_body && method != Method::POST)
    {
        return Ok(());
    }
    let sent = headers.get(CONTENT_TYPE).map(|it| it.to_str().unwrap_or("?"));
    let essence = sent.map(|it| it.split(';').next().unwrap_or_default().trim().to_ascii_lowercase());
    if essence.as_deref().is_some_and(|it| it == "application/json" || it.ends_with("+json")) {
        return Ok(());
    }
    let detail = match sent {
        Some(sent) => format!("`{sent}` is not taken here; send JSON as `Content-Type: application/json`"),
        None => "the content type is missing; send JSON as `Content-Type: application/json`".to_owned(),
    };
    Err(Problem::new(Code::UnsupportedMediaType, detail).fact("accepted", json!(["application/json"])))
}
