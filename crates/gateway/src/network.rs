//! Networks, by which addresses are believed.

use std::borrow::Cow;
use std::fmt::{self, Display, Formatter};
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use ipnet::IpNet;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// A network: `10.0.0.0/8`, `fd00::/8`, or one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Network(IpNet);

/// A text that is no network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NetworkError {
    /// It has another form.
    #[error("it is no network: write an address, or one with the length of its prefix, such as 10.0.0.0/8")]
    Form,
    /// It has bits behind its prefix.
    #[error("it has bits set behind its prefix: write {0}")]
    Bits(Network),
}

/// An address as text, which for one of IPv4 is much quicker than formatting it.
pub(crate) fn text(address: IpAddr) -> String {
    let IpAddr::V4(address) = address else { return address.to_string() };
    let mut text = String::with_capacity("255.255.255.255".len());
    for (place, octet) in address.octets().into_iter().enumerate() {
        if place > 0 {
            text.push('.');
        }
        text.push_str(itoa::Buffer::new().format(octet));
    }
    text
}

/// What is one host's: who has one address of IPv6 has the 2^64 beside it.
pub(crate) fn of_host(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// The same as text: an address of IPv4, or a network of IPv6.
pub(crate) fn text_of_host(address: IpAddr) -> String {
    match of_host(address) {
        v4 @ IpAddr::V4(_) => text(v4),
        IpAddr::V6(v6) => format!("{v6}/64"),
    }
}

impl Network {
    /// Whether an address is in it. An IPv4 address that is written as one of IPv6 is the IPv4 address.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self(address.into()));
        }
        let network: IpNet = text.parse().map_err(|_| NetworkError::Form)?;
        if network.trunc() != network {
            return Err(NetworkError::Bits(Self(network.trunc())));
        }
        Ok(Self(network))
    }
}

impl TryFrom<String> for Network {
    type Error = NetworkError;

    fn try_from(text: String) -> Result<Self, NetworkError> {
        text.parse()
    }
}

impl From<Network> for String {
    fn from(network: Network) -> Self {
        network.to_string()
    }
}

impl Display for Network {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl JsonSchema for Network {
    fn schema_name() -> Cow<'static, str> {
        "Network".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "title": "Network", "type": "string", "examples": ["10.0.0.0/8", "fd00::/8", "192.0.2.7"] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_as_text_is_as_it_is_displayed() {
        for address in ["0.0.0.0", "127.0.0.1", "255.255.255.255", "10.20.30.40", "::1", "2001:db8::ffff"] {
            let address: IpAddr = address.parse().expect("an address");
            assert_eq!(text(address), address.to_string());
        }
    }

    #[test]
    fn a_network_has_its_addresses_and_no_others() {
        let network = |text: &str| text.parse::<Network>().expect(text);
        let address = |text: &str| text.parse::<IpAddr>().expect(text);
        assert!(network("10.0.0.0/8").contains(address("10.255.0.1")));
        assert!(network("10.0.0.0/8").contains(address("::ffff:10.0.0.1")), "IPv4 in IPv6");
        assert!(!network("10.0.0.0/8").contains(address("11.0.0.1")));
        assert!(!network("::/0").contains(address("10.0.0.1")), "IPv6 alone");
        assert!(network("192.0.2.7").contains(address("192.0.2.7")));
        assert_eq!(network("192.0.2.7").to_string(), "192.0.2.7/32");
    }

    #[test]
    fn what_is_no_network_is_refused_with_what_to_write() {
        let told = |text: &str| text.parse::<Network>().expect_err(text).to_string();
        assert!(told("10.0.0.1/8").contains("write 10.0.0.0/8"));
        for bad in ["", "10", "10.0.0.0/33", "example.com", "10.0.0.0/"] {
            assert!(told(bad).contains("such as 10.0.0.0/8"), "{bad}");
        }
    }
}
