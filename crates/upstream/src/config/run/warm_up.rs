//! What an instance is asked before it gets calls, in the configuration.

use std::num::NonZeroU32;

use mainstay_base::brief::Expand;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A request that each new instance gets before it takes calls.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WarmUp {
    /// The path that it gets, with a query if there is one.
    pub path: String,
    /// How many times, one after the other, from 1. By default 1; all requests of a program are at most 1,000.
    #[serde(default = "one")]
    #[schemars(range(max = 1000))]
    pub times: NonZeroU32,
}

const fn one() -> NonZeroU32 {
    NonZeroU32::MIN
}

impl Expand for WarmUp {
    type Short = String;

    const EXPECTED: &str = "a path, or settings";

    fn expand(path: String) -> Self {
        Self { path, times: one() }
    }

    fn short(&self) -> Option<String> {
        (self.times == one()).then(|| self.path.clone())
    }
}

impl WarmUp {
    /// The most requests of one program.
    pub(super) const REQUESTS_MAX: u32 = 1_000;

    /// What the types cannot state. Errors: what is wrong and what to do.
    pub(super) fn check(&self) -> Result<(), String> {
        let path: Result<http::uri::PathAndQuery, _> = self.path.parse();
        if !self.path.starts_with('/') || path.is_err() {
            let path = &self.path;
            return Err(format!(
                "has the path \"{path}\": write one that begins with a slash, such as /ready"
            ));
        }
        Ok(())
    }
}
