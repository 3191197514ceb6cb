//! Clients with certificates.

use std::sync::Arc;

use mainstay_base::units::Duration;
use mainstay_gateway::tls::{Clients, Peer, San, Settings, Tls, Unfit};
use rcgen::{DnType, SanType};
use rustls::{CertificateError, ClientConfig, Error, HandshakeKind};

use crate::support::{
    Authority, Client, Issued, VERSIONS, clock, connect, ecdsa, params, port, settings, time, tls,
};

fn client(
    version: &'static rustls::SupportedProtocolVersion,
    identity: Option<&Issued>,
) -> Arc<ClientConfig> {
    Client { identity: identity.cloned(), ..Client::of(version) }.config()
}

#[test]
fn who_is_let_in_follows_from_whether_clients_have_certificates() {
    let (authority, other) = (Authority::new("clients"), Authority::new("others"));
    let (right, wrong) = (authority.issue(&["app.example"]), other.issue(&["app.example"]));
    let mut late = params("late", &[]);
    late.not_after = rcgen::date_time_ymd(2025, 6, 1);
    let late = authority.sign(&late, &ecdsa());
    let server = Authority::new("root").issue(&["shop.example"]);
    let missing = Error::NoCertificatesPresented;
    let unknown = Error::InvalidCertificate(CertificateError::UnknownIssuer);
    let rows = [
        (Clients::NotAsked, None, Ok(false)),
        (Clients::NotAsked, Some(&right), Ok(false)),
        (Clients::Asked(authority.pem()), None, Ok(false)),
        (Clients::Asked(authority.pem()), Some(&right), Ok(true)),
        (Clients::Asked(authority.pem()), Some(&wrong), Err(Some(&unknown))),
        (Clients::Asked(authority.pem()), Some(&late), Err(None)),
        (Clients::Required(authority.pem()), None, Err(Some(&missing))),
        (Clients::Required(authority.pem()), Some(&right), Ok(true)),
        (Clients::Required(authority.pem()), Some(&wrong), Err(Some(&unknown))),
        (Clients::Required(authority.pem()), Some(&late), Err(None)),
    ];
    for (clients, identity, expected) in rows {
        let tls = tls(&Settings { clients: clients.clone(), ..settings([&server]) });
        for version in VERSIONS {
            let connected = connect(&tls, &client(version, identity), "shop.example");
            match (connected, &expected) {
                (Ok(connection), Ok(is_known)) => {
                    let peer = Peer::of(&connection.server, clock_now()).expect("it is in its time");
                    assert_eq!(peer.is_some(), *is_known, "{clients:?}");
                }
                (Err(error), Err(Some(expected))) => assert_eq!(error, **expected),
                (Err(Error::InvalidCertificate(error)), Err(None)) => {
                    assert!(matches!(error, CertificateError::ExpiredContext { .. }), "{error:?}");
                }
                (connected, expected) => panic!("{clients:?}: {connected:?}, not {expected:?}"),
            }
        }
    }
}

fn clock_now() -> mainstay_base::time::Timestamp {
    time("2026-01-01T00:00:00Z")
}

#[test]
fn a_client_is_known_by_subject_names_and_fingerprint() {
    let authority = Authority::new("clients");
    let mut params = params("a,b+c", &["App.example", "192.0.2.7", "2001:db8::7"]);
    params.distinguished_name.push(DnType::OrganizationName, " #Ex\u{7f}ample");
    params.distinguished_name.push(DnType::CustomDnType(vec![1, 2, 3]), "x");
    let names = [
        SanType::URI("spiffe://example.org/shop".try_into().expect("ASCII")),
        SanType::Rfc822Name("ops@example.org".try_into().expect("ASCII")),
    ];
    params.subject_alt_names.extend(names);
    let issued = authority.sign(&params, &ecdsa());
    let server = Authority::new("root").issue(&["shop.example"]);
    let tls = tls(&Settings { clients: Clients::Required(authority.pem()), ..settings([&server]) });
    for version in VERSIONS {
        let connection =
            connect(&tls, &client(version, Some(&issued)), "shop.example").expect("it is let in");
        let peer =
            Peer::of(&connection.server, clock_now()).expect("it is in its time").expect("it was asked");
        assert_eq!(peer.subject, "1.2.3=#0c0178,O=\\ #Ex\\7Fample,CN=a\\,b\\+c");
        assert_eq!(
            peer.names,
            [
                San::Dns("app.example".into()),
                San::Ip([192, 0, 2, 7].into()),
                San::Ip("2001:db8::7".parse().expect("an address")),
                San::Uri("spiffe://example.org/shop".into()),
                San::Email("ops@example.org".into()),
            ]
        );
        let hashed = ring::digest::digest(&ring::digest::SHA256, &issued.der);
        assert_eq!(peer.fingerprint.0, hashed.as_ref());
        let digits: String = hashed.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(peer.fingerprint.to_string(), digits);
    }
}

#[test]
fn a_resumed_session_has_the_client_of_its_first_handshake_until_its_certificate_ends() {
    let authority = Authority::new("clients");
    let mut params = params("app", &[]);
    params.not_after = rcgen::date_time_ymd(2026, 1, 2);
    let issued = authority.sign(&params, &ecdsa());
    let server = Authority::new("root").issue(&["shop.example"]);
    let settings = Settings { clients: Clients::Required(authority.pem()), ..settings([&server]) };
    for version in VERSIONS {
        let clock = clock();
        let tls = Tls::new(&settings, &port(&clock)).expect("the settings are right");
        let client = client(version, Some(&issued));
        connect(&tls, &client, "shop.example").expect("it is let in");
        let peer = || {
            let again = connect(&tls, &client, "shop.example").expect("it is let in");
            assert_eq!(again.server.handshake_kind(), Some(HandshakeKind::Resumed));
            Peer::of(&again.server, mainstay_base::time::Clock::wall(&clock))
        };
        assert_eq!(peer().expect("it is in its time").expect("it was asked").subject, "CN=app");
        clock.advance(Duration::from_secs(25 * 60 * 60));
        assert_eq!(peer(), Err(Unfit::Expired(time("2026-01-02T00:00:00Z"))));
    }
}
