//! TLS to endpoints: whom they have to be, and who is shown to them.
//!
//! Nothing is read here but what the system trusts: certificates and keys come as the text of their files.

use std::hash::{Hash, Hasher};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::config::{self, Protocol};
use crate::connection::{Connection, Socket};

/// TLS to the endpoints of a service. Clones are the same one, and share the sessions that are resumed.
#[derive(Clone)]
pub(crate) struct Client(Arc<Inner>);

struct Inner {
    connector: TlsConnector,
    /// None for the address of each endpoint.
    name: Option<ServerName<'static>>,
}

/// What is spoken over TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Over {
    /// This protocol, which is agreed on.
    Http(Protocol),
    /// Anything, of which nothing is said.
    Bytes,
}

/// The names that protocols have in ALPN (RFC 7301, section 6; RFC 9113, section 3.2).
const HTTP2: &[u8] = b"h2";
const HTTP1: &[u8] = b"http/1.1";

impl Over {
    const fn alpn(self) -> Option<&'static [u8]> {
        match self {
            Self::Http(Protocol::Http1) => Some(HTTP1),
            Self::Http(Protocol::Http2) => Some(HTTP2),
            Self::Bytes => None,
        }
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Client").field(&self.0.name).finish()
    }
}

impl PartialEq for Client {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Client {}

impl Hash for Client {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.0).hash(state);
    }
}

impl Client {
    /// What a configuration says, whose files were read, for endpoints that are named so if it does not say how. Errors: what is wrong and what to do.
    pub(crate) fn new(config: &config::Tls, named: Option<&str>) -> Result<Self, String> {
        let roots = match &config.files.ca {
            Some(pem) => Arc::new(authorities(pem)?),
            None => Arc::clone(trusted_by_system()),
        };
        if roots.is_empty() {
            return Err("trusts no authority, since this system has none: name a PEM file with those that sign the certificates of endpoints as `ca`".to_owned());
        }
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("the provider has suites for either version")
            .with_root_certificates(roots);
        let client = match (&config.files.cert, &config.key) {
            (Some(cert), Some(key)) => builder
                .with_client_auth_cert(certificates("cert", cert)?, private_key(key.expose())?)
                .map_err(|error| {
                    format!("has a `cert` and a `key` that cannot be used together: {error}; name the key that the certificate was made for")
                })?,
            _ => builder.with_no_client_auth(),
        };
        let name = config.name.as_deref().or(named).map(server_name).transpose()?;
        let connector = TlsConnector::from(Arc::new(client));
        Ok(Self(Arc::new(Inner { connector, name })))
    }

    /// Does the handshake with an endpoint. Errors: it is somebody else, or speaks no TLS, or not the protocol over it.
    pub(crate) async fn connect(
        &self,
        stream: TcpStream,
        endpoint: SocketAddr,
        over: Over,
    ) -> io::Result<Connection> {
        let Inner { connector, name } = &*self.0;
        let name = name.clone().unwrap_or_else(|| ServerName::from(endpoint.ip()));
        let offered = over.alpn().map(<[u8]>::to_vec).into_iter().collect();
        let stream = connector.with_alpn(offered).connect(name, Socket::new(stream)).await?;
        let agreed = stream.get_ref().1.alpn_protocol();
        // A server of HTTP/1.1 need not know of such agreements.
        let speaks = match over.alpn() {
            Some(wanted) => agreed.map_or(wanted == HTTP1, |agreed| agreed == wanted),
            None => true,
        };
        if !speaks {
            let wanted = String::from_utf8_lossy(over.alpn().unwrap_or_default());
            let what = format!("it does not speak {wanted} over TLS");
            return Err(io::Error::new(io::ErrorKind::InvalidData, what));
        }
        Ok(Connection::Tls(Box::new(stream)))
    }
}

/// A name or an address that a certificate can be for. Errors: it is none.
pub(crate) fn server_name(name: &str) -> Result<ServerName<'static>, String> {
    ServerName::try_from(name.to_owned())
        .map_err(|_| format!("has the `name` \"{name}\", which is none: write one such as payments.internal"))
}

fn authorities(pem: &str) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for (number, certificate) in certificates("ca", pem)?.into_iter().enumerate() {
        roots.add(certificate).map_err(|_| {
            format!(
                "has a certificate in `ca` that is not that of an authority, number {}: take it out",
                number + 1
            )
        })?;
    }
    Ok(roots)
}

fn certificates(key: &str, pem: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    match read {
        Ok(chain) if !chain.is_empty() => Ok(chain),
        Ok(_) => Err(format!(
            "has no certificate in the file of `{key}`: name a PEM file, with a line `-----BEGIN CERTIFICATE-----`"
        )),
        Err(_) => Err(format!("has a damaged certificate in the file of `{key}`: copy the file again")),
    }
}

/// Messages hold nothing of it.
fn private_key(pem: &str) -> Result<PrivateKeyDer<'static>, String> {
    PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|_| {
        "has a `key` that is no private key in PEM without a password: name one, with a line `-----BEGIN PRIVATE KEY-----`"
            .to_owned()
    })
}

/// The authorities that the system trusts, read once. May block.
fn trusted_by_system() -> &'static Arc<RootCertStore> {
    static ROOTS: OnceLock<Arc<RootCertStore>> = OnceLock::new();
    ROOTS.get_or_init(|| {
        let mut roots = RootCertStore::empty();
        let read = rustls_native_certs::load_native_certs();
        roots.add_parsable_certificates(read.certs);
        if roots.is_empty() {
            let errors: Vec<_> = read.errors.iter().map(ToString::to_string).collect();
            tracing::warn!(target: "mainstay::upstream", errors = errors.join("; "), "this system trusts no authorities");
        }
        Arc::new(roots)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(config: &config::Tls) -> String {
        Client::new(config, None).expect_err("it cannot work")
    }

    #[test]
    fn files_that_cannot_be_used_are_told_with_what_to_do() {
        let files = |ca: &str| config::Files { ca: Some(ca.to_owned()), cert: None };
        let of_ca = |ca: &str| config::Tls { files: files(ca), ..config::Tls::default() };
        assert!(wrong(&of_ca("")).contains("no certificate in the file of `ca`"));
        let damaged = "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n";
        assert!(wrong(&of_ca(damaged)).contains("copy the file again"));
        let empty = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(wrong(&of_ca(empty)).contains("not that of an authority, number 1"));
        assert!(private_key("").is_err());
    }

    #[test]
    fn a_name_is_one_of_dns_or_an_address() {
        for name in ["payments.internal", "10.0.0.1", "::1"] {
            assert!(server_name(name).is_ok(), "{name}");
        }
        for name in ["", "a b", "https://x", "-"] {
            assert!(server_name(name).expect_err(name).contains("such as payments.internal"));
        }
    }
}
