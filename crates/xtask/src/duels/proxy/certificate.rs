//! The certificate that proxies show: ECDSA on P-256, made anew for each duel.

use std::path::Path;

use anyhow::{Context as _, Result};
use rcgen::CertifiedKey;
use rustls_pki_types::CertificateDer;

/// What it is for.
pub(super) const NAME: &str = "localhost";

/// Its files below a proxy's folder; the last one is for those who want both in one.
pub(super) const CERTIFICATE: &str = "cert.pem";
pub(super) const KEY: &str = "key.pem";
pub(super) const BOTH: &str = "both.pem";

/// A certificate with its key.
pub(super) struct Certificate(CertifiedKey<rcgen::KeyPair>);

impl Certificate {
    pub(super) fn new() -> Result<Self> {
        let made = rcgen::generate_simple_self_signed([NAME.to_owned()]);
        Ok(Self(made.context("make a certificate")?))
    }

    pub(super) fn der(&self) -> CertificateDer<'static> {
        self.0.cert.der().clone()
    }

    /// Writes its files into a folder.
    pub(super) fn write(&self, folder: &Path) -> Result<()> {
        let (cert, key) = (self.0.cert.pem(), self.0.signing_key.serialize_pem());
        for (name, text) in [(CERTIFICATE, &cert), (KEY, &key), (BOTH, &format!("{cert}{key}"))] {
            let path = folder.join(name);
            std::fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
        }
        Ok(())
    }
}
