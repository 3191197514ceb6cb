//! Watches the instances of one service's program: how many there should be by its rule, and which take more than they may.

use std::collections::BTreeMap;
use std::sync::Arc;

use mainstay_base::time::Instant;
use mainstay_base::units::Size;
use mainstay_resilience::bulkhead::Handle;

use super::fleet::{Number, Phase};
use super::looks::{Above, Looks};
use super::scale::Last;
use super::scaling::{Change, Rule};
use super::supervisor::{Event, Supervisor};
use super::usage::{self, Usage};
use crate::config::{Limits, Scaling, Target};
use crate::endpoint::{Endpoint, Id};

/// What is known from watching.
#[derive(Debug)]
pub(super) struct Watching {
    looks: Looks,
    /// What decides, unless somebody has.
    rule: Option<Rule>,
    /// What is used is being read.
    is_reading: bool,
    /// How often there were to be more, and how often fewer.
    scaled: (u64, u64),
    last: Option<Last>,
}

impl Watching {
    pub(super) fn new(now: Instant) -> Self {
        Self { looks: Looks::new(now), rule: None, is_reading: false, scaled: (0, 0), last: None }
    }

    /// Decides by this from now on, or not at all; beginning with so many, if it did not already.
    pub(super) fn rule_by(&mut self, scaling: Option<Scaling>, wanted: u32, now: Instant) {
        if self.rule.as_ref().map(Rule::scaling) != scaling.as_ref() {
            self.looks = Looks::new(now);
            self.rule = scaling.map(|scaling| Rule::new(scaling, wanted, now));
        }
    }

    /// Begins anew with what decides: the number was set, whatever was asked for before.
    pub(super) fn forget(&mut self) {
        self.rule = None;
    }

    /// How often there were to be more, and how often fewer.
    pub(super) const fn scaled(&self) -> (u64, u64) {
        self.scaled
    }

    /// The last time that there were to be more or fewer.
    pub(super) const fn last(&self) -> Option<&Last> {
        self.last.as_ref()
    }
}

impl Supervisor {
    /// What an instance may take.
    fn limits(&self) -> Limits {
        self.service.config().run.as_ref().map(|run| run.limits).unwrap_or_default()
    }

    /// Whether it has to be known what instances take of the machine.
    fn needs_usage(&self) -> bool {
        let target = self.watching.rule.as_ref().map(|rule| &rule.scaling().target);
        target.is_some_and(|Target { cpu, .. }| cpu.is_some()) || self.limits().memory.is_some()
    }

    /// When it is to be looked again, if it is.
    pub(super) fn watch_due(&self) -> Option<Instant> {
        let has_rule = self.watching.rule.is_some();
        (has_rule || self.needs_usage()).then(|| self.watching.looks.due(has_rule))
    }

    /// Looks at what is due.
    pub(super) fn watch(&mut self, now: Instant) {
        if self.watching.rule.is_some() && self.watching.looks.is_sample_due(now) {
            let running = self.taking().iter().map(|endpoint| endpoint.load().running()).sum::<u32>();
            let at_bulkhead = self.service.guard().bulkhead().map_or(0, Handle::waiting);
            let waiting = at_bulkhead.saturating_add(self.service.waiting());
            self.watching.looks.sample(running.saturating_add(waiting));
        }
        if self.watch_due().is_none() || !self.watching.looks.is_look_due(now) {
            return;
        }
        if !self.needs_usage() {
            return self.looked(None, now);
        }
        if !std::mem::replace(&mut self.watching.is_reading, true) {
            let groups: Vec<i32> = self.running.values().map(|running| running.process.pid()).collect();
            self.events.spawn_blocking(move || Event::Used(usage::of(&groups).ok()));
        }
    }

    /// The endpoints of those instances that take calls.
    fn taking(&self) -> Vec<Arc<Endpoint>> {
        let is_ready = |number: &Number| matches!(self.fleet.phase(*number), Some(Phase::Ready(_)));
        let ready = self.running.iter().filter(|(number, _)| is_ready(number));
        let ids: Vec<Id> = ready.map(|(_, running)| Id::of(running.process.address())).collect();
        let mut endpoints = self.service.roster().endpoints();
        endpoints.retain(|endpoint| ids.contains(&endpoint.id()));
        endpoints
    }

    /// It was looked, and this is what process groups used; none if nobody needs to know, or it cannot be read.
    pub(super) fn looked(&mut self, used: Option<&BTreeMap<i32, Usage>>, now: Instant) {
        self.watching.is_reading = false;
        let of = |is: &dyn Fn(Phase) -> bool| -> Option<Vec<(Number, Usage)>> {
            let known = self.running.iter().filter_map(|(number, running)| {
                let usage = used?.get(&running.process.pid())?;
                is(self.fleet.phase(*number)?).then_some((*number, *usage))
            });
            used.map(|_| known.collect())
        };
        let all = of(&|phase| !matches!(phase, Phase::Ending(_) | Phase::Killed));
        let ready = of(&|phase| matches!(phase, Phase::Ready(_)));
        if let Some((limit, all)) = self.limits().memory.zip(all) {
            for above in self.watching.looks.above(&all, limit) {
                self.is_above(above, limit, now);
            }
        }
        let taking = self.taking();
        let Watching { looks, rule, .. } = &mut self.watching;
        if let Some(rule) = rule {
            let look = looks.look(&taking, ready.as_deref(), now);
            if let Some(change) = look.and_then(|look| rule.look(&look, self.fleet.wanted(), now)) {
                self.change(&change);
            }
        }
    }

    /// Has as many instances as the rule says.
    fn change(&mut self, change: &Change) {
        let (service, why) = (self.service.name(), change.to_string());
        tracing::info!(target: "mainstay::upstream", %service, from = change.from, to = change.to, why, "instances scaled");
        let (more, fewer) = &mut self.watching.scaled;
        *(if change.to > change.from { more } else { fewer }) += 1;
        self.watching.last =
            Some(Last { at: self.shared.env.wall(), instances: (change.from, change.to), why });
        self.fleet.scale(change.to);
    }

    fn is_above(&mut self, Above { number, memory, is_borne }: Above, limit: Size, now: Instant) {
        if self.fleet.is_spent(number, is_borne, now) {
            let (service, instance) = (self.service.name(), number.0);
            if is_borne {
                tracing::warn!(target: "mainstay::upstream", %service, instance, %memory, %limit, "an instance has more memory than it may, and is replaced");
            } else {
                tracing::warn!(target: "mainstay::upstream", %service, instance, %memory, %limit, "an instance has far more memory than it may, and is ended");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::fleet::Fleet;
    use crate::run::scaling::Look;

    fn at(seconds: u64) -> Instant {
        Instant::from_nanos(seconds * 1_000_000_000)
    }

    #[test]
    fn a_number_that_a_definition_says_holds_until_it_was_too_many_for_a_while() {
        let definition = |instances: u32| -> crate::config::Run {
            let json = format!(
                r#"{{"command": ["x"], "instances": {instances}, "scale": {{"max": 9, "target": {{"in_flight": 4}}, "down_after": "20s"}}}}"#
            );
            serde_json::from_str(&json).expect("a definition")
        };
        let (mut fleet, mut watching) = (Fleet::new(definition(1), at(0)), Watching::new(at(0)));
        let scaling = definition(1).scale;
        watching.rule_by(scaling.clone(), fleet.wanted(), at(0));
        let look = |watching: &mut Watching, wanted, second| {
            let rule = watching.rule.as_mut().expect("there is one");
            rule.look(&Look { taking: wanted, in_flight: 1.0, ..Look::default() }, wanted, at(second))
        };
        (1..60).for_each(|second| assert_eq!(look(&mut watching, 1, second), None));
        assert!(fleet.define(definition(8), at(60)), "it says another number");
        watching.forget();
        watching.rule_by(scaling, fleet.wanted(), at(60));
        (61..=80).for_each(|second| assert_eq!(look(&mut watching, 8, second), None));
        assert_eq!(look(&mut watching, 8, 81).map(|change| change.to), Some(6));
        assert!(!fleet.define(definition(8), at(90)), "it says the same");
    }
}
