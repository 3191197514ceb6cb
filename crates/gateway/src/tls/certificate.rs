//! A certificate with its chain and its key, read from PEM and checked against each other.

use std::sync::Arc;

use mainstay_base::time::Timestamp;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem};
use rustls::sign::{CertifiedKey, SigningKey};
use x509_parser::certificate::{Validity, X509Certificate};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

use super::subject::rfc4514;
use super::{At, Diagnostic, Pair, Pem};

/// A certificate that can be shown, and the names it is for.
#[derive(Debug)]
pub(super) struct Certificate {
    /// The number of its pair.
    pub(super) number: usize,
    /// What its file is called.
    pub(super) from: String,
    /// The chain and the key.
    pub(super) certified: Arc<CertifiedKey>,
    /// Its DNS names in lower case, wildcards among them; empty if it is for addresses alone.
    pub(super) names: Vec<String>,
    /// What may make clients refuse it.
    pub(super) warnings: Vec<Diagnostic>,
}

impl Certificate {
    /// Reads a pair. Errors: every mistake in it.
    pub(super) fn read(
        number: usize,
        pair: &Pair,
        provider: &CryptoProvider,
        now: Timestamp,
    ) -> Result<Self, Vec<Diagnostic>> {
        let at = At::Cert(number);
        let chain = certificates(at, &pair.cert);
        let key = key(number, &pair.key, provider);
        let (chain, key) = match (chain, key) {
            (Ok(chain), Ok(key)) => (chain, key),
            (chain, key) => return Err(chain.err().into_iter().chain(key.err()).collect()),
        };
        let read = parsed(at, &pair.cert, &chain).map_err(|it| vec![it])?;
        let mistake = key_differs(number, pair, &read, &*key)
            .or_else(|| disorder(at, &pair.cert, &read))
            .or_else(|| nameless(at, &pair.cert, &read[0]));
        if let Some(mistake) = mistake {
            return Err(vec![mistake]);
        }
        let warnings = read.iter().filter_map(|it| out_of_time(at, &pair.cert, it, now)).collect();
        let names = names(&read[0]);
        let certified = Arc::new(CertifiedKey::new(chain, key));
        Ok(Self { number, from: pair.cert.from.clone(), certified, names, warnings })
    }
}

/// The certificates in a file, at least one.
pub(super) fn certificates(at: At, pem: &Pem) -> Result<Vec<CertificateDer<'static>>, Diagnostic> {
    let from = &pem.from;
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.text.as_bytes()).collect();
    let chain = read.map_err(|error| {
        let what = match error {
            pem::Error::MissingSectionEnd { .. } => "a section of it does not end",
            _ => "a section of it is not base64",
        };
        let help = "copy the file again from where the certificate was issued";
        Diagnostic::new(at, format!("{from} is damaged: {what}"), help)
    })?;
    if !chain.is_empty() {
        return Ok(chain);
    }
    let (what, help) = if pem.text.contains("PRIVATE KEY-----") {
        ("a private key", "name the file of the certificate here, and this one as the key")
    } else if pem.text.contains("CERTIFICATE REQUEST-----") {
        ("a request for a certificate", "name the file that the authority answered with")
    } else {
        (
            "no certificate",
            "name a PEM file, with a line `-----BEGIN CERTIFICATE-----`; `openssl x509 -inform der` converts from DER",
        )
    };
    Err(Diagnostic::new(at, format!("{from} holds {what}"), help))
}

/// The only key in a file. Messages hold nothing of it.
fn key(number: usize, pem: &Pem, provider: &CryptoProvider) -> Result<Arc<dyn SigningKey>, Diagnostic> {
    let wrong =
        |what: &str, help: &str| Err(Diagnostic::new(At::Key(number), format!("{} {what}", pem.from), help));
    if pem.text.contains("ENCRYPTED") {
        return wrong(
            "holds an encrypted key",
            "decrypt it: `openssl pkey -in OLD -out NEW`, and let only this user read it",
        );
    }
    let Ok(mut keys) = PrivateKeyDer::pem_slice_iter(pem.text.as_bytes()).collect::<Result<Vec<_>, _>>()
    else {
        return wrong("holds a key that is damaged", "copy the file again from where the key was made");
    };
    let Some(key) = keys.pop() else {
        let help = "name a PEM file, with a line `-----BEGIN PRIVATE KEY-----`";
        return if pem.text.contains("CERTIFICATE-----") {
            wrong("holds a certificate and no key", help)
        } else {
            wrong("holds no private key", help)
        };
    };
    if !keys.is_empty() {
        return wrong("holds more than one key", "leave the key of this certificate in it alone");
    }
    provider.key_provider.load_private_key(key).or_else(|_| {
        wrong(
            "holds a key of a kind that is not supported",
            "use ECDSA on P-256 or P-384, Ed25519, or RSA with 2048 to 8192 bits",
        )
    })
}

/// The certificates of a file, at least one.
pub(super) fn parsed<'a>(
    at: At,
    pem: &Pem,
    chain: &'a [CertificateDer<'static>],
) -> Result<Vec<X509Certificate<'a>>, Diagnostic> {
    let read = chain.iter().enumerate().map(|(index, der)| {
        X509Certificate::from_der(der).map(|(_, read)| read).map_err(|_| {
            let message = format!("certificate {} of {} cannot be read", index + 1, pem.from);
            Diagnostic::new(at, message, "copy the file again from where the certificate was issued")
        })
    });
    read.collect()
}

fn key_differs(
    number: usize,
    pair: &Pair,
    chain: &[X509Certificate<'_>],
    key: &dyn SigningKey,
) -> Option<Diagnostic> {
    let public = key.public_key().expect("every key of the provider tells its public half");
    match chain.iter().position(|it| it.public_key().raw == &*public) {
        Some(0) => None,
        Some(index) => Some(Diagnostic::new(
            At::Cert(number),
            format!("the certificate of the key is number {} in {}", index + 1, pair.cert.from),
            "put it first, and after each one that of its issuer",
        )),
        None => Some(Diagnostic::new(
            At::Key(number),
            format!("{} holds the key of another certificate than {}", pair.key.from, pair.cert.from),
            "name the key that this certificate was requested with, or have a new certificate issued",
        )),
    }
}

/// What is out of order in a chain: after each certificate comes that of its issuer (RFC 5246, section 7.4.2).
fn disorder(at: At, pem: &Pem, chain: &[X509Certificate<'_>]) -> Option<Diagnostic> {
    let differ = |pair: &[X509Certificate<'_>]| pair[0].issuer().as_raw() != pair[1].subject().as_raw();
    let index = chain.windows(2).position(differ)?;
    let issuer = chain[index].issuer();
    let message = format!(
        "the chain in {} is out of order: number {} was issued by `{}`, and number {} is `{}`",
        pem.from,
        index + 1,
        rfc4514(issuer),
        index + 2,
        rfc4514(chain[index + 1].subject()),
    );
    let is_there = chain.iter().any(|it| it.subject().as_raw() == issuer.as_raw());
    let help = if is_there {
        "put after each certificate that of its issuer"
    } else {
        "take out what does not belong to the chain; the root may be left out"
    };
    Some(Diagnostic::new(at, message, help))
}

fn nameless(at: At, pem: &Pem, leaf: &X509Certificate<'_>) -> Option<Diagnostic> {
    let is_named =
        |name: &GeneralName<'_>| matches!(name, GeneralName::DNSName(_) | GeneralName::IPAddress(_));
    (!general_names(leaf).iter().any(is_named)).then(|| {
        let subject = rfc4514(leaf.subject());
        Diagnostic::new(
            at,
            format!("the certificate in {} (`{subject}`) has no subject alternative names", pem.from),
            "have one made with the names that clients use; that in the subject counts no more (RFC 9525, section 2)",
        )
    })
}

fn general_names<'a>(leaf: &'a X509Certificate<'_>) -> &'a [GeneralName<'a>] {
    leaf.subject_alternative_name().ok().flatten().map_or(&[], |it| it.value.general_names.as_slice())
}

fn names(leaf: &X509Certificate<'_>) -> Vec<String> {
    let names = general_names(leaf).iter().filter_map(|name| match name {
        GeneralName::DNSName(name) => Some(name.trim_end_matches('.').to_ascii_lowercase()),
        _ => None,
    });
    let mut names: Vec<_> = names.collect();
    names.sort();
    names.dedup();
    names
}

/// A certificate that is not valid now is shown all the same. It would become so while the node runs, and to refuse it at a start would take down the other
/// names as well.
fn out_of_time(at: At, pem: &Pem, read: &X509Certificate<'_>, now: Timestamp) -> Option<Diagnostic> {
    let (begin, end) = bounds(read.validity());
    let what = format!("the certificate in {} (`{}`)", pem.from, rfc4514(read.subject()));
    if now > end {
        let help = "renew it: clients refuse it";
        return Some(Diagnostic::new(at, format!("{what} has expired at {end}"), help));
    }
    if now < begin {
        let help = "set the clock of this machine, or wait: clients refuse it";
        return Some(Diagnostic::new(at, format!("{what} is not valid before {begin}"), help));
    }
    let (life, rest) = (end.as_micros() - begin.as_micros(), end.as_micros() - now.as_micros());
    (rest < life / 10).then(|| {
        Diagnostic::new(
            at,
            format!("{what} expires at {end}"),
            "renew it: less than a tenth of its time is left",
        )
    })
}

/// The first and the last moment.
pub(super) fn bounds(validity: &Validity) -> (Timestamp, Timestamp) {
    let moment = |seconds: i64| {
        let micros = u64::try_from(seconds).unwrap_or(0).checked_mul(1_000_000);
        micros.and_then(Timestamp::checked_from_micros).unwrap_or(Timestamp::MAX)
    };
    let begin = moment(validity.not_before.timestamp());
    (begin, moment(validity.not_after.timestamp()).max(begin))
}
