//! What goes wrong in a demonstration, and when: drawn from a seed, so that a run can be repeated.

use std::time::Duration;

use serde_json::{Value, json};

use crate::customers::dice::Dice;

/// Nothing goes wrong before, so that there is something to compare with, and nothing after, so that it can end well.
const QUIET_BEFORE: f64 = 0.06;
const QUIET_AFTER: f64 = 0.14;

/// The stream of the seed's chance that is the drill's: no shopper has it.
const DRILL: u64 = u64::MAX;

/// Something that goes wrong.
#[derive(Debug, Clone, PartialEq)]
pub enum Trouble {
    /// One instance of a service is killed (SIGKILL).
    Kill(&'static str),
    /// Calls to a service go wrong in a way that Mainstay injects.
    Fault {
        /// The service.
        service: &'static str,
        /// What, as `PUT /v1/faults/{name}` takes it.
        fault: Value,
        /// Which share of the calls.
        ratio: f64,
    },
    /// Mainstay itself is killed (SIGKILL) with all that it holds, and started again after a second.
    KillMainstay,
}

impl Trouble {
    /// For people.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Self::Kill(service) => format!("an instance of {service} is killed (-9)"),
            Self::KillMainstay => "Mainstay is killed (-9) and started again".to_owned(),
            Self::Fault { service, fault, ratio } => {
                let what = match fault {
                    Value::String(name) => name.clone(),
                    other => {
                        other.to_string().replace(['{', '}', '"'], "").replace(':', " ").replace(',', ", ")
                    }
                };
                format!("{:.0} % of the calls to {service}: {what}", ratio * 100.0)
            }
        }
    }
}

/// A trouble with its time, from the beginning of the run.
#[derive(Debug, Clone, PartialEq)]
pub struct Planned {
    /// What goes wrong.
    pub trouble: Trouble,
    /// From when on.
    pub at: Duration,
    /// For how long; of a kill it is how long nothing else happens.
    pub lasts: Duration,
}

fn troubles() -> Vec<Trouble> {
    let fault = |service, fault, ratio| Trouble::Fault { service, fault, ratio };
    vec![
        Trouble::Kill("payments"),
        Trouble::Kill("orders"),
        Trouble::Kill("inventory"),
        Trouble::Kill("storefront"),
        Trouble::Kill("fraud"),
        Trouble::Kill("receipts"),
        fault("inventory", json!({"delay": {"from": "100ms", "to": "400ms"}}), 0.5),
        fault("payments", json!({"error": "unavailable"}), 0.3),
        fault("orders", json!("abort"), 0.2),
        fault("payments", json!("hang"), 0.05),
        fault("fraud", json!({"error": "internal"}), 1.0),
    ]
}

/// The troubles of a run, one after the other: all kinds in an order that the seed draws, and in the second and the last third of them a kill of Mainstay.
#[must_use]
pub fn plan(seed: u64, duration: Duration) -> Vec<Planned> {
    let mut dice = Dice::new(seed, DRILL);
    let mut order = troubles();
    dice.shuffle(&mut order);
    let mut below = |bound: usize| dice.below(bound as u64) as usize;
    let third = order.len() / 3;
    order.insert(third + below(third), Trouble::KillMainstay);
    order.insert(2 * third + 1 + below(third), Trouble::KillMainstay);
    let active = duration.mul_f64(1.0 - QUIET_BEFORE - QUIET_AFTER);
    let slot = active / order.len() as u32;
    let planned = (0..).zip(order).map(|(nth, trouble)| {
        let at = duration.mul_f64(QUIET_BEFORE) + slot * nth + slot.mul_f64(0.3 * dice.unit());
        Planned { trouble, at, lasts: slot.mul_f64(0.4 + 0.3 * dice.unit()) }
    });
    planned.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_one_plan_in_which_all_goes_wrong_one_after_the_other() {
        let duration = Duration::from_secs(60);
        for seed in 0..50 {
            let planned = plan(seed, duration);
            assert_eq!(planned, plan(seed, duration));
            let kills = planned.iter().filter(|planned| planned.trouble == Trouble::KillMainstay).count();
            assert_eq!((kills, planned.len()), (2, troubles().len() + 2));
            for trouble in troubles() {
                assert!(planned.iter().any(|planned| planned.trouble == trouble), "{trouble:?}");
            }
            for pair in planned.windows(2) {
                assert!(pair[0].at + pair[0].lasts <= pair[1].at, "{pair:?}");
            }
            let end = planned.last().map(|last| last.at + last.lasts).unwrap();
            assert!(end <= duration.mul_f64(1.0 - QUIET_AFTER + 0.01), "{end:?}");
        }
        assert_ne!(plan(1, duration), plan(2, duration));
    }

    #[test]
    fn troubles_are_told_in_words() {
        let texts: Vec<_> = troubles().iter().map(Trouble::text).collect();
        assert_eq!(texts[0], "an instance of payments is killed (-9)");
        assert_eq!(texts[6], "50 % of the calls to inventory: delay from 100ms, to 400ms");
        assert_eq!(texts[8], "20 % of the calls to orders: abort");
    }
}
