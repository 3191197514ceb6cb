//! A host with at most a port, as targets and Host have it.

use std::net::Ipv6Addr;
use std::ops::Range;

use super::byte;

/// The longest name of a host (RFC 1035, section 2.3.4).
const NAME_BYTES_MAX: usize = 255;

/// Where an authority stands in a head, and its port.
#[derive(Debug, Clone, Default)]
pub(super) struct Authority {
    /// Of the host, with its brackets.
    host: Range<usize>,
    port: Option<u16>,
}

impl Authority {
    /// The authority that is `text`, which begins `at` a place of the head. None if it is no host of letters, digits, `-`, `.` and `_` and no IPv6 address in
    /// brackets, or what follows is no port from 1 to 65535 in its shortest form.
    ///
    /// User names, percent-encoding, zones, later kinds of addresses and empty labels are none: no client needs them, and readers differ on them.
    pub(super) fn read(text: &[u8], at: usize) -> Option<Self> {
        let host = match text {
            [b'[', ..] => {
                let end = text.iter().take(64).position(|byte| *byte == b']')?;
                let address = str::from_utf8(&text[1..end]).ok()?;
                address.parse::<Ipv6Addr>().ok()?;
                end + 1
            }
            _ => name(text)?,
        };
        let port = match &text[host..] {
            [] => None,
            [b':', digits @ ..] => Some(port(digits)?),
            _ => return None,
        };
        Some(Self { host: at..at + host, port })
    }

    /// Whether a target has it with a port, as CONNECT requires.
    pub(super) fn has_port(&self) -> bool {
        self.port.is_some()
    }

    /// Whether both are the same in `head`, where `port` is meant if none is there.
    pub(super) fn is_same(&self, other: &Self, head: &[u8], port: Option<u16>) -> bool {
        self.port.or(port) == other.port.or(port)
            && head[self.host.clone()].eq_ignore_ascii_case(&head[other.host.clone()])
    }
}

/// How many bytes the name of a host has that `text` begins with. None if it has none, too many, or an empty label.
fn name(text: &[u8]) -> Option<usize> {
    let mut last = b'.';
    let mut end = 0;
    for byte in text {
        if byte::class(*byte) & byte::NAME == 0 {
            break;
        }
        if (*byte, last) == (b'.', b'.') {
            return None;
        }
        last = *byte;
        end += 1;
    }
    (1..=NAME_BYTES_MAX).contains(&end).then_some(end)
}

fn port(digits: &[u8]) -> Option<u16> {
    let is_plain = digits.iter().all(u8::is_ascii_digit) && !digits.starts_with(b"0");
    if is_plain { str::from_utf8(digits).ok()?.parse().ok() } else { None }
}
