//! To which of several services a request goes.

use mainstay_base::id::Name;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::routes::KeyBy;

/// What requests are sent to: one service, or several by weight.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Target {
    /// The service, by its name; or `split`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<Name>,
    /// Several services, each with its share of the requests: at most 16.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub split: Vec<Share>,
    /// Which requests of a split stay together, in CEL: those with the same value go to the same service, and as few as possible to another when weights change. Requests for which
    /// it has no value go by chance, as all do by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sticky_by: Option<KeyBy>,
}

/// A service and its share of the requests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Share {
    /// The service, by its name.
    pub service: Name,
    /// Its share is this by the sum of all weights; up to 1,000,000. 0 keeps it without requests.
    #[schemars(range(max = 1_000_000))]
    pub weight: u32,
}

impl Target {
    /// The most services of a split.
    pub const SERVICES_MAX: usize = 16;
    const WEIGHT_MAX: u32 = 1_000_000;

    /// The services, with their weights.
    pub(crate) fn shares(&self) -> impl Iterator<Item = (&Name, u32)> {
        let one = self.service.iter().map(|service| (service, 1));
        one.chain(self.split.iter().map(|share| (&share.service, share.weight)))
    }

    /// What the types cannot state. Errors: what is wrong and what to do.
    pub fn check(&self) -> Result<(), String> {
        match (&self.service, self.split.as_slice()) {
            (None, []) => return Err("names no `service`: name one, or several in `split`".to_owned()),
            (Some(_), [_, ..]) => {
                return Err("has `service` and `split`: leave one of them out".to_owned());
            }
            (Some(_), []) if self.sticky_by.is_some() => {
                return Err("has `sticky_by`, and one service for all: leave it out".to_owned());
            }
            _ => {}
        }
        if self.split.len() > Self::SERVICES_MAX {
            return Err(format!(
                "splits between {} services, and there are at most {}: use several routes",
                self.split.len(),
                Self::SERVICES_MAX
            ));
        }
        for (place, share) in self.split.iter().enumerate() {
            if self.split[..place].iter().any(|other| other.service == share.service) {
                return Err(format!("names `{}` twice in `split`: add their weights up", share.service));
            }
            if share.weight > Self::WEIGHT_MAX {
                return Err(format!(
                    "has a weight of {}: make it at most {}",
                    share.weight,
                    Self::WEIGHT_MAX
                ));
            }
        }
        if !self.split.is_empty() && self.split.iter().all(|share| share.weight == 0) {
            return Err("has weights of 0 alone: give one service a weight".to_owned());
        }
        Ok(())
    }
}

/// Where each of several has its part of all numbers: in the order of the shares, so that a weight that changes moves as few as it has to.
#[derive(Debug)]
pub(crate) struct Parts(Vec<u64>);

impl Parts {
    /// By these weights, of which one at least is not 0.
    pub(crate) fn new(weights: impl Iterator<Item = u32> + Clone) -> Self {
        let sum: u128 = weights.clone().map(u128::from).sum();
        let ends = weights.scan(0u128, |end, weight| {
            *end += u128::from(weight);
            // The end of its part; the last one's is above all numbers.
            Some(u64::try_from((*end << 64) / sum).unwrap_or(u64::MAX))
        });
        Self(ends.collect())
    }

    /// The part that a number is in.
    pub(crate) fn of(&self, number: u64) -> usize {
        self.0.partition_point(|end| *end <= number).min(self.last())
    }

    /// The last one that has a part.
    fn last(&self) -> usize {
        self.0.partition_point(|end| *end < u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parts(weights: &[u32]) -> Parts {
        Parts::new(weights.iter().copied())
    }

    #[test]
    fn who_has_no_weight_has_no_part() {
        for number in [0, 1, u64::MAX / 2, u64::MAX - 1, u64::MAX] {
            assert_eq!(parts(&[0, 5, 0]).of(number), 1, "{number}");
            assert_eq!(parts(&[1]).of(number), 0, "{number}");
        }
        assert_eq!(parts(&[1, 1]).of(u64::MAX), 1);
        assert_eq!((parts(&[1, 1]).of((1 << 63) - 1), parts(&[1, 1]).of(1 << 63)), (0, 1));
    }

    #[test]
    fn splits_that_cannot_be_are_refused_with_what_to_do() {
        let told = |json: &str| serde_json::from_str::<Target>(json).expect(json).check().expect_err(json);
        for (json, message) in [
            ("{}", "names no `service`"),
            (r#"{"service": "a", "split": [{"service": "b", "weight": 1}]}"#, "leave one of them out"),
            (r#"{"service": "a", "sticky_by": "client.address"}"#, "one service for all"),
            (r#"{"split": [{"service": "a", "weight": 0}]}"#, "weights of 0 alone"),
            (r#"{"split": [{"service": "a", "weight": 1}, {"service": "a", "weight": 1}]}"#, "`a` twice"),
            (r#"{"split": [{"service": "a", "weight": 1000001}]}"#, "at most 1000000"),
        ] {
            assert!(told(json).contains(message), "{json}: {}", told(json));
        }
    }

    proptest! {
        #[test]
        fn parts_are_as_large_as_weights_say_and_move_little(
            weights in proptest::collection::vec(0u32..1000, 2..8), more in 1u32..1000
        ) {
            prop_assume!(weights.iter().any(|weight| *weight > 0));
            let sum: u64 = weights.iter().copied().map(u64::from).sum();
            let all = parts(&weights);
            let draws = 4096u64;
            let number = |draw: u64| draw * (u64::MAX / draws) + 7;
            for (place, weight) in weights.iter().enumerate() {
                let got = (0..draws).filter(|draw| all.of(number(*draw)) == place).count() as i64;
                let fair = (draws * u64::from(*weight) / sum) as i64;
                prop_assert!((got - fair).abs() <= 2, "{place}: {got} instead of {fair}");
            }
            // The first grows: nobody moves between the others' parts but by what their neighbours give up.
            let mut grown = weights.clone();
            grown[0] += more;
            let after = parts(&grown);
            let moved = (0..draws).filter(|draw| after.of(number(*draw)) > all.of(number(*draw))).count();
            prop_assert_eq!(moved, 0, "all that move do so towards the one that grows");
        }
    }
}
