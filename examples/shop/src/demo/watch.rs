//! How Mainstay's breakers stand while a demonstration runs: asked four times a second, beside the traffic.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use mainstay_lab::clock::sleep;
use mainstay_lab::fetch;
use serde_json::Value;

/// How often it is looked.
const EVERY: Duration = Duration::from_millis(250);

/// When, in seconds from the beginning, a breaker stood how. Of times at which Mainstay does not answer nothing is known.
pub type Standing = (f64, Breaker);

/// A breaker's state, in the order of how much it lets pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Breaker {
    /// All calls pass.
    Closed,
    /// Some calls pass, to find out.
    HalfOpen,
    /// No call passes.
    Open,
}

/// A thread that looks. Dropping it ends it.
#[derive(Debug)]
pub struct Watch {
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<BTreeMap<String, Vec<Standing>>>>,
}

impl Watch {
    /// Looks at the node with this API from now on; times count from `start`.
    pub fn start(api: SocketAddr, start: Instant) -> Result<Self> {
        let is_over = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&is_over);
        let look = move || {
            let mut seen: BTreeMap<String, Vec<Standing>> = BTreeMap::new();
            while !until.load(Ordering::Relaxed) {
                let now = start.elapsed().as_secs_f64();
                let services =
                    fetch::get(api, "/v1/services?limit=100", EVERY).and_then(|answer| answer.json());
                for (name, breaker) in services.as_ref().map(breakers).unwrap_or_default() {
                    seen.entry(name).or_default().push((now, breaker));
                }
                sleep(EVERY);
            }
            seen
        };
        let thread =
            std::thread::Builder::new().name("watch".to_owned()).spawn(look).context("start a thread")?;
        Ok(Self { is_over, thread: Some(thread) })
    }

    /// What was seen, by service.
    pub fn stop(mut self) -> BTreeMap<String, Vec<Standing>> {
        self.end().unwrap_or_default()
    }

    fn end(&mut self) -> Option<BTreeMap<String, Vec<Standing>>> {
        self.is_over.store(true, Ordering::Relaxed);
        self.thread.take()?.join().ok()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.end();
    }
}

/// Each service with the breaker that lets the least pass of those that guard it.
fn breakers(services: &Value) -> Vec<(String, Breaker)> {
    let of = |service: &Value| {
        let guards = service["guards"].as_array()?;
        let standings = guards.iter().filter_map(|guard| match guard["breaker"].as_str()? {
            "open" => Some(Breaker::Open),
            "half_open" => Some(Breaker::HalfOpen),
            _ => Some(Breaker::Closed),
        });
        Some((service["name"].as_str()?.to_owned(), standings.max()?))
    };
    services["services"].as_array().into_iter().flatten().filter_map(of).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_breaker_that_lets_least_pass_is_a_services_own() {
        let guards = json!([{"breaker": "closed"}, {"breaker": "open"}, {"breaker": "half_open"}, {}]);
        let services = json!({"services": [{"name": "a", "guards": guards}, {"name": "b"}]});
        assert_eq!(breakers(&services), [("a".to_owned(), Breaker::Open)]);
        assert_eq!(breakers(&json!({})), []);
    }
}
