//! What outlives a reload, and what must not.

use std::io::{Read, Write};

use mainstay_gateway::tls::{Clients, Settings, Tls};
use rustls::HandshakeKind::{Full, Resumed};

use crate::support::{Authority, Client, VERSIONS, clock, connect, pem, port, settings, tls};

fn next(tls: &Tls, settings: &Settings) -> Tls {
    tls.next(settings, &port(&clock())).expect("the settings are right")
}

#[test]
fn a_client_that_comes_back_resumes_its_session_across_reloads() {
    let authority = Authority::new("root");
    let (old, new) = (authority.issue(&["shop.example"]), authority.issue(&["shop.example", "b.example"]));
    for version in VERSIONS {
        let client = Client::of(version).config();
        let kind = |tls: &Tls| {
            let connection = connect(tls, &client, "shop.example").expect("they agree");
            let kinds = (connection.client.handshake_kind(), connection.server.handshake_kind());
            assert_eq!(kinds.0, kinds.1);
            kinds.0
        };
        let first = tls(&settings([&old]));
        assert_eq!(kind(&first), Some(Full));
        assert_eq!(kind(&first), Some(Resumed));
        let second = next(&first, &settings([&new]));
        assert_eq!(kind(&second), Some(Resumed));
        assert_eq!(kind(&next(&second, &settings([&old, &authority.issue(&["c.example"])]))), Some(Resumed));
        // Another listener has other keys.
        assert_eq!(kind(&tls(&settings([&old]))), Some(Full));
    }
}

#[test]
fn without_resumption_every_handshake_is_a_whole_one() {
    let issued = Authority::new("root").issue(&["shop.example"]);
    for version in VERSIONS {
        let client = Client::of(version).config();
        let on = tls(&settings([&issued]));
        connect(&on, &client, "shop.example").expect("they agree");
        let off = next(&on, &Settings { session_resumption: false, ..settings([&issued]) });
        for _ in 0..2 {
            let mut connection = connect(&off, &client, "shop.example").expect("they agree");
            assert_eq!(connection.server.handshake_kind(), Some(Full));
            assert_eq!(connection.client.tls13_tickets_received(), 0);
            connection.exchange().expect("they agree");
        }
    }
}

#[test]
fn a_session_from_before_is_worth_nothing_under_other_rules_for_clients() {
    let (clients, others) = (Authority::new("clients"), Authority::new("others"));
    let issued = Authority::new("root").issue(&["shop.example"]);
    let with = |clients: Clients| Settings { clients, ..settings([&issued]) };
    let (asked, required) = (Clients::Asked(clients.pem()), Clients::Required(clients.pem()));
    let both = pem("both.pem", &(others.0.pem() + &clients.0.pem()));
    let turned = pem("turned.pem", &(clients.0.pem() + &others.0.pem()));
    let identity = Some(clients.issue(&["app.example"]));
    let rows = [
        (Clients::NotAsked, asked.clone(), Some(Full)),
        (Clients::NotAsked, required.clone(), Some(Full)),
        (asked.clone(), required.clone(), Some(Full)),
        (required.clone(), asked, Some(Full)),
        (required.clone(), Clients::NotAsked, Some(Full)),
        (required.clone(), Clients::Required(both.clone()), Some(Full)),
        (Clients::Required(both.clone()), required.clone(), Some(Full)),
        (required.clone(), Clients::Required(others.pem()), None),
        (required.clone(), required, Some(Resumed)),
        (Clients::Required(both), Clients::Required(turned), Some(Resumed)),
    ];
    for (before, after, expected) in rows {
        for version in VERSIONS {
            let client = Client { identity: identity.clone(), ..Client::of(version) }.config();
            let first = tls(&with(before.clone()));
            connect(&first, &client, "shop.example").expect("it is let in");
            let then = connect(&next(&first, &with(after.clone())), &client, "shop.example");
            let kind = then.ok().and_then(|it| it.server.handshake_kind());
            assert_eq!(kind, expected, "{before:?}, then {after:?}");
        }
    }
}

#[test]
fn a_client_without_a_certificate_is_not_let_in_by_a_session_from_before() {
    let authority = Authority::new("clients");
    let issued = Authority::new("root").issue(&["shop.example"]);
    let required = Settings { clients: Clients::Required(authority.pem()), ..settings([&issued]) };
    for version in VERSIONS {
        let client = Client::of(version).config();
        let first = tls(&settings([&issued]));
        connect(&first, &client, "shop.example").expect("it is let in");
        let second = next(&first, &required);
        assert!(connect(&second, &client, "shop.example").is_err());
        // Nor by one from before the change that was taken back.
        let third = next(&second, &settings([&issued]));
        let again = connect(&third, &client, "shop.example").expect("it is let in");
        assert_eq!(again.server.handshake_kind(), Some(Full));
    }
}

#[test]
fn open_connections_go_on_and_new_ones_get_what_is_new() {
    let authority = Authority::new("root");
    let (old, new) = (authority.issue(&["shop.example"]), authority.issue(&["shop.example"]));
    for version in VERSIONS {
        let first = tls(&settings([&old]));
        let mut open = connect(&first, &Client::of(version).config(), "shop.example").expect("they agree");
        let second = next(&first, &settings([&new]));
        drop(first);
        let fresh = connect(&second, &Client::of(version).config(), "shop.example").expect("they agree");
        assert_eq!((open.shown(), fresh.shown()), (&old.der, &new.der));
        open.client.writer().write_all(b"ping").expect("there is room");
        open.exchange().expect("it is open");
        let mut read = [0; 4];
        open.server.reader().read_exact(&mut read).expect("it came");
        assert_eq!(&read, b"ping");
    }
}

#[test]
fn settings_with_mistakes_leave_what_is_in_force() {
    let authority = Authority::new("root");
    let (old, new) = (authority.issue(&["shop.example"]), authority.issue(&["shop.example"]));
    let first = tls(&settings([&old]));
    let mut wrong = settings([&new]);
    wrong.certificates[0].key.text = old.key.clone();
    assert!(first.next(&wrong, &port(&clock())).is_err());
    let connection = connect(&first, &Client::default().config(), "shop.example").expect("they agree");
    assert_eq!(connection.shown(), &old.der);
}
