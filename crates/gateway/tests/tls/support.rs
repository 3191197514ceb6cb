//! Authorities and certificates, clients of any kind, and handshakes without a network.

use std::fmt;
use std::sync::Arc;

use mainstay_base::time::{Clock, ManualClock, Timestamp};
use mainstay_gateway::tls::{Clients, Pair, Pem, Settings, Tls, Versions};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::version::{TLS12, TLS13};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, Error, ServerConnection, SignatureScheme,
    SupportedProtocolVersion,
};

pub const VERSIONS: [&SupportedProtocolVersion; 2] = [&TLS12, &TLS13];

/// A clock that stands within the time of every certificate that is made here.
pub fn clock() -> ManualClock {
    ManualClock::new("2026-01-01T00:00:00Z".parse().expect("a time"))
}

pub fn time(text: &str) -> Timestamp {
    text.parse().expect("a time")
}

/// What is in a certificate: its names, and from when to when.
pub fn params(subject: &str, names: &[&str]) -> CertificateParams {
    let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).expect("they are names");
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, subject);
    params.not_before = rcgen::date_time_ymd(2025, 1, 1);
    params.not_after = rcgen::date_time_ymd(2030, 1, 1);
    params
}

pub struct Authority(pub CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub fn new(name: &str) -> Self {
        Self(CertifiedIssuer::self_signed(Self::params(name), ecdsa()).expect("it signs itself"))
    }

    pub fn below(&self, name: &str) -> Self {
        Self(CertifiedIssuer::signed_by(Self::params(name), ecdsa(), &self.0).expect("it signs"))
    }

    fn params(name: &str) -> CertificateParams {
        let mut params = params(name, &[]);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
    }

    /// A certificate for these names, with an ECDSA key.
    pub fn issue(&self, names: &[&str]) -> Issued {
        self.sign(&params("leaf", names), &ecdsa())
    }

    pub fn sign(&self, params: &CertificateParams, key: &KeyPair) -> Issued {
        let certificate = params.signed_by(key, &self.0).expect("it signs");
        Issued { cert: certificate.pem(), der: certificate.der().clone(), key: key.serialize_pem() }
    }

    pub fn pem(&self) -> Pem {
        pem("authorities.pem", &self.0.pem())
    }
}

pub fn ecdsa() -> KeyPair {
    KeyPair::generate().expect("there is randomness")
}

pub fn rsa() -> KeyPair {
    KeyPair::from_pem(include_str!("fixtures/rsa.pkcs8.pem")).expect("it is a key")
}

#[derive(Clone)]
pub struct Issued {
    pub cert: String,
    pub der: CertificateDer<'static>,
    pub key: String,
}

impl Issued {
    /// In files that are called after `name`.
    pub fn pair(&self, name: &str) -> Pair {
        Pair { cert: pem(&format!("{name}.pem"), &self.cert), key: pem(&format!("{name}.key"), &self.key) }
    }
}

pub fn pem(from: &str, text: &str) -> Pem {
    Pem { from: from.to_owned(), text: text.to_owned() }
}

/// Settings with everything else at its default.
pub fn settings<'a>(issued: impl IntoIterator<Item = &'a Issued>) -> Settings {
    let pairs = issued.into_iter().enumerate().map(|(index, it)| it.pair(&index.to_string()));
    Settings {
        certificates: pairs.collect(),
        clients: Clients::NotAsked,
        versions: Versions::Both,
        session_resumption: true,
        strict_sni: false,
    }
}

pub fn port(clock: &ManualClock) -> Arc<dyn Clock> {
    Arc::new(clock.clone())
}

#[track_caller]
pub fn tls(settings: &Settings) -> Tls {
    Tls::new(settings, &port(&clock())).expect("the settings are right")
}

/// A client that believes any certificate whose key signs, so that the name it sends need not be in it.
pub struct Client {
    pub versions: Vec<&'static SupportedProtocolVersion>,
    pub protocols: Vec<&'static [u8]>,
    pub schemes: Vec<SignatureScheme>,
    pub identity: Option<Issued>,
}

impl Default for Client {
    fn default() -> Self {
        let algorithms = ring::default_provider().signature_verification_algorithms;
        Self {
            versions: VERSIONS.to_vec(),
            protocols: Vec::new(),
            schemes: algorithms.supported_schemes(),
            identity: None,
        }
    }
}

impl Client {
    pub fn of(version: &'static SupportedProtocolVersion) -> Self {
        Self { versions: vec![version], ..Self::default() }
    }

    /// Keeps the sessions of all connections that are made with it.
    pub fn config(self) -> Arc<ClientConfig> {
        let provider = Arc::new(ring::default_provider());
        let verifier = Gullible { provider: Arc::clone(&provider), schemes: self.schemes };
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&self.versions)
            .expect("there are suites")
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let mut config = match self.identity {
            Some(issued) => {
                let chain = CertificateDer::pem_slice_iter(issued.cert.as_bytes());
                let chain = chain.collect::<Result<_, _>>().expect("it is PEM");
                let key = PrivateKeyDer::from_pem_slice(issued.key.as_bytes()).expect("it is PEM");
                builder.with_client_auth_cert(chain, key).expect("the key fits")
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = self.protocols.iter().map(|it| it.to_vec()).collect();
        config.enable_early_data = true;
        Arc::new(config)
    }
}

struct Gullible {
    provider: Arc<CryptoProvider>,
    schemes: Vec<SignatureScheme>,
}

impl fmt::Debug for Gullible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Gullible")
    }
}

impl ServerCertVerifier for Gullible {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes.clone()
    }
}

/// Both ends of a connection whose handshake is done.
#[derive(Debug)]
pub struct Connection {
    pub client: ClientConnection,
    pub server: ServerConnection,
}

/// Connects with a name, or, if it is an address, without one.
pub fn connect(tls: &Tls, client: &Arc<ClientConfig>, name: &str) -> Result<Connection, Error> {
    let name = ServerName::try_from(name.to_owned()).expect("it is a name");
    let client = ClientConnection::new(Arc::clone(client), name).expect("the configuration is right");
    let server = ServerConnection::new(Arc::clone(tls.server())).expect("the configuration is right");
    let mut connection = Connection { client, server };
    connection.exchange()?;
    assert!(!connection.client.is_handshaking() && !connection.server.is_handshaking());
    Ok(connection)
}

impl Connection {
    /// Moves what either end has to send, until neither has anything. The error is that of the end that saw it first.
    pub fn exchange(&mut self) -> Result<(), Error> {
        while self.client.wants_write() || self.server.wants_write() {
            let mut bytes = Vec::new();
            while self.client.wants_write() {
                self.client.write_tls(&mut bytes).expect("a Vec takes it");
            }
            let mut rest = bytes.as_slice();
            while !rest.is_empty() {
                self.server.read_tls(&mut rest).expect("it is bytes");
                self.server.process_new_packets()?;
            }
            bytes.clear();
            while self.server.wants_write() {
                self.server.write_tls(&mut bytes).expect("a Vec takes it");
            }
            let mut rest = bytes.as_slice();
            while !rest.is_empty() {
                self.client.read_tls(&mut rest).expect("it is bytes");
                self.client.process_new_packets()?;
            }
        }
        Ok(())
    }

    /// The certificate that the client was shown.
    pub fn shown(&self) -> &CertificateDer<'static> {
        &self.client.peer_certificates().expect("a server shows one")[0]
    }
}
