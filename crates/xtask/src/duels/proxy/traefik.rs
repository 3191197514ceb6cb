//! Traefik as a proxy.

use anyhow::Result;

use super::setup::{Front, Place, Policies, RATE_PER_S, TRIES, Up};

pub(in crate::duels) fn start(place: &Place<'_>) -> Result<Up> {
    let (install, routes) = (install(place), routes(place));
    place.write("routes.yaml", &routes)?;
    let file = place.write("traefik.yaml", &install)?;
    place.up("traefik", &format!("{install}{routes}"), |command| {
        command.env("GOMAXPROCS", "2");
        command.arg(format!("--configFile={}", file.display()));
    })
}

/// Both of its files.
#[cfg(test)]
pub(super) fn configuration(place: &Place<'_>) -> String {
    format!("{}{}", install(place), routes(place))
}

/// What it is started with and does not change.
fn install(place: &Place<'_>) -> String {
    let log = if place.setup.policies == Policies::All {
        format!("accessLog:\n  filePath: {}\n  bufferingSize: 1024\n", place.path("access.log"))
    } else {
        String::new()
    };
    format!(
        "global:
  checkNewVersion: false
  sendAnonymousUsage: false
log:
  level: ERROR
{log}entryPoints:
  clients:
    address: {address}
    transport:
      respondingTimeouts:
        readTimeout: 0s
        idleTimeout: 75s
  metrics:
    address: {metrics}
metrics:
  prometheus:
    entryPoint: metrics
providers:
  file:
    filename: {file}
    watch: false
",
        address = place.address,
        metrics = place.metrics,
        file = place.path("routes.yaml"),
    )
}

/// What it reads as it goes.
fn routes(place: &Place<'_>) -> String {
    let setup = place.setup;
    let (tls, certificates) = if setup.front == Front::Tls {
        let certificates = format!(
            "tls:
  certificates:
  - certFile: {}
    keyFile: {}
  options:
    default:
      minVersion: VersionTLS13
      curvePreferences: [X25519]
      alpnProtocols: [http/1.1]
",
            place.certificate(),
            place.key()
        );
        ("\n      tls: {}", certificates)
    } else {
        ("", String::new())
    };
    let (used, middlewares, timeouts) = if setup.policies == Policies::All {
        let middlewares = format!(
            "  middlewares:
    limit:
      rateLimit:
        average: {RATE_PER_S}
        burst: {RATE_PER_S}
    again:
      retry:
        attempts: {TRIES}
        initialInterval: 100ms
"
        );
        let timeouts = "
      forwardingTimeouts:
        dialTimeout: 1s
        responseHeaderTimeout: 10s";
        ("\n      middlewares: [limit, again]", middlewares, timeouts)
    } else {
        ("", String::new(), "")
    };
    format!(
        "http:
  routers:
    all:
      entryPoints: [clients]
      rule: PathPrefix(`/`)
      service: origin{used}{tls}
{middlewares}  services:
    origin:
      loadBalancer:
        serversTransport: kept
        servers:
        - url: http://{origin}
  serversTransports:
    kept:
      maxIdleConnsPerHost: 256{timeouts}
{certificates}",
        origin = setup.origin,
    )
}
