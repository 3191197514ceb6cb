//! Where clients are sent.

use proptest::prelude::*;

use super::*;

fn route(redirect: Json) -> Route {
    Route::new(json!({ "path": "/old/{rest...}" }), within("redirect", redirect))
}

#[test]
fn clients_are_sent_where_the_template_says() {
    for (redirect, asked, expected) in [
        (json!({ "to": "/new/{rest}" }), "GET http://a.example/old/x%20y", "308\nlocation: /new/x%20y\n"),
        (json!({ "to": "/new/{rest}" }), "GET http://a.example/old/x?b=c", "308\nlocation: /new/x?b=c\n"),
        (
            json!({ "to": "https://b.example/{rest}?a=1#top", "status": 301 }),
            "POST http://a.example/old/x?b=c",
            "301\nlocation: https://b.example/x?a=1&b=c#top\n",
        ),
        (
            json!({ "to": "/new?a=1&", "status": 302 }),
            "GET http://a.example/old?b",
            "302\nlocation: /new?a=1&b\n",
        ),
        (json!({ "to": "/new?", "status": 303 }), "GET http://a.example/old?b", "303\nlocation: /new?b\n"),
        (
            json!({ "to": "/new/{rest}?a", "query": "drop", "status": 307 }),
            "GET http://a.example/old/x?b",
            "307\nlocation: /new/x?a\n",
        ),
        (json!({ "to": "/new" }), "GET http://a.example/old?", "308\nlocation: /new\n"),
        (json!({ "to": "/new" }), "GET http://a.example/old?x=é", "308\nlocation: /new?x=%C3%A9\n"),
    ] {
        assert_eq!(route(redirect.clone()).got(asked), expected, "{redirect} {asked}");
    }
}

#[test]
fn a_location_that_leads_elsewhere_is_never_sent() {
    let route = Route {
        paths: path::Config::PERMISSIVE,
        ..Route::new(json!({ "path": "/old/{rest...}" }), json!({ "redirect": { "to": "/{rest}" } }))
    };
    let told = route.got("GET http://a.example/old//evil.example/x");
    assert_eq!(
        told,
        "400 `redirect.to` of the route cannot be made for this request: the location that was made begins with \"//\", which leads to another host\n"
    );
    let by_user = Route::of(json!({ "redirect": { "to": "/u/${{ request.headers['x-user'] }}" } }));
    assert!(by_user.got("GET http://a.example/").starts_with("500 `redirect.to`"));
    assert_eq!(by_user.got("GET http://a.example/\nx-user: ../a"), "308\nlocation: /u/..%2Fa\n");
}

#[test]
fn without_tls_clients_are_sent_to_the_same_place_with_it() {
    let route = Route::of(json!({ "redirect": { "scheme": "https" } }));
    for (asked, expected) in [
        ("GET http://A.Example:8080/x%7e//y?b=c", "308\nlocation: https://a.example/x~//y?b=c\n"),
        ("POST http://[::1]:80/", "308\nlocation: https://[::1]/\n"),
    ] {
        assert_eq!(route.got(asked), expected);
    }
    assert_eq!(route.sent("GET https://a.example/x"), "GET https://a.example/x\n");
    let route =
        Route::of(json!({ "redirect": { "scheme": "https", "port": 8443, "status": 301, "query": "drop" } }));
    assert_eq!(route.got("GET http://a.example/x?b"), "301\nlocation: https://a.example:8443/x\n");
    let standard = Route::of(json!({ "redirect": { "scheme": "https", "port": 443 } }));
    assert_eq!(standard.got("GET http://a.example/x"), "308\nlocation: https://a.example/x\n");
}

#[test]
fn without_a_right_host_nobody_is_sent_anywhere() {
    let route = Route::of(json!({ "redirect": { "scheme": "https" } }));
    for host in ["", "a b", "a@evil.example", "a/evil.example", "evil.example\\", "*.a.example", "a#b"] {
        let asked = Asked { host: host.to_owned(), ..Asked::new("GET http://a.example/x") };
        let told = route.pass_asked(asked, "200").got;
        assert_eq!(
            told, "400 the request has no host that it could be redirected to: send the header Host\n",
            "{host}"
        );
    }
}

#[test]
fn what_is_no_redirect_says_what_to_write() {
    let of = |redirect: Json| json!({ "redirect": redirect });
    all_wrong(&[
        (of(json!({})), "`redirect` needs one of `to` and `scheme`"),
        (of(json!({ "to": "/x", "scheme": "https" })), "`redirect` needs one of `to` and `scheme`"),
        (of(json!({ "to": "/x", "status": 304 })), "`redirect.status` is 304"),
        (of(json!({ "to": "/x", "status": 200 })), "`redirect.status` is 200"),
        (of(json!({ "to": "/x", "port": 8443 })), "`redirect.port` goes with `scheme`"),
        (of(json!({ "scheme": "https", "port": 0 })), "`redirect.port` is 0"),
        (of(json!({ "to": "{rest}" })), "`redirect.to` cannot be made: it is a location: begin it"),
        (of(json!({ "to": "https://b.example{rest}" })), "a part of the path stands in its host"),
        (json!({ "redirect": { "to": "/x" }, "answer": {} }), "`answer` is never given"),
        (json!({ "redirect": { "to": "/x" }, "rewrite": { "path": "/x" } }), "`rewrite` changes nothing"),
    ]);
}

proptest! {
    #[test]
    fn whatever_is_asked_for_the_host_stays(path in "(/|[!-~&&[^?#]]){0,16}", query in "[!-~&&[^#]]{0,16}") {
        let target = format!("/old/{path}?{query}");
        prop_assume!(target.parse::<Uri>().is_ok());
        let raw = format!("/old/{path}");
        let Ok(normal) = path::normalise(&raw, &path::Config::PERMISSIVE) else { return Ok(()) };
        prop_assume!(normal.starts_with("/old/"));
        for (redirect, begin) in [
            (json!({ "to": "https://b.example/{rest}" }), "https://b.example/"),
            (json!({ "to": "/{rest}" }), "/"),
            (json!({ "scheme": "https" }), "https://a.example/"),
        ] {
            let route = Route { paths: path::Config::PERMISSIVE, ..route(redirect) };
            let asked = Asked { path: normal.clone().into_owned(), ..Asked::new(&format!("GET http://a.example{target}")) };
            let got = route.pass_asked(asked, "200").got;
            if let Some(location) = got.strip_prefix("308\nlocation: ") {
                prop_assert!(location.starts_with(begin) && (begin.len() > 1 || !location[1..].starts_with(['/', '\\'])), "{}", location);
            } else {
                prop_assert!(got.starts_with("400 `redirect.to`"), "{}", got);
            }
        }
    }
}
