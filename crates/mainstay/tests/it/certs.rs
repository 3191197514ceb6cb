//! `mainstay certs dev`: what it makes is served, and believed by who trusts its authority.

use std::fs::read_to_string;
use std::path::Path;
use std::sync::Arc;

use mainstay::config::document;
use mainstay::config::value::{Address, Reference};
use mainstay::system::SystemClock;
use mainstay::tls::Config;
use mainstay_gateway::tls::{Peer, Tls};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{
    ClientConfig, ClientConnection, Error, RootCertStore, ServerConnection, SupportedProtocolVersion,
};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::docs::blocks_of;
use crate::support::run;

/// What is printed for the configuration.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Printed {
    listen: Listen,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Listen {
    gateway: Vec<Listener>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Listener {
    address: Address,
    tls: Config,
}

/// Runs the command with this folder for what it makes.
#[track_caller]
fn dev(folder: &Path, arguments: &[&str]) -> String {
    let out = folder.join("certs").display().to_string();
    let (code, printed) = run(folder, &[&["certs", "dev", "--out", &out], arguments].concat());
    assert_eq!(code, Some(0), "{printed}");
    printed
}

/// TLS of a section, after what was in force.
fn serve(mut config: Config, previous: Option<&Tls>) -> Tls {
    for (secret, _) in config.secrets() {
        let Reference::File(path) = secret.reference().clone() else { panic!("a file: {secret}") };
        secret.load(&read_to_string(path).expect("a file"));
    }
    assert_eq!(config.read(), []);
    let clock: Arc<dyn mainstay_base::time::Clock> = Arc::new(SystemClock::new());
    let tls = config.tls(previous, &clock).unwrap_or_else(|found| panic!("{found:?}"));
    assert!(tls.warnings().is_empty(), "{:?}", tls.warnings());
    tls
}

fn document<T: JsonSchema + serde::de::DeserializeOwned>(folder: &Path, yaml: &str) -> T {
    let path = folder.join("section.yaml");
    std::fs::write(&path, yaml).expect("a file");
    document::of_file(&path).unwrap_or_else(|found| panic!("{found:?}\n{yaml}"))
}

/// The listener in what was printed.
fn printed_listener(folder: &Path, printed: &str) -> Listener {
    let lines = printed.lines().skip_while(|line| !line.starts_with("  listen:"));
    let yaml: Vec<_> = lines.take_while(|line| !line.is_empty()).collect();
    let Printed { listen } = document(folder, &yaml.join("\n"));
    let [listener] = listen.gateway.try_into().ok().expect("one listener");
    listener
}

/// A client that trusts the authority, and may have a certificate.
pub fn client(
    folder: &Path,
    version: &'static SupportedProtocolVersion,
    identity: Option<(&Path, &Path)>,
) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    let authority = CertificateDer::from_pem_file(folder.join("certs/ca.pem")).expect("a certificate");
    roots.add(authority).expect("an authority");
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[version])
        .expect("there are suites")
        .with_root_certificates(roots);
    Arc::new(match identity {
        None => builder.with_no_client_auth(),
        Some((cert, key)) => {
            let cert = CertificateDer::from_pem_file(cert).expect("a certificate");
            let key = PrivateKeyDer::from_pem_file(key).expect("a key");
            builder.with_client_auth_cert(vec![cert], key).expect("the key fits")
        }
    })
}

fn connect(tls: &Tls, client: &Arc<ClientConfig>, name: &str) -> Result<ServerConnection, Error> {
    let name = ServerName::try_from(name.to_owned()).expect("a name");
    let mut client = ClientConnection::new(Arc::clone(client), name).expect("it is right");
    let mut server = ServerConnection::new(Arc::clone(tls.server())).expect("it is right");
    let mut bytes = Vec::new();
    while client.wants_write() || server.wants_write() {
        while client.wants_write() {
            client.write_tls(&mut bytes).expect("a Vec takes it");
        }
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            server.read_tls(&mut rest).expect("it is bytes");
            server.process_new_packets()?;
        }
        bytes.clear();
        while server.wants_write() {
            server.write_tls(&mut bytes).expect("a Vec takes it");
        }
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            client.read_tls(&mut rest).expect("it is bytes");
            client.process_new_packets()?;
        }
        bytes.clear();
    }
    assert!(!client.is_handshaking() && !server.is_handshaking());
    Ok(server)
}

#[test]
fn what_is_printed_serves_what_clients_believe() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let first = dev(folder, &[]);
    for words in [
        "made the authority",
        "`*.localhost` is refused by most clients",
        "curl --cacert",
        "https://localhost:8443/",
    ] {
        assert!(first.contains(words), "{words}: {first}");
    }
    let listener = printed_listener(folder, &first);
    assert_eq!(listener.address.to_string(), "127.0.0.1:8443");
    let tls = serve(listener.tls, None);
    for version in [&TLS12, &TLS13] {
        let client = client(folder, version, None);
        for name in ["localhost", "127.0.0.1", "::1"] {
            connect(&tls, &client, name).expect(name);
        }
        connect(&tls, &client, "shop.localhost").expect_err("it wants two labels after the asterisk");
    }

    // Renewed for another name, it is believed by who trusts the authority that was there.
    let client = client(folder, &TLS13, None);
    let second = dev(folder, &["shop.localhost"]);
    assert!(!second.contains("made the authority"), "{second}");
    let renewed = serve(printed_listener(folder, &second).tls, Some(&tls));
    connect(&renewed, &client, "shop.localhost").expect("it is a name of the certificate");
    connect(&renewed, &client, "localhost").expect_err("it is a name no more");
}

#[test]
fn results_for_programs_are_one_document() {
    let folder = tempfile::tempdir().expect("a folder");
    let printed = dev(folder.path(), &["Shop.Localhost", "127.0.0.1", "--output", "json"]);
    let document: serde_json::Value = serde_json::from_str(&printed).expect("JSON");
    assert_eq!(document["names"], serde_json::json!(["shop.localhost", "127.0.0.1"]));
    assert_eq!(document["authority_is_new"], true);
    assert!(document["cert"].as_str().expect("a path").ends_with("certs/dev.pem"), "{document}");
}

#[test]
fn what_cannot_be_made_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let (code, printed) = run(folder.path(), &["certs", "dev", "https://localhost:8443"]);
    assert_eq!(code, Some(2));
    assert!(printed.contains("write its host alone, `localhost`"), "{printed}");
    std::fs::create_dir(folder.path().join("certs")).expect("a folder");
    std::fs::write(folder.path().join("certs/dev.pem"), "mine").expect("a file");
    let (code, printed) = run(folder.path(), &["certs", "dev"]);
    assert_eq!(code, Some(1));
    assert!(printed.contains("dev.pem is there and was not made by this command"), "{printed}");
    assert_eq!(read_to_string(folder.path().join("certs/dev.pem")).expect("a file"), "mine");
}

#[test]
fn the_section_of_the_page_is_served() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    dev(folder, &[]);
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/gateway/tls.md");
    let blocks = blocks_of(&page);
    let block = blocks.iter().find(|it| it.info == "yaml section").expect("the page has a section");
    let yaml = block.text.replace("certs/", &format!("{}/certs/", folder.display()));
    let tls = serve(document(folder, &yaml), None);
    let (cert, key) = (folder.join("certs/dev.pem"), folder.join("certs/dev.key"));
    for version in [&TLS12, &TLS13] {
        let server = connect(&tls, &client(folder, version, None), "localhost").expect("it may have none");
        let now = mainstay_base::time::Clock::wall(&SystemClock::new());
        assert_eq!(Peer::of(&server, now), Ok(None));
        // It is for clients too.
        let client = client(folder, version, Some((&cert, &key)));
        let peer = Peer::of(&connect(&tls, &client, "localhost").expect("it is right"), now);
        assert_eq!(peer.expect("it is right").expect("there is one").subject, "CN=Mainstay development");
    }
}
