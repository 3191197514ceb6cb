//! Indexes as they are written, and the entries of documents.

use proptest::prelude::*;

use super::*;

mod encoding;
mod narrowing;

fn index(on: &[&str]) -> Index {
    Index::new(on.iter().map(|pointer| pointer.parse().unwrap()).collect(), false).unwrap()
}

fn encoded(values: &[Scalar<'_>]) -> Vec<u8> {
    let mut out = Vec::new();
    values.iter().for_each(|value| value.put(&mut out));
    out
}

fn number(double: f64) -> Scalar<'static> {
    Scalar::Number(Number::of_double(double).unwrap())
}

fn text(text: &str) -> Scalar<'_> {
    Scalar::Text(text.into())
}

const EDGES: [&str; 13] =
    ["0", "-0", "-0.0", "1", "1.0", "1e0", "10E-1", "0.1", "-1.5", "1e308", "5e-324", "1e-400", "-1e-400"];

/// Where kinds of numbers end, and doubles get sparser.
const BOUNDS: [i128; 8] =
    [0, 1 << 53, -(1 << 53), 1 << 63, -(1 << 63), 1 << 64, (1 << 64) - 2048, (1 << 53) + (1 << 62)];

fn numbers() -> impl Strategy<Value = String> {
    let near = (proptest::sample::select(&BOUNDS[..]), -2100i128..2100).prop_map(|(bound, by)| bound + by);
    prop_oneof![
        proptest::sample::select(&EDGES[..]).prop_map(str::to_owned),
        near.clone().prop_map(|whole| whole.to_string()),
        near.prop_map(|whole| format!("{whole}.0")),
        (-3i64..4).prop_map(|small| small.to_string()),
        any::<f64>()
            .prop_filter("JSON has finite numbers", |double| double.is_finite())
            .prop_map(|it| format!("{it:?}")),
    ]
}

/// JSON that is no array and no object.
fn scalars() -> impl Strategy<Value = String> {
    prop_oneof![
        1 => proptest::sample::select(&["null", "true", "false"][..]).prop_map(str::to_owned),
        3 => numbers(),
        2 => "[\u{0}\u{1}ab\"/é\u{1F600}\u{10FFFF}]{0,3}".prop_map(|text| serde_json::to_string(&text).unwrap()),
    ]
}

#[test]
fn an_index_is_a_list_or_an_object() {
    let list: Index = serde_json::from_str(r#"["/state", "/a~1b/0"]"#).unwrap();
    assert_eq!(list, index(&["/state", "/a~1b/0"]));
    assert_eq!(serde_json::to_string(&list).unwrap(), r#"["/state","/a~1b/0"]"#);
    let unique: Index = serde_json::from_str(r#"{"on": ["/email"], "unique": true}"#).unwrap();
    assert_eq!(unique, Index { unique: true, ..index(&["/email"]) });
    assert_eq!(serde_json::to_string(&unique).unwrap(), r#"{"on":["/email"],"unique":true}"#);
    assert_eq!(serde_json::from_str::<Index>(r#"{"on": ["/email"]}"#).unwrap(), index(&["/email"]));
    for (wrong, words) in [
        ("[]", "on 0 fields: name 1 to 8"),
        (r#"["/1","/2","/3","/4","/5","/6","/7","/8","/9"]"#, "on 9 fields"),
        (r#"["/a", ""]"#, "field 2 of the index is the whole document"),
        (r#"{"on": ["/a", "/b", "/a"]}"#, "on \"/a\" twice: keep one"),
        (r#"["a"]"#, "\"a\" is not a JSON Pointer: it begins with a slash"),
        (r#"{"on": ["/a"], "uniqe": true}"#, "unknown field `uniqe`, expected `on` or `unique`"),
        (r#"{"unique": true}"#, "missing field `on`"),
        (r#""/a""#, "expected a list of JSON Pointers such as [\"/state\"], or an object with on and unique"),
    ] {
        let error = serde_json::from_str::<Index>(wrong).unwrap_err().to_string();
        assert!(error.contains(words), "{wrong}: {error}");
    }
}

#[test]
fn the_schema_allows_both_forms() {
    let schema = schemars::schema_for!(Index).to_value();
    let forms = schema["anyOf"].as_array().unwrap();
    assert_eq!(forms[0]["maxItems"], 8);
    assert_eq!(forms[0]["items"]["$ref"], "#/$defs/Pointer");
    assert_eq!(forms[1]["additionalProperties"], false);
    assert_eq!(schema["$defs"]["Pointer"]["type"], "string");
}

#[track_caller]
fn has(on: &[&str], document: &str, expected: &[&[Scalar<'_>]]) {
    let expected: Vec<Vec<u8>> = expected.iter().map(|values| encoded(values)).collect();
    assert_eq!(entries(&index(on), Some(document)).unwrap(), expected, "{on:?} {document}");
}

#[test]
fn a_document_has_its_fields_as_entries() {
    use Scalar::{Absent, Bool, Null, Object};
    let document = r#" {"a": {"b": 7, "~/": "x"}, "tags": ["b", "a", "b"], "none": [],
        "in": [[1], {"n": 2}, 3], "\u0061b": null} "#;
    has(&["/a/b"], document, &[&[number(7.0)]]);
    has(&["/a/~0~1"], document, &[&[text("x")]]);
    has(&["/ab", "/a", "/b"], document, &[&[Null, Object, Absent]]);
    has(&["/tags"], document, &[&[text("a")], &[text("b")]]);
    has(
        &["/a/b", "/tags", "/ab"],
        document,
        &[&[number(7.0), text("a"), Null], &[number(7.0), text("b"), Null]],
    );
    has(&["/none"], document, &[&[Absent]]);
    has(&["/in"], document, &[&[number(3.0)], &[Object]]);
    has(&["/in/0"], document, &[&[number(1.0)]]);
    has(&["/in/1/n", "/tags/2"], document, &[&[number(2.0), text("b")]]);
    for nothing in ["/a/b/c", "/tags/3", "/tags/01", "/tags/-", "/tags/b", "/ab/c", "/"] {
        has(&[nothing], document, &[&[Absent]]);
    }
    has(&["/a"], "[{\"a\": 1}]", &[&[Absent]]);
    has(&["/0"], "[true]", &[&[Bool(true)]]);
    assert_eq!(entries(&index(&["/a", "/b"]), None).unwrap(), [encoded(&[Absent, Absent])]);
}

#[test]
fn a_document_that_does_not_fit_says_where() {
    let refused = |on: &[&str], document: &str| entries(&index(on), Some(document)).unwrap_err();
    let pointer = |text: &str| text.parse::<Pointer>().unwrap();
    assert_eq!(
        refused(&["/x", "/a", "/c", "/b"], r#"{"a": [1], "b": [], "c": 1}"#),
        Error::Arrays { pointers: [pointer("/a"), pointer("/b")] }
    );
    let long = |bytes: usize| format!(r#"{{"a": ["{}"]}}"#, "x".repeat(bytes));
    assert!(entries(&index(&["/a"]), Some(&long(1021))).is_ok());
    assert_eq!(refused(&["/a"], &long(1022)), Error::TooLong { pointer: pointer("/a"), bytes: 1025 });
    let many = |count: usize| {
        let elements: Vec<String> = (0..count).map(|element| format!("{element}, {element}.0")).collect();
        format!(r#"{{"a": [{}]}}"#, elements.join(","))
    };
    assert_eq!(entries(&index(&["/a", "/b"]), Some(&many(256))).unwrap().len(), 256);
    let error = refused(&["/a", "/b"], &many(257));
    assert_eq!(error, Error::TooMany { pointer: pointer("/a") });
    assert!(
        error.to_string().starts_with("the array at \"/a\" has more than 256 different values"),
        "{error}"
    );
    for damaged in
        [r#"{"a""#, r#"{"a": "#, r#"{"a": "\u12"}"#, r#"{"a": [1"#, r#"{"a": xyz}"#, r#"{"a": -nan}"#]
    {
        assert_eq!(refused(&["/a"], damaged), Error::Malformed, "{damaged}");
    }
}

const WORDS: [&str; 18] = [
    "/a", "/0", " ", "\n", "{", "}", "[", "]", ":", ",", "\"a\"", "\"b", "\\u00", "1", "-", "1e400", "nan",
    "~",
];

proptest! {
    #[test]
    fn no_document_panics(
        words in proptest::collection::vec(proptest::sample::select(&WORDS[..]), 0..16),
        json in "[\\[\\]{}:,\"a1\\\\u0 .e-]{0,16}",
    ) {
        let words = words.concat();
        crate::fuzz::index(words.as_bytes());
        crate::fuzz::index(format!("/a /a/0\n{{\"a\":{words}").as_bytes());
        crate::fuzz::index(format!("/a\n{{\"a\":{json}}}\nvalue.a <= 1 || value.a >= 'a'").as_bytes());
        crate::fuzz::index(format!("/a /a/1\n{{\"a\":[{json}]}}\n1 in value.a").as_bytes());
    }

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
        crate::fuzz::index(&bytes);
    }
}
