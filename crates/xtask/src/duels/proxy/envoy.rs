//! Envoy as a proxy.

use std::net::SocketAddr;

use anyhow::Result;

use super::setup::{Front, Place, Policies, RATE_PER_S, TRIES, Up};

const HTTP: &str = "type.googleapis.com/envoy.extensions.filters";

pub(in crate::duels) fn start(place: &Place<'_>) -> Result<Up> {
    let configuration = configuration(place);
    let file = place.write("envoy.yaml", &configuration)?;
    place.up("envoy", &configuration, |command| {
        command.arg("-c").arg(file).args(["--concurrency", "2", "--disable-hot-restart"]);
        command.args(["--log-level", "warning"]);
    })
}

fn socket(address: SocketAddr) -> String {
    format!("{{ socket_address: {{ address: {}, port_value: {} }} }}", address.ip(), address.port())
}

pub(super) fn configuration(place: &Place<'_>) -> String {
    let setup = place.setup;
    let codec = if setup.front == Front::Http2 { "HTTP2" } else { "HTTP1" };
    let added = if setup.policies == Policies::All { Added::new(place) } else { Added::none() };
    let Added { log, route, limit } = added;
    format!(
        "admin:
  address: {metrics}
static_resources:
  listeners:
  - name: clients
    address: {address}
    tcp_backlog_size: 4096
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          '@type': {HTTP}.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: clients
          codec_type: {codec}
          generate_request_id: false
          use_remote_address: true{log}
          route_config:
            virtual_hosts:
            - name: all
              domains: ['*']
              routes:
              - match: {{ prefix: / }}
                route:
                  cluster: origin{route}
          http_filters:{limit}
          - name: envoy.filters.http.router
            typed_config:
              '@type': {HTTP}.http.router.v3.Router
              suppress_envoy_headers: true{tls}
  clusters:
  - name: origin
    type: STATIC
    connect_timeout: 1s
    circuit_breakers:
      thresholds:
      - max_connections: 100000
        max_pending_requests: 100000
        max_requests: 100000
    load_assignment:
      cluster_name: origin
      endpoints:
      - lb_endpoints:
        - endpoint:
            address: {origin}
",
        metrics = socket(place.metrics),
        address = socket(place.address),
        origin = socket(setup.origin),
        tls = tls(place),
    )
}

fn tls(place: &Place<'_>) -> String {
    if place.setup.front != Front::Tls {
        return String::new();
    }
    format!(
        "
      transport_socket:
        name: envoy.transport_sockets.tls
        typed_config:
          '@type': type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
          common_tls_context:
            alpn_protocols: [http/1.1]
            tls_params:
              tls_minimum_protocol_version: TLSv1_3
              tls_maximum_protocol_version: TLSv1_3
              ecdh_curves: [X25519]
            tls_certificates:
            - certificate_chain: {{ filename: {} }}
              private_key: {{ filename: {} }}",
        place.certificate(),
        place.key()
    )
}

/// What is added at three places.
struct Added {
    log: String,
    route: String,
    limit: String,
}

impl Added {
    fn none() -> Self {
        let route = "
                  timeout: 0s";
        Self { log: String::new(), route: route.to_owned(), limit: String::new() }
    }

    fn new(place: &Place<'_>) -> Self {
        let log = format!(
            "
          access_log:
          - name: envoy.access_loggers.file
            typed_config:
              '@type': type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog
              path: {}",
            place.path("access.log")
        );
        let route = format!(
            "
                  timeout: 30s
                  retry_policy:
                    retry_on: connect-failure,reset,gateway-error
                    num_retries: {}
                    per_try_timeout: 10s
                  rate_limits:
                  - actions:
                    - remote_address: {{}}",
            TRIES - 1
        );
        let bucket = |indent: &str| {
            format!(
                "{indent}max_tokens: {RATE_PER_S}{indent}tokens_per_fill: {RATE_PER_S}{indent}fill_interval: 1s"
            )
        };
        let limit = format!(
            "
          - name: envoy.filters.http.local_ratelimit
            typed_config:
              '@type': {HTTP}.http.local_ratelimit.v3.LocalRateLimit
              stat_prefix: clients
              filter_enabled: {{ default_value: {{ numerator: 100 }} }}
              filter_enforced: {{ default_value: {{ numerator: 100 }} }}
              token_bucket:{all}
              descriptors:
              - entries:
                - key: remote_address
                token_bucket:{each}",
            all = bucket("\n                "),
            each = bucket("\n                  "),
        );
        Self { log, route, limit }
    }
}
