//! Templates: what they make, what is refused, and that data stays data.

use proptest::prelude::*;

use super::*;

const PATH: &str = "/a/{one}/{rest...}";

fn parse(text: &str, place: Place) -> Result<Template, TemplateError> {
    Template::parse(text, &one(serde_json::json!({ "path": PATH })), place)
}

fn render(text: &str, place: Place, request: &str, config: &path::Config) -> Result<String, RenderError> {
    let template = parse(text, place).unwrap_or_else(|error| panic!("{text}: {error}"));
    let (table, request) = (table(&format!("{{\"a\": {{\"path\": \"{PATH}\"}}}}")), Request::new(request));
    let found = table.find(&request.seen()).unwrap().expect("it is the route's");
    match place {
        Place::Path => template.render_path(&request.seen(), &found, config),
        Place::Body(_) => template.render_body(&request.seen(), &found),
        _ => template.render_header(&request.seen(), &found).map(|value| value.to_str().unwrap().to_owned()),
    }
}

#[track_caller]
fn makes(place: Place, cases: &[(&str, &str, &str)]) {
    for (text, request, expected) in cases {
        let made = render(text, place, request, &path::Config::default());
        assert_eq!(made.as_deref(), Ok(*expected), "{text} {request}");
    }
}

#[test]
fn parts_of_the_path_stand_in_a_path_as_they_came() {
    makes(
        Place::Path,
        &[
            ("/v2/{rest}", "GET x/a/1/b/c%20d/", "/v2/b/c%20d/"),
            ("/v2/{rest}", "GET x/a/1", "/v2/"),
            ("/{one}-x/{one}", "GET x/a/caf%c3%a9", "/caf%C3%A9-x/caf%C3%A9"),
            ("/fixed", "GET x/a/1", "/fixed"),
            ("/{rest}/x", "GET x/a/1", "/x"),
            ("/$1", "GET x/a/1", "/$1"),
        ],
    );
}

#[test]
fn data_in_a_path_is_one_segment() {
    makes(
        Place::Path,
        &[
            ("/u/${{params.one}}", "GET x/a/caf%C3%A9:", "/u/caf%C3%A9%3A"),
            ("/u/${{ {'a': '}}'}['a'] + '{' }}/${{ 1 + 1 }}", "GET x/a/1", "/u/%7D%7D%7B/2"),
        ],
    );
    let slash = path::Config { encoded_slash: path::Handling::Pass, ..path::Config::default() };
    let text = "/u/${{ request.headers['x-user'] }}";
    let with = |user: &str| format!("GET x/a/1\nx-user: {user}");
    assert_eq!(
        render(text, Place::Path, &with("a/b?c#d%41 &"), &slash).as_deref(),
        Ok("/u/a%2Fb%3Fc%23d%2541%20%26")
    );
    assert_eq!(
        render(text, Place::Path, &with("a/b"), &path::Config::default()),
        Err(RenderError::Path(path::Error::EncodedSlash { at: 4 })),
        "a service that decodes it would take it for another segment"
    );
    assert_eq!(render(text, Place::Path, &with(".."), &slash), Err(RenderError::Dots));
    assert_eq!(render("/u/.${{ '.' }}", Place::Path, &with("a"), &slash), Err(RenderError::Dots));
    assert_eq!(
        render(text, Place::Path, &with("../x"), &slash),
        Err(RenderError::Path(path::Error::DisguisedDots))
    );
    assert!(matches!(render(text, Place::Path, "GET x/a/1", &slash), Err(RenderError::Failed { .. })));
    let null = render("/${{ null }}", Place::Path, "GET x/a/1", &slash);
    assert_eq!(null, Err(RenderError::Null { expression: "null".to_owned() }));
}

#[test]
fn locations_lead_where_their_template_says() {
    makes(
        Place::Location,
        &[
            (
                "https://new.example.com/{rest}?from=${{ request.host }}",
                "GET x.org/a/1/b",
                "https://new.example.com/b?from=x.org",
            ),
            ("https://${{ request.host }}/{one}", "GET x.org/a/1/b", "https://x.org/1"),
            ("//cdn.example.com/{rest}", "GET x/a/1/b", "//cdn.example.com/b"),
            ("/q?x=${{ request.query.q }}", "GET x/a/1?q=a%26b%3Dc+d", "/q?x=a%26b%3Dc%20d"),
            ("https://${{ request.host }}:8443/", "GET x.org/a/1/b", "https://x.org:8443/"),
            ("https://${{ params.one }}.example.com:8443", "GET x/a/b/c", "https://b.example.com:8443"),
            ("https://${{ params.one }}.example.com/", "GET x/a/b@c:d/c", "https://b%40c%3Ad.example.com/"),
            ("https://example.com?{rest}", "GET x/a/b/c", "https://example.com?c"),
            ("app://open/{rest}", "GET x/a/b/c", "app://open/c"),
        ],
    );
    // With empty segments kept, the rest may begin with a slash.
    let mut request = Request::new("GET x/a/1/");
    request.path = "/a/1//evil.example".to_owned();
    let table = table(&format!("{{\"a\": {{\"path\": \"{PATH}\"}}}}"));
    let found = table.find(&request.seen()).unwrap().unwrap();
    let template = parse("/{rest}", Place::Location).unwrap();
    assert_eq!(template.render_header(&request.seen(), &found), Err(RenderError::Host));
}

#[test]
fn headers_hold_what_headers_can() {
    makes(
        Place::Header,
        &[
            ("{one};${{ request.method }}", "GET x/a/caf%c3%a9", "caf%C3%A9;GET"),
            ("${{ params.one }} {rest}", "GET x/a/caf%c3%a9%20x%25/b", "caf%C3%A9 x% b"),
            ("a ${{ '{' }}b", "GET x/a/1", "a {b"),
            ("${{ client.address }}", "GET x/a/1", "192.0.2.7"),
        ],
    );
    let split =
        render("${{ request.query.q }}", Place::Header, "GET x/a/1?q=a%0d%0ab: c", &path::Config::default());
    assert_eq!(split, Err(RenderError::Control));
}

#[test]
fn data_in_a_body_is_written_as_the_body_takes_it() {
    let text = "{one} ${{ request.query.q }} ${x} }";
    let request = "GET x/a/1?q=<a+b=%22%27%22>%26%5C%0A";
    makes(Place::Body(Escape::Plain), &[(text, request, "{one} <a b=\"'\">&\\\n ${x} }"), ("", request, "")]);
    makes(
        Place::Body(Escape::Markup),
        &[(text, request, "{one} &lt;a b=&quot;&#39;&quot;&gt;&amp;\\\n ${x} }")],
    );
    makes(Place::Body(Escape::Json), &[(text, request, "{one} <a b=\\\"'\\\">&\\\\\\n ${x} }")]);
    let long = |bytes| Template::parse(&"a".repeat(bytes), &Match::default(), Place::Body(Escape::Plain));
    assert!(long(Template::BODY_BYTES_MAX).is_ok());
    assert!(long(Template::BODY_BYTES_MAX + 1).unwrap_err().to_string().contains("at most 65536"));
}

#[test]
fn texts_of_a_document_are_templates() {
    let document = serde_json::json!({
        "${{ no }}": ["${{ request.headers[\"x-user\"] }}", {}, [], 1.5, null, true, { "a\"b": "c\"${{ params.one }}\\" }],
    });
    let route = one(serde_json::json!({ "path": PATH }));
    let template = Template::json(&document, &route).unwrap();
    let (table, request) =
        (table(&format!("{{\"a\": {{\"path\": \"{PATH}\"}}}}")), Request::new("GET x/a/1\nx-user: \"}, \\"));
    let found = table.find(&request.seen()).unwrap().unwrap();
    let made = template.render_body(&request.seen(), &found).unwrap();
    let expected = serde_json::json!({
        "${{ no }}": ["\"}, \\", {}, [], 1.5, null, true, { "a\"b": "c\"1\\" }],
    });
    assert_eq!(serde_json::from_str::<Value>(&made).unwrap(), expected, "{made}");
    assert!(Template::json(&serde_json::json!(["${{ params.two }}"]), &route).is_err());
    assert!(Template::json(&serde_json::json!(["a".repeat(70_000)]), &route).is_err());
}

#[test]
fn what_is_no_template_says_what_to_write() {
    for (text, place, words) in [
        ("/v2/{reset}", Place::Path, "there is no {reset} in the path of the route: it has {one}, {rest}"),
        (
            "/v2/{",
            Place::Path,
            "the brace at byte 4 belongs to nothing: a part of the path is {name}, an expression is ${{ expression }}, and a brace itself is ${{ '{' }}",
        ),
        ("/v2/a}", Place::Path, "the brace at byte 5"),
        ("/v2/${{ 1 ", Place::Path, "the brace at byte 5"),
        ("/v2/${{ params.two }}", Place::Path, "there is no \"params.two\""),
        ("/v2/${{ 1 + }}", Place::Path, "in the expression after byte 7"),
        ("/v2/{{one}}", Place::Path, "there is no {{one}"),
        ("v2/{rest}", Place::Path, "begin with a slash"),
        ("/v2/../{rest}", Place::Path, "normal form"),
        ("/v2//{rest}", Place::Path, "normal form"),
        ("/v2/{rest}?a=b", Place::Path, "leave the query"),
        ("/a b", Place::Path, "\"/a%20b\""),
        ("/a b", Place::Location, "without spaces"),
        ("", Place::Location, "begin it with \"/\""),
        ("new/{rest}", Place::Location, "begin it with \"/\""),
        ("{rest}", Place::Location, "begin it with \"/\""),
        ("${{ request.query.to }}", Place::Location, "begin it with \"/\""),
        ("https:/{rest}", Place::Location, "begin it with \"/\""),
        ("h{rest}://x", Place::Location, "begin it with \"/\""),
        ("/\\evil.example", Place::Location, "begin it with \"/\""),
        ("https:///{rest}", Place::Location, "begin it with \"/\""),
        ("https://", Place::Location, "begin it with \"/\""),
        ("https://example.com{rest}", Place::Location, "a part of the path stands in its host"),
        ("//{one}.example.com/", Place::Location, "a part of the path stands in its host"),
        ("https://${{ params.one }}:{rest}/", Place::Location, "a part of the path stands in its host"),
        ("https://${{ request.query.to }}/", Place::Location, "could be any"),
        ("https://${{ request.query.to }}:8443/", Place::Location, "could be any"),
        ("https://${{ request.query.to }}./", Place::Location, "could be any"),
        ("https://${{ request.query.to }}example.com/", Place::Location, "could be any"),
        ("https://${{ request.query.to }}.com/", Place::Location, "could be any"),
        ("https://example.com${{ params.one }}/", Place::Location, "could be any"),
        ("https://a@${{ request.host }}/", Place::Location, "could be any"),
        ("https://${{ request.host }}${{ request.host }}", Place::Location, "could be any"),
        ("a ${{ 1 + }}", Place::Body(Escape::Plain), "in the expression after byte 5"),
        ("a ${{ 1", Place::Body(Escape::Plain), "the brace at byte 3"),
        ("a\nb", Place::Header, "visible ASCII"),
        ("é", Place::Header, "visible ASCII"),
    ] {
        let error = parse(text, place).expect_err(text).to_string();
        assert!(error.contains(words), "{text}: {error}");
    }
    assert!(parse(&"a".repeat(8193), Place::Header).unwrap_err().to_string().contains("at most 8192"));
    let bare = Template::parse("/{rest}", &Match::default(), Place::Path).unwrap_err().to_string();
    assert!(bare.contains("it has no names"), "{bare}");
}

/// The host of a location as browsers read it: what is behind `//` up to one of its ends, without user and port.
fn host_of(location: &str) -> Option<&str> {
    let authority =
        location.split_once("://").map(|(_, rest)| rest).or_else(|| location.strip_prefix("//"))?;
    let authority = authority.split(['/', '\\', '?', '#']).next()?;
    authority.rsplit('@').next()?.split(':').next()
}

proptest! {
    #[test]
    fn whatever_the_request_a_location_stays_at_its_host(rest in "[!-~é]{0,16}", data in "[ -~é]{0,12}") {
        let mut request = Request::new("GET x.org/a/1/b");
        let raw = format!("/a/1/{rest}");
        let Ok(path) = path::normalise(&raw, &path::Config::PERMISSIVE) else { return Ok(()) };
        request.path = path.into_owned();
        request.headers.insert("x-to", http::HeaderValue::from_bytes(data.as_bytes()).unwrap());
        let table = table(&format!("{{\"a\": {{\"path\": \"{PATH}\"}}}}"));
        let Some(found) = table.find(&request.seen()).unwrap() else { return Ok(()) };
        for (text, host) in [
            ("/{rest}", None),
            ("/{rest}?to=${{ request.headers['x-to'] }}", None),
            ("//a.example/{rest}", Some("a.example")),
            ("https://a.example/{one}/{rest}#${{ request.headers['x-to'] }}", Some("a.example")),
            ("https://a.example?{rest}", Some("a.example")),
            ("https://${{ request.host }}/${{ request.headers['x-to'] }}{rest}", Some("x.org")),
        ] {
            let template = parse(text, Place::Location).unwrap();
            if let Ok(made) = template.render_header(&request.seen(), &found) {
                let made = made.to_str().unwrap();
                let is_there = match host {
                    None => made.starts_with('/') && !made[1..].starts_with(['/', '\\']),
                    host => host_of(made) == host,
                };
                prop_assert!(is_there, "{text} makes {made}");
            }
        }
        let below = parse("https://${{ request.headers['x-to'] }}.a.example/{rest}", Place::Location).unwrap();
        let made = below.render_header(&request.seen(), &found).unwrap();
        let made = made.to_str().unwrap();
        prop_assert!(host_of(made).unwrap().ends_with(".a.example"), "{made}");
    }

    #[test]
    fn whatever_the_data_a_path_keeps_its_segments(data in "[ -~é]{0,12}", query in "[!-~]{0,12}") {
        let mut request = Request::new("GET x/a/1/b");
        request.headers.insert("x-user", http::HeaderValue::from_bytes(data.as_bytes()).unwrap());
        request.query = Some(format!("q={query}"));
        let table = table(&format!("{{\"a\": {{\"path\": \"{PATH}\"}}}}"));
        let found = table.find(&request.seen()).unwrap().unwrap();
        for part in ["request.headers['x-user']", "request.query.q"] {
            let template = parse(&format!("/u/x${{{{ {part} }}}}/{{rest}}"), Place::Path).unwrap();
            if let Ok(made) = template.render_path(&request.seen(), &found, &path::Config::PERMISSIVE) {
                prop_assert!(made.starts_with("/u/x") && made.ends_with("/b") && made.matches('/').count() == 3, "{made}");
            }
        }
    }
}
