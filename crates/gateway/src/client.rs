//! Who is at the other end of a connection.

use std::fmt::Write as _;
use std::net::SocketAddr;

use http::header::{HeaderMap, HeaderValue};

use crate::forwarded::Hop;
use crate::listener::Listener;
use crate::noted::{Note, Noted};
use crate::tls::{Peer, San};

/// The client's certificate, as Envoy writes it and services know it: `Hash=..;Subject="..";URI=..;DNS=..`.
const CLIENT_CERT: Note = Note::ForwardedClientCert;

/// Who is at the other end of a connection, as all its requests share it.
#[derive(Debug)]
pub(crate) struct Client {
    /// Where it is, by the proxy before the gateway if that says so.
    pub(crate) hop: Hop,
    /// Who it is, by a certificate, as a header has it.
    certificate: Option<HeaderValue>,
    /// By which it came in, which also says when the connection is to stop.
    pub(crate) listener: Listener,
}

impl Client {
    pub(crate) fn new(address: SocketAddr, is_tls: bool, peer: Option<&Peer>, listener: Listener) -> Self {
        let certificate = peer.and_then(|peer| written(peer).try_into().ok());
        Self { hop: Hop::new(address, is_tls), certificate, listener }
    }

    /// Has the headers say who the client is by its certificate, and nobody else.
    pub(crate) fn tell(&self, headers: &mut HeaderMap, noted: Noted) {
        match &self.certificate {
            Some(certificate) => drop(headers.insert(CLIENT_CERT.header(), certificate.clone())),
            None => noted.remove(headers, CLIENT_CERT),
        }
    }
}

fn written(peer: &Peer) -> String {
    let subject = peer.subject.replace('\\', "\\\\").replace('"', "\\\"");
    let mut written = format!("Hash={};Subject=\"{subject}\"", peer.fingerprint);
    // What would begin another field is left out.
    let is_plain = |name: &&String| !name.contains([';', ',', '"', '=']);
    for name in &peer.names {
        let told = match name {
            San::Uri(uri) => Some(("URI", uri)),
            San::Dns(name) => Some(("DNS", name)),
            San::Ip(_) | San::Email(_) => None,
        };
        if let Some((key, name)) = told.filter(|(_, name)| is_plain(name)) {
            write!(written, ";{key}={name}").expect("a String takes it");
        }
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::Fingerprint;

    #[test]
    fn a_certificate_cannot_say_more_than_it_is() {
        let names = ["spiffe://a/shop", "spiffe://a/b;DNS=admin"].map(|uri| San::Uri(uri.into()));
        let peer = Peer {
            subject: "CN=a\";URI=\"b".into(),
            names: names.into(),
            fingerprint: Fingerprint([0xab; 32]),
        };
        let hash = "ab".repeat(32);
        assert_eq!(written(&peer), format!("Hash={hash};Subject=\"CN=a\\\";URI=\\\"b\";URI=spiffe://a/shop"));
    }
}
