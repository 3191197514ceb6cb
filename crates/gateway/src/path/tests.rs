//! What the normal form is, what is refused, and that a second parser finds nothing else in it.

use proptest::prelude::*;

use super::*;

const STRICT: Config = Config {
    empty_segments: EmptySegments::Merge,
    encoded_slash: Handling::Refuse,
    backslash: Handling::Refuse,
    encoded_dots: Handling::Refuse,
    control: Handling::Refuse,
    invalid_encoding: Handling::Refuse,
    invalid_utf8: Handling::Refuse,
};

fn normal(path: &str, config: &Config) -> Result<String, Error> {
    normalise(path, config).map(Cow::into_owned)
}

#[test]
fn paths_have_one_form() {
    assert_eq!(Config::default(), STRICT, "what is not safe is refused unless it is asked for");
    for (path, expected) in [
        ("", "/"),
        ("/", "/"),
        ("/a/b", "/a/b"),
        ("/a/b/", "/a/b/"),
        ("/%61%2D%7e", "/a-~"),
        ("/caf%c3%a9", "/caf%C3%A9"),
        ("/café", "/caf%C3%A9"),
        ("/a%20b|c\"{}^`<>", "/a%20b%7Cc%22%7B%7D%5E%60%3C%3E"),
        ("/%3a%40:@!$&'()*+,;=", "/%3A%40:@!$&'()*+,;="),
        ("/a;v=1/b;c", "/a;v=1/b;c"),
        ("/%252e%252E", "/%252e%252E"),
        ("/a%3fb%23", "/a%3Fb%23"),
        ("/a/./b", "/a/b"),
        ("/a/../b", "/b"),
        ("/a/b/..", "/a/"),
        ("/a/b/.", "/a/b/"),
        ("/a/..", "/"),
        ("/.", "/"),
        ("/a/b/../../c", "/c"),
        ("//a///b//", "/a/b/"),
        ("/a//../b", "/b"),
        ("//", "/"),
        ("/...", "/..."),
        ("/.a/..b/c.", "/.a/..b/c."),
        ("/.well-known/x", "/.well-known/x"),
        ("/a%2Eb/%2Ea", "/a.b/.a"),
    ] {
        assert_eq!(normal(path, &STRICT).as_deref(), Ok(expected), "{path}");
    }
}

#[test]
fn what_two_parsers_read_differently_is_refused() {
    for (path, expected) in [
        ("a", Error::Relative),
        ("*", Error::Relative),
        ("http://x/", Error::Relative),
        ("/a%00", Error::Byte { byte: 0, at: 2 }),
        ("/%0d", Error::Byte { byte: 13, at: 1 }),
        ("/%0A", Error::Byte { byte: 10, at: 1 }),
        ("/a?b", Error::Delimiter { byte: b'?', at: 2 }),
        ("/a#b", Error::Delimiter { byte: b'#', at: 2 }),
        ("/a%1f", Error::Control),
        ("/a%7F", Error::Control),
        ("/\u{1}", Error::Control),
        ("/%C2%85", Error::Control),
        ("/\u{85}", Error::Control),
        ("/a%", Error::Encoding { at: 2 }),
        ("/a%4", Error::Encoding { at: 2 }),
        ("/a%4g", Error::Encoding { at: 2 }),
        ("/%%34%31", Error::Encoding { at: 1 }),
        ("/%u0041", Error::Encoding { at: 1 }),
        ("/a%2fb", Error::EncodedSlash { at: 2 }),
        ("/a%5Cb", Error::Backslash { at: 2 }),
        ("/a\\b", Error::Backslash { at: 2 }),
        ("/a/%2e%2e/b", Error::EncodedDots),
        ("/a/.%2e/b", Error::EncodedDots),
        ("/a/%2E", Error::EncodedDots),
        ("/a/..;x/b", Error::DisguisedDots),
        ("/a/.;/b", Error::DisguisedDots),
        ("/a/..%3bx/b", Error::DisguisedDots),
        ("/a/%2e%2e;x/b", Error::DisguisedDots),
        ("/%ff", Error::Utf8),
        ("/%ed%a0%80", Error::Utf8),
        ("/%c3", Error::Utf8),
        ("/%c0%af", Error::Overlong),
        ("/%c1%81", Error::Overlong),
        ("/%e0%80%af", Error::Overlong),
        ("/%f0%80%80%af", Error::Overlong),
        ("/%f8%80%80%80%af", Error::Overlong),
        ("/%fc%80%80%80%80%af", Error::Overlong),
        ("/..", Error::AboveRoot),
        ("/a/../../b", Error::AboveRoot),
        ("//..", Error::AboveRoot),
    ] {
        assert_eq!(normal(path, &STRICT), Err(expected), "{path}");
    }
}

#[test]
fn what_may_pass_does_so_in_one_form() {
    let some = |change: fn(&mut Config)| {
        let mut config = STRICT;
        change(&mut config);
        config
    };
    let keep = some(|config| config.empty_segments = EmptySegments::Keep);
    let slash = some(|config| config.encoded_slash = Handling::Pass);
    let backslash = some(|config| config.backslash = Handling::Pass);
    let dots = some(|config| config.encoded_dots = Handling::Pass);
    let control = some(|config| config.control = Handling::Pass);
    let encoding = some(|config| config.invalid_encoding = Handling::Pass);
    let utf8 = some(|config| config.invalid_utf8 = Handling::Pass);
    for (config, path, expected) in [
        (keep, "//a///b//", Ok("//a///b//")),
        (keep, "/a//../b", Ok("/a/b")),
        (keep, "//../b", Ok("/b")),
        (slash, "/a%2fb", Ok("/a%2Fb")),
        (slash, "/a/..%2fb", Err(Error::DisguisedDots)),
        (slash, "/a%2f..", Err(Error::DisguisedDots)),
        (slash, "/a%2f..;x%2fb", Err(Error::DisguisedDots)),
        (backslash, "/a\\b%5cc", Ok("/a%5Cb%5Cc")),
        (backslash, "/a/..\\b", Err(Error::DisguisedDots)),
        (dots, "/a/%2e%2E/b/.%2e/%2e/c", Ok("/c")),
        (dots, "/%2e%2e", Err(Error::AboveRoot)),
        (control, "/a%1f\u{7f}%c2%85", Ok("/a%1F%7F%C2%85")),
        (control, "/a%00", Err(Error::Byte { byte: 0, at: 2 })),
        (control, "/a%0a", Err(Error::Byte { byte: 10, at: 2 })),
        (encoding, "/100%/%zz/%4", Ok("/100%25/%25zz/%254")),
        (encoding, "/%%34%31", Ok("/%2541")),
        (utf8, "/%ff%e9", Ok("/%FF%E9")),
        (utf8, "/%c0%af", Err(Error::Overlong)),
    ] {
        assert_eq!(normal(path, &config).as_deref(), expected.as_ref().copied(), "{path}");
    }
    assert_eq!(normal("/a#", &Config::PERMISSIVE), Err(Error::Delimiter { byte: b'#', at: 2 }));
}

#[test]
fn a_normal_path_is_borrowed() {
    for path in ["/", "/a/b-c/d;x=1/", "/.well-known/a", "/caf%C3%A9/a%20b", "/a%3Ab:c"] {
        assert!(matches!(normalise(path, &STRICT), Ok(Cow::Borrowed(found)) if found == path), "{path}");
    }
}

#[test]
fn configuration_is_read_as_it_is_documented() {
    let config: Config = serde_json::from_str(r#"{"empty_segments":"keep","backslash":"pass"}"#).unwrap();
    let expected =
        Config { empty_segments: EmptySegments::Keep, backslash: Handling::Pass, ..Config::default() };
    assert_eq!(config, expected);
    assert!(serde_json::from_str::<Config>(r#"{"slashes":"keep"}"#).is_err());
}

/// Paths of what is read differently, and of what is not.
fn hostile() -> impl Strategy<Value = String> {
    let parts = prop::sample::select(vec![
        "/", "/", "//", ".", "..", "%2e", "%2E", "%2f", "%2F", "%5c", "\\", "%", "%2", "%25", "%00", "%0a",
        "%41", "%7e", ";", "%3b", "%c0%af", "%ff", "%c3%a9", "é", "\u{85}", "a", "b=1", " ", "{", "%20",
        "%3A", ":", "#", "?",
    ]);
    prop::collection::vec(parts, 0..12).prop_map(|parts| format!("/{}", parts.concat()))
}

fn any_config() -> impl Strategy<Value = Config> {
    let handling = || prop::sample::select(vec![Handling::Refuse, Handling::Pass]);
    let empty = prop::sample::select(vec![EmptySegments::Merge, EmptySegments::Keep]);
    (empty, handling(), handling(), handling(), handling(), handling(), handling()).prop_map(
        |(
            empty_segments,
            encoded_slash,
            backslash,
            encoded_dots,
            control,
            invalid_encoding,
            invalid_utf8,
        )| Config {
            empty_segments,
            encoded_slash,
            backslash,
            encoded_dots,
            control,
            invalid_encoding,
            invalid_utf8,
        },
    )
}

/// What a parser makes of a path that decodes all of it first, takes a backslash for a slash, cuts parameters off, and then merges and resolves.
fn eager(path: &str) -> Vec<String> {
    let decoded = String::from_utf8_lossy(&decode(path)).replace('\\', "/");
    let mut segments = Vec::new();
    for segment in decoded.split('/').map(|segment| segment.split(';').next().unwrap_or_default()) {
        match segment {
            "" | "." => {}
            ".." => drop(segments.pop()),
            segment => segments.push(segment.to_owned()),
        }
    }
    segments
}

/// What a parser makes of it that splits first, and does nothing else but cut parameters off and decode.
fn plain(path: &str) -> Vec<String> {
    let segments = path.split('/').map(|segment| segment.split(';').next().unwrap_or_default());
    let decoded = segments.map(|segment| String::from_utf8_lossy(&decode(segment)).into_owned());
    decoded.filter(|segment| !segment.is_empty()).collect()
}

proptest! {
    #[test]
    fn the_normal_form_of_a_normal_path_is_itself(path in hostile(), config in any_config()) {
        if let Ok(normal) = normalise(&path, &config) {
            let again = normalise(&normal, &config);
            prop_assert!(matches!(&again, Ok(Cow::Borrowed(again)) if **again == *normal), "{normal} {again:?}");
        }
    }

    #[test]
    fn the_normal_form_is_what_it_is_documented_to_be(path in hostile(), config in any_config()) {
        let Ok(normal) = normalise(&path, &config) else { return Ok(()) };
        prop_assert!(normal.starts_with('/') && normal.is_ascii());
        prop_assert!(normal.bytes().all(|byte| CLASSES[usize::from(byte)] != Class::Other));
        prop_assert!(!normal.split('/').any(|segment| matches!(segment, "." | "..")), "{normal}");
        for (at, _) in normal.match_indices('%') {
            let digits = &normal[at + 1..at + 3];
            prop_assert_eq!(digits, digits.to_ascii_uppercase());
            prop_assert!(CLASSES[usize::from(hex(digits.as_bytes()).unwrap())] != Class::Unreserved, "{}", normal);
        }
        if config.empty_segments == EmptySegments::Merge {
            prop_assert!(!normal.contains("//"), "{normal}");
        }
    }

    #[test]
    fn a_second_parser_finds_the_same_segments(path in hostile()) {
        // `%3B` is data to one and not to the other, whatever the gateway does.
        if let Ok(normal) = normalise(&path.replace("%3b", ""), &STRICT) {
            prop_assert_eq!(eager(&normal), plain(&normal), "{}", normal);
        }
    }

    #[test]
    fn nobody_is_led_above_what_was_matched(path in hostile(), config in any_config()) {
        // Also to those who decode slashes that were let pass, no `..` is left to be resolved.
        if let Ok(normal) = normalise(&path, &config) {
            let decoded = String::from_utf8_lossy(&decode(&normal)).replace('\\', "/");
            let mut segments = decoded.split('/').map(|segment| segment.split(';').next().unwrap_or_default());
            prop_assert!(!segments.any(|segment| segment == ".."), "{}", normal);
        }
    }
}
