//! Who is at the other end of a connection, by a certificate that was verified.

use std::fmt;
use std::net::IpAddr;

use mainstay_base::time::Timestamp;
use ring::digest::{SHA256, digest};
use rustls::ServerConnection;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

use super::certificate::bounds;
use super::subject::{hex, rfc4514};

/// A client by its certificate, which one of the listener's authorities has signed.
///
/// A session that was resumed has the client of its first handshake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Its subject (RFC 4514), the most specific part first: `CN=shop,O=Example`. Empty if it has none, as RFC 5280 allows.
    pub subject: String,
    /// Its subject alternative names in the order of the certificate, without those of other kinds and those with characters that are not visible ASCII.
    pub names: Vec<San>,
    /// Of the certificate as it was sent.
    pub fingerprint: Fingerprint,
}

/// A subject alternative name (RFC 5280, section 4.2.1.6).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum San {
    /// A DNS name in lower case.
    Dns(String),
    /// An address.
    Ip(IpAddr),
    /// A URI as it is written, such as `spiffe://example.org/shop`.
    Uri(String),
    /// An address for mail, as it is written.
    Email(String),
}

/// The SHA-256 of a certificate's DER. It is shown as 64 digits in lower case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint(pub [u8; 32]);

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

/// A certificate that was verified and is good no more. Close the connection: the client has to make another handshake with another certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// Its time is over. A handshake looks at that, and a resumed session is none.
    #[error("the client's certificate has expired at {0}")]
    Expired(Timestamp),
    /// It is not as RFC 5280 has it.
    #[error("the client's certificate cannot be read")]
    Unreadable,
}

impl Peer {
    /// The client of a connection whose handshake is done; none if it has shown no certificate. Cost: the certificate is read and hashed each time, so ask once
    /// for a connection.
    pub fn of(connection: &ServerConnection, now: Timestamp) -> Result<Option<Self>, Unfit> {
        let is_known = !connection.is_handshaking();
        let first = connection.peer_certificates().filter(|_| is_known).and_then(<[_]>::first);
        first.map(|der| Self::read(der, now)).transpose()
    }

    fn read(der: &[u8], now: Timestamp) -> Result<Self, Unfit> {
        let (_, read) = X509Certificate::from_der(der).map_err(|_| Unfit::Unreadable)?;
        let (_, end) = bounds(read.validity());
        if now > end {
            return Err(Unfit::Expired(end));
        }
        let names = read.subject_alternative_name().map_err(|_| Unfit::Unreadable)?;
        let names = names.iter().flat_map(|it| &it.value.general_names).filter_map(san).collect();
        let hashed = digest(&SHA256, der);
        let fingerprint = Fingerprint(hashed.as_ref().try_into().expect("SHA-256 has 32 bytes"));
        Ok(Self { subject: rfc4514(read.subject()), names, fingerprint })
    }
}

fn san(name: &GeneralName<'_>) -> Option<San> {
    let visible = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic()).then(|| text.to_owned());
    match name {
        GeneralName::DNSName(name) => visible(name).map(|it| San::Dns(it.to_ascii_lowercase())),
        GeneralName::URI(uri) => visible(uri).map(San::Uri),
        GeneralName::RFC822Name(address) => visible(address).map(San::Email),
        GeneralName::IPAddress(bytes) => {
            let v4 = <[u8; 4]>::try_from(*bytes).map(IpAddr::from);
            v4.or_else(|_| <[u8; 16]>::try_from(*bytes).map(IpAddr::from)).ok().map(San::Ip)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_read_is_nobody() {
        assert_eq!(Peer::read(b"abc", Timestamp::from_micros(0)), Err(Unfit::Unreadable));
    }

    #[test]
    fn names_that_do_not_print_are_left_out() {
        assert_eq!(san(&GeneralName::DNSName("Shop.Example")), Some(San::Dns("shop.example".into())));
        assert_eq!(san(&GeneralName::DNSName("shop.example\0.evil")), None);
        assert_eq!(san(&GeneralName::URI("spiffe://a/b\r\nc")), None);
        assert_eq!(san(&GeneralName::IPAddress(&[127, 0, 0, 1])), Some(San::Ip([127, 0, 0, 1].into())));
        assert_eq!(san(&GeneralName::IPAddress(&[127, 0, 0])), None);
    }
}
