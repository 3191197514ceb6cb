//! Whether clients have certificates, and who signs them.

use std::sync::Arc;

use mainstay_base::time::Timestamp;
use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoClientAuth, WebPkiClientVerifier};
use x509_parser::certificate::X509Certificate;

use super::certificate::{bounds, certificates, parsed};
use super::subject::rfc4514;
use super::{At, Clients, Diagnostic, Pem};

/// What a client that was let in has shown. A ticket is good as long as this is the same.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Rules {
    /// Nothing.
    NotAsked,
    /// A certificate by one of these, or none if they are not `required`.
    Asked {
        required: bool,
        /// Sorted, so that their order in the file says nothing.
        authorities: Vec<CertificateDer<'static>>,
    },
}

/// Rules, what holds them, and warnings.
type Made = (Rules, Arc<dyn ClientCertVerifier>, Vec<Diagnostic>);

impl Rules {
    /// Errors: every mistake in the file of the authorities.
    pub(super) fn new(
        clients: &Clients,
        provider: &Arc<CryptoProvider>,
        now: Timestamp,
    ) -> Result<Made, Vec<Diagnostic>> {
        let (pem, required) = match clients {
            Clients::NotAsked => return Ok((Self::NotAsked, Arc::new(NoClientAuth), Vec::new())),
            Clients::Asked(pem) => (pem, false),
            Clients::Required(pem) => (pem, true),
        };
        let found = certificates(At::ClientCa, pem);
        let mut authorities = found.map_err(|it| vec![it])?;
        let read = parsed(At::ClientCa, pem, &authorities).map_err(|it| vec![it])?;
        let warnings = read.iter().filter_map(|it| doubtful(pem, it, now)).collect();
        let mut roots = RootCertStore::empty();
        for (index, authority) in authorities.iter().enumerate() {
            roots.add(authority.clone()).map_err(|_| {
                let message =
                    format!("certificate {} of {} is not that of an authority", index + 1, pem.from);
                vec![Diagnostic::new(
                    At::ClientCa,
                    message,
                    "take it out, and leave those that sign clients' certificates",
                )]
            })?;
        }
        let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
        let builder = if required { builder } else { builder.allow_unauthenticated() };
        let verifier = builder.build().expect("there are authorities, and no revocation lists to be wrong");
        authorities.sort_by(|one, other| one.as_ref().cmp(other.as_ref()));
        authorities.dedup();
        Ok((Self::Asked { required, authorities }, verifier, warnings))
    }
}

fn doubtful(pem: &Pem, read: &X509Certificate<'_>, now: Timestamp) -> Option<Diagnostic> {
    let what = format!("`{}` in {}", rfc4514(read.subject()), pem.from);
    let (_, end) = bounds(read.validity());
    let (message, help) = if !read.is_ca() {
        (
            format!("{what} does not say that it is an authority"),
            "name the authority that signs clients' certificates, not one of those",
        )
    } else if now > end {
        // An anchor is trusted by its key alone (RFC 5280, section 6.1.1).
        (
            format!("{what} has expired at {end}, and what it has signed is accepted all the same"),
            "take it out once no client has a certificate of it",
        )
    } else {
        return None;
    };
    Some(Diagnostic::new(At::ClientCa, message, help))
}
