//! Which certificate a client is shown.

use mainstay_gateway::tls::Settings;
use rcgen::{KeyPair, PKCS_ED25519};
use rustls::SignatureScheme::{self, ECDSA_NISTP256_SHA256, ED25519, RSA_PSS_SHA256};

use crate::support::{Authority, Client, Issued, VERSIONS, connect, params, rsa, settings, tls};

/// Each row: what the client sends, and the number of the certificate that it is shown, if any.
#[track_caller]
fn check(settings: &Settings, issued: &[Issued], rows: &[(&str, Option<usize>)]) {
    let tls = tls(settings);
    for version in VERSIONS {
        for (name, expected) in rows {
            let connection = connect(&tls, &Client::of(version).config(), name);
            let shown = connection.ok().map(|it| issued.iter().position(|one| one.der == *it.shown()));
            assert_eq!(shown, expected.map(Some), "{name}");
        }
    }
}

fn shops() -> Vec<Issued> {
    let authority = Authority::new("root");
    let names: [&[&str]; 4] = [
        &["shop.example", "127.0.0.1"],
        &["*.shop.example"],
        &["pay.shop.example"],
        &["Other.Example", "*.b.c.example"],
    ];
    names.map(|names| authority.issue(names)).to_vec()
}

#[test]
fn a_name_that_is_written_out_goes_before_a_wildcard_of_one_label() {
    let issued = shops();
    check(
        &settings(&issued),
        &issued,
        &[
            ("shop.example", Some(0)),
            ("SHOP.example", Some(0)),
            ("cart.shop.example", Some(1)),
            ("pay.shop.example", Some(2)),
            ("a.cart.shop.example", Some(0)),
            ("other.example", Some(3)),
            ("a.b.c.example", Some(3)),
            ("b.c.example", Some(0)),
            ("unknown.example", Some(0)),
            ("example", Some(0)),
            // Addresses are not sent.
            ("127.0.0.1", Some(0)),
            ("192.0.2.1", Some(0)),
        ],
    );
}

#[test]
fn strictness_refuses_who_sends_no_name_that_is_known() {
    let issued = shops();
    check(
        &Settings { strict_sni: true, ..settings(&issued) },
        &issued,
        &[
            ("shop.example", Some(0)),
            ("cart.shop.example", Some(1)),
            ("a.cart.shop.example", None),
            ("unknown.example", None),
            ("127.0.0.1", None),
        ],
    );
}

#[test]
fn of_two_certificates_for_a_name_the_client_gets_one_that_it_can_verify() {
    let authority = Authority::new("root");
    let shop = params("leaf", &["shop.example"]);
    let ed25519 = KeyPair::generate_for(&PKCS_ED25519).expect("there is randomness");
    let issued =
        [authority.sign(&shop, &rsa()), authority.sign(&shop, &ed25519), authority.issue(&["shop.example"])];
    let tls = tls(&settings(&issued));
    let rows: [(&[SignatureScheme], Option<usize>); 5] = [
        (&[RSA_PSS_SHA256], Some(0)),
        (&[ED25519], Some(1)),
        (&[ECDSA_NISTP256_SHA256], Some(2)),
        (&[RSA_PSS_SHA256, ED25519, ECDSA_NISTP256_SHA256], Some(2)),
        (&[SignatureScheme::ECDSA_NISTP521_SHA512], None),
    ];
    for version in VERSIONS {
        for (schemes, expected) in rows {
            for name in ["shop.example", "unknown.example", "127.0.0.1"] {
                let client = Client { schemes: schemes.to_vec(), ..Client::of(version) };
                let connection = connect(&tls, &client.config(), name);
                let shown = connection.ok().map(|it| issued.iter().position(|one| one.der == *it.shown()));
                assert_eq!(shown, expected.map(Some), "{name} with {schemes:?}");
            }
        }
    }
}

#[test]
fn a_certificate_for_addresses_alone_can_be_the_default() {
    let authority = Authority::new("root");
    let issued = [authority.issue(&["192.0.2.1", "::1"]), authority.issue(&["shop.example"])];
    check(&settings(&issued), &issued, &[("192.0.2.1", Some(0)), ("shop.example", Some(1)), ("x", Some(0))]);
}
