//! What a node has used and written until now: its own metrics, and what the kernel says about its process and its device.

use std::time::Duration;

use anyhow::{Context as _, Result};

use super::node::Node;
use crate::fetch;
use crate::process::cpu;

/// How long the metrics may take.
const ANSWER_DEADLINE: Duration = Duration::from_secs(5);

/// Sums since the node's start, or between two readings.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Meter {
    /// CPU time of the process.
    pub(super) cpu: Duration,
    /// Bytes written to the log.
    pub(super) log: u64,
    /// Bytes of rows that the stores took.
    pub(super) applied: u64,
    /// Bytes of tables written from memory.
    pub(super) flushed: u64,
    /// Bytes of tables written from tables.
    pub(super) compacted: u64,
    /// Bytes of snapshots.
    pub(super) snapshots: u64,
    /// Bytes written to the device of its data, by others too; none if there is none to ask.
    pub(super) device: Option<u64>,
}

impl Meter {
    /// Asks the node. Errors: it does not answer, or lacks one of the metrics.
    pub(super) fn read(node: &Node) -> Result<Self> {
        let pid = node.server.pid();
        let text = fetch::get(node.api, "/metrics", ANSWER_DEADLINE)?;
        let text = std::str::from_utf8(&text.body).context("the metrics are no text")?;
        Ok(Self { cpu: cpu(&[pid]), device: node.device.written(), ..Self::parse(text)? })
    }

    fn parse(text: &str) -> Result<Self> {
        let store = |kind| metric(text, "mainstay_store_bytes_total", kind);
        Ok(Self {
            log: metric(text, "mainstay_log_bytes_total", "kind=\"written\"")?,
            applied: store("kind=\"applied\"")?,
            flushed: store("kind=\"flushed\"")?,
            compacted: store("kind=\"compacted\"")?,
            snapshots: metric(text, "mainstay_shard_snapshot_bytes_total", "")?,
            ..Self::default()
        })
    }

    /// What was used between `earlier` and this.
    pub(super) fn since(self, earlier: Self) -> Self {
        Self {
            cpu: self.cpu.saturating_sub(earlier.cpu),
            log: self.log - earlier.log,
            applied: self.applied - earlier.applied,
            flushed: self.flushed - earlier.flushed,
            compacted: self.compacted - earlier.compacted,
            snapshots: self.snapshots - earlier.snapshots,
            device: self.device.zip(earlier.device).map(|(now, then)| now.saturating_sub(then)),
        }
    }
}

/// The value of a metric in Prometheus's text; of several, the first with this label, or the first of all if there is none to have.
fn metric(text: &str, name: &str, label: &str) -> Result<u64> {
    let value = text.lines().find_map(|line| {
        let (labels, value) = line.strip_prefix(name)?.rsplit_once(' ')?;
        let labels = match labels.strip_prefix('{') {
            Some(labels) => labels.strip_suffix('}')?,
            None if labels.is_empty() => "",
            None => return None,
        };
        let is_it = label.is_empty() || labels.split(',').any(|one| one == label);
        is_it.then_some(value)?.parse::<f64>().ok()
    });
    Ok(value.with_context(|| format!("the node has no metric {name}{{{label}}}"))? as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
# HELP mainstay_log_bytes_total Bytes.
mainstay_log_bytes_total{kind=\"given\"} 10
mainstay_log_bytes_total{kind=\"written\",node=\"n1\"} 12
mainstay_shard_snapshot_bytes_total{node=\"n1\"} 7
mainstay_shard_snapshots_total{result=\"taken\"} 1
mainstay_store_bytes_total{kind=\"applied\"} 100
mainstay_store_bytes_total{kind=\"flushed\"} 1.1e3
mainstay_store_bytes_total{kind=\"compacted\"} 300
";

    #[test]
    fn metrics_are_read_by_name_and_label() {
        let meter = Meter::parse(TEXT).unwrap();
        let expected =
            Meter { log: 12, applied: 100, flushed: 1_100, compacted: 300, snapshots: 7, ..Meter::default() };
        assert_eq!(meter, expected);
        assert_eq!(meter.since(Meter { log: 2, snapshots: 7, ..Meter::default() }).log, 10);
    }

    #[test]
    fn a_metric_that_is_not_there_is_an_error_with_its_name() {
        let error = Meter::parse(&TEXT.replace("compacted", "merged")).unwrap_err().to_string();
        assert!(error.contains("mainstay_store_bytes_total{kind=\"compacted\"}"), "{error}");
        assert!(metric("a_b 1\n", "a", "").is_err(), "a longer name is another metric");
        assert_eq!(metric("a 1\n", "a", "").unwrap(), 1);
    }
}
