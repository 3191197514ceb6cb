//! TLS to the server, with the meaning that PostgreSQL's own clients give to `sslmode`.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::options::{Invalid, Server, TlsMode};

/// What the client library makes TLS connections with; it is told apart whether it must.
pub(super) fn connector(server: &Server) -> Result<MakeRustlsConnect, Invalid> {
    let provider = Arc::new(ring::default_provider());
    let verifier = verifier(server, &provider)?;
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider has ciphers for the default versions")
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}

fn verifier(server: &Server, provider: &Arc<CryptoProvider>) -> Result<Arc<dyn ServerCertVerifier>, Invalid> {
    let is_full = match server.tls_mode() {
        TlsMode::VerifyFull => true,
        TlsMode::VerifyCa => false,
        TlsMode::Require if server.root_certificates().is_some() => false,
        TlsMode::Require | TlsMode::Prefer | TlsMode::Disable => {
            return Ok(Arc::new(AnyName { provider: Arc::clone(provider), authorities: None }));
        }
    };
    let roots = Arc::new(roots(server)?);
    let authorities = WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(provider))
        .build()
        .map_err(|error| Invalid::new("url", format!("has authorities that cannot be used: {error}")))?;
    if is_full {
        return Ok(authorities);
    }
    Ok(Arc::new(AnyName { provider: Arc::clone(provider), authorities: Some(authorities) }))
}

/// The authorities: those of the file that is named, otherwise the system's.
fn roots(server: &Server) -> Result<RootCertStore, Invalid> {
    let mut roots = RootCertStore::empty();
    let Some(path) = server.root_certificates() else {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() {
            let problem = "needs the system's certificate authorities, and none were found: install them \
                 (Debian: ca-certificates) or name a file by `sslrootcert`";
            return Err(Invalid::new("url", problem));
        }
        return Ok(roots);
    };
    let refuse = |problem: &dyn std::fmt::Display| {
        Invalid::new(
            "url",
            format!("has an `sslrootcert` that cannot be used: {}: {problem}", path.display()),
        )
    };
    for certificate in CertificateDer::pem_file_iter(path).map_err(|error| refuse(&error))? {
        roots.add(certificate.map_err(|error| refuse(&error))?).map_err(|error| refuse(&error))?;
    }
    if roots.is_empty() {
        return Err(refuse(&"it holds no certificate in PEM"));
    }
    Ok(roots)
}

/// A certificate is believed whatever name it is for.
#[derive(Debug)]
struct AnyName {
    provider: Arc<CryptoProvider>,
    /// Of whom it must be (`verify-ca`). None (`prefer` and `require`): of anybody, so only who listens without changing
    /// anything is kept out.
    authorities: Option<Arc<WebPkiServerVerifier>>,
}

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some(authorities) = &self.authorities else { return Ok(ServerCertVerified::assertion()) };
        // The name is looked at last, after the signatures and the time.
        match authorities.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            outcome => outcome,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
