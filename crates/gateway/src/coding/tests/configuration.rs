//! What can be configured.

use mainstay_base::switch::Switch;
use serde_json::{Value, json};

use super::*;

#[test]
fn what_is_wrong_is_refused_with_what_to_do() {
    for (settings, expected) in [
        (json!({}), ""),
        (json!({"codings": []}), "has no `codings`: name one, or set `compression: false`"),
        (json!({"codings": ["br", "br"]}), "names `br` twice in `codings`: leave one out"),
        (json!({"min": "2GiB"}), "has a `min` of 2GiB: make it at most 1GiB"),
        (json!({"types": []}), "has no `types`: name one, or set `compression: false`"),
        (json!({"types": vec!["a/b"; 65]}), "has 65 `types`, and there are at most 64: use `type/*`"),
        (json!({"level": {"gzip": 0}}), "has a `level` of 0 for gzip: make it from 1 to 9"),
        (json!({"level": {"br": 8}}), "has a `level` of 8 for br: make it from 0 to 7"),
        (json!({"level": {"zstd": 10}}), "has a `level` of 10 for zstd: make it from 1 to 9"),
    ] {
        let config: Compression = serde_json::from_value(settings.clone()).unwrap();
        assert_eq!(config.check().err().unwrap_or_default(), expected, "{settings}");
    }
    for (settings, expected) in [
        (json!({}), ""),
        (json!({"max": "1000B"}), "has a `max` of 1kB: make it from 1KiB to 1TiB"),
        (json!({"max": "2TiB"}), "has a `max` of 2TiB: make it from 1KiB to 1TiB"),
        (json!({"ratio_max": 1}), "has a `ratio_max` of 1: make it from 2 to 100,000"),
        (json!({"ratio_max": 100_001}), "has a `ratio_max` of 100001: make it from 2 to 100,000"),
    ] {
        let config: Decompression = serde_json::from_value(settings.clone()).unwrap();
        assert_eq!(config.check().err().unwrap_or_default(), expected, "{settings}");
    }
    let config: BodyLimit = serde_json::from_value(json!({"max": "2TiB"})).unwrap();
    assert_eq!(config.check().unwrap_err(), "has a `max` of 2TiB: make it at most 1TiB");
    assert_eq!(BodyLimit::default().check(), Ok(()));
}

#[test]
fn a_switch_is_off_on_or_settings_and_says_what_is_wrong_in_them() {
    let read = serde_json::from_value::<Switch<Decompression>>;
    assert_eq!(read(json!(false)).unwrap(), Switch::Off);
    assert_eq!(read(json!(true)).unwrap().on(), Some(&Decompression::default()));
    let settings = read(json!({"max": "1MiB"})).unwrap();
    assert_eq!(settings.on().unwrap().max, Size::from_mib(1));
    for settings in [json!(false), json!({"max": "1MiB", "ratio_max": 7})] {
        assert_eq!(serde_json::to_value(read(settings.clone()).unwrap()).unwrap(), settings);
    }
    for (settings, expected) in [
        (json!("yes"), "invalid type: string"),
        (json!({"maxx": "1MiB"}), "unknown field `maxx`"),
        (json!({"max": 7}), "a size as text with its unit"),
    ] {
        let error = read(settings.clone()).unwrap_err().to_string();
        assert!(error.contains(expected), "{settings}: {error}");
    }
}

#[test]
fn media_types_are_taken_by_their_names() {
    let takes = |range: &str, content_type: &str| {
        serde_json::from_value::<MediaRange>(range.into()).unwrap().takes(content_type)
    };
    for (range, taken, left) in [
        (
            "text/*",
            &["text/html", "Text/CSS; charset=utf-8"][..],
            &["text/", "textual/x", "text/event-stream", ""][..],
        ),
        (
            "application/json",
            &["application/json", "application/JSON ;a=b"],
            &["application/json5", "application/x+json"],
        ),
        (
            "Application/*+JSON",
            &["application/problem+json", "application/x+json;q=1"],
            &["application/json", "application/+json", "text/x+json"],
        ),
        ("text/event-stream", &["text/event-stream"], &["text/html"]),
    ] {
        for content_type in taken {
            assert!(takes(range, content_type), "{range} {content_type}");
        }
        for content_type in left {
            assert!(!takes(range, content_type), "{range} {content_type}");
        }
    }
    for text in ["json", "text/", "/x", "*/*", "text/*json", "text/*+", "a/b;c", "a/b c", "a/b/c"] {
        let error = serde_json::from_value::<MediaRange>(Value::from(text)).unwrap_err().to_string();
        assert!(error.contains("is no media type: write one"), "{text}: {error}");
    }
}

#[test]
fn defaults_are_valid_and_take_what_is_text_and_nothing_that_is_compressed() {
    let config = Compression::default();
    assert_eq!(config.check(), Ok(()));
    assert_eq!(Decompression::default().check(), Ok(()));
    let takes = |content_type: &str| config.types.iter().any(|range| range.takes(content_type));
    for content_type in
        ["text/html", "application/json", "application/problem+json", "image/svg+xml", "text/csv"]
    {
        assert!(takes(content_type), "{content_type}");
    }
    for content_type in
        ["image/png", "video/mp4", "font/woff2", "application/zip", "application/grpc", "text/event-stream"]
    {
        assert!(!takes(content_type), "{content_type}");
    }
    for range in config.types {
        assert_eq!(MediaRange::try_from(range.to_string()), Ok(range));
    }
}
