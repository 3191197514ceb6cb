//! An authority of one folder, and the certificates that it signs.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use mainstay_base::time::{Entropy, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, PublicKeyData as _, SanType, SerialNumber,
};
use x509_parser::certificate::X509Certificate;
use x509_parser::pem::{Pem, parse_x509_pem};

use super::files::{self, Access};
use super::name::HostName;

const DAY_S: u64 = 24 * 60 * 60;

/// Clocks of other machines and of containers may be late by as much.
const BEFORE_S: u64 = DAY_S;

/// From the first moment to the last. Browsers refuse more than 398 days of certificates that they know the root of, and Apple's systems more than 825 of any.
const CERTIFICATE_S: u64 = 397 * DAY_S;

const AUTHORITY_S: u64 = 10 * 365 * DAY_S;

/// An authority with its key.
pub(super) struct Authority {
    /// Its certificate's file.
    pub(super) cert: PathBuf,
    issuer: Issuer<'static, KeyPair>,
    /// Its name in DER.
    subject: Vec<u8>,
    /// What it has signed is good until then at most, in seconds.
    until_s: u64,
}

impl Authority {
    /// The authority of a folder, and whether it was made just now.
    pub(super) fn of(folder: &Path, now: Timestamp) -> Result<(Self, bool)> {
        let (cert, key) = (folder.join("ca.pem"), folder.join("ca.key"));
        match (files::read(&cert)?, files::read(&key)?) {
            (None, None) => {
                let made = KeyPair::generate().context("cannot make a key")?;
                let pem =
                    params(&made, seconds(now)).self_signed(&made).context("cannot make an authority")?.pem();
                files::create(&key, &made.serialize_pem(), Access::Owner)?;
                files::create(&cert, &pem, Access::Everybody)?;
                Ok((Self::read(cert, &pem, made, now)?, true))
            }
            (Some(pem), Some(text)) => {
                let kept = KeyPair::from_pem(&text).with_context(|| unusable(&key))?;
                let authority = Self::read(cert, &pem, kept, now)?;
                files::close(&key)?;
                Ok((authority, false))
            }
            (Some(_), None) => bail!(alone(&cert, &key)),
            (None, Some(_)) => bail!(alone(&key, &cert)),
        }
    }

    fn read(cert: PathBuf, pem: &str, key: KeyPair, now: Timestamp) -> Result<Self> {
        let params = params(&key, seconds(now));
        let block = block(pem).with_context(|| unusable(&cert))?;
        let read = block.parse_x509().with_context(|| unusable(&cert))?;
        let is_ours = read.public_key().raw == key.subject_public_key_info()
            && read.subject().iter_common_name().next().and_then(|it| it.as_str().ok())
                == Some(&*name(&params, &key));
        ensure!(is_ours, unusable(&cert));
        let until_s = until_s(&read);
        ensure!(
            seconds(now) < until_s,
            "{} has expired: remove it and its key, run this again, and let clients trust the new one",
            cert.display()
        );
        let subject = read.subject().as_raw().to_vec();
        Ok(Self { cert, issuer: Issuer::new(params, key), subject, until_s })
    }

    /// A certificate as PEM, and its last moment.
    pub(super) fn issue(
        &self,
        names: &[HostName],
        key: &KeyPair,
        now: Timestamp,
        entropy: &dyn Entropy,
    ) -> Result<(String, Timestamp)> {
        let begin_s = seconds(now) - BEFORE_S;
        let until_s = (begin_s + CERTIFICATE_S).min(self.until_s);
        let mut params = CertificateParams::default();
        set_time(&mut params, begin_s, until_s);
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "Mainstay development");
        params.subject_alt_names = names.iter().map(san).collect::<Result<_>>()?;
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        // For trying out clients that have certificates as well.
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        // Firefox refuses a certificate whose number an earlier one of the same authority had.
        let mut serial = [0; 16];
        entropy.fill(&mut serial);
        serial[0] = serial[0] & 0x7f | 0x40;
        params.serial_number = Some(SerialNumber::from_slice(&serial));
        let issued = params.signed_by(key, &self.issuer).context("cannot sign the certificate")?;
        Ok((issued.pem(), Timestamp::from_micros(until_s * 1_000_000)))
    }

    /// Errors: the certificate is not one of this authority with this key.
    pub(super) fn check_issued(&self, pem: &str, key: &KeyPair) -> Result<()> {
        let block = block(pem)?;
        let read = block.parse_x509().context("the certificate cannot be read")?;
        ensure!(read.issuer().as_raw() == self.subject, "another authority has signed the certificate");
        ensure!(
            read.public_key().raw == key.subject_public_key_info(),
            "the key is that of another certificate"
        );
        Ok(())
    }
}

/// All of the authority follows from its key but when it was made.
fn params(key: &KeyPair, now_s: u64) -> CertificateParams {
    let mut params = CertificateParams::default();
    set_time(&mut params, now_s - BEFORE_S, now_s + AUTHORITY_S);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name(&params, key));
    params
}

/// The name that lists of authorities show. It differs between machines, whose authorities one client may trust.
fn name(params: &CertificateParams, key: &KeyPair) -> String {
    let id: String = params.key_identifier(key).iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    format!("Mainstay development authority {id}")
}

fn san(name: &HostName) -> Result<SanType> {
    Ok(match name {
        HostName::Dns(name) => SanType::DnsName(name.as_str().try_into().context("a name is ASCII")?),
        HostName::Ip(address) => SanType::IpAddress(*address),
    })
}

fn block(pem: &str) -> Result<Pem> {
    let (_, block) = parse_x509_pem(pem.as_bytes()).ok().context("it is not PEM")?;
    Ok(block)
}

fn until_s(read: &X509Certificate<'_>) -> u64 {
    u64::try_from(read.validity().not_after.timestamp()).unwrap_or(0)
}

/// A clock before 1970 and a day is one that is not set.
fn seconds(now: Timestamp) -> u64 {
    (now.as_micros() / 1_000_000).max(BEFORE_S)
}

fn set_time(params: &mut CertificateParams, begin_s: u64, until_s: u64) {
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    params.not_before = epoch + Duration::from_secs(begin_s);
    params.not_after = epoch + Duration::from_secs(until_s);
}

fn alone(one: &Path, other: &Path) -> String {
    format!(
        "{} is there without {}: bring that back, name another folder (`--out`), or remove the first, and let clients trust the authority that is made then",
        one.display(),
        other.display()
    )
}

fn unusable(path: &Path) -> String {
    format!(
        "{} was not made by this command, or is damaged: name another folder (`--out`), or move it away with its key",
        path.display()
    )
}
