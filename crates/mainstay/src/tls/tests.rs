//! Sections and their mistakes, with files in a folder.

use std::path::Path;

use mainstay_base::time::ManualClock;
use rcgen::{CertificateParams, KeyPair};

use super::*;
use crate::config::document;

fn section(folder: &Path, yaml: &str) -> Config {
    let path = folder.join("tls.yaml");
    std::fs::write(&path, yaml.replace("DIR", &folder.display().to_string())).expect("a file");
    let mut config: Config = document::of_file(&path).unwrap_or_else(|found| panic!("{found:?}"));
    for (secret, _) in config.secrets() {
        let crate::config::value::Reference::File(path) = secret.reference().clone() else {
            panic!("a file")
        };
        secret.load(&std::fs::read_to_string(path).unwrap_or_default());
    }
    config
}

/// A folder with `a.pem` and `a.key`.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let key = KeyPair::generate().expect("there is randomness");
    let params = CertificateParams::new(["shop.example".to_owned()]).expect("it is a name");
    let cert = params.self_signed(&key).expect("it signs itself").pem();
    std::fs::write(folder.path().join("a.pem"), cert).expect("a file");
    std::fs::write(folder.path().join("a.key"), key.serialize_pem()).expect("a file");
    folder
}

const PAIR: &str = "certificates: [{ cert: DIR/a.pem, key: \"${file:DIR/a.key}\" }]";

fn tls(mut config: Config, previous: Option<&Tls>) -> Result<Tls, Vec<Found>> {
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::default());
    let found = config.read();
    if found.is_empty() { config.tls(previous, &clock) } else { Err(found) }
}

#[test]
fn a_section_is_certificates_and_defaults() {
    let folder = folder();
    let config = section(folder.path(), PAIR);
    assert_eq!(config.certificates.len(), 1);
    assert_eq!(Config { certificates: Vec::new(), ..config.clone() }, Config::default());
    let first = tls(config.clone(), None).expect("it is right");
    assert!(tls(config, Some(&first)).is_ok());
    assert!(first.warnings().is_empty());
}

#[test]
fn mistakes_are_at_their_keys_and_say_what_to_do() {
    let folder = folder();
    std::fs::write(folder.path().join("der"), b"\x30\x82\xff").expect("a file");
    for (yaml, path, message, help) in [
        ("{}", "certificates", "there is no certificate", "mainstay certs dev"),
        (
            "certificates: [{ cert: DIR/b.pem, key: \"${file:DIR/a.key}\" }]",
            "certificates.0.cert",
            "b.pem cannot be read",
            "relative paths",
        ),
        (
            "certificates: [{ cert: DIR/der, key: \"${file:DIR/a.key}\" }]",
            "certificates.0.cert",
            "is not UTF-8",
            "-inform der",
        ),
        (
            "certificates: [{ cert: DIR, key: \"${file:DIR/a.key}\" }]",
            "certificates.0.cert",
            "is a directory",
            "name a PEM file",
        ),
        (
            "certificates: [{ cert: DIR/a.pem, key: \"${file:DIR/a.pem}\" }]",
            "certificates.0.key",
            "a.pem} holds a certificate and no key",
            "PRIVATE KEY",
        ),
        (
            "PAIR\nclient_auth: require",
            "client_auth",
            "who signs the certificates of clients",
            "set `client_ca`",
        ),
        ("PAIR\nclient_ca: DIR/a.pem", "client_ca", "nobody is asked", "leave `client_ca` out"),
        (
            "PAIR\nclient_auth: request\nclient_ca: DIR/a.key",
            "client_ca",
            "a.key holds a private key",
            "name the file",
        ),
        (
            "PAIR\nclient_auth: request\nclient_ca: DIR/c.pem",
            "client_ca",
            "c.pem cannot be read",
            "relative paths",
        ),
    ] {
        let config = section(folder.path(), &yaml.replace("PAIR", PAIR));
        let found = tls(config, None).expect_err(yaml);
        let [one] = found.as_slice() else { panic!("{yaml}: {found:?}") };
        assert_eq!(one.path.join("."), path, "{yaml}");
        assert!(one.message.contains(message) && one.help.contains(help), "{yaml}: {one:?}");
    }
    for versions in [vec![], vec![Version::Tls13; 2]] {
        let found = Config { versions, ..section(folder.path(), PAIR) }.check();
        assert_eq!(found[0].path, ["versions"]);
    }
}

#[test]
fn what_is_written_becomes_what_is_in_force() {
    let folder = folder();
    let yaml = format!(
        "{PAIR}\nclient_auth: require\nclient_ca: DIR/a.pem\nversions: [\"1.3\"]\nsession_resumption: false\nstrict_sni: true"
    );
    let settings = |yaml: &str| {
        let mut config = section(folder.path(), yaml);
        assert!(config.read().is_empty());
        config.settings().expect("it is right")
    };
    let required = settings(&yaml);
    assert!(matches!(required.clients, Clients::Required(ref pem) if pem.from.ends_with("a.pem")));
    assert_eq!(required.versions, Versions::Tls13);
    assert!(!required.session_resumption && required.strict_sni);
    let asked = settings(&yaml.replace("require", "request"));
    assert!(matches!(asked.clients, Clients::Asked(_)));
}
