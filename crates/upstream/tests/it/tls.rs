//! TLS to endpoints: whom they have to be, and who is shown to them.

use std::num::NonZeroU16;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Method};
use http_body_util::BodyExt as _;
use mainstay_base::brief::{Brief, Expand as _};
use mainstay_base::switch::Switch;
use mainstay_upstream::config::{Dns, Files, Idle, Protocol, Tls};
use mainstay_upstream::{Config, Payload, State};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::RootCertStore;
use rustls::crypto::ring;
use rustls::pki_types::PrivateKeyDer;
use rustls::server::{ServerConfig, WebPkiClientVerifier};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::world::*;

/// An authority.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::self_signed(params, key).expect("an authority"))
    }

    fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate for a name, and its key.
    fn certify(&self, name: &str) -> (rcgen::Certificate, KeyPair) {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
        (params.signed_by(&key, &self.0).expect("a certificate"), key)
    }

    /// Trusts it, and nobody else.
    fn trusted(&self) -> Tls {
        Tls { files: Files { ca: Some(self.pem()), cert: None }, ..Tls::default() }
    }
}

/// A service over TLS.
struct Server {
    listener: TcpListener,
    acceptor: TlsAcceptor,
}

impl Server {
    /// With a certificate for a name; of clients that this authority has signed, if there is one.
    async fn new(
        authority: &Authority,
        name: &str,
        protocols: &[&[u8]],
        clients: Option<&Authority>,
    ) -> Self {
        let (certificate, key) = authority.certify(name);
        let provider = Arc::new(ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .expect("versions");
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(authority) => {
                let mut roots = RootCertStore::empty();
                roots.add(authority.0.der().clone()).expect("an authority");
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                builder.with_client_cert_verifier(verifier.build().expect("a verifier"))
            }
        };
        let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
        let mut config = builder.with_single_cert(vec![certificate.der().clone()], key).expect("a pair");
        config.alpn_protocols = protocols.iter().map(|it| it.to_vec()).collect();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        Self { listener, acceptor: TlsAcceptor::from(Arc::new(config)) }
    }

    fn config(&self, tls: Tls) -> Config {
        let address = self.listener.local_addr().expect("it listens");
        Config { tls: Switch::On(tls), ..at(&[address]) }
    }

    async fn accept(&self) -> std::io::Result<TlsStream<TcpStream>> {
        let (stream, _) = self.listener.accept().await.expect("a connection");
        self.acceptor.accept(stream).await
    }
}

/// Reads a head and so much of a body.
async fn read(stream: &mut TlsStream<TcpStream>, body: usize) -> (String, Vec<u8>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.expect("a head"));
    }
    let mut bytes = vec![0; body];
    stream.read_exact(&mut bytes).await.expect("a body");
    (String::from_utf8(head).expect("text"), bytes)
}

#[tokio::test]
async fn an_endpoint_whose_certificate_is_for_its_address_is_called_again_on_the_same_connection() {
    const BODY_BYTES: usize = 3 << 20;
    let authority = Authority::new("servers");
    let server = Server::new(&authority, "127.0.0.1", &[], None).await;
    let world = World::with(server.config(authority.trusted()), "{}");
    let serve = async {
        let mut stream = server.accept().await.expect("a handshake");
        loop {
            // More than both sides hold, each way.
            let (head, body) = read(&mut stream, BODY_BYTES).await;
            assert!(head.starts_with("POST /x?y=1 HTTP/1.1\r\n"), "{head}");
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {BODY_BYTES}\r\n\r\n");
            stream.write_all(head.as_bytes()).await.expect("it is read");
            stream.write_all(&body).await.expect("it is read");
            stream.flush().await.expect("it is read");
        }
    };
    let calls = async {
        for fill in 1..4 {
            let body = Bytes::from(vec![fill; BODY_BYTES]);
            let answer = world.call(Method::POST, Payload::Whole(body.clone())).await.expect("it answers");
            let back = answer.into_body().collect().await.expect("all of it").to_bytes();
            assert!(back == body, "it is as it was sent");
        }
    };
    during(serve, calls).await;
}

#[tokio::test]
async fn the_end_of_a_body_that_the_connection_does_not_take_at_once_is_sent_all_the_same() {
    let authority = Authority::new("servers");
    let server = Server::new(&authority, "127.0.0.1", &[], None).await;
    let little = rustix::net::sockopt::set_socket_recv_buffer_size(&server.listener, 32 << 10);
    little.expect("it is so much at least");
    // One of them is a little longer than what the connection holds, whatever that is.
    let lengths: Vec<usize> = (1..80).map(|step| (step * 48) << 10).collect();
    let world = World::with(
        Config { idle: Idle { max: 0, ..Idle::default() }, ..server.config(authority.trusted()) },
        "{}",
    );
    let serve = async {
        for length in &lengths {
            let mut stream = server.accept().await.expect("a handshake");
            // Nothing is read before all has been written that can be.
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
            read(&mut stream, *length).await;
            stream.write_all(b"HTTP/1.1 204 OK\r\n\r\n").await.expect("it is read");
            stream.flush().await.expect("it is read");
        }
        std::future::pending::<()>().await;
    };
    let calls = async {
        for length in &lengths {
            let body = Payload::Whole(Bytes::from(vec![0; *length]));
            let answer =
                world.call(Method::POST, body).await.unwrap_or_else(|error| panic!("{length}: {error}"));
            assert_eq!(answer.status(), 204);
        }
    };
    during(serve, calls).await;
}

#[tokio::test]
async fn an_endpoint_that_is_somebody_else_is_sent_nothing() {
    let (authority, stranger) = (Authority::new("ours"), Authority::new("strangers"));
    let server = Server::new(&authority, "payments.internal", &[], None).await;
    let named = |name: &str, of: &Authority| Tls { name: Some(name.to_owned()), ..of.trusted() };
    let serve = async {
        loop {
            if let Ok(mut stream) = server.accept().await {
                // A client that does not trust it ends the connection after the handshake, as this side sees it.
                let mut byte = [0];
                assert!(!matches!(stream.read(&mut byte).await, Ok(1..)), "nothing is sent");
            }
        }
    };
    let calls = async {
        for (tls, why) in [
            (named("payments.internal", &stranger), "UnknownIssuer"),
            (named("orders.internal", &authority), "not valid for name"),
            (authority.trusted(), "not valid for name"),
        ] {
            let world = World::with(server.config(tls), r#"{"retry": false}"#);
            let told = world.get().await.expect_err("it is somebody else");
            assert!(told.starts_with("no TLS with 127.0.0.1:"), "{told}");
            let endpoint = world.service.roster().view(world.env.now()).remove(0);
            assert_eq!((endpoint.state, endpoint.connections), (State::Unreachable, 0));
            assert!(told.contains(why), "{told}");
        }
    };
    during(serve, calls).await;
}

#[tokio::test]
async fn an_endpoint_that_asks_for_a_certificate_is_shown_it() {
    let (authority, clients) = (Authority::new("servers"), Authority::new("clients"));
    let server = Server::new(&authority, "payments.internal", &[], Some(&clients)).await;
    let (certificate, key) = clients.certify("gateway");
    let mut tls = Tls { name: Some("payments.internal".to_owned()), ..authority.trusted() };
    tls.files.cert = Some(certificate.pem());
    tls.cert = Some("cert.pem".parse().expect("a path"));
    tls.ca = Some("ca.pem".parse().expect("a path"));
    let mut secret: mainstay_base::reference::Secret = "${file:key.pem}".parse().expect("a reference");
    secret.load(&key.serialize_pem());
    tls.key = Some(secret);
    let world = World::with(server.config(tls), "{}");
    let serve = async {
        let mut stream = server.accept().await.expect("a handshake");
        let shown = stream.get_ref().1.peer_certificates().map(<[_]>::to_vec);
        assert_eq!(shown, Some(vec![certificate.der().clone()]));
        read(&mut stream, 0).await;
        stream.write_all(b"HTTP/1.1 204 OK\r\n\r\n").await.expect("it is read");
        stream.flush().await.expect("it is read");
        std::future::pending::<()>().await;
    };
    let (status, _, _) = during(serve, world.get()).await.expect("it answers");
    assert_eq!(status, 204);
}

#[tokio::test]
async fn http2_over_tls_is_agreed_on_or_not_spoken() {
    let authority = Authority::new("servers");
    for (protocols, speaks) in [(&[&b"h2"[..], b"http/1.1"][..], true), (&[][..], false)] {
        let server = Server::new(&authority, "127.0.0.1", protocols, None).await;
        let config = Config { protocol: Protocol::Http2, ..server.config(authority.trusted()) };
        let world = World::with(config, r#"{"retry": false}"#);
        let serve = async {
            let stream = server.accept().await.expect("a handshake");
            let service =
                hyper::service::service_fn(|request: http::Request<hyper::body::Incoming>| async move {
                    assert_eq!(request.uri().scheme_str(), Some("https"));
                    Ok::<_, std::convert::Infallible>(http::Response::new(String::from("ok")))
                });
            let stream = hyper_util::rt::TokioIo::new(stream);
            let executor = hyper_util::rt::TokioExecutor::new();
            let served = hyper::server::conn::http2::Builder::new(executor).serve_connection(stream, service);
            let _ = served.await;
            std::future::pending::<()>().await;
        };
        match during(serve, world.get()).await {
            Ok(answer) => assert_eq!((answer, speaks), ((200, "ok".to_owned(), HeaderMap::new()), true)),
            Err(told) => assert!(!speaks && told.contains("does not speak h2 over TLS"), "{told}"),
        }
    }
}

#[tokio::test]
async fn bytes_that_are_no_http_go_over_tls_on_which_nothing_is_agreed() {
    let authority = Authority::new("servers");
    let server = Server::new(&authority, "127.0.0.1", &[b"h2"], None).await;
    let config = Config { protocol: Protocol::Http2, ..server.config(authority.trusted()) };
    let world = World::with(config, "{}");
    let serve = async {
        let mut stream = server.accept().await.expect("a handshake");
        assert_eq!(stream.get_ref().1.alpn_protocol(), None);
        let mut said = [0; 5];
        stream.read_exact(&mut said).await.expect("it is said");
        stream.write_all(&said).await.expect("it is read");
        stream.shutdown().await.expect("it is read");
        std::future::pending::<()>().await;
    };
    let speak = async {
        let mut connected =
            mainstay_upstream::tcp::connect(&world.service, None, &world.env).await.expect("it listens");
        connected.stream.write_all(b"hello").await.expect("it is read");
        connected.stream.flush().await.expect("it is read");
        let mut answered = String::new();
        connected.stream.read_to_string(&mut answered).await.expect("it is said");
        assert_eq!(answered, "hello");
    };
    during(serve, speak).await;
}

#[tokio::test]
async fn an_endpoint_that_is_found_by_a_name_has_that_name() {
    let authority = Authority::new("servers");
    let server = Server::new(&authority, "localhost", &[], None).await;
    let port = server.listener.local_addr().expect("it listens").port();
    let dns = Some(Brief(Dns::expand("localhost".to_owned())));
    let tls = Switch::On(authority.trusted());
    let world = World::with(Config { dns, port: NonZeroU16::new(port), tls, ..Config::default() }, "{}");
    let serve = async {
        let answers = async {
            let mut stream = server.accept().await.expect("a handshake");
            read(&mut stream, 0).await;
            stream.write_all(b"HTTP/1.1 204 OK\r\n\r\n").await.expect("it is read");
            stream.flush().await.expect("it is read");
            std::future::pending::<()>().await;
        };
        tokio::join!(answers, world.tend());
    };
    let call = async {
        while world.service.roster().picture().endpoints().next().is_none() {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        assert_eq!(world.get().await.expect("it answers").0, 204);
    };
    during(serve, call).await;
}
