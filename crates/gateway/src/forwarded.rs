//! Who a request is from, when proxies stand before the gateway; and what services are told of that.
//!
//! Each proxy appends the address that it was connected from. So the list is true from its end on, as far as those who wrote it are believed: the client is the last
//! address of which that is so. What stands before it, anybody could have written, and it is not passed on.

use std::net::{IpAddr, SocketAddr};

use http::header::{FORWARDED, HOST, HeaderMap, HeaderName, HeaderValue, VIA};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::network::Network;
use crate::noted::{Note, Noted};

mod element;

use element::elements;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
/// What other proxies write, which services may believe.
const OTHERS: [Note; 3] = [Note::ForwardedPort, Note::ForwardedServer, Note::RealIp];

/// The name of the gateway in `Via`.
const PSEUDONYM: &str = "mainstay";
/// How often a request may pass gateways of this name: one that comes again and again is sent round in a ring.
const PASSES_MAX: usize = 8;

/// Which proxies before the gateway are believed, and how services are told whom a request is from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The networks of proxies that are believed. By default none: the client is who connects.
    pub trusted: Vec<Network>,
    /// How many proxies before the gateway are believed whatever their addresses, from 0 to 16: for balancers whose addresses are not known. Only where nobody can reach
    /// the gateway except through them. By default 0.
    #[schemars(range(max = 16))]
    pub hops: u8,
    /// The headers that are read and written; those of the other kind are taken out.
    pub format: Format,
}

/// How it is written whom a request is from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// `X-Forwarded-For`, `X-Forwarded-Proto` and `X-Forwarded-Host`, which most services and proxies know.
    #[default]
    XForwarded,
    /// `Forwarded` (RFC 7239).
    Forwarded,
}

/// Whom a request is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Origin {
    /// The nearest address that is not that of a believed proxy.
    pub(crate) client: IpAddr,
    /// Whether the client has used TLS, to the first believed proxy or to the gateway.
    pub(crate) is_https: bool,
    /// How many addresses of the list are true.
    believed: usize,
    /// Whether who connects is believed.
    is_proxied: bool,
}

/// What a connection itself says of where its requests are from.
#[derive(Debug, Clone)]
pub(crate) struct Hop {
    pub(crate) address: SocketAddr,
    pub(crate) is_tls: bool,
    /// The address as a header has it.
    value: HeaderValue,
}

impl Hop {
    pub(crate) fn new(address: SocketAddr, is_tls: bool) -> Self {
        let ip = address.ip().to_canonical();
        let value = ip.to_string().try_into().expect("an address is visible ASCII");
        Self { address: SocketAddr::new(ip, address.port()), is_tls, value }
    }
}

impl Config {
    /// The most hops that can be believed by their number.
    pub const HOPS_MAX: u8 = 16;

    /// What the types cannot state. Errors: what is wrong and what to do.
    pub fn check(&self) -> Result<(), String> {
        if self.hops > Self::HOPS_MAX {
            return Err(format!("has {} `hops`: make them at most {}", self.hops, Self::HOPS_MAX));
        }
        Ok(())
    }

    fn believes(&self, place: usize, address: IpAddr) -> bool {
        place < usize::from(self.hops) || self.trusted.iter().any(|network| network.contains(address))
    }

    /// Whom a request is from.
    pub(crate) fn origin(&self, headers: &HeaderMap, hop: &Hop) -> Origin {
        let mut origin =
            Origin { client: hop.address.ip(), is_https: hop.is_tls, believed: 0, is_proxied: false };
        if !self.believes(0, origin.client) {
            return origin;
        }
        origin.is_proxied = true;
        let list = self.format.list(headers);
        let mut before = list.iter().rev().map(|entry| match self.format {
            Format::XForwarded => address(entry),
            Format::Forwarded => element::read(entry).address,
        });
        while self.believes(origin.believed, origin.client)
            && let Some(Some(client)) = before.next()
        {
            origin.client = client;
            origin.believed += 1;
        }
        let scheme = match self.format {
            Format::XForwarded => scheme(headers.get(&FORWARDED_PROTO).map(HeaderValue::as_bytes)),
            Format::Forwarded => {
                let first = list.get(list.len() - origin.believed);
                let proto = first.and_then(|entry| element::read(entry).proto);
                scheme(proto.as_ref().map(String::as_bytes))
            }
        };
        origin.is_https = scheme.unwrap_or(hop.is_tls);
        origin
    }

    /// What is true of the list, and this hop after it.
    fn chain(&self, headers: &HeaderMap, origin: &Origin, last: &HeaderValue) -> HeaderValue {
        if origin.believed == 0 {
            return last.clone();
        }
        let list = self.format.list(headers);
        let mut chain = list[list.len() - origin.believed..].join(", ").into_bytes();
        chain.extend_from_slice(b", ");
        chain.extend_from_slice(last.as_bytes());
        chain.try_into().expect("each part was a part of a header's value")
    }

    /// Has the headers say whom the request is from.
    pub(crate) fn tell(&self, headers: &mut HeaderMap, noted: Noted, origin: &Origin, hop: &Hop) {
        OTHERS.into_iter().for_each(|note| noted.remove(headers, note));
        if !origin.is_proxied {
            noted.remove_claims(headers);
        }
        match self.format {
            Format::XForwarded => {
                noted.remove(headers, Note::Forwarded);
                let chain = self.chain(headers, origin, &hop.value);
                headers.insert(FORWARDED_FOR, chain);
                let scheme = if origin.is_https { "https" } else { "http" };
                headers.insert(FORWARDED_PROTO, HeaderValue::from_static(scheme));
                if !(origin.is_proxied && noted.has(Note::ForwardedHost)) {
                    match headers.get(HOST).cloned() {
                        Some(host) => drop(headers.insert(FORWARDED_HOST, host)),
                        None => noted.remove(headers, Note::ForwardedHost),
                    }
                }
            }
            Format::Forwarded => {
                let own = element::written(hop.address.ip(), hop.is_tls, headers.get(HOST));
                let chain = self.chain(headers, origin, &own);
                headers.insert(FORWARDED, chain);
                for name in [FORWARDED_FOR, FORWARDED_PROTO, FORWARDED_HOST] {
                    headers.remove(name);
                }
            }
        }
    }
}

/// Has `Via` say that a request came over this version of HTTP and passed here. Returns false if it has done so too often.
pub(crate) fn passed(headers: &mut HeaderMap, noted: Noted, version: http::Version) -> bool {
    if noted.has(Note::Via) {
        let passes = headers.get_all(VIA).iter().filter_map(|value| value.to_str().ok());
        let is_own = |part: &&str| part.split_whitespace().nth(1) == Some(PSEUDONYM);
        if passes.flat_map(|value| value.split(',')).filter(is_own).count() >= PASSES_MAX {
            return false;
        }
    }
    let value = match version {
        http::Version::HTTP_2 => HeaderValue::from_static("2 mainstay"),
        http::Version::HTTP_10 => HeaderValue::from_static("1.0 mainstay"),
        _ => HeaderValue::from_static("1.1 mainstay"),
    };
    headers.append(VIA, value);
    true
}

impl Format {
    /// The entries of the list, of all lines of its header, those that are empty left out.
    fn list(self, headers: &HeaderMap) -> Vec<&str> {
        let name = match self {
            Self::XForwarded => FORWARDED_FOR,
            Self::Forwarded => FORWARDED,
        };
        // A line that is no text says nothing, and stands for one entry.
        let lines = headers.get_all(name).into_iter().map(|line| line.to_str().unwrap_or("unknown"));
        let entries = lines.flat_map(|line| match self {
            Self::XForwarded => line.split(',').map(str::trim).collect(),
            Self::Forwarded => elements(line),
        });
        entries.filter(|entry| !entry.is_empty()).collect()
    }
}

/// The address that an entry is, with or without a port.
fn address(entry: &str) -> Option<IpAddr> {
    let bare = entry.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(entry);
    let ip = bare.parse().or_else(|_| entry.parse::<SocketAddr>().map(|it| it.ip()));
    ip.ok().map(|ip: IpAddr| ip.to_canonical())
}

/// Whether a scheme is that of TLS; none if it is neither.
fn scheme(text: Option<&[u8]>) -> Option<bool> {
    let text = text?;
    let is = |scheme: &str| text.eq_ignore_ascii_case(scheme.as_bytes());
    (is("https") || is("http")).then(|| is("https"))
}

#[cfg(test)]
mod tests;
