//! A protocol over TLS 1.3, with the same cipher and key exchange for every server, so that all are asked for the same work.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, ring, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, HandshakeKind, SignatureScheme};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::wire::{Carrier, Line, WireClient, clients, connect};
use super::{Failure, Protocol, Target};

/// How connections and sessions are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sessions {
    /// A connection serves one request after the other.
    Kept,
    /// Each request has a connection of its own, with a whole handshake.
    New,
    /// Each request has a connection of its own, which resumes the session of the client's last one.
    Resumed,
}

/// A target that speaks a [`Protocol`] over TLS 1.3 with `TLS_AES_128_GCM_SHA256` and X25519; each client has connections of its own.
pub struct Tls<P> {
    protocol: P,
    sessions: Sessions,
    name: ServerName<'static>,
    config: ClientConfig,
}

impl<P> fmt::Debug for Tls<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("sessions", &self.sessions)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl<P: Protocol> Tls<P> {
    /// This said to a server whose certificate, for `name`, is exactly this one; `alpn` is what is offered.
    ///
    /// Errors: the name is none.
    pub fn new(
        protocol: P,
        (name, certificate): (&str, CertificateDer<'static>),
        alpn: &str,
        sessions: Sessions,
    ) -> anyhow::Result<Self> {
        let provider = Arc::new(CryptoProvider {
            cipher_suites: vec![ring::cipher_suite::TLS13_AES_128_GCM_SHA256],
            kx_groups: vec![ring::kx_group::X25519],
            ..ring::default_provider()
        });
        let algorithms = provider.signature_verification_algorithms;
        let verifier = Arc::new(Pinned { certificate, algorithms });
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_no_client_auth();
        config.alpn_protocols = vec![alpn.as_bytes().to_vec()];
        Ok(Self { protocol, sessions, name: ServerName::try_from(name.to_owned())?, config })
    }
}

impl<P: Protocol> Carrier for Tls<P> {
    type Protocol = P;
    type Line = TlsLine;

    fn protocol(&self) -> &P {
        &self.protocol
    }

    fn line(&self) -> TlsLine {
        let mut config = self.config.clone();
        // Sessions of its own: those of a shared memory would be taken by whoever comes first.
        config.resumption = match self.sessions {
            Sessions::Resumed => Resumption::in_memory_sessions(1),
            Sessions::Kept | Sessions::New => Resumption::disabled(),
        };
        TlsLine {
            connector: TlsConnector::from(Arc::new(config)),
            name: self.name.clone(),
            resumes: false,
            sessions: self.sessions,
        }
    }

    fn is_kept(&self) -> bool {
        self.sessions == Sessions::Kept
    }
}

impl<P: Protocol> Target for Tls<P> {
    type Client = WireClient<Self>;

    fn clients(self: &Arc<Self>, count: usize) -> Vec<WireClient<Self>> {
        clients(self, count)
    }
}

/// How one client opens connections with TLS.
pub struct TlsLine {
    connector: TlsConnector,
    name: ServerName<'static>,
    sessions: Sessions,
    /// Whether there is a session to resume.
    resumes: bool,
}

impl fmt::Debug for TlsLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsLine").field("sessions", &self.sessions).finish_non_exhaustive()
    }
}

impl Line for TlsLine {
    type Stream = TlsStream<TcpStream>;

    async fn dial(&mut self, address: SocketAddr) -> Result<Self::Stream, Failure> {
        let stream = connect(address).await?;
        let stream = self.connector.connect(self.name.clone(), stream).await;
        let stream = stream.map_err(|_| Failure::NotConnected)?;
        let is_resumed = stream.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed);
        let wanted = self.sessions == Sessions::Resumed && std::mem::replace(&mut self.resumes, true);
        if wanted && !is_resumed {
            return Err(Failure::NotResumed);
        }
        Ok(stream)
    }
}

/// Trusts one certificate, which a server proves to have the key of.
#[derive(Debug)]
struct Pinned {
    certificate: CertificateDer<'static>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if *end_entity == self.certificate {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(Error::InvalidCertificate(CertificateError::UnknownIssuer))
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests;
