//! What is counted of services' endpoints, for scrapers.

mod programs;

use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use mainstay_gateway::snapshot::Snapshot;
use mainstay_upstream::State;
use mainstay_upstream::dns::Counts;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntCounterVec, IntGaugeVec, Opts};

use programs::Programs;

/// What is counted of the endpoints of services that are in force.
pub(super) struct Endpoints {
    snapshot: Arc<ArcSwap<Snapshot>>,
    /// Held by whoever collects: two at a time would count everything twice, or not at all.
    collecting: Mutex<()>,
    endpoints: IntGaugeVec,
    running: IntGaugeVec,
    connections: IntGaugeVec,
    waiting: IntGaugeVec,
    taken_out: IntCounterVec,
    lookups: IntCounterVec,
    programs: Programs,
}

impl Endpoints {
    pub(super) fn new(snapshot: &Arc<ArcSwap<Snapshot>>) -> Self {
        let gauge =
            |name, about, labels: &[&str]| IntGaugeVec::new(Opts::new(name, about), labels).expect("a name");
        let taken_out =
            Opts::new("mainstay_upstream_taken_out_total", "Times that an endpoint was taken out, by why.");
        let lookups = Opts::new(
            "mainstay_upstream_dns_lookups_total",
            "Lookups of names of services, by what they came to.",
        );
        Self {
            snapshot: Arc::clone(snapshot),
            collecting: Mutex::default(),
            endpoints: gauge(
                "mainstay_upstream_endpoints",
                "Endpoints, by how they are.",
                &["service", "state"],
            ),
            running: gauge("mainstay_upstream_running", "Calls that run at endpoints.", &["service"]),
            connections: gauge("mainstay_upstream_connections", "Connections to endpoints.", &["service"]),
            waiting: gauge(
                "mainstay_upstream_waiting",
                "Calls that wait for a connection, of those that there may be.",
                &["service"],
            ),
            taken_out: IntCounterVec::new(taken_out, &["service", "why"]).expect("a name"),
            lookups: IntCounterVec::new(lookups, &["service", "result"]).expect("a name"),
            programs: Programs::new(),
        }
    }
}

impl Collector for Endpoints {
    fn desc(&self) -> Vec<&Desc> {
        let gauges = [&self.endpoints, &self.running, &self.connections, &self.waiting];
        let counters = [&self.taken_out, &self.lookups];
        let counted = counters.into_iter().flat_map(Collector::desc);
        let own = gauges.into_iter().flat_map(Collector::desc).chain(counted);
        own.chain(self.programs.desc()).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        // Whatever a scrape has left is reset by the next one.
        let _collecting = self.collecting.lock().unwrap_or_else(PoisonError::into_inner);
        // Services that are gone are not shown any more.
        let gauges = [&self.endpoints, &self.running, &self.connections, &self.waiting];
        gauges.into_iter().for_each(IntGaugeVec::reset);
        self.taken_out.reset();
        self.lookups.reset();
        self.programs.reset();
        for service in self.snapshot.load().services() {
            let (name, counts) = (service.name().as_str(), service.roster().counts());
            for state in State::ALL {
                let count = counts.states.iter().filter(|it| **it == state).count();
                self.endpoints.with_label_values(&[name, state.as_str()]).set(count as i64);
            }
            self.running.with_label_values(&[name]).set(counts.running.into());
            self.connections.with_label_values(&[name]).set(counts.connections.into());
            self.waiting.with_label_values(&[name]).set(service.waiting().into());
            self.taken_out.with_label_values(&[name, "ejected"]).inc_by(counts.ejected);
            self.taken_out.with_label_values(&[name, "unreachable"]).inc_by(counts.unreachable);
            if service.config().dns.is_some() {
                let Counts { found, empty, failed } = service.discovery().counts();
                for (result, count) in [("found", found), ("empty", empty), ("failed", failed)] {
                    self.lookups.with_label_values(&[name, result]).inc_by(count);
                }
            }
            self.programs.count(service);
        }
        let counters = [&self.taken_out, &self.lookups];
        let counted = counters.into_iter().flat_map(Collector::collect);
        let own = gauges.into_iter().flat_map(Collector::collect).chain(counted);
        own.chain(self.programs.collect()).collect()
    }
}
