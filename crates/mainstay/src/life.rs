//! How a node starts, runs, reloads and stops.
//!
//! Parts start in one fixed order and stop in its exact reverse: each start pushes its own stop onto
//! [`Started`], so that the two cannot drift apart and a failed start undoes what came before it.

pub mod lock;
pub mod rare;
pub mod ready;
pub mod scope;
pub mod signals;

use std::future::Future;
use std::pin::Pin;
use std::time::Duration as StdDuration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use mainstay_base::units::Duration;

pub use scope::Scope;

/// The `shutdown` section.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// How long requests in flight may take to finish after SIGTERM or SIGINT. What is not finished then is
    /// cut off and the process exits with 1. A second signal ends the process at once. The default is what
    /// Kubernetes grants a pod before it kills it.
    pub drain: Duration,
    /// How long connections without a request stay open once a stop has begun; part of `drain`. A request that
    /// is already on its way when the stop begins then still gets its answer, with `Connection: close`.
    pub linger: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self { drain: Duration::from_secs(30), linger: Duration::from_millis(500) }
    }
}

/// What a stop left undone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{part}: left unfinished: {}", .unfinished.join(", "))]
pub struct Unfinished {
    /// The part that was stopped.
    pub part: String,
    /// What was cut off, with counts.
    pub unfinished: Vec<String>,
}

type Stop = Box<dyn FnOnce(tokio::time::Instant) -> StopFuture + Send>;
type StopFuture = Pin<Box<dyn Future<Output = Result<(), Unfinished>> + Send>>;

/// The parts that are up, each with its way to stop.
#[derive(Default)]
pub struct Started {
    parts: Vec<(&'static str, Stop)>,
}

impl Started {
    /// Records that `name` is up. `stop` gets the moment at which draining ends.
    pub fn push<F, Fut>(&mut self, name: &'static str, stop: F)
    where
        F: FnOnce(tokio::time::Instant) -> Fut + Send + 'static,
        Fut: Future<Output = Result<(), Unfinished>> + Send + 'static,
    {
        tracing::debug!(part = name, "part started");
        self.parts.push((name, Box::new(|deadline| Box::pin(stop(deadline)))));
    }

    /// Stops every part, last started first, all within one `drain` time. Returns what was left undone; a
    /// part that could not finish does not keep the others from stopping.
    pub async fn stop(&mut self, drain: StdDuration) -> Vec<Unfinished> {
        let deadline = tokio::time::Instant::now() + drain;
        let mut undone = Vec::new();
        while let Some((name, stop)) = self.parts.pop() {
            match stop(deadline).await {
                Ok(()) => tracing::debug!(part = name, "part stopped"),
                Err(unfinished) => {
                    tracing::warn!(part = name, error = %unfinished, "part stopped with work unfinished");
                    undone.push(unfinished);
                }
            }
        }
        undone
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn parts_stop_in_reverse_and_one_that_hangs_does_not_hold_the_others() {
        let order = Arc::new(Mutex::new(Vec::new()));
        let mut started = Started::default();
        for name in ["lock", "api", "delivery"] {
            let order = Arc::clone(&order);
            started.push(name, move |deadline| async move {
                order.lock().unwrap().push(name);
                if name != "api" {
                    return Ok(());
                }
                tokio::time::sleep_until(deadline).await;
                Err(Unfinished { part: name.into(), unfinished: vec!["2 connections".into()] })
            });
        }
        let undone = started.stop(StdDuration::from_secs(5)).await;
        assert_eq!(*order.lock().unwrap(), ["delivery", "api", "lock"]);
        assert_eq!(undone.len(), 1);
        assert_eq!(undone[0].to_string(), "api: left unfinished: 2 connections");
    }
}
