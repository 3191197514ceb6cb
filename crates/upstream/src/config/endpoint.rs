//! An endpoint, in the configuration.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::NonZeroU32;

use mainstay_base::brief::Expand;
use mainstay_base::id::Name;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};

use crate::endpoint::Instance;

/// An endpoint: where it listens, and what is known of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Endpoint {
    /// Where it listens: an IP address with a port.
    pub address: Address,
    /// Its share of the calls is this by the sum of all weights; from 1 to 1,000,000. By default 1.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    #[schemars(range(max = 1_000_000))]
    pub weight: NonZeroU32,
    /// The zone that it is in. Calls stay in the zone of the node, as long as most of its endpoints take calls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<Name>,
    /// Which version of the service it runs; at most 64 bytes. It is shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// What else is known of it, for those who look: at most 16 texts of at most 256 bytes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<Name, String>,
}

/// An IP address with a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Address(pub SocketAddr);

const WEIGHT_MAX: u32 = 1_000_000;
const VERSION_BYTES_MAX: usize = 64;
const METADATA_MAX: usize = 16;
const METADATA_BYTES_MAX: usize = 256;

const fn one() -> NonZeroU32 {
    NonZeroU32::MIN
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_one(weight: &NonZeroU32) -> bool {
    *weight == one()
}

impl Endpoint {
    /// What the types cannot state. Errors: what is wrong and what to do.
    pub fn check(&self) -> Result<(), String> {
        let address = self.address.0;
        if address.port() == 0 {
            return Err(format!(
                "has the endpoint {address}, on whose port nothing can listen: name its port"
            ));
        }
        if self.weight.get() > WEIGHT_MAX {
            return Err(format!("gives {address} a weight of {}: make it at most {WEIGHT_MAX}", self.weight));
        }
        if self.version.as_ref().is_some_and(|version| version.len() > VERSION_BYTES_MAX) {
            return Err(format!(
                "has a version of {address} of more than {VERSION_BYTES_MAX} bytes: make it shorter"
            ));
        }
        if self.metadata.len() > METADATA_MAX
            || self.metadata.values().any(|text| text.len() > METADATA_BYTES_MAX)
        {
            return Err(format!(
                "has more metadata of {address} than {METADATA_MAX} texts of {METADATA_BYTES_MAX} bytes: leave some out"
            ));
        }
        Ok(())
    }

    /// The same, as callers see it.
    pub fn instance(&self) -> Instance {
        let Self { address, weight, zone, version, metadata } = self.clone();
        Instance { address: address.0, weight: weight.get(), zone, version, metadata }
    }
}

impl Expand for Endpoint {
    type Short = Address;
    const EXPECTED: &str = "an IP address with a port such as `127.0.0.1:9101`, or settings";

    fn expand(address: Address) -> Self {
        Self { address, weight: one(), zone: None, version: None, metadata: BTreeMap::new() }
    }

    fn short(&self) -> Option<Address> {
        (*self == Self::expand(self.address)).then_some(self.address)
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(from)?;
        text.parse().map(Self).map_err(|_| {
            let by_name = match text.rsplit_once(':') {
                Some((host, port)) if port.parse::<u16>().is_ok() => {
                    format!("`dns: {host}` with `port: {port}`")
                }
                _ => "`dns`".to_owned(),
            };
            D::Error::custom(format!(
                "\"{text}\" is no IP address with a port, such as `127.0.0.1:9101`; the addresses of a name are looked up by the service's {by_name}"
            ))
        })
    }
}

impl JsonSchema for Address {
    fn schema_name() -> Cow<'static, str> {
        "Address".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "title": "Address", "type": "string", "examples": ["127.0.0.1:9101"] })
    }
}
