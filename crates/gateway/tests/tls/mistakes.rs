//! Every mistake is told with its place, its file, and what to do; none with anything of a key.

use mainstay_gateway::tls::{At, Clients, Diagnostic, Settings, Tls};
use rcgen::{KeyPair, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PKCS_RSA_SHA256};

use crate::support::{
    Authority, Client, Issued, clock, connect, ecdsa, params, pem, port, rsa, settings, time, tls,
};

fn mistakes(settings: &Settings) -> Vec<Diagnostic> {
    Tls::new(settings, &port(&clock())).err().unwrap_or_default()
}

/// One mistake, at a place, in these words, with this to do.
#[track_caller]
fn only(settings: &Settings, at: At, message: &str, help: &str) {
    let found = mistakes(settings);
    let [one] = found.as_slice() else { panic!("one mistake: {found:?}") };
    assert_eq!((one.at, one.message.as_str()), (at, message));
    assert!(one.help.contains(help), "{}", one.help);
}

/// Settings with one pair, of these two texts.
fn of(cert: &str, key: &str) -> Settings {
    let issued = Issued { cert: cert.into(), der: Vec::new().into(), key: key.into() };
    settings([&issued])
}

#[test]
fn certificates() {
    let authority = Authority::new("root");
    let good = authority.issue(&["shop.example"]);
    let bare = authority.sign(&params("shop.example", &[]), &ecdsa());
    let damaged = good.cert.replacen("MII", "M!I", 1);
    let cut = good.cert.split("-----END").next().expect("there is an end").to_owned();
    let no_der = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let request = "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n";
    let no_names = "the certificate in 0.pem (`CN=shop.example`) has no subject alternative names";
    for (cert, message, help) in [
        ("", "0.pem holds no certificate", "-inform der"),
        ("# nothing yet\n", "0.pem holds no certificate", "-----BEGIN CERTIFICATE-----"),
        (&good.key, "0.pem holds a private key", "name the file of the certificate"),
        (request, "0.pem holds a request for a certificate", "the authority answered with"),
        (&damaged, "0.pem is damaged: a section of it is not base64", "copy the file again"),
        (&cut, "0.pem is damaged: a section of it does not end", "copy the file again"),
        (no_der, "certificate 1 of 0.pem cannot be read", "copy the file again"),
    ] {
        only(&of(cert, &good.key), At::Cert(0), message, help);
    }
    only(&of(&bare.cert, &bare.key), At::Cert(0), no_names, "the names that clients use");
    let none = Settings { certificates: Vec::new(), ..settings([]) };
    only(&none, At::Certificates, "there is no certificate", "mainstay certs dev");
}

#[test]
fn keys() {
    let good = Authority::new("root").issue(&["shop.example"]);
    let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let old =
        "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nAAAA\n-----END RSA PRIVATE KEY-----\n";
    let damaged = good.key.replacen("MIG", "M!G", 1);
    let unknown = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    for (key, message, help) in [
        ("", "0.key holds no private key", "-----BEGIN PRIVATE KEY-----"),
        (&good.cert, "0.key holds a certificate and no key", "-----BEGIN PRIVATE KEY-----"),
        (encrypted, "0.key holds an encrypted key", "openssl pkey -in OLD"),
        (old, "0.key holds an encrypted key", "openssl pkey -in OLD"),
        (&damaged, "0.key holds a key that is damaged", "copy the file again"),
        (&good.key.repeat(2), "0.key holds more than one key", "alone"),
        (unknown, "0.key holds a key of a kind that is not supported", "P-256"),
        (
            &ecdsa().serialize_pem(),
            "0.key holds the key of another certificate than 0.pem",
            "name the key that this certificate was requested with",
        ),
    ] {
        only(&of(&good.cert, key), At::Key(0), message, help);
    }
}

#[test]
fn keys_of_every_kind_and_form_are_read() {
    let authority = Authority::new("root");
    let shop = params("leaf", &["shop.example"]);
    let generated = |algorithm| KeyPair::generate_for(algorithm).expect("there is randomness");
    let ec = || KeyPair::from_pem(include_str!("fixtures/ec.pkcs8.pem")).expect("it is a key");
    let mut issued = vec![
        authority.issue(&["shop.example"]),
        authority.sign(&shop, &generated(&PKCS_ECDSA_P384_SHA384)),
        authority.sign(&shop, &generated(&PKCS_ED25519)),
        authority.sign(&shop, &rsa()),
    ];
    assert!(rsa().is_compatible(&PKCS_RSA_SHA256));
    issued
        .push(Issued { key: include_str!("fixtures/rsa.pkcs1.pem").into(), ..authority.sign(&shop, &rsa()) });
    issued.push(Issued { key: include_str!("fixtures/ec.sec1.pem").into(), ..authority.sign(&shop, &ec()) });
    for one in &issued {
        let connection = connect(&tls(&settings([one])), &Client::default().config(), "shop.example");
        assert_eq!(connection.expect("they agree").shown(), &one.der);
    }
}

#[test]
fn chains() {
    let root = Authority::new("root");
    let (middle, other) = (root.below("middle"), root.below("other"));
    let leaf = middle.issue(&["shop.example"]);
    let chain = |parts: &[&str]| of(&parts.concat(), &leaf.key);
    let (l, m, o, r) = (leaf.cert.as_str(), &middle.0.pem(), &other.0.pem(), &root.0.pem());
    for good in [[l].as_slice(), &[l, m], &[l, m, r]] {
        assert_eq!(mistakes(&chain(good)), []);
    }
    for (parts, message, help) in [
        ([m, l].as_slice(), "the certificate of the key is number 2 in 0.pem", "put it first"),
        (
            &[l, r, m],
            "the chain in 0.pem is out of order: number 1 was issued by `CN=middle`, and number 2 is `CN=root`",
            "put after each certificate that of its issuer",
        ),
        (
            &[l, o],
            "the chain in 0.pem is out of order: number 1 was issued by `CN=middle`, and number 2 is `CN=other`",
            "take out what does not belong",
        ),
    ] {
        only(&chain(parts), At::Cert(0), message, help);
    }
}

#[test]
fn names_that_two_certificates_have() {
    let authority = Authority::new("root");
    let shop = params("leaf", &["shop.example"]);
    let rows: [(Issued, Option<&str>); 5] = [
        (authority.issue(&["SHOP.example"]), Some("shop.example")),
        (authority.issue(&["b.example", "*.shop.example"]), Some("*.shop.example")),
        (authority.issue(&["a.shop.example"]), None),
        (authority.issue(&["127.0.0.1", "c.example"]), None),
        (authority.sign(&shop, &rsa()), None),
    ];
    for (second, name) in rows {
        let settings =
            settings([&authority.issue(&["shop.example", "*.shop.example", "127.0.0.1"]), &second]);
        match name {
            Some(name) => only(
                &settings,
                At::Cert(1),
                &format!("`{name}` is a name of 0.pem and of 1.pem, whose keys are of one kind"),
                "RSA beside ECDSA",
            ),
            None => assert_eq!(mistakes(&settings), []),
        }
    }
}

#[test]
fn authorities_of_clients() {
    let good = Authority::new("root").issue(&["shop.example"]);
    let with =
        |text: &str| Settings { clients: Clients::Required(pem("clients.pem", text)), ..settings([&good]) };
    let no_der = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    only(&with(""), At::ClientCa, "clients.pem holds no certificate", "name a PEM file");
    only(&with(&good.key), At::ClientCa, "clients.pem holds a private key", "name the file");
    only(&with(no_der), At::ClientCa, "certificate 1 of clients.pem cannot be read", "copy the file again");
    let warned = tls(&with(&good.cert));
    let [warning] = warned.warnings() else { panic!("one warning: {:?}", warned.warnings()) };
    assert_eq!(warning.at, At::ClientCa);
    assert_eq!(warning.message, "`CN=leaf` in clients.pem does not say that it is an authority");
}

#[test]
fn all_mistakes_are_told_at_once() {
    let authority = Authority::new("root");
    let good = authority.issue(&["shop.example"]);
    let mut settings = settings([&good, &authority.issue(&["shop.example"]), &good, &good]);
    settings.certificates[2].cert.text.clear();
    settings.certificates[2].key.text.clear();
    settings.certificates[3].key.text = ecdsa().serialize_pem();
    settings.clients = Clients::Asked(pem("clients.pem", ""));
    let places: Vec<_> = mistakes(&settings).iter().map(|it| it.at).collect();
    assert_eq!(places, [At::Cert(2), At::Key(2), At::Key(3), At::Cert(1), At::ClientCa]);
}

#[test]
fn what_is_out_of_its_time_is_shown_with_a_warning() {
    let authority = Authority::new("root");
    let issued = authority.issue(&["shop.example"]);
    for (now, message) in [
        ("2024-12-31T23:59:59Z", Some("is not valid before 2025-01-01T00:00:00Z")),
        ("2025-01-01T00:00:00Z", None),
        ("2029-06-01T00:00:00Z", None),
        ("2029-08-01T00:00:00Z", Some("expires at 2030-01-01T00:00:00Z")),
        ("2030-01-01T00:00:00Z", Some("expires at 2030-01-01T00:00:00Z")),
        ("2030-01-01T00:00:01Z", Some("has expired at 2030-01-01T00:00:00Z")),
    ] {
        let clock = clock();
        clock.jump_wall(time(now));
        let tls = Tls::new(&settings([&issued]), &port(&clock)).expect("it is no mistake");
        let told: Vec<_> = tls.warnings().iter().map(|it| (it.at, it.message.clone())).collect();
        let expected =
            message.map(|message| (At::Cert(0), format!("the certificate in 0.pem (`CN=leaf`) {message}")));
        assert_eq!(told, expected.into_iter().collect::<Vec<_>>(), "{now}");
        connect(&tls, &Client::default().config(), "shop.example").expect("it is shown");
    }
    let clock = clock();
    clock.jump_wall(time("2031-01-01T00:00:00Z"));
    let settings = Settings { clients: Clients::Asked(authority.pem()), ..settings([&issued]) };
    let tls = Tls::new(&settings, &port(&clock)).expect("it is no mistake");
    let told = &tls.warnings()[1];
    assert_eq!(told.at, At::ClientCa);
    assert!(told.message.contains("is accepted all the same"), "{}", told.message);
}

#[test]
fn nothing_of_a_file_is_printed() {
    let issued = Authority::new("root").issue(&["shop.example"]);
    let settings = settings([&issued]);
    let shown = format!("{settings:?} {:?}", tls(&settings));
    for line in issued.key.lines().filter(|line| !line.starts_with('-')) {
        assert!(!shown.contains(line), "{shown}");
    }
    assert!(shown.contains("0.key"), "{shown}");
    for damage in ["M!G", "-----BEGIN MIG"] {
        let damaged = issued.key.replacen("MIG", damage, 1);
        let line = damaged.lines().find(|it| it.contains(damage)).expect("it is in it");
        let found = mistakes(&of(&issued.cert, &damaged));
        assert!(!format!("{found:?}").contains(&line[15..]), "{found:?}");
    }
}
