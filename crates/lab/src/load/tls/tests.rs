//! Requests over TLS to a server that tells how its handshakes were.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::thread::JoinHandle;

use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection};

use super::super::{Answer, Client as _, Get};
use super::*;

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// Serves so many connections one after the other until each is closed; tells how many requests each had, and whether its session was resumed.
fn serve(
    connections: usize,
    tickets: usize,
) -> (SocketAddr, CertificateDer<'static>, JoinHandle<Vec<(usize, bool)>>) {
    let issued = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(issued.signing_key.serialize_der()));
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![issued.cert.der().clone()], key)
        .unwrap();
    config.send_tls13_tickets = tickets;
    let config = Arc::new(config);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let one = move || {
        let (mut socket, _) = listener.accept().unwrap();
        let mut session = ServerConnection::new(Arc::clone(&config)).unwrap();
        let mut stream = rustls::Stream::new(&mut session, &mut socket);
        let (mut requests, mut input) = (0, [0; 1024]);
        // A client that goes away says nothing before.
        while stream.read(&mut input).is_ok_and(|bytes| bytes > 0) {
            requests += 1;
            stream.write_all(ANSWER).unwrap();
        }
        (requests, session.handshake_kind() == Some(HandshakeKind::Resumed))
    };
    let thread = std::thread::Builder::new().spawn(move || (0..connections).map(|_| one()).collect());
    (address, issued.cert.der().clone(), thread.unwrap())
}

/// What a client is told that asks three times.
fn ask(
    address: SocketAddr,
    certificate: CertificateDer<'static>,
    sessions: Sessions,
) -> Vec<Result<Answer, Failure>> {
    let get = Get::new(address, "localhost", "/");
    let target = Arc::new(Tls::new(get, ("localhost", certificate), "http/1.1", sessions).unwrap());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut client = target.clients(1).remove(0);
        let mut answers = Vec::new();
        for _ in 0..3 {
            let opened = if client.is_open() { Ok(()) } else { client.connect().await };
            answers.push(match opened {
                Ok(()) => client.call().await,
                Err(failure) => Err(failure),
            });
        }
        answers
    })
}

const OK: Result<Answer, Failure> = Ok(Answer { status: 200, body_bytes: 2 });

#[test]
fn connections_are_kept_made_new_or_resumed() {
    for (sessions, expected) in [
        (Sessions::Kept, vec![(3, false)]),
        (Sessions::New, vec![(1, false); 3]),
        (Sessions::Resumed, vec![(1, false), (1, true), (1, true)]),
    ] {
        let (address, certificate, server) = serve(expected.len(), 2);
        assert_eq!(ask(address, certificate, sessions), [OK; 3], "{sessions:?}");
        assert_eq!(server.join().unwrap(), expected, "{sessions:?}");
    }
}

#[test]
fn a_session_that_was_to_be_resumed_and_is_not_is_a_failure() {
    let (address, certificate, server) = serve(3, 0);
    let answers = ask(address, certificate, Sessions::Resumed);
    assert_eq!(answers, [OK, Err(Failure::NotResumed), Err(Failure::NotResumed)]);
    server.join().unwrap();
}

#[test]
fn another_certificate_is_not_trusted() {
    let (address, _, server) = serve(3, 2);
    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let answers = ask(address, other.cert.der().clone(), Sessions::Kept);
    assert_eq!(answers, [Err(Failure::NotConnected); 3]);
    server.join().unwrap();
}
