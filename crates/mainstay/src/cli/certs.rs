//! `mainstay certs`: certificates for a machine that is developed on, by an authority of its own.
//!
//! The folder holds `ca.pem`, `ca.key`, `dev.pem` and `dev.key`. The authority is made once, since trusting it is work for people; the certificate is made again
//! by each run, and its key stays, so that the renewal of what a node has loaded is one renamed file. What this command has not made is never written to.

mod authority;
mod files;
mod name;

use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use clap::{Args, Subcommand};
use mainstay_base::time::{Clock as _, Entropy, Timestamp};
use rcgen::KeyPair;
use serde_json::json;

use super::{OK, Output, OutputArg, failed, output};
use crate::system::{SystemClock, SystemEntropy};
use authority::Authority;
use files::Access;
use name::HostName;

/// The commands under `certs`.
#[derive(Debug, Subcommand)]
pub enum Certs {
    /// Make a certificate for this machine, and once an authority that signs it; run it again to renew the certificate
    Dev(Dev),
}

/// Arguments of `certs dev`.
#[derive(Debug, Args)]
pub struct Dev {
    /// Hosts and addresses that the certificate is for
    #[arg(value_name = "NAME", default_values = ["localhost", "127.0.0.1", "::1", "*.localhost"])]
    names: Vec<HostName>,
    /// The folder that authority, certificate and keys are kept in
    #[arg(long, value_name = "DIR", default_value = "certs")]
    out: String,
    #[command(flatten)]
    output: OutputArg,
}

/// What there is after a run.
#[derive(Debug)]
struct Made {
    names: Vec<HostName>,
    authority: PathBuf,
    authority_is_new: bool,
    cert: PathBuf,
    key: PathBuf,
    until: Timestamp,
}

/// Runs a command, and returns the exit code. The error is that of writing the result.
pub fn run(certs: Certs) -> io::Result<u8> {
    let Certs::Dev(dev) = certs;
    match make(Path::new(&dev.out), dev.names, SystemClock::new().wall(), &SystemEntropy) {
        Ok(made) => {
            match dev.output.output {
                Output::Json => output::json(&document(&made))?,
                Output::Human => output::text(&told(&made))?,
            }
            Ok(OK)
        }
        Err(error) => Ok(failed(&error)),
    }
}

fn make(out: &Path, mut names: Vec<HostName>, now: Timestamp, entropy: &dyn Entropy) -> Result<Made> {
    let mut seen = Vec::new();
    names.retain(|name| {
        !seen.contains(name) && {
            seen.push(name.clone());
            true
        }
    });
    std::fs::create_dir_all(out).with_context(|| format!("cannot make the folder {}", out.display()))?;
    let (authority, authority_is_new) = Authority::of(out, now)?;
    let (cert, key) = (out.join("dev.pem"), out.join("dev.key"));
    let signer = match (files::read(&cert)?, files::read(&key)?) {
        (None, None) => {
            let signer = KeyPair::generate().context("cannot make a key")?;
            files::create(&key, &signer.serialize_pem(), Access::Owner)?;
            signer
        }
        (Some(there), Some(text)) => kept(&authority, &there, &text).with_context(|| foreign(&cert, &key))?,
        (Some(_), None) => bail!(foreign(&cert, &key)),
        (None, Some(_)) => bail!(foreign(&key, &cert)),
    };
    let (issued, until) = authority.issue(&names, &signer, now, entropy)?;
    files::replace(&cert, &issued, Access::Everybody)?;
    Ok(Made { names, authority: authority.cert, authority_is_new, cert, key, until })
}

/// The key of a certificate that an earlier run has made.
fn kept(authority: &Authority, cert: &str, key: &str) -> Result<KeyPair> {
    let signer = KeyPair::from_pem(key).context("the key cannot be read")?;
    authority.check_issued(cert, &signer)?;
    Ok(signer)
}

fn foreign(one: &Path, other: &Path) -> String {
    format!(
        "{} is there and was not made by this command for {}: name another folder (`--out`), or move both away",
        one.display(),
        other.display()
    )
}

fn document(made: &Made) -> serde_json::Value {
    json!({
        "authority": made.authority,
        "authority_is_new": made.authority_is_new,
        "cert": made.cert,
        "key": made.key,
        "names": made.names.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "until": made.until,
    })
}

fn told(made: &Made) -> String {
    let (ca, cert) = (made.authority.display(), made.cert.display());
    let mut text = String::new();
    let mut line = |line: String| writeln!(text, "{line}").expect("a String takes what is written");
    if made.authority_is_new {
        let key = made.authority.with_extension("key");
        line(format!(
            "made the authority {ca}; whoever has {} can be any site for those who trust it",
            key.display()
        ));
    }
    let names: Vec<_> = made.names.iter().map(ToString::to_string).collect();
    line(format!("made {cert} for {}, good until {}", names.join(", "), made.until));
    for name in made.names.iter().filter(|name| name.is_weak_wildcard()) {
        line(format!(
            "  `{name}` is refused by most clients, which want two labels after the asterisk: name each host"
        ));
    }
    line("\nThe listener, for mainstay.yaml:\n".to_owned());
    line(section(&made.cert, &made.key));
    line("Clients that trust the authority:\n".to_owned());
    let host = made
        .names
        .iter()
        .find(|name| !name.is_wildcard())
        .map_or_else(|| "HOST".to_owned(), HostName::in_url);
    line(format!("  curl            curl --cacert {ca} https://{host}:8443/"));
    line(format!(
        "  Debian, Ubuntu  sudo cp {ca} /usr/local/share/ca-certificates/mainstay-dev.crt && sudo update-ca-certificates"
    ));
    line(format!("  Fedora, Arch    sudo trust anchor {ca}"));
    line(format!(
        "  macOS           sudo security add-trusted-cert -d -r trustRoot -k /Library/Keychains/System.keychain {ca}"
    ));
    line(format!(
        "  Firefox         Settings, Privacy & Security, View Certificates, Authorities, Import: {ca}"
    ));
    line(format!(
        "  Chrome          on macOS as the system; on Linux Settings, Privacy and security, Security, Manage certificates, Import: {ca}"
    ));
    text
}

/// The listener as YAML.
fn section(cert: &Path, key: &Path) -> String {
    // A JSON string is one of YAML.
    let quoted = |text: String| serde_json::Value::from(text).to_string();
    let (cert, key) = (quoted(cert.display().to_string()), quoted(format!("${{file:{}}}", key.display())));
    format!(
        "  listen:\n    gateway:\n      - address: 127.0.0.1:8443\n        tls:\n          certificates:\n            - {{ cert: {cert}, key: {key} }}\n"
    )
}

#[cfg(test)]
mod tests;
