//! What experiments on collections have in common: one is defined, filled, and put under load while its node is metered.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use bytes::Bytes;
use http::Request;
use http::header::CONTENT_TYPE;
use serde_json::Value;

use super::meter::Meter;
use super::node::Node;
use crate::bench::Stop;
use crate::clock::{self, Moment, poll_until};
use crate::fetch;
use crate::items::{Latencies, Mix, Shape, Storing, Traffic, fill};
use crate::load::{self, Outcome, Pace, Plan, Wire};

/// Clients of every load here: enough that groups form, few enough that none waits for its turn at the load's thread.
pub(super) const CLIENTS: usize = 64;

/// How long a definition may take until every shard has it.
const DEFINE_DEADLINE: Duration = Duration::from_secs(30);

const ANSWER_DEADLINE: Duration = Duration::from_secs(10);

/// How often it is asked how far something is: each answer is counted by the node from a row of every shard.
const INTERVAL: Duration = Duration::from_millis(200);

/// How long a node may take to come to rest.
const REST_DEADLINE: Duration = Duration::from_secs(5);

/// How long the CPU time of a node must not grow: several of its ticks.
const REST: Duration = Duration::from_millis(100);

/// Defines a collection, or changes what it says.
pub(super) fn define(node: &Node, collection: &str, definition: &Value) -> Result<()> {
    let request =
        Request::put(format!("/v1/collections/{collection}")).header(CONTENT_TYPE, "application/json");
    let request = request.body(Bytes::from(definition.to_string())).context("build the request")?;
    let answer = fetch::send(node.api, request, DEFINE_DEADLINE)?;
    let said = String::from_utf8_lossy(&answer.body);
    ensure!(answer.status < 300, "the collection {collection} is refused with {}: {said}", answer.status);
    Ok(())
}

/// Stores the items of a collection.
pub(super) fn store(node: &Node, collection: &str, items: u64, shape: Shape) -> Result<()> {
    let storing = Storing::new(node.api, collection, items, shape);
    let commits = u32::try_from(storing.commits()).context("there are too many items")?;
    fill(Wire(storing), commits, &Stop::default())
}

/// Waits until what the collection says at a JSON pointer is ready, and returns when that was.
pub(super) fn ready(node: &Node, collection: &str, pointer: &str, by: Moment) -> Result<Moment> {
    loop {
        let answer =
            fetch::get(node.api, &format!("/v1/collections/{collection}"), ANSWER_DEADLINE)?.json()?;
        let found = answer.pointer(pointer).unwrap_or(&Value::Null);
        match found["state"].as_str() {
            Some("ready") => return Ok(Moment::now()),
            Some("building") if Moment::now() < by => clock::sleep(INTERVAL),
            _ => bail!("{pointer} of the collection {collection} was not ready in time: {found}"),
        }
    }
}

/// One measured load.
pub(super) struct Run {
    pub(super) outcome: Outcome,
    /// What the node used during the window.
    pub(super) used: Meter,
    /// Of all requests, those of the warm-up too.
    pub(super) latencies: Latencies,
}

impl Run {
    /// CPU time of the node for each request, in microseconds.
    pub(super) fn cpu_us(&self) -> f64 {
        self.used.cpu.as_secs_f64() * 1e6 / self.outcome.ok_in_window.max(1) as f64
    }

    /// So many bytes for each request.
    pub(super) fn each(&self, bytes: u64) -> f64 {
        bytes as f64 / self.outcome.ok_in_window.max(1) as f64
    }
}

/// Sends the mix in a closed loop. Errors: a request was not answered with success.
pub(super) fn run(node: &Node, collection: &str, mix: Mix, times: (Duration, Duration)) -> Result<Run> {
    let plan = plan(node, collection, mix, times);
    let load = load::start(&plan, Pace::Closed)?;
    let (begin, end) = load.window();
    clock::sleep_until(begin);
    let before = Meter::read(node)?;
    clock::sleep_until(end);
    let used = Meter::read(node)?.since(before);
    let outcome = load.join()?;
    check(&outcome)?;
    Ok(Run { outcome, used, latencies: plan.target.0.latencies() })
}

/// A load of so long a warm-up and window.
pub(super) fn plan(
    node: &Node,
    collection: &str,
    mix: Mix,
    (warm_up, duration): (Duration, Duration),
) -> Plan<Wire<Traffic>> {
    let traffic = Traffic::new(node.api, collection, mix);
    Plan { connections: CLIENTS, warm_up, duration, ..Plan::new(Wire(traffic)) }
}

/// Errors: the figures are worth nothing, with the reasons.
pub(super) fn check(outcome: &Outcome) -> Result<()> {
    let doubts = outcome.doubts();
    ensure!(doubts.is_empty(), "the load was not served: {}", doubts.join("; "));
    Ok(())
}

/// Waits until the node has little left to do from what came before: its CPU time hardly grows.
pub(super) fn settle(node: &Node) {
    let busy = || crate::process::cpu(&[node.server.pid()]);
    let by = Moment::now().plus(REST_DEADLINE);
    let _ = poll_until(by, Duration::ZERO, || {
        let before = busy();
        clock::sleep(REST);
        (busy().saturating_sub(before) < REST / 5).then_some(())
    });
}
