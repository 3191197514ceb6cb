//! What is agreed on: versions, protocols, and nothing before the handshake is done.

use mainstay_gateway::tls::{PROTOCOLS, Versions};
use rustls::version::{TLS12, TLS13};
use rustls::{AlertDescription, Error, HandshakeKind};

use crate::support::{Authority, Client, VERSIONS, connect, settings, tls};

#[test]
fn http2_is_spoken_if_the_client_does() {
    let tls = tls(&settings([&Authority::new("root").issue(&["shop.example"])]));
    for version in VERSIONS {
        for (offered, agreed) in [
            (vec![b"http/1.1".as_slice(), b"h2"], Some(b"h2".as_slice())),
            (vec![b"h2"], Some(b"h2")),
            (vec![b"http/1.1"], Some(b"http/1.1")),
            (vec![], None),
        ] {
            let client = Client { protocols: offered, ..Client::of(version) }.config();
            let connection = connect(&tls, &client, "shop.example").expect("they agree");
            assert_eq!(connection.server.alpn_protocol(), agreed);
        }
        let client = Client { protocols: vec![b"spdy/3"], ..Client::of(version) }.config();
        let error = connect(&tls, &client, "shop.example").expect_err("they have none in common");
        assert_eq!(error, Error::NoApplicationProtocol);
    }
    assert_eq!(PROTOCOLS, [b"h2".as_slice(), b"http/1.1"]);
}

#[test]
fn versions_are_those_that_were_asked_for() {
    let issued = Authority::new("root").issue(&["shop.example"]);
    for (versions, spoken) in
        [(Versions::Both, [true, true]), (Versions::Tls12, [true, false]), (Versions::Tls13, [false, true])]
    {
        let tls = tls(&mainstay_gateway::tls::Settings { versions, ..settings([&issued]) });
        for (version, spoken) in VERSIONS.into_iter().zip(spoken) {
            let connection = connect(&tls, &Client::of(version).config(), "shop.example");
            assert_eq!(connection.is_ok(), spoken, "{versions:?} and a client of {version:?}");
        }
    }
    let tls = tls(&settings([&issued]));
    let connection = connect(&tls, &Client::default().config(), "shop.example").expect("they agree");
    assert_eq!(connection.server.protocol_version(), Some(TLS13.version));
    let old = connect(&tls, &Client::of(&TLS12).config(), "shop.example").expect("they agree");
    assert_eq!(old.server.protocol_version(), Some(TLS12.version));
}

#[test]
fn nothing_is_taken_before_the_handshake_is_done() {
    let tls = tls(&settings([&Authority::new("root").issue(&["shop.example"])]));
    let client = Client::of(&TLS13).config();
    connect(&tls, &client, "shop.example").expect("they agree");
    let mut again = connect(&tls, &client, "shop.example").expect("they agree");
    assert_eq!(again.client.handshake_kind(), Some(HandshakeKind::Resumed));
    assert!(again.client.early_data().is_none(), "the ticket allows no early data");
    assert_eq!(tls.server().max_early_data_size, 0);
}

#[test]
fn a_client_that_speaks_no_tls_is_refused() {
    let tls = tls(&settings([&Authority::new("root").issue(&["shop.example"])]));
    let mut server = rustls::ServerConnection::new(tls.server().clone()).expect("the configuration is right");
    server.read_tls(&mut b"GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n".as_slice()).expect("it is bytes");
    assert!(matches!(server.process_new_packets(), Err(Error::InvalidMessage(_))));
    let alert = AlertDescription::DecodeError;
    let mut told = Vec::new();
    server.write_tls(&mut told).expect("a Vec takes it");
    assert_eq!(told.last().copied(), Some(u8::from(alert)));
}
