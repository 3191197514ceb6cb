//! Whom requests are from.

use proptest::prelude::*;

use super::*;

fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.append(*name, value.parse().expect("a header's value"));
    }
    headers
}

fn hop(address: &str) -> Hop {
    Hop::new(SocketAddr::new(address.parse().expect("an address"), 1), false)
}

fn config(trusted: &[&str], hops: u8, format: Format) -> Config {
    Config { trusted: trusted.iter().map(|it| it.parse().expect("a network")).collect(), hops, format }
}

#[track_caller]
fn client(config: &Config, from: &str, lines: &[(&'static str, &str)]) -> (String, bool) {
    let origin = config.origin(&headers(lines), &hop(from));
    (origin.client.to_string(), origin.is_https)
}

/// What the service is told.
#[track_caller]
fn told(config: &Config, from: &str, lines: &[(&'static str, &str)], name: &str) -> Option<String> {
    let (mut headers, hop) = (headers(lines), hop(from));
    let origin = config.origin(&headers, &hop);
    let noted = Noted::of(&headers);
    config.tell(&mut headers, noted, &origin, &hop);
    let values: Vec<_> = headers.get_all(name).iter().map(|it| it.to_str().expect("it is ASCII")).collect();
    assert!(values.len() <= 1, "{values:?}");
    values.first().map(|it| (*it).to_owned())
}

const FOR: &str = "x-forwarded-for";
const PROTO: &str = "x-forwarded-proto";

#[test]
fn the_client_is_the_last_address_that_is_not_a_believed_proxy() {
    let none = Config::default();
    let forged = [(FOR, "9.9.9.9"), (PROTO, "https")];
    assert_eq!(client(&none, "10.0.0.1", &forged), ("10.0.0.1".into(), false), "nobody is believed");
    let believing = config(&["10.0.0.0/8"], 0, Format::XForwarded);
    for (from, list, expected) in [
        ("192.0.2.1", "9.9.9.9", "192.0.2.1"),
        ("10.0.0.1", "9.9.9.9, 192.0.2.1", "192.0.2.1"),
        ("10.0.0.1", "9.9.9.9, 192.0.2.1, 10.0.0.2", "192.0.2.1"),
        ("10.0.0.1", "10.0.0.3", "10.0.0.3"),
        ("10.0.0.1", "9.9.9.9, unknown, 10.0.0.2", "10.0.0.2"),
        ("10.0.0.1", "192.0.2.1:1234", "192.0.2.1"),
        ("10.0.0.1", "[2001:db8::1]:1234", "2001:db8::1"),
        ("::ffff:10.0.0.1", "::ffff:192.0.2.1", "192.0.2.1"),
        ("10.0.0.1", "", "10.0.0.1"),
    ] {
        assert_eq!(client(&believing, from, &[(FOR, list)]).0, expected, "{from} {list}");
    }
    let lines = [(FOR, "9.9.9.9"), (FOR, "192.0.2.1")];
    assert_eq!(client(&believing, "10.0.0.1", &lines).0, "192.0.2.1", "lines are one list");
    for (hops, expected) in [(0, "10.9.9.9"), (1, "3.3.3.3"), (2, "2.2.2.2"), (3, "1.1.1.1"), (9, "1.1.1.1")]
    {
        let counted = config(&[], hops, Format::XForwarded);
        assert_eq!(client(&counted, "10.9.9.9", &[(FOR, "1.1.1.1, 2.2.2.2, 3.3.3.3")]).0, expected);
    }
}

#[test]
fn the_scheme_is_the_clients_where_a_believed_proxy_says_so() {
    let believing = config(&["10.0.0.0/8"], 0, Format::XForwarded);
    assert!(client(&believing, "10.0.0.1", &[(PROTO, "HTTPS")]).1);
    assert!(!client(&believing, "10.0.0.1", &[(PROTO, "wss")]).1);
    assert!(!client(&believing, "192.0.2.1", &[(PROTO, "https")]).1);
    let believing = config(&["10.0.0.0/8"], 0, Format::Forwarded);
    let list = "for=192.0.2.9;proto=http, for=192.0.2.1;proto=https, for=10.0.0.2;proto=http";
    assert_eq!(client(&believing, "10.0.0.1", &[("forwarded", list)]), ("192.0.2.1".into(), true));
}

#[test]
fn services_are_told_what_is_true() {
    let believing = config(&["10.0.0.0/8"], 0, Format::XForwarded);
    let lines = [
        (FOR, "9.9.9.9, 192.0.2.1, 10.0.0.2"),
        ("forwarded", "for=9.9.9.9"),
        ("x-real-ip", "9.9.9.9"),
        ("host", "shop.example"),
        ("x-forwarded-host", "forged.example"),
    ];
    let of = |from, name| told(&believing, from, &lines, name);
    assert_eq!(of("10.0.0.1", FOR).as_deref(), Some("192.0.2.1, 10.0.0.2, 10.0.0.1"));
    assert_eq!(of("192.0.2.7", FOR).as_deref(), Some("192.0.2.7"));
    assert_eq!(of("192.0.2.7", "x-forwarded-host").as_deref(), Some("shop.example"));
    assert_eq!(of("10.0.0.1", "x-forwarded-host").as_deref(), Some("forged.example"), "by a proxy");
    for name in ["forwarded", "x-real-ip"] {
        assert_eq!(of("192.0.2.7", name), None);
    }
    let claims = [
        "x-forwarded-ssl",
        "x-forwarded-prefix",
        "x-forwarded",
        "x-client-ip",
        "x-original-url",
        "x-rewrite-url",
    ];
    for name in claims {
        let lines = [(name, "1"), ("x-user", "1")];
        assert_eq!(told(&believing, "192.0.2.7", &lines, name), None, "nobody believes who says it");
        assert_eq!(told(&believing, "192.0.2.7", &lines, "x-user").as_deref(), Some("1"));
        assert_eq!(told(&believing, "10.0.0.1", &lines, name).as_deref(), Some("1"), "a proxy says it");
    }
    let nameless = [("x-forwarded-host", "forged.example")];
    assert_eq!(told(&believing, "192.0.2.7", &nameless, "x-forwarded-host"), None, "without a Host");
    let believing = config(&["10.0.0.0/8"], 0, Format::Forwarded);
    let lines =
        [("forwarded", "for=9.9.9.9, for=\"[2001:db8::1]:9\";by=\"a,b\""), ("host", "shop.example:8443")];
    let of = |from| told(&believing, from, &lines, "forwarded");
    let own = "for=10.0.0.1;proto=http;host=\"shop.example:8443\"";
    assert_eq!(of("10.0.0.1"), Some(format!("for=\"[2001:db8::1]:9\";by=\"a,b\", {own}")));
    assert_eq!(
        of("2001:db8::7").as_deref(),
        Some("for=\"[2001:db8::7]\";proto=http;host=\"shop.example:8443\"")
    );
    assert_eq!(told(&believing, "10.0.0.1", &[(FOR, "9.9.9.9")], FOR), None);
}

#[test]
fn a_request_that_goes_round_in_a_ring_is_stopped() {
    let mut headers = HeaderMap::new();
    headers.insert(VIA, HeaderValue::from_static("1.1 mainstay-other, 1.0 fred"));
    let noted = Noted::of(&headers);
    for _ in 0..PASSES_MAX {
        assert!(passed(&mut headers, noted, http::Version::HTTP_11));
    }
    assert!(!passed(&mut headers, noted, http::Version::HTTP_2));
    let mut joined = HeaderMap::new();
    joined.insert(VIA, ["2 mainstay"; PASSES_MAX].join(",").parse().expect("a value"));
    assert!(!passed(&mut joined, noted, http::Version::HTTP_2));
}

proptest! {
    #[test]
    fn no_client_can_say_that_it_is_another(list in "[ -~]{0,40}", format in prop_oneof![Just(Format::XForwarded), Just(Format::Forwarded)]) {
        let believing = config(&["10.0.0.0/8"], 0, format);
        let name = if format == Format::XForwarded { FOR } else { "forwarded" };
        let appended = match format {
            Format::XForwarded => format!("{list},192.0.2.1"),
            Format::Forwarded => format!("{list}, for=192.0.2.1"),
        };
        prop_assert_eq!(client(&believing, "192.0.2.1", &[(name, list.as_str())]).0, "192.0.2.1");
        prop_assert_eq!(client(&believing, "10.0.0.1", &[(name, appended.as_str())]).0, "192.0.2.1");
        let kept = told(&believing, "10.0.0.1", &[(name, appended.as_str())], name).expect("it is told");
        let true_ones =
            if format == Format::XForwarded { "192.0.2.1, 10.0.0.1" } else { "for=192.0.2.1, for=10.0.0.1" };
        prop_assert!(kept.starts_with(true_ones), "{}", kept);
    }
}
