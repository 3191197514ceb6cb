//! The `tls` section of a listener, and the files that it names.
//!
//! What the certificates must be like is decided by [`mainstay_gateway::tls`], which reads no files; here its places become keys of the section.

use std::sync::Arc;

use mainstay_base::time::Clock;
use mainstay_base::units::Size;
use mainstay_gateway::tls::{At, Clients, Diagnostic, Pair, Pem, Settings, Tls, Versions};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::file;
use crate::config::secret::Rule;
use crate::config::value::{FilePath, Secret};

/// A file of certificates, such as all authorities that a system trusts, is smaller.
const FILE_MAX: Size = Size::from_mib(1);

/// The `tls` section of a listener.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The certificates, at least one. A client is shown the one that is for the name it sends; of an RSA and an ECDSA certificate for one name, the one that
    /// it can verify. The first is for clients that send no name or an unknown one.
    #[schemars(length(min = 1))]
    pub certificates: Vec<Certificate>,
    /// Whether clients have certificates, for all names of the listener. By default they are not asked for one: browsers have none.
    pub client_auth: ClientAuth,
    /// A PEM file with the authorities that sign the certificates of clients. It is needed with `client_auth`, and of no use without.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_ca: Option<FilePath>,
    /// What that file holds, once it was read.
    #[serde(skip)]
    pub client_ca_pem: Option<Pem>,
    /// The versions of TLS that are spoken. By default both, since some programs have no 1.3 yet; older ones are broken and not to be had.
    #[schemars(length(min = 1, max = 2))]
    pub versions: Vec<Version>,
    /// Whether a client that comes back within 12 hours may skip most of the handshake, by a ticket that it keeps. On by default: it saves the client a
    /// verification and the node a signature. Nothing that a client sends before the handshake is done is taken in any case.
    pub session_resumption: bool,
    /// Whether clients that send no name or an unknown one are refused. Off by default: who connects to an address sends no name.
    pub strict_sni: bool,
}

/// A certificate and its key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Certificate {
    /// A PEM file with the certificate, followed by those of the authorities between it and the root.
    pub cert: FilePath,
    /// The certificate's private key in PEM, not encrypted: PKCS#8, PKCS#1 or SEC1.
    pub key: Secret,
    /// What the file of the certificate holds, once it was read.
    #[serde(skip)]
    pub cert_pem: Option<Pem>,
}

/// Whether clients have certificates.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ClientAuth {
    /// They are not asked for one.
    #[default]
    None,
    /// They are asked, and may have none; a wrong one is refused.
    Request,
    /// They are refused without one.
    Require,
}

/// A version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Version {
    /// RFC 5246.
    #[serde(rename = "1.2")]
    Tls12,
    /// RFC 8446.
    #[serde(rename = "1.3")]
    Tls13,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            certificates: Vec::new(),
            client_auth: ClientAuth::None,
            client_ca: None,
            client_ca_pem: None,
            versions: vec![Version::Tls12, Version::Tls13],
            session_resumption: true,
            strict_sni: false,
        }
    }
}

/// What is wrong with a section, or likely to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The keys that lead to it within the section.
    pub path: Vec<String>,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub help: String,
}

impl Found {
    fn new(path: &[&str], message: impl Into<String>, help: impl Into<String>) -> Self {
        let path = path.iter().map(|key| (*key).to_owned()).collect();
        Self { path, message: message.into(), help: help.into() }
    }
}

impl From<Diagnostic> for Found {
    fn from(told: Diagnostic) -> Self {
        let Diagnostic { at, message, help } = told;
        let pair =
            |number: usize, key| Self::new(&["certificates", &number.to_string(), key], &*message, &*help);
        match at {
            At::Certificates => Self::new(&["certificates"], message, help),
            At::Cert(number) => pair(number, "cert"),
            At::Key(number) => pair(number, "key"),
            At::ClientCa => Self::new(&["client_ca"], message, help),
        }
    }
}

impl Config {
    /// The keys of the certificates in their order, to be loaded, and what they must be like.
    pub fn secrets(&mut self) -> impl Iterator<Item = (&mut Secret, Rule)> {
        self.certificates.iter_mut().map(|it| (&mut it.key, Rule::document()))
    }

    /// Reads the files that it names. Returns what is wrong with them.
    pub fn read(&mut self) -> Vec<Found> {
        let mut found = Vec::new();
        let mut read = |path: &[&str], file: &FilePath| pem(path, file).map_err(|it| found.push(it)).ok();
        for (number, it) in self.certificates.iter_mut().enumerate() {
            it.cert_pem = read(&["certificates", &number.to_string(), "cert"], &it.cert);
        }
        self.client_ca_pem = self.client_ca.as_ref().and_then(|file| read(&["client_ca"], file));
        found
    }

    /// TLS of this section, whose secrets are loaded and whose files were read, after what was in force. Errors: everything that is wrong with it; what
    /// was in force may stay. What may be wrong is in [`Tls::warnings`], each of which becomes a [`Found`].
    pub fn tls(&self, previous: Option<&Tls>, clock: &Arc<dyn Clock>) -> Result<Tls, Vec<Found>> {
        let settings = self.settings()?;
        let tls = match previous {
            Some(previous) => previous.next(&settings, clock),
            None => Tls::new(&settings, clock),
        };
        tls.map_err(|told| told.into_iter().map(Found::from).collect())
    }

    /// What the types cannot state.
    pub fn check(&self) -> Vec<Found> {
        let mut found = Vec::new();
        match (self.client_auth, &self.client_ca) {
            (ClientAuth::None, Some(_)) => found.push(Found::new(
                &["client_ca"],
                "nobody is asked for a certificate",
                "set `client_auth` to `request` or `require`, or leave `client_ca` out",
            )),
            (ClientAuth::Request | ClientAuth::Require, None) => found.push(Found::new(
                &["client_auth"],
                "it is not said who signs the certificates of clients",
                "set `client_ca` to a PEM file with the authorities",
            )),
            (ClientAuth::None, None) | (ClientAuth::Request | ClientAuth::Require, Some(_)) => {}
        }
        if self.versions().is_none() {
            let help = "write `[\"1.2\", \"1.3\"]`, or one of them";
            found.push(Found::new(&["versions"], "no version of TLS is left, or one is there twice", help));
        }
        found
    }

    fn versions(&self) -> Option<Versions> {
        match self.versions.as_slice() {
            [Version::Tls12, Version::Tls13] | [Version::Tls13, Version::Tls12] => Some(Versions::Both),
            [Version::Tls12] => Some(Versions::Tls12),
            [Version::Tls13] => Some(Versions::Tls13),
            _ => None,
        }
    }

    fn settings(&self) -> Result<Settings, Vec<Found>> {
        let found = self.check();
        let pairs = self.certificates.iter().filter_map(|it| {
            let key = Pem { from: it.key.to_string(), text: it.key.expose().to_owned() };
            Some(Pair { cert: it.cert_pem.clone()?, key })
        });
        let clients = match (self.client_auth, &self.client_ca_pem) {
            (ClientAuth::Request, Some(pem)) => Clients::Asked(pem.clone()),
            (ClientAuth::Require, Some(pem)) => Clients::Required(pem.clone()),
            // Without its authorities a section that asks is among what was found.
            (ClientAuth::None, _) | (_, None) => Clients::NotAsked,
        };
        match self.versions() {
            Some(versions) if found.is_empty() => Ok(Settings {
                certificates: pairs.collect(),
                clients,
                versions,
                session_resumption: self.session_resumption,
                strict_sni: self.strict_sni,
            }),
            _ => Err(found),
        }
    }
}

/// Reads the files that the `tls` section of a service names, whose key is loaded if it has one. Returns what is wrong with them.
pub fn read_of_service(section: &mut mainstay_upstream::config::Tls) -> Vec<Found> {
    let mut found = Vec::new();
    let mut read = |key: &str, file: &Option<FilePath>| {
        let read = file.as_ref().map(|file| pem(&[key], file));
        read.transpose().map_err(|it| found.push(it)).ok().flatten().map(|pem| pem.text)
    };
    let (ca, cert) = (read("ca", &section.ca), read("cert", &section.cert));
    section.files = mainstay_upstream::config::Files { ca, cert };
    // What there is to be said without them was said.
    let is_new = section.has_files() && section.cert.is_some() == section.key.is_some();
    if is_new && found.is_empty() && section.key.as_ref().is_none_or(Secret::is_loaded) {
        found.extend(section.check(None).err().map(|wrong| Found {
            path: Vec::new(),
            message: wrong,
            help: "see docs/gateway/services.md#tls".to_owned(),
        }));
    }
    found
}

fn pem(path: &[&str], file: &FilePath) -> Result<Pem, Found> {
    let text = file::read(file.as_path(), FILE_MAX).map_err(|problem| {
        let help = match problem {
            file::Problem::Unreadable(_) => {
                "relative paths start from the directory of the configuration file; the user of this process must be able to read it"
            }
            file::Problem::NotText(_) => "name a PEM file; `openssl x509 -inform der` converts from DER",
            file::Problem::Kind(_) | file::Problem::TooLarge(_) => "name a PEM file",
        };
        Found::new(path, format!("{file} {problem}"), help)
    })?;
    Ok(Pem { from: file.to_string(), text })
}

#[cfg(test)]
mod tests;
