//! How an endpoint is chosen, in the configuration.

use mainstay_base::brief::Expand;
use mainstay_base::units::{Duration, Ratio};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::balance::Algorithm;

/// How an endpoint is chosen for each call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Balance {
    /// How it is chosen. By default `peak_ewma`: it evades what is slow best, and what is busy as well as the others (`mainstay lab run balancing`).
    pub algorithm: Algorithm,
    /// What calls are recognised by for `maglev`, in CEL, such as `request.headers['x-user']`: those with the same value go to the same endpoint. By default `client.network`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Keeps each client to one endpoint by a cookie that the gateway gives it. By default none is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sticky: Option<Sticky>,
    /// How long an endpoint that begins to take calls gets fewer than its share: a tenth at first, and all of it after this time. By default 0s: it gets its share at once. Not for `maglev`.
    pub slow_start: Duration,
    /// Which share of the endpoints of the caller's own zone has to take calls so that none go to other zones; where there are fewer, what is missing goes there. By default 0.7. Above 0.
    pub near_ratio: Ratio,
    /// Below which share of healthy endpoints all are called, also those that checks or failures speak against. By default 0.5: when more of them are out, the others cannot do all the work, and mostly it is what judges them that is wrong. 0 for never, unless none is left.
    pub panic_ratio: Ratio,
}

/// A cookie that keeps a client to an endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sticky {
    /// The name of the cookie: letters, digits, `-` and `_`.
    pub cookie: String,
    /// For how long the client keeps it. By default until it ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_age: Option<Duration>,
}

impl Default for Balance {
    fn default() -> Self {
        let ratio = |value| Ratio::new(value).expect("a share");
        Self {
            algorithm: Algorithm::default(),
            key: None,
            sticky: None,
            slow_start: Duration::ZERO,
            near_ratio: ratio(0.7),
            panic_ratio: ratio(0.5),
        }
    }
}

impl Balance {
    /// What the types cannot state. Errors: what is wrong and what to do.
    pub fn check(&self) -> Result<(), String> {
        if self.near_ratio == Ratio::ZERO {
            return Err(
                "has a `near_ratio` of 0, by which no call would ever go to another zone: make it more"
                    .to_owned(),
            );
        }
        if self.key.is_some() && self.algorithm != Algorithm::Maglev {
            return Err("has a `key`, which only `algorithm: maglev` goes by: leave it out".to_owned());
        }
        if self.algorithm == Algorithm::Maglev && !self.slow_start.is_zero() {
            return Err("has a `slow_start`, which `maglev` has not: leave it out".to_owned());
        }
        if let Some(sticky) = &self.sticky {
            let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
            if sticky.cookie.is_empty() || sticky.cookie.len() > 64 || !sticky.cookie.bytes().all(is_plain) {
                return Err(
                    "has a `sticky.cookie` that is no name: take up to 64 letters, digits, `-` and `_`"
                        .to_owned(),
                );
            }
        }
        Ok(())
    }
}

impl Expand for Balance {
    type Short = Algorithm;
    const EXPECTED: &str = "the name of an algorithm, or settings";

    fn expand(algorithm: Algorithm) -> Self {
        Self { algorithm, ..Self::default() }
    }

    fn short(&self) -> Option<Algorithm> {
        (*self == Self::expand(self.algorithm)).then_some(self.algorithm)
    }
}
