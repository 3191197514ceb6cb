//! `/v1/services/{name}/endpoints`: the endpoints of a service, and their registration.
//!
//! An endpoint registers by a PUT of its address, and renews its lease by the same again.

mod watching;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Request, Response, StatusCode, Uri};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use mainstay_api::answer::{self, Failure};
use mainstay_api::body;
use mainstay_api::streams::events;
use mainstay_api::target::{self, Query};
use mainstay_base::error::Code;
use mainstay_base::id::Name;
use mainstay_base::problem::Problem;
use mainstay_base::units::Duration;
use mainstay_upstream::Service;
use mainstay_upstream::config::{self, Address, Registration};
use mainstay_upstream::endpoint::is_own;
use mainstay_upstream::roster::Described;

use crate::api::{Context, guard};

const BEFORE_NAME: &str = "/v1/services/";
const BETWEEN: &str = "/endpoints";

/// What an endpoint says of itself when it registers or renews.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Registering {
    /// Its share of the calls is this by the sum of all weights; from 1 to 1,000,000.
    #[schemars(range(max = 1_000_000))]
    pub weight: NonZeroU32,
    /// The zone that it is in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone: Option<Name>,
    /// Which version of the service it runs; at most 64 bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// What else is known of it: at most 16 texts of at most 256 bytes.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<Name, String>,
    /// For how long it is registered if it does not renew, from 1s to the service's `registration.lease_max`. Renew after a third of it, so that one renewal may be lost.
    pub lease: Duration,
    /// It is about to go: it gets no more calls, and finishes those that it has.
    pub draining: bool,
}

impl Default for Registering {
    fn default() -> Self {
        Self {
            weight: NonZeroU32::MIN,
            zone: None,
            version: None,
            metadata: BTreeMap::new(),
            lease: Duration::from_secs(15),
            draining: false,
        }
    }
}

/// All endpoints of a service, or a stream of them and of what becomes of them.
pub async fn list(
    State(context): State<Context>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response<Body>, Failure> {
    Query::read(&uri, &[])?;
    let (service, _) = found(&context, &uri)?;
    if events::are_wanted(&headers) {
        return watching::open(context, service);
    }
    Ok(answer::json(&json!({ "endpoints": context.gateway.endpoints(service.name()) })))
}

/// One of them.
pub async fn show(State(context): State<Context>, uri: Uri) -> Result<Response<Body>, Failure> {
    Query::read(&uri, &[])?;
    let (service, address) = one(&context, &uri)?;
    let shown = context.gateway.endpoint(&service, address).ok_or_else(|| missing(&service, address))?;
    Ok(answer::json(&shown))
}

/// Registers one, or renews it.
pub async fn put(State(context): State<Context>, request: Request<Body>) -> Result<Response<Body>, Failure> {
    let (parts, body) = request.into_parts();
    Query::read(&parts.uri, &[])?;
    let (service, address) = one(&context, &parts.uri)?;
    let registration = open_to(&context, &service, &parts.headers)?;
    let bodies = context.settings.load().bodies();
    let said: Registering = body::json(&body::read(body, &bodies, None).await?)?;
    let invalid = |pointer: &str, wrong: String| Problem::new(Code::Invalid, wrong).fact("pointer", pointer);
    let lease = registration.lease(said.lease).map_err(|wrong| invalid("/lease", wrong))?;
    if is_own(address, context.address) {
        let detail = format!("{address} is this node's API, which is no endpoint of a service");
        return Err(invalid("", detail).into());
    }
    let Registering { weight, zone, version, metadata, draining, .. } = said;
    let endpoint = config::Endpoint { address: Address(address), weight, zone, version, metadata };
    endpoint.check().map_err(|wrong| invalid("", format!("it {wrong}")))?;
    let described = Described { instance: endpoint.instance(), is_leaving: draining };
    let is_new = service.leases().put(described, lease, context.clock.now());
    let is_new = is_new.map_err(|full| Problem::new(Code::QuotaExceeded, full.to_string()))?;
    let mut response = answer::json(&context.gateway.endpoint(&service, address));
    *response.status_mut() = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok(response)
}

/// Takes one out that has registered.
pub async fn delete(State(context): State<Context>, request: Request<Body>) -> Result<StatusCode, Failure> {
    let uri = request.uri();
    Query::read(uri, &[])?;
    let (service, address) = one(&context, uri)?;
    open_to(&context, &service, request.headers())?;
    if !service.leases().remove(address, context.clock.now()) {
        return Err(missing(&service, address).into());
    }
    Ok(StatusCode::NO_CONTENT)
}

/// The service whose endpoints a path is about, if it is about any.
pub fn service_of(path: &str) -> Option<Name> {
    let (name, below) = path.strip_prefix(BEFORE_NAME)?.split_once(BETWEEN)?;
    (below.is_empty() || below.starts_with('/')).then(|| name.parse().ok()).flatten()
}

/// Whether somebody who says this may register endpoints of the service.
pub fn may_register(service: &Service, bearer: &str) -> bool {
    let Some(registration) = service.config().registration.on() else { return false };
    let hash = ring::digest::digest(&ring::digest::SHA256, bearer.as_bytes());
    let hash: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    registration
        .tokens
        .iter()
        .any(|token| guard::same(hash.as_bytes(), token.to_ascii_lowercase().as_bytes()))
}

/// The service that a path is about, and what is said of its endpoints below.
pub fn found<'u>(context: &Context, uri: &'u Uri) -> Result<(Arc<Service>, &'u str), Problem> {
    let below = uri.path().strip_prefix(BEFORE_NAME).unwrap_or_default();
    let (name, address) = below.split_once(BETWEEN).or_else(|| below.split_once('/')).unwrap_or((below, ""));
    let name = target::named(name, "the service")?;
    let service = context.gateway.service(&name);
    let service =
        service.ok_or_else(|| Problem::new(Code::NotFound, format!("there is no service `{name}`")))?;
    Ok((service, address.strip_prefix('/').unwrap_or_default()))
}

fn one(context: &Context, uri: &Uri) -> Result<(Arc<Service>, SocketAddr), Problem> {
    let (service, encoded) = found(context, uri)?;
    let text = target::decoded(encoded, false, "the endpoint")?;
    let address = text.parse().map_err(|_| {
        let detail =
            format!("`{text}` is no endpoint: write an IP address with a port, such as 10.0.0.7:9101");
        Problem::new(Code::Malformed, detail)
    })?;
    Ok((service, address))
}

/// How endpoints of a service may register. Errors: they may not, or whoever asks may not.
fn open_to<'s>(
    context: &Context,
    service: &'s Service,
    headers: &HeaderMap,
) -> Result<&'s Registration, Problem> {
    let name = service.name();
    let registration = service.config().registration.on().ok_or_else(|| {
        let detail =
            format!("endpoints of `{name}` may not register: its definition says so by `registration: true`");
        Problem::new(Code::Forbidden, detail)
    })?;
    let settings = context.settings.load();
    let may = |bearer: &str| guard::is_token(bearer, &settings) || may_register(service, bearer);
    if registration.tokens.is_empty() || guard::bearer(headers).is_some_and(may) {
        return Ok(registration);
    }
    let detail = format!("send a token of `{name}` as `Authorization: Bearer`");
    Err(Problem::new(Code::Unauthenticated, detail))
}

fn missing(service: &Service, address: SocketAddr) -> Problem {
    let detail = format!("`{}` has no endpoint {address} that has registered", service.name());
    Problem::new(Code::NotFound, detail)
}
