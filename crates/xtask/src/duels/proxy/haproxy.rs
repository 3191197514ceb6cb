//! HAProxy as a proxy.

use anyhow::Result;

use super::setup::{Front, Place, Policies, RATE_PER_S, TRIES, Up};

pub(in crate::duels) fn start(place: &Place<'_>) -> Result<Up> {
    let configuration = configuration(place);
    let file = place.write("haproxy.cfg", &configuration)?;
    place.up("haproxy", &configuration, |command| {
        command.arg("-f").arg(file);
    })
}

pub(super) fn configuration(place: &Place<'_>) -> String {
    let (address, metrics, setup) = (place.address, place.metrics, place.setup);
    let (origin, connections) = (setup.origin, setup.connections_max);
    let bind = match setup.front {
        Front::Http1 => String::new(),
        Front::Tls => {
            format!("ssl crt {} ssl-min-ver TLSv1.3 curves X25519 alpn http/1.1", place.both())
        }
        Front::Http2 => "proto h2".to_owned(),
    };
    let (log, front, back) = if setup.policies == Policies::All {
        (
            "log stdout format raw local0
    option httplog",
            format!(
                "stick-table type ip size 100k expire 30s store http_req_rate(1s)
    http-request track-sc0 src
    http-request deny deny_status 429 if {{ sc_http_req_rate(0) gt {RATE_PER_S} }}"
            ),
            format!(
                "timeout server 10s
    retries {}
    retry-on conn-failure empty-response response-timeout 502 503 504",
                TRIES - 1
            ),
        )
    } else {
        ("no log", String::new(), String::new())
    };
    format!(
        "global
    nbthread 2
    maxconn {connections}
    no strict-limits
defaults
    mode http
    {log}
    timeout connect 1s
    timeout client 75s
    timeout server 30s
    timeout http-request 30s
    timeout http-keep-alive 75s
frontend clients
    bind {address} shards by-thread backlog 4096 {bind}
    option forwardfor
    {front}
    default_backend origin
backend origin
    http-reuse always
    {back}
    server origin {origin}
frontend metrics
    bind {metrics}
    http-request use-service prometheus-exporter
"
    )
}
