//! Who may listen, and who is believed: TLS with each `sslmode`, and passwords.

use std::path::PathBuf;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

use super::*;

/// An authority, as a file that names it to clients.
fn authority(server: &Server, name: &str) -> (CertifiedIssuer<'static, KeyPair>, PathBuf) {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("a key can be made");
    let authority = CertifiedIssuer::self_signed(params, key).expect("it signs itself");
    let path = server.file(name, &authority.pem());
    (authority, path)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_is_protected_as_far_as_its_mode_says() {
    let mut server = Server::start(&[]);
    let (authority, known) = authority(&server, "authority.pem");
    let (_, unknown) = self::authority(&server, "other.pem");
    let key = KeyPair::generate().expect("a key can be made");
    let params = CertificateParams::new(["localhost".to_owned()]).expect("it is a name");
    let certificate = params.signed_by(&key, &authority).expect("the authority signs it");
    let certificate = server.file("server.pem", &certificate.pem());
    let key = server.file("server.key", &key.serialize_pem());
    let access = server.file("access.conf", "local all all trust\nhostssl all all all trust\n");
    let port = server.listen(&[
        "ssl=on",
        &format!("ssl_cert_file={}", certificate.display()),
        &format!("ssl_key_file={}", key.display()),
        &format!("hba_file={}", access.display()),
    ]);

    let (known, unknown) = (known.display(), unknown.display());
    for (host, parameters, refused_for) in [
        ("localhost", format!("sslmode=verify-full&sslrootcert={known}"), None),
        ("127.0.0.1", format!("sslmode=verify-full&sslrootcert={known}"), Some("not valid for name")),
        ("127.0.0.1", format!("sslmode=verify-ca&sslrootcert={known}"), None),
        ("127.0.0.1", format!("sslmode=require&sslrootcert={known}"), None),
        ("localhost", format!("sslmode=verify-full&sslrootcert={unknown}"), Some("UnknownIssuer")),
        ("localhost", format!("sslmode=verify-ca&sslrootcert={unknown}"), Some("UnknownIssuer")),
        ("localhost", format!("sslmode=require&sslrootcert={unknown}"), Some("UnknownIssuer")),
        ("127.0.0.1", "sslmode=require".to_owned(), None),
        ("127.0.0.1", "sslmode=prefer".to_owned(), None),
        ("127.0.0.1", String::new(), None),
        ("127.0.0.1", "sslmode=disable".to_owned(), Some("no encryption")),
    ] {
        let url = format!("postgres://postgres@{host}:{port}/postgres?{parameters}");
        match (try_open(options(&url)).await, refused_for) {
            (Ok(log), None) => {
                append(&log, next(&log).await).await.expect("R1");
                let plain = "SELECT count(*) FROM pg_stat_activity JOIN pg_stat_ssl USING (pid) \
                     WHERE application_name = 'mainstay' AND NOT ssl";
                assert_eq!(server.sql(plain).await[0][0], "0", "{url}");
            }
            (Err(error), Some(words)) => assert!(error.to_string().contains(words), "{url}: {error}"),
            (Ok(_), Some(_)) => panic!("{url} is not refused"),
            (Err(error), None) => panic!("{url}: {error}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_tls_is_refused_where_it_is_demanded() {
    let mut server = Server::start(&[]);
    let port = server.listen(&[]);
    let url = |mode| format!("postgres://postgres@127.0.0.1:{port}/postgres?sslmode={mode}");
    for mode in ["disable", "prefer"] {
        drop(open(options(&url(mode))).await);
    }
    let error = try_open(options(&url("require"))).await.err().expect("it is refused").to_string();
    assert!(error.contains("does not support TLS"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_not_told() {
    let mut server = Server::start(&[]);
    server.sql("CREATE ROLE app LOGIN SUPERUSER PASSWORD 'right'").await;
    let access = server.file("access.conf", "local all postgres trust\nlocal all all scram-sha-256\n");
    server.crash();
    server.add(&format!("hba_file={}", access.display()));
    server.resume();
    let url = |user: &str| server.url().replace("postgres@", &format!("{user}@"));
    for (url, password) in [(url("app:hunter2"), None), (url("app"), Some("hunter2"))] {
        let mut options = options(&url);
        if let Some(password) = password {
            options.server = options.server.with_password(password);
        }
        let error = try_open(options).await.err().expect("it is refused");
        assert!(error.to_string().contains("password authentication failed"), "{error}");
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
    }
    drop(open(options(&url("app:right"))).await);
}
