//! The reader on text that people write, and on text that attacks it.

use std::path::Path;

use serde_json::json;

use super::*;
use crate::config::source::{Kind, Source};

fn read(text: &str) -> (Node, Vec<Diagnostic>, Sources) {
    let mut sources = Sources::new(Path::new("."));
    let source = sources.add(Source::new(Kind::File, "test.yaml", text, Path::new(".")));
    let parsed = parse(&sources, source, 0);
    let start = sources.origin(source, 0..0);
    (parsed.node.unwrap_or_else(|| Node::empty(start)), parsed.diagnostics, sources)
}

#[track_caller]
fn check(text: &str, expected: &serde_json::Value) {
    let (node, diagnostics, _) = read(text);
    assert_eq!(diagnostics, [], "{text}");
    assert_eq!(&node.to_json(), expected, "{text}");
}

#[track_caller]
fn refused(text: &str, place: &str, message: &str) {
    let (_, diagnostics, sources) = read(text);
    let found: Vec<_> = diagnostics.iter().map(|it| (sources.place(it.origin), it.message.clone())).collect();
    assert!(
        found.iter().any(|(at, what)| at == &format!("test.yaml:{place}") && what.contains(message)),
        "{text}\nfound {found:?}"
    );
}

#[test]
fn scalars_follow_the_core_schema() {
    check("a: no\nb: on\nc: 1_000\nd: 010", &json!({"a": "no", "b": "on", "c": "1_000", "d": 10}));
    check("a: 0x1F\nb: 0o17\nc: -3\nd: +4", &json!({"a": 31, "b": 15, "c": -3, "d": 4}));
    check("a: 1.5\nb: .5\nc: 1e3\nd: 1.2.3", &json!({"a": 1.5, "b": 0.5, "c": 1000, "d": "1.2.3"}));
    check("a: '1'\nb: \"true\"\nc: 127.0.0.1:80", &json!({"a": "1", "b": "true", "c": "127.0.0.1:80"}));
    check("a: ~\nb:\nc: null\nd: 18446744073709551615", &json!({"d": u64::MAX}));
    check("a: .inf\nb: .nan\nc: 1d\nd: \n- ", &json!({"a": ".inf", "b": ".nan", "c": "1d", "d": [null]}));
}

#[test]
fn an_empty_file_is_an_empty_mapping() {
    check("", &json!({}));
    check("# only a comment\n", &json!({}));
    check("---\n", &json!(null));
}

#[test]
fn aliases_repeat_a_section() {
    check("a: &x {k: [1, 2]}\nb: *x", &json!({"a": {"k": [1, 2]}, "b": {"k": [1, 2]}}));
}

#[test]
fn places_are_exact_also_behind_wide_characters() {
    let (node, _, sources) = read("ä: ü\nlist:\n  - 'žž'\n  - {deep: 42}\n\n\nlast: x\n");
    let at = |path: &[&str]| {
        let (found, complete) = node.follow(path.iter().copied());
        assert!(complete, "{path:?}");
        (sources.place(found.origin), sources.text(found.origin))
    };
    assert_eq!(at(&["ä"]), ("test.yaml:1:4".into(), "ü".into()));
    assert_eq!(at(&["list", "0"]), ("test.yaml:3:5".into(), "'žž'".into()));
    assert_eq!(at(&["list", "1"]), ("test.yaml:4:5".into(), "{deep: 42}".into()));
    assert_eq!(at(&["list", "1", "deep"]), ("test.yaml:4:12".into(), "42".into()));
    assert_eq!(at(&["list"]), ("test.yaml:3:3".into(), "- 'žž'\n  - {deep: 42}".into()));
}

#[test]
fn what_configuration_does_not_need_is_refused_by_name() {
    refused("a: 1\nb: 2\na: 3", "3:1", "written twice");
    refused("a: !!str 1", "1:4", "tags");
    refused("a: &x {k: 1}\nb: {<<: *x}", "2:5", "merge keys");
    refused("a: 1\n---\nb: 2", "2:1", "second YAML document");
    refused("? [a, b]\n: 1", "1:3", "key must be plain text");
    refused("a: [1, 2", "1:9", "not valid YAML");
    refused("a:\n\tb: 1", "2:2", "tabs");
    refused("a: &x [*x]", "1:8", "alias");
}

#[test]
fn bombs_end_at_a_bound() {
    let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..10 {
        let aliases = vec![format!("*a{}", level - 1); 10].join(", ");
        text.push_str(&format!("a{level}: &a{level} [{aliases}]\n"));
    }
    let (_, diagnostics, _) = read(&text);
    assert!(diagnostics.iter().any(|it| it.message.contains("expanding aliases")), "{diagnostics:?}");
    let deep = "[".repeat(5_000);
    assert!(!read(&deep).1.is_empty());
}

#[test]
fn aliases_cannot_nest_deeper_than_what_is_written_out() {
    let nested = |levels: usize, inner: &str| format!("{}{inner}{}", "[".repeat(levels), "]".repeat(levels));
    let mut text = format!("a0: &a0 {}\n", nested(50, "x"));
    for level in 1..2_000 {
        text.push_str(&format!("a{level}: &a{level} {}\n", nested(50, &format!("*a{}", level - 1))));
    }
    let (_, diagnostics, _) = read(&text);
    assert!(diagnostics.iter().any(|it| it.message.contains("nested deeper")), "{diagnostics:?}");
    check("a: &x [[1]]\nb: [*x]", &json!({"a": [[1]], "b": [[[1]]]}));
    assert_eq!(read(&format!("a: &x {}\nb: {}", nested(30, "1"), nested(32, "*x"))).1, []);
    refused(&format!("a: &x {}\nb: {}", nested(30, "1"), nested(34, "*x")), "2:38", "nested deeper");
}

#[test]
fn copies_of_long_texts_and_anchors_within_anchors_end_at_a_bound() {
    let long = format!("a: &x {}\nb: [{}]", "x".repeat(1 << 20), "*x, ".repeat(90_000));
    assert!(read(&long).1.iter().any(|it| it.message.contains("expanding aliases")));
    let anchors: String = (0..60).map(|it| format!("&a{it} [")).collect();
    let within = format!("{anchors}{}{}", "x, ".repeat(50_000), "]".repeat(60));
    assert!(read(&within).1.iter().any(|it| it.message.contains("expanding aliases")));
}
