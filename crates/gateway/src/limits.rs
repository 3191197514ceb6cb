//! Rate limits of routes.

use std::num::NonZeroU32;

use bytes::Bytes;
use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};
use mainstay_base::time::Instant;
use mainstay_resilience::limit::{Handle, Rate, Standing, Window};
use mainstay_resilience::{Env, Key, Rejection, limit};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::routes::{KeyBy, Seen};

const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// How much who has the same key may send to a route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Whose requests are counted as one, in CEL: `request.headers['x-user']`, or `client.address`. Requests for which it has no value are counted together. By default
    /// `client.network`: the client's address, or the network of 64 bits that a host of IPv6 has.
    #[serde(default = "KeyBy::client_network")]
    pub key: KeyBy,
    /// How many requests there may be in the long run, such as `50/s`, `10/m`, `1000/h` or `5/d`: at most a million in a second.
    pub rate: Rate,
    /// How many there may be at once after some stillness; as many as come back in the whole time of the rate if it is not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub burst: Option<NonZeroU32>,
    /// More windows, of which all have to admit a request as well: at most 3. None by default.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub and: Vec<Window>,
    /// How many keys are counted each alone at a time, from 1 to 10,000,000; when more of them have requests to come back, the new ones among them share. By default 65,536:
    /// some megabytes at worst.
    #[serde(default = "keys_max")]
    pub keys_max: u32,
}

fn keys_max() -> u32 {
    limit::Config::default().keys_max
}

impl Config {
    /// The most limits of a route.
    pub const LIMITS_MAX: usize = 4;

    /// What the types cannot state. Errors: what is wrong and what to do.
    pub fn check(&self) -> Result<(), String> {
        self.windows().check()
    }

    fn windows(&self) -> limit::Config {
        let Self { rate, burst, and, keys_max, .. } = self;
        limit::Config { rate: *rate, burst: *burst, and: and.clone(), keys_max: *keys_max }
    }
}

/// The limits of a route, ready for requests.
#[derive(Debug)]
pub(crate) struct Limits {
    /// In `RateLimit`: the name of the route, in quotes.
    name: Box<str>,
    limits: Vec<Limit>,
    /// Secret to the process, so that nobody can look for keys that meet.
    seed: u64,
}

#[derive(Debug)]
struct Limit {
    config: Config,
    handle: Handle,
}

/// The keys of one request.
pub(crate) type Keys = [Key; Config::LIMITS_MAX];

impl Limits {
    /// Those of a route after what it had: a limit that stays as it was remembers.
    pub(crate) fn new(name: &str, configs: &[Config], previous: Option<&Self>, env: &Env) -> Self {
        let known = |config: &Config| previous?.limits.iter().find(|limit| limit.config == *config);
        let limit = |config: &Config| Limit {
            handle: known(config)
                .map_or_else(|| Handle::new(&config.windows(), env.clone()), |limit| limit.handle.clone()),
            config: config.clone(),
        };
        let seed = previous.map_or_else(|| env.draw(), |previous| previous.seed);
        Self { name: format!("\"{name}\"").into(), limits: configs.iter().map(limit).collect(), seed }
    }

    pub(crate) fn keys(&self, request: &Seen<'_>) -> Keys {
        let mut keys = [Key::ANYONE; Config::LIMITS_MAX];
        for (key, limit) in keys.iter_mut().zip(&self.limits) {
            if let Some(text) = limit.config.key.of(request) {
                *key = Key::of(self.seed, text.as_bytes());
            }
        }
        keys
    }

    /// Counts a request, unless one of the limits is used up; what the others have counted by then they have. Returns how its caller stands by the limit that is closest to its end.
    pub(crate) fn ask(&self, keys: &Keys, now: Instant) -> Result<Standing, Rejection> {
        let mut closest: Option<Standing> = None;
        for (limit, key) in self.limits.iter().zip(keys) {
            let standing = limit.handle.ask(*key, 1, now)?;
            if closest.is_none_or(|closest| standing.remaining < closest.remaining) {
                closest = Some(standing);
            }
        }
        Ok(closest.expect("there is a limit"))
    }

    /// Has an answer tell how its caller stands (draft-ietf-httpapi-ratelimit-headers-10).
    pub(crate) fn tell(&self, headers: &mut HeaderMap, standing: Standing) {
        let Standing { quota, window, remaining, reset } = standing;
        let policy = self.item([(";q=", quota.into()), (";w=", window.as_secs_up())]);
        let state = self.item([(";r=", remaining.into()), (";t=", reset.as_secs_up())]);
        headers.insert(RATE_LIMIT_POLICY, policy);
        headers.insert(RATE_LIMIT, state);
    }

    /// The same of one that was turned away.
    pub(crate) fn tell_rejected(&self, headers: &mut HeaderMap, rejection: Rejection) {
        if let Rejection::RateLimited { quota, window, remaining, reset, .. } = rejection {
            self.tell(headers, Standing { quota, window, remaining, reset });
        }
    }

    fn item(&self, parameters: [(&str, u64); 2]) -> HeaderValue {
        let mut item = Vec::with_capacity(self.name.len() + 48);
        item.extend_from_slice(self.name.as_bytes());
        for (key, value) in parameters {
            item.extend_from_slice(key.as_bytes());
            item.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
        }
        HeaderValue::from_maybe_shared(Bytes::from(item)).expect("a name, and digits")
    }
}
