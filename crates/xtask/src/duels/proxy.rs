//! Proxies: Mainstay's gateway beside nginx, HAProxy, Envoy, Caddy and Traefik, in front of the same service.
//!
//! Each peer has the configuration that somebody who knows it would write for speed, with two workers, connections that are kept on both sides, and its metrics on. The
//! figure that counts is the processor time of the proxy alone, with all its processes and threads: load, origin and proxy share the processors, so that a rate says as much
//! of the load as of the proxy.

mod caddy;
mod certificate;
mod envoy;
mod gateway;
mod haproxy;
mod nginx;
mod setup;
mod traefik;

use std::net::SocketAddr;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use mainstay_lab::duel::{Cell, Claim, Contestant, Duel, Load, Metric, Offer, Started, asking};
use mainstay_lab::load::{Expect, Get, Sessions, Tls, Wire};
use mainstay_lab::process::{Probe, free_port};

use super::{Effort, Times, http2};
use crate::origin::{BODY_BYTES, Origin};
use certificate::Certificate;
pub(super) use setup::{Front, Place, Policies, Setup, Start, Up};

/// What is asked for.
pub(super) const PATH: &str = "/k1";

/// How long a proxy may take to be ready.
pub(super) const READY: Duration = Duration::from_secs(30);

/// How many clients share a connection over HTTP/2: as a page or a service has it, and enough connections for all workers to have some.
const SHARE: usize = 8;

/// The first closed cell is the one whose slowest rate the open one takes its share of.
const CLOSED: &str = "64 connections, closed loop";
const MANY: &str = "256 connections, closed loop";
const OPEN: &str = "64 connections, half of the slowest one's maximum";
const NEW: &str = "16 clients, a new connection and a whole handshake for each request";
const RESUMED: &str = "16 clients, a new connection and a resumed session for each request";

/// What all of them have in common.
const TERMS: &str = "\
Every proxy has the same origin, a thread of the load's process that answers each request with the same 1 KiB and takes a fraction of what a proxy takes. Each has two workers \
or threads, keeps connections to its clients and to the origin, says who asked (`X-Forwarded-For`), and has its metrics on where it has any; why each is set up as it is stands \
in [proxies](proxies.md), and how it was among its settings. Load, origin and proxy share the processors: what counts is the CPU time per request of the proxy alone, that of all its \
processes and threads, and the rate says as much of the load. Memory is the sum over processes.";

/// Over HTTP/1.1.
pub(super) fn http1(effort: Effort) -> Result<Duel> {
    let times = Times::of(effort);
    let about = "What a request through a proxy costs, over HTTP/1.1 without TLS.";
    let cells = vec![
        times.cell(CLOSED, Offer::Closed, 64),
        times.cell(MANY, Offer::Closed, 256),
        times.cell(OPEN, Offer::ShareOfSlowest(0.5), 64),
    ];
    let claims = vec![
        claim(CLOSED, Metric::CpuPerRequest, "nginx", 1.25),
        claim(MANY, Metric::CpuPerRequest, "nginx", 1.25),
        claim(CLOSED, Metric::CpuPerRequest, "envoy", 0.3),
        claim(MANY, Metric::CpuPerRequest, "envoy", 0.3),
        claim(OPEN, Metric::LatencyP99, "nginx", 1.2),
    ];
    let contestants = contestants(&Work::new(Front::Http1)?, &PEERS, false)?;
    duel(("proxy-h1", "Duel: proxies over HTTP/1.1", about), (effort, &times), contestants, (cells, claims))
}

/// Over TLS 1.3.
pub(super) fn tls(effort: Effort) -> Result<Duel> {
    let times = Times::of(effort);
    let about = "What a request through a proxy costs over TLS 1.3 (HTTP/1.1 by ALPN, a certificate with an ECDSA key on P-256, `TLS_AES_128_GCM_SHA256`, X25519), on \
                 connections that are kept, and what a handshake does; the origin is reached without TLS. A session that was to be resumed and was not counts as a wrong answer.";
    let cells = vec![
        times.cell(CLOSED, Offer::Closed, 64),
        times.cell(OPEN, Offer::ShareOfSlowest(0.5), 64),
        times.cell(NEW, Offer::Closed, 16),
        times.cell(RESUMED, Offer::Closed, 16),
    ];
    let claims = vec![
        claim(CLOSED, Metric::CpuPerRequest, "nginx", 1.25),
        claim(NEW, Metric::CpuPerRequest, "nginx", 1.25),
        claim(RESUMED, Metric::CpuPerRequest, "nginx", 1.25),
    ];
    let contestants = contestants(&Work::new(Front::Tls)?, &PEERS, false)?;
    duel(("proxy-tls", "Duel: proxies over TLS", about), (effort, &times), contestants, (cells, claims))
}

/// Over HTTP/2 without TLS.
pub(super) fn h2(effort: Effort) -> Result<Duel> {
    let times = Times::of(effort);
    let about = "What a request through a proxy costs over HTTP/2 that the client knows of (h2c), eight clients on a connection; the origin speaks HTTP/1.1.";
    let cells = vec![
        times.cell(CLOSED, Offer::Closed, 64),
        times.cell(MANY, Offer::Closed, 256),
        times.cell(OPEN, Offer::ShareOfSlowest(0.5), 64),
    ];
    let claims = vec![
        claim(CLOSED, Metric::CpuPerRequest, "nginx", 1.6),
        claim(MANY, Metric::CpuPerRequest, "nginx", 1.6),
    ];
    let contestants = contestants(&Work::new(Front::Http2)?, &PEERS, false)?;
    duel(("proxy-h2", "Duel: proxies over HTTP/2", about), (effort, &times), contestants, (cells, claims))
}

/// With timeouts, retries, a rate limit and an access log, beside the same without.
pub(super) fn policies(effort: Effort) -> Result<Duel> {
    let times = Times::of(effort);
    let about = "What timeouts, retries, a rate limit for each client that nobody reaches, and an access log of every request cost a proxy, beside the same proxy without them. \
                 Caddy is missing: it has no rate limit without a plugin.";
    let cells = vec![times.cell(CLOSED, Offer::Closed, 64), times.cell(OPEN, Offer::ShareOfSlowest(0.5), 64)];
    let claims = vec![
        claim(CLOSED, Metric::CpuPerRequest, "mainstay-bare", 1.5),
        claim(OPEN, Metric::CpuPerRequest, "mainstay-bare", 1.5),
    ];
    let peers: Vec<Peer> = PEERS.into_iter().filter(|(name, _)| *name != "caddy").collect();
    let contestants = contestants(&Work::new(Front::Http1)?, &peers, true)?;
    let pairs = peers.iter().map(|(name, _)| ((*name).to_owned(), format!("{name}-bare"))).collect();
    let duel = duel(
        ("proxy-policies", "Duel: proxies with policies and without", about),
        (effort, &times),
        contestants,
        (cells, claims),
    )?;
    Ok(Duel { pairs, ..duel })
}

fn duel(
    (name, title, about): (&str, &str, &str),
    (effort, times): (Effort, &Times),
    contestants: Vec<Contestant>,
    (cells, claims): (Vec<Cell>, Vec<Claim>),
) -> Result<Duel> {
    Ok(Duel {
        name: name.to_owned(),
        title: title.to_owned(),
        about: format!("{about}\n\n{TERMS}"),
        contestants,
        cells,
        pairs: Vec::new(),
        claims,
        samples: times.samples,
        strict: effort == Effort::Full,
        seed: 1,
    })
}

fn claim(cell: &str, metric: Metric, to: &str, ratio_max: f64) -> Claim {
    Claim { cell: cell.to_owned(), metric, of: "mainstay".to_owned(), to: to.to_owned(), ratio_max }
}

/// A peer: its name, and what starts it.
pub(super) type Peer = (&'static str, Start);

const PEERS: [Peer; 5] = [
    ("nginx", nginx::start),
    ("haproxy", haproxy::start),
    ("envoy", envoy::start),
    ("caddy", caddy::start),
    ("traefik", traefik::start),
];

/// Ours, and every peer.
pub(super) fn all() -> Vec<Peer> {
    let ours: Peer = ("mainstay", gateway::start);
    std::iter::once(ours).chain(PEERS).collect()
}

/// Builds ours, before anything is measured.
pub(super) fn build() -> Result<()> {
    super::mainstay::build().map(drop)
}

/// Mainstay and the peers, each also without policies if they are with.
fn contestants(work: &Rc<Work>, peers: &[Peer], with_policies: bool) -> Result<Vec<Contestant>> {
    let mut contestants = Vec::new();
    let mut add = |name: &str, start: Start| {
        if with_policies {
            contestants.push(contestant(name.to_owned(), start, (work, Policies::All)));
            contestants.push(contestant(format!("{name}-bare"), start, (work, Policies::None)));
        } else {
            contestants.push(contestant(name.to_owned(), start, (work, Policies::Usual)));
        }
    };
    build()?;
    add("mainstay", gateway::start);
    peers.iter().for_each(|(name, start)| add(name, *start));
    Ok(contestants)
}

fn contestant(name: String, start: Start, (work, policies): (&Rc<Work>, Policies)) -> Contestant {
    let work = Rc::clone(work);
    Contestant { name, start: Box::new(move |folder| work.start(start, folder, policies)) }
}

/// A port is open before routes are known, so that a proxy is asked where it can be in clear text.
pub(super) fn ready(front: Front, address: SocketAddr) -> Probe {
    match front {
        Front::Http1 => Probe::Http(address, PATH.to_owned()),
        Front::Tls | Front::Http2 => Probe::Connect(address),
    }
}

/// What all contestants of a duel stand in front of, and how they are asked.
struct Work {
    front: Front,
    origin: Origin,
    certificate: Certificate,
}

impl Work {
    fn new(front: Front) -> Result<Rc<Self>> {
        Ok(Rc::new(Self { front, origin: Origin::start()?, certificate: Certificate::new()? }))
    }

    fn start(&self, start: Start, folder: &Path, policies: Policies) -> Result<Started> {
        let (address, metrics) = (free_port()?, free_port()?);
        self.certificate.write(folder)?;
        let setup =
            Setup { front: self.front, policies, connections_max: 2048, origin: self.origin.address() };
        let Up { mut server, version, settings } = start(&Place { folder, address, metrics, setup: &setup })?;
        server.wait_ready(&ready(self.front, address), READY)?;
        Ok(Started { servers: vec![server], version, settings, load: self.load(address)? })
    }

    fn load(&self, address: SocketAddr) -> Result<Load> {
        let expect = Expect { status: Some(200), body_bytes: Some(BODY_BYTES as u64) };
        let get = || Get::new(address, &address.to_string(), PATH);
        Ok(match self.front {
            Front::Http1 => asking(Wire(get()), expect),
            Front::Http2 => asking(http2::Get::new(address, PATH, SHARE), expect),
            Front::Tls => {
                let (name, certificate) = (certificate::NAME, self.certificate.der());
                let with = |sessions| {
                    let get = Get::new(address, name, PATH);
                    let tls = Tls::new(get, (name, certificate.clone()), "http/1.1", sessions);
                    Ok::<_, anyhow::Error>(asking(tls.context("prepare TLS")?, expect))
                };
                let (kept, new, resumed) =
                    (with(Sessions::Kept)?, with(Sessions::New)?, with(Sessions::Resumed)?);
                Box::new(move |cell, pace| match cell.name.as_str() {
                    NEW => new(cell, pace),
                    RESUMED => resumed(cell, pace),
                    _ => kept(cell, pace),
                })
            }
        })
    }
}

#[cfg(test)]
mod tests;
