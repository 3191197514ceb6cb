//! The access log: a line for a request, once its answer has been sent.

use std::net::SocketAddr;
use std::sync::Arc;

use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use mainstay_base::id::RequestId;
use mainstay_base::time::Instant;
use mainstay_base::units::Ratio;
use mainstay_resilience::Env;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::forwarded::Origin;
use crate::network;

/// Which requests are logged.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Which share of the requests, or of the connections of a TCP listener, each by chance, from 0 to 1. By default 0: metrics count them all.
    pub sample: Ratio,
    /// Whether those are logged besides that were answered with a status of 500 or above, or whose answers a service broke off; and connections of TCP listeners that no endpoint took or that the service broke off. By default `true`.
    pub errors: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self { sample: Ratio::ZERO, errors: true }
    }
}

/// A request that may be logged.
#[derive(Debug)]
pub(crate) struct Entry {
    env: Env,
    begun: Instant,
    is_sampled: bool,
    id: RequestId,
    origin: Origin,
    method: Method,
    /// Without the query: it may hold what nobody else is to read.
    uri: Uri,
    host: Option<HeaderValue>,
    agent: Option<HeaderValue>,
    route: Arc<str>,
    service: Option<Arc<str>>,
    endpoint: Option<SocketAddr>,
    status: StatusCode,
    bytes: u64,
    is_whole: bool,
    is_broken: bool,
    /// Why no service has answered.
    error: Option<String>,
}

/// What is known of a request when it comes.
pub(crate) struct Asked<'r> {
    pub(crate) id: RequestId,
    pub(crate) begun: Instant,
    pub(crate) origin: Origin,
    pub(crate) method: &'r Method,
    pub(crate) uri: &'r Uri,
    pub(crate) headers: &'r HeaderMap,
}

impl Config {
    /// What is kept of a request to log it; none if it is not logged however it ends.
    pub(crate) fn begin(&self, asked: &Asked<'_>, route: &Arc<str>, env: &Env) -> Option<Box<Entry>> {
        let is_sampled = env.happens(self.sample);
        if !is_sampled && !self.errors {
            return None;
        }
        let Asked { id, begun, origin, method, uri, headers } = asked;
        Some(Box::new(Entry {
            env: env.clone(),
            begun: *begun,
            is_sampled,
            id: *id,
            origin: *origin,
            method: (*method).clone(),
            uri: (*uri).clone(),
            host: headers.get(header::HOST).cloned(),
            agent: headers.get(header::USER_AGENT).cloned(),
            route: Arc::clone(route),
            service: None,
            endpoint: None,
            status: StatusCode::OK,
            bytes: 0,
            is_whole: false,
            is_broken: false,
            error: None,
        }))
    }
}

impl Entry {
    pub(crate) fn sent_to(&mut self, service: &Arc<str>) {
        self.service = Some(Arc::clone(service));
    }

    pub(crate) fn answered_by(&mut self, endpoint: SocketAddr) {
        self.endpoint = Some(endpoint);
    }

    pub(crate) fn answered(&mut self, status: StatusCode) {
        self.status = status;
    }

    /// No service has answered, for this reason.
    pub(crate) fn fails(&mut self, why: String) {
        self.error = Some(why);
    }

    /// So many bytes more of the answer are sent.
    pub(crate) fn sends(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
    }

    /// The service has broken it off.
    pub(crate) fn breaks(&mut self) {
        self.is_broken = true;
    }

    /// The answer has been sent to its end.
    pub(crate) fn ends(&mut self) {
        self.is_whole = true;
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let is_error = self.status.is_server_error() || self.is_broken;
        if !self.is_sampled && !is_error {
            return;
        }
        let [host, agent] = [&self.host, &self.agent]
            .map(|value| String::from_utf8_lossy(value.as_ref().map_or(b"", HeaderValue::as_bytes)));
        let (id, client) = (self.id.encode(), network::text(self.origin.client));
        let taken = self.env.now().saturating_since(self.begun);
        tracing::info!(
            target: "mainstay::access",
            request_id = %str::from_utf8(&id).unwrap_or_default(),
            client = %client,
            method = %self.method.as_str(),
            host = &*host,
            path = self.uri.path(),
            route = &*self.route,
            service = self.service.as_deref().unwrap_or_default(),
            endpoint = self.endpoint.as_ref().map(tracing::field::display),
            status = self.status.as_u16(),
            bytes = self.bytes,
            ms = taken.as_std().as_secs_f64() * 1e3,
            is_whole = self.is_whole,
            user_agent = &*agent,
            error = self.error.as_deref(),
            "request"
        );
    }
}
