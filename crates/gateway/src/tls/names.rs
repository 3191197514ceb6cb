//! Which certificate a client is shown: by the name that it sends, and by what it can verify.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use rustls::SignatureAlgorithm;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::certificate::Certificate;
use super::{At, Diagnostic};

/// Certificates by name. A name that is written out goes before a wildcard.
#[derive(Debug)]
pub(super) struct Names {
    exact: HashMap<Box<str>, Choice>,
    /// By what follows `*.`; the asterisk is one label (RFC 6125, section 6.4.3).
    wildcard: HashMap<Box<str>, Choice>,
    /// For no name and for unknown ones; empty if those are refused.
    default: Choice,
}

/// The certificates of one name, at most one for each kind of key, the cheapest to sign with first.
#[derive(Debug, Clone, Default)]
struct Choice(Vec<Arc<CertifiedKey>>);

impl Names {
    /// Errors: names that two certificates of one kind are for.
    pub(super) fn new(certificates: &[Certificate], strict: bool) -> Result<Self, Vec<Diagnostic>> {
        let mut names = Self { exact: HashMap::new(), wildcard: HashMap::new(), default: Choice::default() };
        let mut taken: HashMap<(&str, u8), &Certificate> = HashMap::new();
        let mut mistakes = Vec::new();
        for certificate in certificates {
            for name in &certificate.names {
                match taken.entry((name, rank(&certificate.certified))) {
                    Entry::Occupied(other) => mistakes.push(twice(name, other.get(), certificate)),
                    Entry::Vacant(free) => {
                        free.insert(certificate);
                        names.add(name, &certificate.certified);
                    }
                }
            }
        }
        if !mistakes.is_empty() {
            return Err(mistakes);
        }
        if let Some(first) = certificates.first().filter(|_| !strict) {
            names.default = match first.names.first() {
                Some(name) => names.written(name).clone(),
                None => Choice(vec![Arc::clone(&first.certified)]),
            };
        }
        Ok(names)
    }

    fn add(&mut self, name: &str, certified: &Arc<CertifiedKey>) {
        let choice = match name.strip_prefix("*.") {
            Some(rest) => self.wildcard.entry(rest.into()),
            None => self.exact.entry(name.into()),
        };
        let Choice(keys) = choice.or_default();
        keys.push(Arc::clone(certified));
        keys.sort_by_key(|it| rank(it));
    }

    /// The choice for a name as certificates have it.
    fn written(&self, name: &str) -> &Choice {
        let found = match name.strip_prefix("*.") {
            Some(rest) => self.wildcard.get(rest),
            None => self.exact.get(name),
        };
        found.expect("every name of a certificate was added")
    }

    /// The choice for a name as clients send it, in lower case.
    fn sent(&self, name: Option<&str>) -> &Choice {
        let known = name.and_then(|name| {
            let of_wildcard = || self.wildcard.get(name.split_once('.')?.1);
            self.exact.get(name).or_else(of_wildcard)
        });
        known.unwrap_or(&self.default)
    }
}

impl ResolvesServerCert for Names {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let Choice(keys) = self.sent(hello.server_name());
        let fits = |it: &&Arc<CertifiedKey>| it.key.choose_scheme(hello.signature_schemes()).is_some();
        // One that does not fit ends the handshake with the alert that says so.
        keys.iter().find(fits).or(keys.first()).cloned()
    }
}

/// The order of kinds: signing with RSA takes many times as long.
fn rank(certified: &CertifiedKey) -> u8 {
    match certified.key.algorithm() {
        SignatureAlgorithm::ECDSA => 0,
        SignatureAlgorithm::ED25519 => 1,
        _ => 2,
    }
}

fn twice(name: &str, first: &Certificate, second: &Certificate) -> Diagnostic {
    Diagnostic::new(
        At::Cert(second.number),
        format!("`{name}` is a name of {} and of {}, whose keys are of one kind", first.from, second.from),
        "leave one of them out; RSA beside ECDSA for one name is fine",
    )
}
