//! The route that takes a request: where the request goes, and what is done on the way.

use std::collections::BTreeMap;

use mainstay_base::id::Name;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::{Definitions, Route};
use crate::limits;
use crate::split::Target;

/// The route that takes a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Taken {
    /// Its name.
    pub name: Name,
    /// What stands for the names of its path, percent-encoded as it came.
    pub params: BTreeMap<String, String>,
    /// Where the request goes: nowhere if the gateway answers, one service, or one of several.
    pub to: Vec<To>,
    /// What keeps requests of a split together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sticky_by: Option<String>,
    /// How critical it is.
    pub criticality: String,
    /// Its limits, each as `50/s, 100 at once, for each client.address`.
    pub limits: Vec<String>,
    /// What else it does to requests and answers, by the keys of its definition.
    pub actions: Vec<String>,
}

/// A service that a request may go to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct To {
    /// The service.
    pub service: Name,
    /// Its share is this by the sum of all; 1 for the one service of a route.
    pub weight: u32,
    /// Where it listens, as it is defined: addresses, and the name that others are looked up by.
    pub endpoints: Vec<String>,
    /// The name of the policy that guards the call: the route's, else the service's, else `default`.
    pub policy: String,
}

impl Taken {
    pub(super) fn new(all: &Definitions, route: &Route, params: BTreeMap<String, String>) -> Self {
        let to = |(name, weight): (&Name, u32)| {
            let service = &all.services[name];
            let policy = route.policy.as_ref().or(service.policy.as_ref());
            To {
                service: name.clone(),
                weight,
                endpoints: service
                    .endpoints
                    .iter()
                    .map(|endpoint| endpoint.0.address.0.to_string())
                    .chain(service.looked_up())
                    .collect(),
                policy: policy.map_or("default", Name::as_str).to_owned(),
            }
        };
        let sticky_by = route.to.as_ref().and_then(|to| to.sticky_by.as_ref());
        Self {
            name: route.name.clone(),
            params,
            to: route.to.iter().flat_map(Target::shares).map(to).collect(),
            sticky_by: sticky_by.map(ToString::to_string),
            criticality: route.criticality.as_str().to_owned(),
            limits: route.limit.iter().map(limited).collect(),
            actions: actions(route),
        }
    }
}

/// The keys of a route that change what it does, other than where requests go and how many may.
fn actions(route: &Route) -> Vec<String> {
    /// Those that every [`Taken`] has members for, or that choose requests.
    const TOLD: [&str; 5] = ["match", "to", "policy", "criticality", "limit"];
    let keys = route.written().into_iter().map(|(key, _)| key);
    keys.filter(|key| !TOLD.contains(&key.as_str())).collect()
}

fn limited(limit: &limits::Config) -> String {
    let rest = limit.and.iter().map(|window| (window.rate, window.burst));
    let windows = std::iter::once((limit.rate, limit.burst)).chain(rest);
    let told = windows.map(|(rate, burst)| match burst {
        Some(burst) => format!("{rate}, {burst} at once,"),
        None => rate.to_string(),
    });
    format!("{} for each {}", told.collect::<Vec<_>>().join(" and "), limit.key)
}
