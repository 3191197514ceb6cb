//! Who may register endpoints, in the configuration.

use mainstay_base::units::Duration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How endpoints of a service register themselves over the API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Registration {
    /// The SHA-256 of tokens in hexadecimal: whoever sends one of them as `Authorization: Bearer` may register endpoints of this service, and nothing else. By default whoever may call the API may. At most 16.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tokens: Vec<String>,
    /// For how long an endpoint may register at most, from 1s. By default 5m: one that is gone without a word stays so long.
    pub lease_max: Duration,
}

const TOKENS_MAX: usize = 16;
const LEASE_MIN: Duration = Duration::from_secs(1);

impl Default for Registration {
    fn default() -> Self {
        Self { tokens: Vec::new(), lease_max: Duration::from_secs(300) }
    }
}

impl Registration {
    /// What the types cannot state. Errors: what is wrong and what to do.
    pub fn check(&self) -> Result<(), String> {
        if self.tokens.len() > TOKENS_MAX {
            return Err(format!(
                "has {} tokens, and there are at most {TOKENS_MAX}: leave some out",
                self.tokens.len()
            ));
        }
        let is_hash = |token: &str| token.len() == 64 && token.bytes().all(|byte| byte.is_ascii_hexdigit());
        if let Some(number) = self.tokens.iter().position(|token| !is_hash(token)) {
            return Err(format!(
                "has a token that is no SHA-256 in hexadecimal, number {}: take what `printf TOKEN | sha256sum` prints",
                number + 1
            ));
        }
        if self.lease_max < LEASE_MIN {
            return Err(format!("has a `lease_max` below {LEASE_MIN}: make it longer, such as 5m"));
        }
        Ok(())
    }

    /// How long a lease is that asks for so much. Errors: it asks for too little or too much.
    pub fn lease(&self, asked: Duration) -> Result<Duration, String> {
        if asked < LEASE_MIN || asked > self.lease_max {
            return Err(format!("a lease of {asked} is not between {LEASE_MIN} and {}", self.lease_max));
        }
        Ok(asked)
    }
}
