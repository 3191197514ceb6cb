//! How soon callers of a service know of endpoints that come, drain, die and come back, and what that costs them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use http::Request;
use http::header::CONTENT_TYPE;
use rustix::process::Signal;
use serde_json::{Value, json};

use super::node::{Node, version};
use super::{Context, Experiment, scratch};
use crate::clock::{self, Moment, poll_until};
use crate::fetch;
use crate::load::{self, Outcome, Pace, Plan};
use crate::plot::{self, Bar};
use crate::process::free_port;
use crate::report::{Report, Table};
use crate::stats::{Spread, median};

/// Has an endpoint of a service register, drain, die, come back and be silent, again and again, while calls come in.
#[derive(Debug, Clone, Copy)]
pub struct Discovery {
    /// Offered load, in requests per second.
    pub rate_per_s: f64,
    /// How often each of it happens.
    pub rounds: usize,
}

impl Discovery {
    /// What the command line runs.
    pub const DEFAULT: Self = Self { rate_per_s: 500.0, rounds: 7 };
}

/// The lease of an endpoint that is silent.
const LEASE: Duration = Duration::from_secs(1);

/// How often it is asked who answers.
const ASK_EVERY: Duration = Duration::from_millis(1);
const ASK_DEADLINE: Duration = Duration::from_secs(10);
const ANSWER_DEADLINE: Duration = Duration::from_secs(5);

/// What is claimed of the medians: an endpoint that has registered is called, one that drains is not any more, and a lease ends in time.
const KNOWN_MAX_MS: f64 = 50.0;

/// A connection cannot be made: tried again after a second at first.
const BACK_MAX_MS: f64 = 1_500.0;

const QUESTION: &str = "A service has two endpoints. One of them registers, drains, is killed, comes back at the same address, and stops renewing its lease. How soon do callers know, and does any call fail?";

const EVENTS: [(&str, f64); 5] = [
    ("it registers: until it answers a call", KNOWN_MAX_MS),
    ("it says that it drains: until it is called no more", KNOWN_MAX_MS),
    ("it is killed: until it is known to be", KNOWN_MAX_MS),
    ("it is back at its address: until it answers a call", BACK_MAX_MS),
    ("its lease has ended: until it is gone", KNOWN_MAX_MS),
];

impl Experiment for Discovery {
    fn name(&self) -> &'static str {
        "discovery"
    }

    fn question(&self) -> &'static str {
        "B4"
    }

    fn about(&self) -> &'static str {
        "Has an endpoint register, drain, die, come back and be silent under load, and measures until callers know"
    }

    fn run(&self, context: &Context) -> Result<Report> {
        let folder = scratch(&context.out_dir)?;
        let stays = Service::start(&context.exe, &folder.path().join("stays"), "stays")?;
        let mut comes = Service::start(&context.exe, &folder.path().join("comes"), "comes")?;
        let gateway = free_port()?;
        let front = Node::start_with(&context.exe, &folder.path().join("front"), &front_of(gateway))?;
        let world = World { front, gateway };
        world.register(&stays, false, Duration::from_secs(300))?;
        let plan = Plan {
            connections: 16,
            warm_up: Duration::from_secs(1),
            // Longer than it takes: it is stopped.
            duration: Duration::from_secs(170),
            ..Plan::get(gateway, "/")
        };
        let load = load::start(&plan, Pace::open(self.rate_per_s))?;
        let mut took: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
        for _ in 0..self.rounds {
            for (event, ms) in world.round(&mut comes)? {
                took.entry(event).or_default().push(ms);
            }
        }
        let outcome = load.stop()?;
        world.front.server.stop(Duration::from_secs(10))?;

        let mut report = context.report(self, "How soon callers know of endpoints", QUESTION);
        report.setting("binary", version(&context.exe)?);
        report.setting("offered load", format!("{:.0} requests/s, open loop, with GET", self.rate_per_s));
        report.setting("rounds", self.rounds.to_string());
        report.setting("lease", format!("{} s, which is not renewed", LEASE.as_secs()));
        report.setting("endpoints", "each a node that answers by itself, over loopback");
        judge(&mut report, &took, &outcome)?;
        Ok(report)
    }
}

/// An endpoint: a node that answers each request with its name.
struct Service {
    name: &'static str,
    address: SocketAddr,
    node: Node,
}

impl Service {
    fn start(exe: &Path, folder: &Path, name: &'static str) -> Result<Self> {
        let address = free_port()?;
        let sections = format!(
            "  gateway: [{{ address: \"{address}\" }}]\n\
             routes: [{{ name: all, match: {{ path: \"/\" }}, answer: {{ body: {name} }} }}]\n"
        );
        let node = Node::start_with(exe, folder, &sections)?;
        Ok(Self { name, address, node })
    }
}

fn front_of(gateway: SocketAddr) -> String {
    format!(
        "  gateway: [{{ address: \"{gateway}\" }}]\n\
         services: {{ shop: {{ registration: true, balance: round_robin }} }}\n\
         routes: [{{ name: all, match: {{ path: \"/\" }}, to: {{ service: shop }} }}]\n"
    )
}

/// The node in front of both endpoints.
struct World {
    front: Node,
    gateway: SocketAddr,
}

impl World {
    /// Each of the events once, with how many milliseconds it took until callers knew.
    fn round(&self, comes: &mut Service) -> Result<Vec<(&'static str, f64)>> {
        let [registers, drains, killed, back, ends] = EVENTS.map(|(event, _)| event);
        let minutes = Duration::from_secs(300);
        let mut took = Vec::new();

        let begun = Moment::now();
        self.register(comes, false, minutes)?;
        self.until_answered_by(comes)?;
        took.push((registers, since(begun)));
        self.until_busy(comes)?;

        let begun = Moment::now();
        self.register(comes, true, minutes)?;
        self.until("draining", comes)?;
        took.push((drains, since(begun)));
        let before = self.calls(comes)?;
        clock::sleep(Duration::from_millis(200));
        ensure!(self.calls(comes)? == before, "an endpoint that drains was called");

        self.register(comes, false, minutes)?;
        self.until_busy(comes)?;
        let begun = Moment::now();
        comes.node.server.signal(Signal::KILL)?;
        self.until("unreachable", comes)?;
        took.push((killed, since(begun)));
        comes.node.server.wait(ANSWER_DEADLINE)?;
        comes.node.restart()?;
        let begun = Moment::now();
        self.until_answered_by(comes)?;
        took.push((back, since(begun)));

        let begun = Moment::now();
        self.register(comes, false, LEASE)?;
        self.until_gone(comes)?;
        took.push((ends, (Moment::now().since(begun).as_secs_f64() - LEASE.as_secs_f64()) * 1e3));
        Ok(took)
    }

    fn register(&self, service: &Service, is_draining: bool, lease: Duration) -> Result<()> {
        let body = json!({ "draining": is_draining, "lease": format!("{}s", lease.as_secs()) }).to_string();
        let path = format!("/v1/services/shop/endpoints/{}", service.address);
        let request = Request::put(path).header(CONTENT_TYPE, "application/json").body(Bytes::from(body));
        let answer = fetch::send(self.front.api, request.context("build the request")?, ANSWER_DEADLINE)?;
        ensure!(answer.status / 100 == 2, "status {} to a registration", answer.status);
        Ok(())
    }

    /// How an endpoint is; none if it is not there.
    fn endpoint(&self, service: &Service) -> Result<Option<Value>> {
        let shown = fetch::get(self.front.api, "/v1/services/shop", ANSWER_DEADLINE)?.json()?;
        let all = shown["endpoints"].as_array().cloned().unwrap_or_default();
        Ok(all.into_iter().find(|it| it["address"] == json!(service.address)))
    }

    fn calls(&self, service: &Service) -> Result<u64> {
        let endpoint = self.endpoint(service)?;
        endpoint.and_then(|it| it["calls"].as_u64()).context("an endpoint that is there tells its calls")
    }

    fn until_answered_by(&self, service: &Service) -> Result<()> {
        wait("answer a call", || {
            Ok(&fetch::get(self.gateway, "/", ANSWER_DEADLINE)?.body[..] == service.name.as_bytes())
        })
    }

    /// Until it has had so many calls that all callers know of it.
    fn until_busy(&self, service: &Service) -> Result<()> {
        let before = self.calls(service)?;
        wait("have calls", || Ok(self.calls(service)? >= before + 50))
    }

    fn until(&self, state: &str, service: &Service) -> Result<()> {
        wait(&format!("become {state}"), || {
            Ok(self.endpoint(service)?.is_some_and(|it| it["state"] == json!(state)))
        })
        .with_context(|| format!("{:?}", self.endpoint(service)))
    }

    fn until_gone(&self, service: &Service) -> Result<()> {
        wait("go", || Ok(self.endpoint(service)?.is_none()))
    }
}

fn since(begun: Moment) -> f64 {
    Moment::now().since(begun).as_secs_f64() * 1e3
}

fn wait(what: &str, holds: impl Fn() -> Result<bool>) -> Result<()> {
    let waited = poll_until(Moment::now().plus(ASK_DEADLINE), ASK_EVERY, || match holds() {
        Ok(true) => Some(Ok(())),
        Ok(false) => None,
        Err(error) => Some(Err(error)),
    });
    waited.with_context(|| format!("the endpoint does not {what} within {ASK_DEADLINE:?}"))?
}

fn judge(report: &mut Report, took: &BTreeMap<&str, Vec<f64>>, outcome: &Outcome) -> Result<()> {
    let lost = outcome.counts.failed() + outcome.counts.rejected;
    report.verdict.check(
        "no call fails, whatever happens to one of two endpoints",
        format!("{lost} of {}", outcome.counts.sent),
        lost == 0,
    );
    let mut table = Table::new("Until callers know", &["what happens", "median ms", "longest ms"]);
    let mut bars = Vec::new();
    for (event, most) in EVENTS {
        let all = took.get(event).context("each of it has happened")?;
        let middle = median(all).context("it has happened")?;
        let longest = all.iter().copied().fold(0.0, f64::max);
        table.row(vec![event.to_owned(), format!("{middle:.1}"), format!("{longest:.1}")]);
        report.verdict.check(
            format!("{event} takes at most {most:.0} ms (median)"),
            format!("{middle:.1} ms"),
            middle <= most,
        );
        let name = event.split(':').next().unwrap_or(event).to_owned();
        bars.push(Bar { name, spread: Spread::of(all).context("it has happened")? });
    }
    report.tables.push(table);
    let latency = outcome.latency.percentiles();
    let mut calls = Table::new("Calls meanwhile", &["calls", "failed", "p50 ms", "p99 ms", "longest ms"]);
    let ms = [latency.p50_us, latency.p99_us, latency.max_us].map(|us| format!("{:.2}", us / 1e3));
    calls.row([vec![outcome.counts.sent.to_string(), lost.to_string()], ms.to_vec()].concat());
    report.tables.push(calls);
    let title = "Until callers know";
    report.plot("known", title, plot::bars(title, "ms", &bars)?);
    Ok(())
}
