//! The PROXY protocol, version 2: a proxy before the gateway says for whom a connection is.
//!
//! Source: "The PROXY protocol, versions 1 & 2", HAProxy, section 2.2. Of its extensions the checksum is verified, and the others are passed over.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::network::Network;

const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// Up to the length of what follows.
const FIXED_BYTES: usize = 16;
/// The longest that is taken; addresses take 36 bytes at most, and extensions a few hundred.
const BYTES_MAX: usize = 4 << 10;
/// The extension that is the checksum of it all.
const CHECKSUM: u8 = 0x03;

/// Who speaks the PROXY protocol to a listener.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The networks of the proxies, at least one. Each connection from there begins with a header of version 2, and connections from elsewhere are closed: who could
    /// write such a header could say that it is anybody.
    #[schemars(length(min = 1))]
    pub from: Vec<Network>,
}

/// For whom a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// For the proxy itself: it looks whether somebody is there, or does not say.
    Proxy,
    /// For a client, which has connected to this address.
    Client { client: SocketAddr, to: SocketAddr },
}

/// Why a connection is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Error {
    #[error("it does not begin with a header of the PROXY protocol, version 2")]
    Signature,
    #[error("its PROXY header has a version, command or family that does not exist")]
    Kind,
    #[error("its PROXY header is longer than 4KiB")]
    TooLong,
    #[error("its PROXY header is shorter than what it holds")]
    TooShort,
    #[error("its PROXY header has a checksum that is not right")]
    Checksum,
    #[error("it ended within the PROXY header")]
    Ended,
}

/// Reads the header that a connection begins with, and nothing that follows it.
pub(crate) async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Result<Source, Error> {
    let mut bytes = vec![0; FIXED_BYTES];
    stream.read_exact(&mut bytes).await.map_err(|_| Error::Ended)?;
    let rest = rest_bytes(&bytes)?;
    bytes.resize(FIXED_BYTES + rest, 0);
    stream.read_exact(&mut bytes[FIXED_BYTES..]).await.map_err(|_| Error::Ended)?;
    source(&bytes)
}

/// How many bytes follow the fixed ones.
fn rest_bytes(fixed: &[u8]) -> Result<usize, Error> {
    if fixed[..12] != SIGNATURE {
        return Err(Error::Signature);
    }
    let rest = usize::from(u16::from_be_bytes([fixed[14], fixed[15]]));
    if rest > BYTES_MAX { Err(Error::TooLong) } else { Ok(rest) }
}

/// The version 2, and whose the connection is.
const LOCAL: u8 = 0x20;
const PROXY: u8 = 0x21;

/// What a whole header says.
fn source(bytes: &[u8]) -> Result<Source, Error> {
    let (fixed, rest) = bytes.split_at(FIXED_BYTES);
    if fixed[12] == LOCAL {
        // The proxy's own connection, such as a check of health: whatever it says besides does not count.
        return Ok(Source::Proxy);
    }
    let address_bytes = match fixed[13] >> 4 {
        0 => 0,
        1 => 12,
        2 => 36,
        // Sockets of one machine, which have no addresses.
        3 => 216,
        _ => return Err(Error::Kind),
    };
    let (addresses, extensions) = rest.split_at_checked(address_bytes).ok_or(Error::TooShort)?;
    check(bytes, extensions)?;
    let source = match (fixed[13] >> 4, fixed[13] & 0xf) {
        (1, 1) => {
            let address = |at: usize| Ipv4Addr::from(array::<4>(addresses, at));
            pair(address(0).into(), address(4).into(), &addresses[8..])
        }
        (2, 1) => {
            let address = |at: usize| Ipv6Addr::from(array::<16>(addresses, at));
            pair(address(0).into(), address(16).into(), &addresses[32..])
        }
        (_, 0..=2) => Source::Proxy,
        _ => return Err(Error::Kind),
    };
    match fixed[12] {
        PROXY => Ok(source),
        _ => Err(Error::Kind),
    }
}

/// The header by which a service is told for whom a connection is. Addresses of different kinds are both written as those of IPv6.
pub(crate) fn header(client: SocketAddr, to: SocketAddr) -> Vec<u8> {
    let both = [client, to].map(|address| address.ip().to_canonical());
    let (family, addresses) = match both {
        [IpAddr::V4(client), IpAddr::V4(to)] => (0x11, [client.octets(), to.octets()].concat()),
        others => {
            let octets = |address: IpAddr| match address {
                IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
                IpAddr::V6(v6) => v6.octets(),
            };
            (0x21, others.map(octets).concat())
        }
    };
    let ports = [client.port(), to.port()].map(u16::to_be_bytes).concat();
    let length = u16::try_from(addresses.len() + ports.len()).expect("36 at most").to_be_bytes();
    [&SIGNATURE[..], &[PROXY, family], &length, &addresses, &ports].concat()
}

fn pair(client: IpAddr, to: IpAddr, ports: &[u8]) -> Source {
    let port = |at: usize| u16::from_be_bytes(array::<2>(ports, at));
    Source::Client { client: SocketAddr::new(client, port(0)), to: SocketAddr::new(to, port(2)) }
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes[at..at + N].try_into().expect("as many as are asked for")
}

/// Walks the extensions, and verifies the checksum if it is among them.
fn check(bytes: &[u8], mut extensions: &[u8]) -> Result<(), Error> {
    while let [kind, high, low, rest @ ..] = extensions {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        let (value, others) = rest.split_at_checked(length).ok_or(Error::TooShort)?;
        if *kind == CHECKSUM {
            let told = u32::from_be_bytes(value.try_into().map_err(|_| Error::TooShort)?);
            // It is computed with zeros where it stands.
            let at = bytes.len() - others.len() - length;
            let mut zeroed = bytes.to_vec();
            zeroed[at..at + length].fill(0);
            if crc32c::crc32c(&zeroed) != told {
                return Err(Error::Checksum);
            }
        }
        extensions = others;
    }
    if extensions.is_empty() { Ok(()) } else { Err(Error::TooShort) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn header(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).expect("it is short").to_be_bytes();
        [&SIGNATURE[..], &[command, family], &length, rest].concat()
    }

    const V4: [u8; 12] = [192, 0, 2, 1, 198, 51, 100, 2, 0x30, 0x39, 0, 80];

    fn client(client: &str, to: &str) -> Source {
        Source::Client { client: client.parse().expect("it is one"), to: to.parse().expect("it is one") }
    }

    #[tokio::test]
    async fn a_header_is_read_to_its_end_and_no_further() {
        let bytes = [header(0x21, 0x11, &V4), b"GET".to_vec()].concat();
        let mut left = &bytes[..];
        assert_eq!(read(&mut left).await, Ok(client("192.0.2.1:12345", "198.51.100.2:80")));
        assert_eq!(left, b"GET");
        for cut in 0..bytes.len() - 3 {
            assert_eq!(read(&mut &bytes[..cut]).await, Err(Error::Ended), "{cut}");
        }
        let long = [&SIGNATURE[..], &[0x21, 0x11, 0x10, 0x01]].concat();
        assert_eq!(read(&mut &long[..]).await, Err(Error::TooLong));
        assert_eq!(read(&mut &b"GET / HTTP/1.1\r\n"[..]).await, Err(Error::Signature));
        assert_eq!(read(&mut &b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n"[..]).await, Err(Error::Signature));
    }

    #[test]
    fn families_and_commands_are_those_of_the_specification() {
        let mut v6 = [0; 36];
        (v6[15], v6[31], v6[33], v6[35]) = (1, 2, 7, 8);
        assert_eq!(source(&header(0x21, 0x21, &v6)), Ok(client("[::1]:7", "[::2]:8")));
        assert_eq!(source(&header(0x20, 0x11, &V4)), Ok(Source::Proxy), "LOCAL");
        assert_eq!(
            source(&header(0x20, 0x41, &[1, 2, 3])),
            Ok(Source::Proxy),
            "LOCAL, and nothing else counts"
        );
        assert_eq!(source(&header(0x21, 0x00, &[])), Ok(Source::Proxy), "UNSPEC");
        assert_eq!(source(&header(0x21, 0x31, &[0; 216])), Ok(Source::Proxy), "a socket of one machine");
        for (command, family) in [(0x11, 0x11), (0x22, 0x11), (0x21, 0x41), (0x21, 0x13)] {
            assert_eq!(
                source(&header(command, family, &[0; 36])),
                Err(Error::Kind),
                "{command:x} {family:x}"
            );
        }
        assert_eq!(source(&header(0x21, 0x11, &V4[..11])), Err(Error::TooShort));
        assert_eq!(source(&header(0x21, 0x11, &[&V4[..], &[1, 0]].concat())), Err(Error::TooShort));
        assert_eq!(source(&header(0x21, 0x11, &[&V4[..], &[1, 0, 2, 0]].concat())), Err(Error::TooShort));
    }

    #[test]
    fn what_is_written_is_what_is_read() {
        for (from, to, bytes) in [
            ("192.0.2.1:12345", "198.51.100.2:80", 28),
            ("[2001:db8::1]:1", "[::2]:65535", 52),
            ("[::ffff:192.0.2.1]:1", "198.51.100.2:80", 28),
            ("192.0.2.1:1", "[2001:db8::2]:80", 52),
        ] {
            let address = |text: &str| text.parse::<SocketAddr>().expect("an address");
            let header = super::header(address(from), address(to));
            assert_eq!(header.len(), bytes, "{from}");
            let Ok(Source::Client { client, to: read }) = source(&header) else {
                panic!("{from}: {header:?}")
            };
            let canonical = |it: SocketAddr| (it.ip().to_canonical(), it.port());
            assert_eq!(
                (canonical(client), canonical(read)),
                (canonical(address(from)), canonical(address(to)))
            );
        }
    }

    #[test]
    fn a_checksum_that_is_there_is_right() {
        let mut bytes = header(0x21, 0x11, &[&V4[..], &[5, 0, 1, 9], &[CHECKSUM, 0, 4, 0, 0, 0, 0]].concat());
        assert_eq!(source(&bytes), Err(Error::Checksum));
        let sum = crc32c::crc32c(&bytes).to_be_bytes();
        let at = bytes.len() - 4;
        bytes[at..].copy_from_slice(&sum);
        assert_eq!(source(&bytes), Ok(client("192.0.2.1:12345", "198.51.100.2:80")));
        bytes[FIXED_BYTES] ^= 1;
        assert_eq!(source(&bytes), Err(Error::Checksum));
    }

    proptest! {
        #[test]
        fn whatever_comes_is_taken_or_refused(command: u8, family: u8, rest in proptest::collection::vec(any::<u8>(), 0..300)) {
            let told = source(&header(command, family, &rest));
            if let Ok(Source::Client { client, .. }) = told {
                prop_assert!(command == 0x21 && matches!(family, 0x11 | 0x21), "{client}");
            }
        }
    }
}
