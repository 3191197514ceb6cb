//! First messages as rustls's client sends them, cut in every way, and what is none.

use std::sync::Arc;

use proptest::prelude::*;
use rustls::crypto::ring;
use rustls::pki_types::ServerName;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ClientConnection, RootCertStore};

use super::*;

/// What a client says first that asks for a name, or connects to an address and so has none.
fn first(name: &str, versions: &[&'static rustls::SupportedProtocolVersion]) -> Vec<u8> {
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(versions)
        .expect("there are suites")
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    let name = ServerName::try_from(name.to_owned()).expect("a name or an address");
    let mut client = ClientConnection::new(Arc::new(config), name).expect("it is right");
    let mut bytes = Vec::new();
    client.write_tls(&mut bytes).expect("a Vec takes it");
    bytes
}

/// A message of the handshake in records of this size.
fn records(message: &[u8], size: usize) -> Vec<u8> {
    let record = |part: &[u8]| {
        let length = u16::try_from(part.len()).expect("it is short").to_be_bytes();
        [&[22, 3, 1], &length[..], part].concat()
    };
    message.chunks(size).flat_map(record).collect()
}

/// A first message with these extensions, and with what every one has.
fn message(extensions: &[(u16, &[u8])]) -> Vec<u8> {
    let extension = |(kind, data): &(u16, &[u8])| {
        let length = u16::try_from(data.len()).expect("it is short").to_be_bytes();
        [&kind.to_be_bytes()[..], &length, data].concat()
    };
    let extensions: Vec<u8> = extensions.iter().flat_map(extension).collect();
    let length = u16::try_from(extensions.len()).expect("they are short").to_be_bytes();
    let body =
        [&[3, 3], &[7; 32][..], &[0], &[0, 4, 0x1a, 0x1a, 0x13, 1], &[1, 0], &length, &extensions].concat();
    let length = u32::try_from(body.len()).expect("it is short").to_be_bytes();
    [&[1], &length[1..], &body].concat()
}

/// The extension by which these names are asked for.
fn names(names: &[&str]) -> Vec<u8> {
    let entry = |name: &&str| {
        let length = u16::try_from(name.len()).expect("it is short").to_be_bytes();
        [&[0], &length[..], name.as_bytes()].concat()
    };
    let list: Vec<u8> = names.iter().flat_map(entry).collect();
    [&u16::try_from(list.len()).expect("it is short").to_be_bytes()[..], &list].concat()
}

const SERVER_NAME: u16 = 0;
const SIGNATURES: (u16, &[u8]) = (13, &[0, 2, 4, 3]);
/// One of the values that mean nothing, so that nobody takes exception to what is new (RFC 8701).
const GREASE: (u16, &[u8]) = (0x2a2a, &[0]);
/// An inner message for whoever can open it (Encrypted Client Hello), which is not one here.
const ENCRYPTED: (u16, &[u8]) = (0xfe0d, &[0, 0, 1, 0, 1, 9, 0, 1, 9, 0, 1, 9]);

fn told(bytes: &[u8]) -> Result<Option<Option<String>>, Error> {
    Reader::default().take(bytes)
}

fn named(name: &str) -> Result<Option<Option<String>>, Error> {
    Ok(Some(Some(name.to_owned())))
}

#[test]
fn the_name_is_that_which_the_client_asks_for() {
    for versions in [&[&TLS12][..], &[&TLS13], &[&TLS13, &TLS12]] {
        assert_eq!(told(&first("db.example.com", versions)), named("db.example.com"));
        assert_eq!(told(&first("192.0.2.7", versions)), Ok(Some(None)), "an address is no name");
    }
    let of = |extensions: &[(u16, &[u8])]| told(&records(&message(extensions), 1 << 14));
    let asked = names(&["DB.Example.COM"]);
    assert_eq!(of(&[GREASE, (SERVER_NAME, &asked), SIGNATURES, ENCRYPTED]), named("db.example.com"));
    assert_eq!(of(&[SIGNATURES, GREASE]), Ok(Some(None)));
    assert_eq!(of(&[(SERVER_NAME, &names(&["db.example.com."])), SIGNATURES]), named("db.example.com"));
}

#[test]
fn what_could_be_read_in_two_ways_is_refused() {
    let of = |extensions: &[(u16, &[u8])]| told(&records(&message(extensions), 1 << 14));
    let refused =
        |told| matches!(told, Err(Error::Unreadable { ref alert, .. }) if alert.first() == Some(&21));
    let (one, other, two) = (names(&["a.b"]), names(&["c.d"]), names(&["a.b", "c.d"]));
    assert!(refused(of(&[(SERVER_NAME, &two), SIGNATURES])), "two names");
    assert!(refused(of(&[(SERVER_NAME, &one), (SERVER_NAME, &other), SIGNATURES])), "two lists");
    for name in ["", "a b", "a..b", "\0", "*.example.com", "-"] {
        assert!(refused(of(&[(SERVER_NAME, &names(&[name])), SIGNATURES])), "{name:?}");
    }
}

#[test]
fn what_is_no_tls_is_refused_at_its_first_bytes() {
    for bytes in [
        &b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..],
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"\x80\x2e\x01\x03\x01\x00\x15\x00\x00\x00\x10",
        &[0; 64],
        &[23, 3, 3, 0, 4, 1, 2, 3, 4],
    ] {
        assert!(matches!(told(bytes), Err(Error::Unreadable { .. })), "{bytes:?}: {:?}", told(bytes));
    }
}

#[tokio::test]
async fn all_that_was_read_is_kept_and_the_end_and_the_length_are_minded() {
    let hello = first("db.example.com", &[&TLS13]);
    let bytes = [&hello[..], b"and what follows"].concat();
    let mut left = &bytes[..];
    let read = read(&mut left).await.expect("it is one");
    assert_eq!(read.name.as_deref(), Some("db.example.com"));
    assert_eq!([&read.read[..], left].concat(), bytes, "nothing is lost");
    for cut in 0..hello.len() {
        assert_eq!(super::read(&mut &hello[..cut]).await, Err(Error::Ended), "{cut}");
    }
    let long = message(&[(SERVER_NAME, &names(&["a.b"])), SIGNATURES, (0x1234, &[0; 20_000])]);
    assert_eq!(super::read(&mut &records(&long, 1 << 14)[..]).await, Err(Error::TooLong));
}

proptest! {
    #[test]
    fn it_is_the_same_in_however_many_records_and_parts(
        size in 1usize..600,
        cuts in proptest::collection::vec(1usize..300, 1..20),
    ) {
        let hello = first("db.example.com", &[&TLS13]);
        let bytes = records(&hello[5..], size);
        let (mut reader, mut rest, mut cuts) = (Reader::default(), &bytes[..], cuts.iter().cycle());
        let mut name = None;
        while name.is_none() && !rest.is_empty() {
            let (part, others) = rest.split_at((*cuts.next().expect("they are endless")).min(rest.len()));
            name = reader.take(part).expect("it is one");
            rest = others;
        }
        prop_assert_eq!(name, Some(Some("db.example.com".to_owned())));
    }

    #[test]
    fn whatever_comes_is_a_name_or_none_or_refused(
        bytes in proptest::collection::vec(any::<u8>(), 0..400),
        at in 0usize..300,
        flipped: u8,
    ) {
        let _ = told(&bytes);
        let mut hello = first("db.example.com", &[&TLS13]);
        let at = at % hello.len();
        hello[at] ^= flipped;
        if let Ok(Some(Some(name))) = told(&hello) {
            prop_assert!(super::super::config::pattern(&name).is_ok() || name.contains('_') || name.ends_with(|c: char| c.is_ascii_digit()), "{}", name);
        }
    }
}
