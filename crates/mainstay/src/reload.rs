//! The configuration in force, and how it is replaced while the node runs.
//!
//! A reload reads everything again. If anything is wrong with it, or it would change what a running process
//! cannot change, the whole is refused and nothing changes; otherwise all of it applies as one. Either way the
//! outcome is kept for whoever asks, because the one who sent the signal sees no answer.

use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use prometheus::{IntCounterVec, IntGauge};
use serde::Serialize;

use mainstay_base::time::{Clock, Timestamp};

use crate::config::diagnostic::Record;
use crate::config::explain::{self, Setting};
use crate::config::{self, Config, Findings, Loaded, Request};
use crate::telemetry::metrics::Metrics;

/// How a reload went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Result {
    /// The new configuration is in force.
    Applied,
    /// There was nothing new.
    Unchanged,
    /// The new configuration is not in force; the old one is.
    Refused,
}

/// One reload.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Outcome {
    /// When it was done.
    pub at: Timestamp,
    /// How it went.
    pub result: Result,
    /// Why it was refused, a line each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<String>,
    /// Mistakes with their places, if the new configuration had any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<Record>,
}

/// What the API shows of the configuration.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct View {
    /// Counts the configurations that were in force since the start, from 1.
    pub generation: u64,
    /// The environment whose layer is in use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub env: Option<String>,
    /// Every value with its origin. Secrets are shown as references.
    pub settings: Vec<Setting>,
    /// The last reload, if there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_reload: Option<Outcome>,
}

/// Logs what is odd in a configuration that can be used, a line each.
pub fn log_warnings(findings: &Findings) {
    for warning in findings.lines() {
        tracing::warn!(target: "mainstay::config", warning, "configuration warning");
    }
}

/// Puts a new configuration in force. Errors: why it cannot be; then all of the old one is. May block.
pub type Apply = Box<dyn Fn(&Loaded) -> std::result::Result<(), Vec<String>> + Send + Sync>;

struct Current {
    config: Config,
    /// Names the files that the configuration came from: one that has gone since then refuses the reload, rather
    /// than leave the node on its defaults.
    request: Request,
}

/// The configuration in force and its history.
pub struct Reloads {
    clock: Arc<dyn Clock>,
    /// Held while a reload runs, so that two never interleave.
    current: Mutex<Current>,
    view: ArcSwap<View>,
    counts: IntCounterVec,
    generation: IntGauge,
}

impl Reloads {
    /// Begins with the configuration that the process started with.
    pub fn new(loaded: &Loaded, clock: Arc<dyn Clock>, metrics: &Metrics) -> Self {
        let view = View {
            generation: 1,
            env: loaded.env.clone(),
            settings: explain::settings(loaded),
            last_reload: None,
        };
        let counts = metrics.counters("mainstay_config_reloads_total", "Reloads, by result.", &["result"]);
        for result in ["applied", "unchanged", "refused"] {
            counts.with_label_values(&[result]).reset();
        }
        let generation = metrics
            .gauge("mainstay_config_generation", "Configurations in force since the start, counted from 1.");
        generation.set(1);
        Self {
            clock,
            current: Mutex::new(Current { config: loaded.config.clone(), request: loaded.request.clone() }),
            view: ArcSwap::from_pointee(view),
            counts,
            generation,
        }
    }

    /// What is in force.
    pub fn view(&self) -> Arc<View> {
        self.view.load_full()
    }

    /// Reads the configuration again and applies it, or keeps the old one. Blocks on files.
    pub fn reload(&self, apply: &Apply) -> Outcome {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let mut view = View::clone(&self.view.load());
        let outcome = match config::load(&current.request) {
            Err(findings) => self.refused(findings.lines(), findings.records()),
            Ok(loaded) => {
                let mut reasons = Vec::new();
                let restart = current.config.needs_restart(&loaded.config);
                if !restart.is_empty() {
                    reasons.push(format!("a restart is needed to change {}", restart.join(", ")));
                }
                log_warnings(&loaded.findings);
                if reasons.is_empty() {
                    reasons.extend(apply(&loaded).err().into_iter().flatten());
                }
                if reasons.is_empty() {
                    let result =
                        if loaded.config == current.config { Result::Unchanged } else { Result::Applied };
                    view.settings = explain::settings(&loaded);
                    view.env.clone_from(&loaded.env);
                    *current = Current { config: loaded.config, request: loaded.request };
                    self.outcome(result)
                } else {
                    self.refused(reasons, Vec::new())
                }
            }
        };
        view.generation += u64::from(outcome.result == Result::Applied);
        view.last_reload = Some(outcome.clone());
        self.generation.set(i64::try_from(view.generation).unwrap_or(i64::MAX));
        self.view.store(Arc::new(view));
        self.report(&outcome);
        outcome
    }

    fn outcome(&self, result: Result) -> Outcome {
        Outcome { at: self.clock.wall(), result, reasons: Vec::new(), problems: Vec::new() }
    }

    fn refused(&self, reasons: Vec<String>, problems: Vec<Record>) -> Outcome {
        Outcome { reasons, problems, ..self.outcome(Result::Refused) }
    }

    fn report(&self, outcome: &Outcome) {
        let label = match outcome.result {
            Result::Applied => "applied",
            Result::Unchanged => "unchanged",
            Result::Refused => "refused",
        };
        self.counts.with_label_values(&[label]).inc();
        match outcome.result {
            Result::Applied => tracing::info!(target: "mainstay::config", "configuration reloaded"),
            Result::Unchanged => {
                tracing::info!(target: "mainstay::config", "configuration reloaded, nothing changed");
            }
            Result::Refused => {
                for reason in &outcome.reasons {
                    tracing::error!(
                        target: "mainstay::config",
                        reason,
                        "configuration not reloaded, the running one stays"
                    );
                }
            }
        }
    }
}
