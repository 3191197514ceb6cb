//! What is counted of the programs of services.

use mainstay_upstream::Service;
use mainstay_upstream::run::View;
use prometheus::core::{Collector as _, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntCounterVec, IntGaugeVec, Opts};

/// What is counted of the programs of services that are in force.
pub(super) struct Programs {
    instances: IntGaugeVec,
    wanted: IntGaugeVec,
    failures: IntCounterVec,
    scalings: IntCounterVec,
}

impl Programs {
    pub(super) fn new() -> Self {
        let gauge =
            |name, about, labels: &[&str]| IntGaugeVec::new(Opts::new(name, about), labels).expect("a name");
        let counter = |name, about, labels: &[&str]| {
            IntCounterVec::new(Opts::new(name, about), labels).expect("a name")
        };
        Self {
            instances: gauge(
                "mainstay_upstream_instances",
                "Instances of a service's program, by how they are.",
                &["service", "phase"],
            ),
            wanted: gauge(
                "mainstay_upstream_wanted",
                "Instances of a service's program that are to take calls.",
                &["service"],
            ),
            failures: counter(
                "mainstay_upstream_instance_failures_total",
                "Instances that ended by themselves, did not begin in time, or took more than they may.",
                &["service"],
            ),
            scalings: counter(
                "mainstay_upstream_scalings_total",
                "Times that the rule of a service had another number of instances, by direction.",
                &["service", "direction"],
            ),
        }
    }

    pub(super) fn desc(&self) -> Vec<&Desc> {
        [self.instances.desc(), self.wanted.desc(), self.failures.desc(), self.scalings.desc()].concat()
    }

    pub(super) fn reset(&self) {
        self.instances.reset();
        self.wanted.reset();
        self.failures.reset();
        self.scalings.reset();
    }

    /// Counts those of a service, if it has a program.
    pub(super) fn count(&self, service: &Service) {
        let Some(run) = &service.config().run else { return };
        let (name, view) = (service.name().as_str(), service.scale().view(run));
        let View { wanted, counts, failed, scaled: (up, down), .. } = view;
        for (phase, count) in [
            ("starting", counts.starting),
            ("warm", counts.warm),
            ("ready", counts.ready),
            ("leaving", counts.leaving),
        ] {
            self.instances.with_label_values(&[name, phase]).set(count.into());
        }
        self.wanted.with_label_values(&[name]).set(wanted.into());
        self.failures.with_label_values(&[name]).inc_by(failed);
        self.scalings.with_label_values(&[name, "up"]).inc_by(up);
        self.scalings.with_label_values(&[name, "down"]).inc_by(down);
    }

    pub(super) fn collect(&self) -> Vec<MetricFamily> {
        [self.instances.collect(), self.wanted.collect(), self.failures.collect(), self.scalings.collect()]
            .concat()
    }
}
