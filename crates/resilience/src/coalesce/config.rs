//! How many may share an answer.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How many may share an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// How many calls may wait for another one's answer at a time, from 1 to 100,000; the next one is made, and those after it wait for that. All of them are woken
    /// whenever what is on its way can go on, which bounds how many should be. By default 1,000.
    pub followers_max: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self { followers_max: 1_000 }
    }
}

impl Config {
    /// The most followers of a flight.
    pub const FOLLOWERS_MAX: u32 = 100_000;

    /// What the types cannot state. Errors: what is wrong and what to do.
    pub fn check(&self) -> Result<(), String> {
        if self.followers_max == 0 {
            return Err(
                "has no `followers_max`, so that nothing is shared: make them 1 or more, or leave it out"
                    .to_owned(),
            );
        }
        if self.followers_max > Self::FOLLOWERS_MAX {
            return Err(format!(
                "has `followers_max` of {}, and there are at most {}: make them fewer",
                self.followers_max,
                Self::FOLLOWERS_MAX
            ));
        }
        Ok(())
    }
}
