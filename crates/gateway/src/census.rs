//! How many connections are open, in all and from each source.

use std::collections::HashMap;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prometheus::IntGauge;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::network;

/// How many connections of clients may be open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// At a time, from 1. One more is closed, and told 503 before where it speaks HTTP without TLS. By default 65,536: some hundreds of megabytes, if most are idle.
    pub max: NonZeroU32,
    /// At a time from one source: an IPv4 address, or the /64 of an IPv6 one, by the PROXY protocol where it is spoken. By default as many as in all, since a thousand people may come
    /// from one address, or all of them from that of a balancer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_source: Option<NonZeroU32>,
}

impl Default for Config {
    fn default() -> Self {
        Self { max: NonZeroU32::new(65_536).expect("it is above zero"), per_source: None }
    }
}

/// Counts connections, for all workers.
#[derive(Debug)]
pub(crate) struct Census {
    gauge: Option<IntGauge>,
    open: AtomicU32,
    /// Of those that are counted by source.
    sources: Mutex<HashMap<IpAddr, u32>>,
}

/// A connection that is counted until it is dropped.
#[derive(Debug)]
pub(crate) struct Counted {
    census: Arc<Census>,
    source: Option<IpAddr>,
}

impl Census {
    /// Tells a gauge, if there is one.
    pub(crate) fn new(gauge: Option<IntGauge>) -> Self {
        Self { gauge, open: AtomicU32::new(0), sources: Mutex::default() }
    }

    /// Counts a connection, unless there are as many as may be.
    pub(crate) fn count(self: &Arc<Self>, config: Config) -> Option<Counted> {
        if self.open.fetch_add(1, Ordering::Relaxed) >= config.max.get() {
            self.open.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        self.gauge.iter().for_each(IntGauge::inc);
        Some(Counted { census: Arc::clone(self), source: None })
    }

    fn sources(&self) -> MutexGuard<'_, HashMap<IpAddr, u32>> {
        // Each step leaves true counts behind.
        self.sources.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counted {
    /// Counts it for its source too. Returns whether that may have one more.
    pub(crate) fn is_from(&mut self, address: IpAddr, config: Config) -> bool {
        let Some(max) = config.per_source else { return true };
        let source = network::of_host(address);
        let mut sources = self.census.sources();
        let open = sources.entry(source).or_default();
        if *open >= max.get() {
            return false;
        }
        *open += 1;
        drop(sources);
        self.source = Some(source);
        true
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.census.open.fetch_sub(1, Ordering::Relaxed);
        self.census.gauge.iter().for_each(IntGauge::dec);
        let Some(source) = self.source else { return };
        let mut sources = self.census.sources();
        if let Some(open) = sources.get_mut(&source) {
            *open -= 1;
            if *open == 0 {
                sources.remove(&source);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_connections_are_open_than_may_be() {
        let number = |number| NonZeroU32::new(number).expect("it is above zero");
        let config = Config { max: number(3), per_source: Some(number(1)) };
        let gauge = IntGauge::new("open", "Open.").expect("a valid metric");
        let census = Arc::new(Census::new(Some(gauge.clone())));
        let mut open: Vec<_> = (0..3).map(|_| census.count(config).expect("there is room")).collect();
        assert!(census.count(config).is_none());
        assert_eq!(gauge.get(), 3);
        let address = |text: &str| text.parse::<IpAddr>().expect("an address");
        assert!(open[0].is_from(address("2001:db8::1"), config));
        assert!(!open[1].is_from(address("2001:db8::2"), config), "the same network");
        assert!(open[2].is_from(address("2001:db8:0:1::1"), config));
        drop(open.remove(0));
        assert_eq!(gauge.get(), 2);
        assert!(open[0].is_from(address("2001:db8::2"), config), "the first is gone");
        drop(open);
        assert!(census.sources().is_empty() && census.count(config).is_some());
    }
}
