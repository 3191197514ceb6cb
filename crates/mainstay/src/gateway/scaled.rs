//! What is shown of the instances of a service's program.

use mainstay_base::time::Timestamp;
use mainstay_upstream::run::View;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How it is with the instances of a service's program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Scaled {
    /// How many somebody has asked for; null if nobody has.
    pub instances: Option<u32>,
    /// How many are to take calls.
    pub wanted: u32,
    /// Who says so: the `definition`, a `request` like this one, or the `rule` of the definition.
    pub by: String,
    /// How many take calls.
    pub ready: u32,
    /// How many cannot yet.
    pub starting: u32,
    /// How many could and get none, since others are enough.
    pub warm: u32,
    /// How many get no more calls, and finish what they have or end.
    pub leaving: u32,
    /// How many have ended by themselves, did not begin in time, or took more than they may.
    pub failures: u64,
    /// The last time that the rule had another number; not there before the first one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<Last>,
}

/// When a rule had another number of instances.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Last {
    /// When.
    pub at: Timestamp,
    /// How many were to take calls before.
    pub from: u32,
    /// How many since.
    pub to: u32,
    /// Why, for people.
    pub why: String,
}

impl Scaled {
    /// As it is seen.
    pub fn of(view: View) -> Self {
        let View { asked, wanted, by, counts, failed, scaled: _, last } = view;
        let last = last.map(|last| {
            let (from, to) = last.instances;
            Last { at: last.at, from, to, why: last.why }
        });
        Self {
            instances: asked,
            wanted,
            by: by.as_str().into(),
            ready: counts.ready,
            starting: counts.starting,
            warm: counts.warm,
            leaving: counts.leaving,
            failures: failed,
            last,
        }
    }
}
