//! What proxies are told, for each kind of work.

use super::*;

/// The configuration of each proxy, by its name.
fn configurations(front: Front, policies: Policies) -> Vec<(&'static str, String)> {
    let address = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
    let setup = Setup { front, policies, connections_max: 4321, origin: address(7003) };
    let place = Place {
        folder: Path::new("/its/folder"),
        address: address(7001),
        metrics: address(7002),
        setup: &setup,
    };
    let (listen, lines) = gateway::configuration(&place);
    vec![
        ("mainstay", format!("{listen}\n{lines}")),
        ("nginx", nginx::configuration(&place)),
        ("haproxy", haproxy::configuration(&place)),
        ("envoy", envoy::configuration(&place)),
        ("caddy", caddy::configuration(&place)),
        ("traefik", traefik::configuration(&place)),
    ]
}

#[test]
fn all_stand_in_front_of_the_origin_and_with_tls_show_the_certificate() {
    for front in [Front::Http1, Front::Tls, Front::Http2] {
        for (name, text) in configurations(front, Policies::Usual) {
            for port in ["7001", "7003"] {
                assert!(text.contains(port), "{name}: {text}");
            }
            let shows = text.contains("/its/folder/cert.pem") || text.contains("/its/folder/both.pem");
            assert_eq!(shows, front == Front::Tls, "{name}: {text}");
        }
    }
}

#[test]
fn all_but_caddy_have_a_limit_and_a_log_with_policies_only() {
    let has = |text: &str, words: &[&str]| words.iter().all(|word| text.contains(word));
    for (name, words) in [
        ("mainstay", ["rate: 1000000/s", "access_log: { sample: 1.0 }", "attempts: 4"]),
        ("nginx", ["rate=1000000r/s", "/its/folder/access.log", "proxy_next_upstream_tries 4"]),
        ("haproxy", ["gt 1000000", "option httplog", "retries 3"]),
        ("envoy", ["max_tokens: 1000000", "/its/folder/access.log", "num_retries: 3"]),
        ("traefik", ["average: 1000000", "/its/folder/access.log", "attempts: 4"]),
    ] {
        for policies in [Policies::Usual, Policies::None, Policies::All] {
            let all = configurations(Front::Http1, policies);
            let (_, text) = all.iter().find(|(known, _)| *known == name).unwrap();
            assert_eq!(has(text, &words), policies == Policies::All, "{name}: {text}");
            let any = words.iter().any(|word| text.contains(word));
            assert_eq!(any, policies == Policies::All, "{name}: {text}");
        }
    }
}

#[test]
fn ours_has_its_defaults_unless_it_is_bare() {
    let bare = "breaker: false";
    for (policies, expected) in [(Policies::Usual, false), (Policies::None, true), (Policies::All, false)] {
        let (_, text) = &configurations(Front::Http1, policies)[0];
        assert_eq!(text.contains(bare), expected, "{text}");
    }
}
