//! TLS to endpoints, in the configuration.

use std::fmt::{self, Debug, Formatter};

use mainstay_base::reference::{FilePath, Secret};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::tls;

/// TLS to endpoints: whom they have to be, and who is shown to them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Tls {
    /// The name that the certificates of endpoints have to be for, and that they are asked for by. By default that of `dns` with a `port`, and else the address of each endpoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// A PEM file with the authorities that sign the certificates of endpoints. By default those that the system trusts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<FilePath>,
    /// A PEM file with the certificate that is shown to endpoints that ask for one, followed by those of the authorities between it and the root. By default there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cert: Option<FilePath>,
    /// The private key of that certificate in PEM, not encrypted: PKCS#8, PKCS#1 or SEC1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<Secret>,
    /// What the files hold, once they were read.
    #[serde(skip)]
    pub files: Files,
}

/// What files hold.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Files {
    /// That of the authorities, in PEM.
    pub ca: Option<String>,
    /// That of the certificate, in PEM.
    pub cert: Option<String>,
}

impl Debug for Files {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { ca, cert } = self;
        write!(f, "Files(ca: {}, cert: {})", ca.is_some(), cert.is_some())
    }
}

impl Tls {
    /// Whether it names files: those are for the configuration alone.
    pub const fn has_files(&self) -> bool {
        self.ca.is_some() || self.cert.is_some() || self.key.is_some()
    }

    /// Whether the files that it names were read.
    const fn is_read(&self) -> bool {
        self.ca.is_some() == self.files.ca.is_some() && self.cert.is_some() == self.files.cert.is_some()
    }

    /// What the types cannot state, of endpoints that are found by this name; files that were not read are not judged. Errors: what is wrong and what to do.
    pub fn check(&self, found_by: Option<&str>) -> Result<(), String> {
        match (&self.cert, &self.key) {
            (Some(_), None) => return Err("has a `cert` without its `key`: name both".to_owned()),
            (None, Some(_)) => return Err("has a `key` without its `cert`: name both".to_owned()),
            (Some(_), Some(_)) | (None, None) => {}
        }
        if let Some(name) = self.name.as_deref().or(found_by) {
            tls::server_name(name)?;
        }
        if self.is_read() { tls::Client::new(self, None).map(drop) } else { Ok(()) }
    }
}
