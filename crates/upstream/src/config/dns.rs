//! A name that endpoints are looked up by, in the configuration.

use std::borrow::Cow;
use std::fmt::{self, Display, Formatter};
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use mainstay_base::brief::Expand;
use mainstay_base::units::Duration;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A name that endpoints are looked up by.
///
/// With a `port` of the service beside it, its addresses of both families (A and AAAA) are endpoints; without one, what its SRV records say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Dns {
    /// The whole name: domains that this machine searches are not appended.
    pub name: String,
    /// Who is asked: IP addresses, with a port if it is not 53; at most 8. By default those of this machine (`/etc/resolv.conf`), unless its hosts file has the name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub servers: Vec<Server>,
    /// What counts as the TTL of an answer that has a shorter one, from 10ms. By default 1s: more often than that nobody changes names.
    #[serde(default = "ttl_min")]
    pub ttl_min: Duration,
    /// What counts as the TTL of an answer that has a longer one, from `ttl_min`. By default 5m: an endpoint that has moved is known after that.
    #[serde(default = "ttl_max")]
    pub ttl_max: Duration,
    /// How long endpoints stay when the name has no addresses any more, from 0s. By default 30s: what removes names and puts them back, by mistake or one after the other, is done by then.
    #[serde(default = "hold")]
    pub hold: Duration,
    /// How long a lookup may take, from 10ms to 1m. By default 5s.
    #[serde(default = "timeout")]
    pub timeout: Duration,
}

/// A server of DNS: an IP address, with its port if it is not 53.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Server(pub SocketAddr);

const PORT: u16 = 53;
const SERVERS_MAX: usize = 8;
const SHORTEST: Duration = Duration::from_millis(10);
const TIMEOUT_MAX: Duration = Duration::from_secs(60);
/// Of a name and of its labels (RFC 1035, section 2.3.4), the name without its end.
const NAME_BYTES_MAX: usize = 253;
const LABEL_BYTES_MAX: usize = 63;

const fn ttl_min() -> Duration {
    Duration::from_secs(1)
}

const fn ttl_max() -> Duration {
    Duration::from_secs(300)
}

const fn hold() -> Duration {
    Duration::from_secs(30)
}

const fn timeout() -> Duration {
    Duration::from_secs(5)
}

impl Dns {
    /// What the types cannot state. Errors: what is wrong and what to do.
    pub fn check(&self) -> Result<(), String> {
        self.check_name()?;
        if self.servers.len() > SERVERS_MAX {
            return Err(format!(
                "names {} servers, and there are at most {SERVERS_MAX}: leave some out",
                self.servers.len()
            ));
        }
        if let Some(server) = self.servers.iter().find(|server| server.0.port() == 0) {
            return Err(format!("has the server {server}, on whose port nothing can listen: name its port"));
        }
        if self.ttl_min < SHORTEST {
            return Err(format!("has a `ttl_min` below {SHORTEST}: make it longer, such as 1s"));
        }
        if self.ttl_max < self.ttl_min {
            return Err(format!(
                "has a `ttl_max` of {}, which is below its `ttl_min` of {}: make one of them fit",
                self.ttl_max, self.ttl_min
            ));
        }
        if self.timeout < SHORTEST || self.timeout > TIMEOUT_MAX {
            return Err(format!(
                "has a `timeout` of {}: make it at least {SHORTEST} and at most {TIMEOUT_MAX}, such as 5s",
                self.timeout
            ));
        }
        Ok(())
    }

    fn check_name(&self) -> Result<(), String> {
        let name = &self.name;
        if name.parse::<IpAddr>().is_ok() || name.parse::<SocketAddr>().is_ok() {
            return Err(format!(
                "has the address {name}, which is no name: put it in `endpoints`, with its port"
            ));
        }
        let is_visible = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        let is_label = |label: &str| {
            (1..=LABEL_BYTES_MAX).contains(&label.len())
                && label.bytes().all(is_visible)
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        let bare = name.strip_suffix('.').unwrap_or(name);
        if let Some((host, port)) = bare.split_once(':')
            && port.parse::<u16>().is_ok()
        {
            return Err(format!(
                "has the name \"{name}\", which has a port: write `dns: {host}` and `port: {port}`"
            ));
        }
        if let Some(label) = bare.split('.').find(|label| !is_label(label)) {
            return Err(format!(
                "has the name \"{name}\", in which \"{label}\" can be no label: write labels of 1 to {LABEL_BYTES_MAX} letters, digits, `-` and `_` with dots between, such as legacy.internal"
            ));
        }
        if bare.len() > NAME_BYTES_MAX {
            return Err(format!(
                "has a name of {} bytes, and a name has at most {NAME_BYTES_MAX}",
                bare.len()
            ));
        }
        Ok(())
    }
}

impl Expand for Dns {
    type Short = String;
    const EXPECTED: &str = "a name such as `legacy.internal`, or settings";

    fn expand(name: String) -> Self {
        Self {
            name,
            servers: Vec::new(),
            ttl_min: ttl_min(),
            ttl_max: ttl_max(),
            hold: hold(),
            timeout: timeout(),
        }
    }

    fn short(&self) -> Option<String> {
        (*self == Self::expand(self.name.clone())).then(|| self.name.clone())
    }
}

impl Display for Server {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.0.port() == PORT { self.0.ip().fmt(f) } else { self.0.fmt(f) }
    }
}

impl FromStr for Server {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let of_ip = |ip: IpAddr| SocketAddr::new(ip, PORT);
        let address = text.parse().or_else(|_| text.parse().map(of_ip));
        address.map(Self).map_err(|_| {
            format!(
                "\"{text}\" is no IP address, with its port if that is not {PORT}, such as `10.0.0.2` or `10.0.0.3:5353`"
            )
        })
    }
}

impl Serialize for Server {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Server {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Cow::<str>::deserialize(from)?.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Server {
    fn schema_name() -> Cow<'static, str> {
        "DnsServer".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "title": "DnsServer", "type": "string", "examples": ["10.0.0.2", "10.0.0.3:5353"] })
    }
}

#[cfg(test)]
mod tests {
    use mainstay_base::brief::Brief;

    use super::*;

    fn read(json: &str) -> Dns {
        serde_json::from_str::<Brief<Dns>>(json).expect("it is a name").0
    }

    #[test]
    fn a_name_is_all_there_has_to_be() {
        let dns = read("\"legacy.internal\"");
        assert_eq!((dns.ttl_min, dns.ttl_max), (Duration::from_secs(1), Duration::from_secs(300)));
        assert_eq!(serde_json::to_string(&Brief(dns)).expect("it is data"), "\"legacy.internal\"");
        let long = read(r#"{"name": "x", "servers": ["10.0.0.2", "10.0.0.3:5353", "::1", "[::1]:5353"]}"#);
        let servers: Vec<_> = long.servers.iter().map(ToString::to_string).collect();
        assert_eq!(servers, ["10.0.0.2", "10.0.0.3:5353", "::1", "[::1]:5353"]);
        assert_eq!(long.servers[0].0.port(), 53);
        assert_eq!(read(&serde_json::to_string(&Brief(long.clone())).expect("it is data")), long);
        let wrong = serde_json::from_str::<Brief<Dns>>(r#"{"name": "x", "servers": ["ns1"]}"#);
        assert!(wrong.expect_err("it is a name").to_string().contains("is no IP address"));
    }

    #[test]
    fn what_can_be_no_name_is_refused_with_what_to_do() {
        for name in ["legacy", "legacy.internal", "legacy.internal.", "_http._tcp.a-b.c", "1.example"] {
            assert_eq!(Dns::expand(name.into()).check(), Ok(()), "{name}");
        }
        let label = "x".repeat(64);
        let long = [&label[1..]; 4].join(".");
        for (name, told) in [
            ("10.0.0.7", "put it in `endpoints`"),
            ("::1", "put it in `endpoints`"),
            ("10.0.0.7:80", "put it in `endpoints`"),
            ("legacy.internal:80", "write `dns: legacy.internal` and `port: 80`"),
            ("", "can be no label"),
            (".", "can be no label"),
            ("a..b", "\"\" can be no label"),
            ("-a.b", "\"-a\" can be no label"),
            ("a b", "\"a b\" can be no label"),
            ("bücher.example", "can be no label"),
            (&label, "can be no label"),
            (&long, "a name of 255 bytes"),
        ] {
            let wrong = Dns::expand(name.into()).check().expect_err("it is none");
            assert!(wrong.contains(told), "{name}: {wrong}");
        }
    }

    #[test]
    fn settings_that_cannot_work_are_refused() {
        let wrong = |json: &str| read(json).check().expect_err("it cannot work");
        assert!(wrong(r#"{"name": "x", "ttl_min": "2s", "ttl_max": "1s"}"#).contains("below its `ttl_min`"));
        assert!(wrong(r#"{"name": "x", "ttl_min": "1ms"}"#).contains("`ttl_min` below 10ms"));
        assert!(wrong(r#"{"name": "x", "timeout": "2m"}"#).contains("`timeout` of 2m"));
        assert!(wrong(r#"{"name": "x", "servers": ["10.0.0.1:0"]}"#).contains("nothing can listen"));
        let many = ["\"10.0.0.1\""; 9].join(",");
        assert!(wrong(&format!(r#"{{"name": "x", "servers": [{many}]}}"#)).contains("9 servers"));
    }
}
