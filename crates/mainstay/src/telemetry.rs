//! What a node tells about itself: log lines on stderr and metrics for scrapers.

pub mod logs;
pub mod metrics;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The `telemetry` section.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Log lines on stderr.
    pub logs: logs::Config,
}
