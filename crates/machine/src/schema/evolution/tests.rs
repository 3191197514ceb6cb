//! What becomes of documents, byte for byte.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::json;
use crate::schema::{Schema, Step, upgrade};

fn evolution(renames: &[(&str, &str)]) -> Evolution {
    let renames: BTreeMap<String, String> =
        renames.iter().map(|(new, old)| ((*new).to_owned(), (*old).to_owned())).collect();
    Evolution { defaults: true, renames: renames.try_into().unwrap() }
}

fn up<'d>(evolution: &Evolution, schema: &Schema, document: &'d [u8]) -> Cow<'d, [u8]> {
    upgrade(&[Step::up(1, false, evolution, schema)], 0, document)
}

#[track_caller]
fn upgraded(document: &str, renames: &[(&str, &str)], schema: &Value) -> String {
    let schema = Schema::parse(&schema.to_string()).unwrap();
    let evolution = evolution(renames);
    let upgraded = up(&evolution, &schema, document.as_bytes());
    assert_eq!(json::check(&upgraded), Ok(()));
    let twice = up(&evolution, &schema, &upgraded);
    assert_eq!(twice, upgraded, "twice is once");
    String::from_utf8(upgraded.into_owned()).unwrap()
}

#[test]
fn members_are_renamed_and_keep_their_bytes() {
    for (document, new, old, result) in [
        ("{ \"name\" : 1e400, \"x\":0.10 }", "/full", "/name", "{ \"full\" : 1e400, \"x\":0.10 }"),
        ("{\"a\":{\"b\": [ 1 ]},\"c\":{}}", "/c/d", "/a/b", "{\"a\":{},\"c\":{\"d\":[ 1 ]}}"),
        ("{\"a\": 1, \"c\":{ \"e\":0 } }", "/c/d", "/a", "{\"c\":{ \"e\":0 ,\"d\":1} }"),
        ("{\"c\":{}, \"a\":1 }", "/c/d", "/a", "{\"c\":{\"d\":1} }"),
        ("{\"\\u0061\":1}", "/é\"", "/a", "{\"é\\\"\":1}"),
        ("{\"a\":1,\"b\":2}", "/b", "/a", "{\"a\":1,\"b\":2}"),
        ("{\"a\":1}", "/c/d", "/a", "{\"a\":1}"),
        ("{\"a\":1,\"c\":[]}", "/c/0", "/a", "{\"a\":1,\"c\":[]}"),
        ("{\"b\":2}", "/c", "/a", "{\"b\":2}"),
        ("[1]", "/c", "/0", "[1]"),
        (" 7", "/c", "/a", " 7"),
    ] {
        assert_eq!(upgraded(document, &[(new, old)], &json!({})), result, "{document}");
    }
}

#[test]
fn missing_members_get_their_defaults() {
    let schema = json!({
        "properties": {
            "n": {"default": 0},
            "in": {"properties": {"t": {"default": "é\n"}}},
            "new": {"default": {"k": 1}, "properties": {"l": {"default": []}}},
            "node": {"$ref": "#/$defs/node"},
        },
        "$defs": {"node": {"default": {}, "properties": {"next": {"$ref": "#/$defs/node"}, "v": {"default": 1}}}},
    });
    for (document, result) in [
        ("{ }", "{ \"n\":0,\"new\":{\"k\":1,\"l\":[]},\"node\":{\"next\":{},\"v\":1}}"),
        (
            "{\"n\" : null,\"in\":{ \"x\":1e400 },\"new\":{\"l\":1},\"node\":3}",
            "{\"n\" : null,\"in\":{ \"x\":1e400 ,\"t\":\"é\\n\"},\"new\":{\"l\":1},\"node\":3}",
        ),
        (
            "{\"n\":1,\"in\":[],\"new\":0,\"node\":{\"next\":{},\"v\":2}}",
            "{\"n\":1,\"in\":[],\"new\":0,\"node\":{\"next\":{},\"v\":2}}",
        ),
        ("[]", "[]"),
    ] {
        assert_eq!(upgraded(document, &[], &schema), result, "{document}");
    }
    let off = Evolution { defaults: false, ..Evolution::default() };
    let schema = Schema::parse(&schema.to_string()).unwrap();
    assert!(matches!(up(&off, &schema, b"{}"), Cow::Borrowed(b"{}")));
}

#[test]
fn what_one_change_makes_possible_is_done_as_well() {
    let schema = json!({"properties": {"in": {"default": {}}, "old": {"default": 1}}});
    assert_eq!(upgraded("{\"a\":1}", &[("/in/b", "/a")], &schema), "{\"in\":{\"b\":1},\"old\":1}");
    assert_eq!(upgraded("{}", &[("/new", "/old")], &schema), "{\"in\":{},\"new\":1,\"old\":1}");
}

#[test]
fn nothing_becomes_too_deep() {
    let deep = format!("{}{}", "[".repeat(127), "]".repeat(127));
    let document = format!("{{\"a\":{deep},\"b\":{{}}}}");
    assert_eq!(upgraded(&document, &[("/b/c", "/a")], &json!({})), document);
    assert_eq!(upgraded(&document, &[("/c", "/a")], &json!({})), document.replace("\"a\"", "\"c\""));
}

#[test]
fn bytes_that_are_not_json_are_noticed() {
    let schema = Schema::parse(r#"{"properties":{"a":{"default":1}}}"#).unwrap();
    for bad in [&b"{"[..], b"{\"x\"", b"{\"x\":", b"\xff", b""] {
        assert_eq!(up(&evolution(&[("/b", "/c")]), &schema, bad), bad, "{bad:?}");
    }
}

#[test]
fn renames_are_read_and_keep_apart() {
    let read = |text: &str| serde_json::from_str::<Evolution>(text).map_err(|error| error.to_string());
    assert_eq!(read("{}"), Ok(Evolution::default()));
    assert_eq!(read(r#"{"renames":{"/full_name":"/name"}}"#), Ok(evolution(&[("/full_name", "/name")])));
    let written = serde_json::to_value(evolution(&[("/a", "/b")])).unwrap();
    assert_eq!(written, json!({"defaults": true, "renames": {"/a": "/b"}}));
    for (wrong, words) in [
        (r#"{"renames":{"/a":"/a"}}"#, "rename in two versions"),
        (r#"{"renames":{"/a":"/a/b"}}"#, "at or in the other"),
        (r#"{"renames":{"/b":"/a","/c":"/b"}}"#, "at or in the other"),
        (r#"{"renames":{"/b":"/a","/c":"/a"}}"#, "at or in the other"),
        (r#"{"renames":{"":"/a"}}"#, "name a member"),
        (r#"{"renames":{"a":"/b"}}"#, "not a JSON Pointer"),
        (r#"{"rename":{}}"#, "unknown field"),
    ] {
        let error = read(wrong).unwrap_err();
        assert!(error.contains(words), "{wrong}: {error}");
    }
    let many = (0..=Renames::MAX).map(|number| (format!("/a{number}"), format!("/b{number}")));
    assert_eq!(
        Renames::try_from(many.collect::<BTreeMap<_, _>>()),
        Err(EvolutionError::TooMany { count: Renames::MAX + 1 })
    );
}

fn documents() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        (0i64..3).prop_map(Value::from),
        "[a\"\\\\é]{0,2}".prop_map(Value::from)
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            1 => prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            4 => prop::collection::btree_map("[a-e]", inner, 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn schemas() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(json!({})),
        documents().prop_map(|default| json!({ "default": default })),
        Just(json!({"$ref": "#"})),
    ];
    leaf.prop_recursive(3, 16, 3, |inner| {
        (prop::collection::btree_map("[a-e]", inner, 1..4), prop::option::of(documents())).prop_map(
            |(properties, default)| match default {
                Some(default) => json!({"properties": properties, "default": default}),
                None => json!({ "properties": properties }),
            },
        )
    })
}

proptest! {
    #[test]
    fn to_upgrade_twice_is_to_upgrade_once(
        document in documents(),
        schema in schemas(),
        renames in prop::collection::btree_map("(/[a-e]){1,3}", "(/[a-e]){1,3}", 0..4),
        is_pretty: bool,
    ) {
        let Ok(renames) = Renames::try_from(renames) else { return Ok(()) };
        let Ok(schema) = Schema::parse(&schema.to_string()) else { return Ok(()) };
        let evolution = Evolution { defaults: true, renames };
        let text = if is_pretty { serde_json::to_string_pretty(&document) } else { serde_json::to_string(&document) };
        let text = text.unwrap();
        let once = up(&evolution, &schema, text.as_bytes());
        prop_assert_eq!(json::check(&once), Ok(()));
        let twice = up(&evolution, &schema, &once);
        prop_assert!(matches!(twice, Cow::Borrowed(_)), "{:?}", (&once, &twice));
    }
}
