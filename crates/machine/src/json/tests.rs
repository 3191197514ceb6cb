//! The grammar, the merge patches of RFC 7396, and increments.

use proptest::prelude::*;
use serde_json::Value;

use super::*;

fn json(text: &str) -> Json {
    Json::new(Bytes::copy_from_slice(text.as_bytes())).expect(text)
}

fn merged(target: Option<&str>, patch: &str) -> String {
    let merged = merge_patch(target.map(str::as_bytes), &json(patch)).expect("the target is JSON");
    String::from_utf8(merged).unwrap()
}

#[test]
fn exactly_json_is_accepted() {
    for good in [
        "0",
        "-0",
        "1e400",
        "-1.50E-7",
        "\"\"",
        "null",
        " [ ] ",
        "{}",
        "[1,2]",
        "{\"a\":{\"a\":1}}",
        "\"\\u00e9\\n\"",
        "\"\\ud83d\\ude00\"",
        "\t{\n\"a\" : 1 , \"b\":[true,false]}\r",
    ] {
        assert_eq!(check(good.as_bytes()), Ok(()), "{good}");
    }
    for (bad, at) in [
        ("", 0),
        (" ", 1),
        ("01", 1),
        ("+1", 0),
        ("1.", 2),
        (".5", 0),
        ("1e", 2),
        ("-", 1),
        ("tru", 0),
        ("nul", 0),
        ("[1,]", 3),
        ("[1 2]", 3),
        ("[", 1),
        ("{a:1}", 1),
        ("{\"a\"}", 4),
        ("{\"a\":1,}", 7),
        ("{\"a\":}", 5),
        ("\"a", 2),
        ("\"\\x\"", 1),
        ("\"\\u12g4\"", 5),
        ("\"\n\"", 1),
        ("1 1", 2),
        ("\u{feff}1", 0),
        ("NaN", 0),
        ("'a'", 0),
        ("[1]]", 3),
        ("// a", 0),
    ] {
        assert!(
            matches!(check(bad.as_bytes()), Err(Error::Syntax { at: found, .. }) if found == at),
            "{bad}: {:?}",
            check(bad.as_bytes())
        );
    }
    assert_eq!(check(b"\"\xff\""), Err(Error::Encoding { at: 1 }));
}

#[test]
fn what_readers_understand_differently_is_refused() {
    let name = "a".to_owned();
    assert_eq!(check(br#"{"a":1,"b":2,"a":3}"#), Err(Error::Duplicate { name: name.clone(), at: 19 }));
    assert_eq!(check(br#"{"a":1,"\u0061":2}"#), Err(Error::Duplicate { name: name.clone(), at: 18 }));
    let many: Vec<String> = (0..20).map(|number| format!("\"n{number}\":0")).collect();
    assert_eq!(check(format!("{{{}}}", many.join(",")).as_bytes()), Ok(()));
    let twice = format!("{{\"a\":0,{},\"a\":0}}", many.join(","));
    assert!(matches!(check(twice.as_bytes()), Err(Error::Duplicate { .. })));
    assert_eq!(check(br#"[{"a":1},{"a":{"a":1}}]"#), Ok(()), "one name in several objects");
    for half in [r#""\ud800""#, r#""\udc00""#, r#""\ud800\u0041""#, r#""\ud800x""#] {
        assert_eq!(check(half.as_bytes()), Err(Error::Surrogate { at: 1 }), "{half}");
    }
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert_eq!(check(nested(DEPTH_MAX).as_bytes()), Ok(()));
    assert_eq!(check(nested(DEPTH_MAX + 1).as_bytes()), Err(Error::TooDeep { at: DEPTH_MAX }));
    assert!(check("{\"a\":".repeat(100_000).as_bytes()).is_err(), "no depth can exhaust the stack");
}

/// The examples of RFC 7396, appendix A.
#[test]
fn merge_patches_do_what_their_rfc_says() {
    for (target, patch, result) in [
        (r#"{"a":"b"}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
        (r#"{"a":"b"}"#, r#"{"b":"c"}"#, r#"{"a":"b","b":"c"}"#),
        (r#"{"a":"b"}"#, r#"{"a":null}"#, "{}"),
        (r#"{"a":"b","b":"c"}"#, r#"{"a":null}"#, r#"{"b":"c"}"#),
        (r#"{"a":["b"]}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
        (r#"{"a":"c"}"#, r#"{"a":["b"]}"#, r#"{"a":["b"]}"#),
        (r#"{"a":{"b":"c"}}"#, r#"{"a":{"b":"d","c":null}}"#, r#"{"a":{"b":"d"}}"#),
        (r#"{"a":[{"b":"c"}]}"#, r#"{"a":[1]}"#, r#"{"a":[1]}"#),
        (r#"["a","b"]"#, r#"["c","d"]"#, r#"["c","d"]"#),
        (r#"{"a":"b"}"#, r#"["c"]"#, r#"["c"]"#),
        (r#"{"a":"foo"}"#, "null", "null"),
        (r#"{"a":"foo"}"#, r#""bar""#, r#""bar""#),
        (r#"{"e":null}"#, r#"{"a":1}"#, r#"{"e":null,"a":1}"#),
        ("[1,2]", r#"{"a":"b","c":null}"#, r#"{"a":"b"}"#),
        ("{}", r#"{"a":{"bb":{"ccc":null}}}"#, r#"{"a":{"bb":{}}}"#),
    ] {
        assert_eq!(merged(Some(target), patch), result, "{target} and {patch}");
    }
}

#[test]
fn what_a_patch_does_not_name_stays_byte_for_byte() {
    let target = "{ \"big\" : 1e400, \"price\": 0.10 ,\"\\u0069d\":9007199254740993, \"in\":{\"a\": [ 1,\t2 ],\"b\":1} }";
    assert_eq!(
        merged(Some(target), r#"{"in":{"b":2},"z":1,"y":-0}"#),
        "{\"big\":1e400,\"price\":0.10,\"\\u0069d\":9007199254740993,\"in\":{\"a\":[ 1,\t2 ],\"b\":2},\"z\":1,\"y\":-0}"
    );
    assert_eq!(merged(Some(target), r#"{"id":null,"in":1.0,"big":null,"price":null}"#), r#"{"in":1.0}"#);
    assert_eq!(merged(Some(r#"{"\u00e9":1}"#), "{\"é\":2}"), r#"{"\u00e9":2}"#, "a name keeps its form");
    assert_eq!(merged(None, r#"{"a":null,"b":{"c":null,"d":[null]}}"#), r#"{"b":{"d":[null]}}"#);
    assert_eq!(merged(None, " 7 "), "7");
}

#[test]
fn a_target_that_is_not_json_is_noticed() {
    for bad in [
        "{",
        "{\"a\"",
        "{\"a\":",
        "{\"a\":1",
        "{\"a\":1,,}",
        "{\"a\":]}",
        "{\"\\u12\":1}",
        "{\"\\",
        "{1:2}",
        "\u{1}",
    ] {
        let merged = merge_patch(Some(bad.as_bytes()), &json("{\"a\":1}"));
        assert!(merged.is_none() || !bad.starts_with('{'), "{bad}");
    }
    assert_eq!(merge_patch(Some(b"\xff"), &json("1")), None);
}

fn incremented(document: &str, path: &str, by: i64) -> Result<String, IncrementError> {
    let result = increment(Some(document.as_bytes()), &path.parse().unwrap(), by)?;
    Ok(String::from_utf8(result.text).unwrap())
}

#[test]
fn increments_change_one_number_only() {
    let document = "{ \"a\" : { \"n\":  41 , \"x\":1e400}, \"l\":[ 1, {\"n\":-5} ],\"~/\":0}";
    assert_eq!(incremented(document, "/a/n", 1).unwrap(), document.replace("41", "42"));
    assert_eq!(incremented(document, "/l/1/n", 5).unwrap(), document.replace("-5", "0"));
    assert_eq!(incremented(document, "/l/0", -3).unwrap(), document.replace("[ 1", "[ -2"));
    assert_eq!(
        incremented(document, "/~0~1", i64::MIN).unwrap(),
        document.replace(":0}", ":-9223372036854775808}")
    );
    assert_eq!(incremented(" 7 ", "", 1).unwrap(), " 8 ");
    assert_eq!(incremented("-0", "", 1).unwrap(), "1");
}

#[test]
fn a_missing_member_begins_at_zero_in_an_object_that_is_there() {
    assert_eq!(incremented("{\"a\":{ }}", "/a/n", 3).unwrap(), "{\"a\":{ \"n\":3}}");
    assert_eq!(incremented("{\"a\":1 }", "/b\"", -3).unwrap(), "{\"a\":1 ,\"b\\\"\":-3}");
    let created = increment(None, &"/n".parse().unwrap(), 2).unwrap();
    assert_eq!((created.text.as_slice(), created.before, created.after), (&b"{\"n\":2}"[..], 0, 2));
    assert_eq!(increment(None, &Pointer::default(), 2).unwrap().text, b"2");
    assert_eq!(incremented("{}", "/a/n", 3), Err(IncrementError::NoParent { step: 1 }));
    assert_eq!(incremented("{\"a\":{}}", "/a/b/n", 3), Err(IncrementError::NoParent { step: 2 }));
    assert_eq!(incremented("{\"a\":7}", "/a/n", 3), Err(IncrementError::NoParent { step: 2 }));
    for step in ["2", "-", "01", "x", "+1"] {
        assert_eq!(incremented("[1,2]", &format!("/{step}"), 3), Err(IncrementError::NoElement { step: 1 }));
    }
}

#[test]
fn what_is_no_whole_number_is_refused() {
    for wrong in ["1.0", "1e3", "\"1\"", "null", "[]", "9223372036854775808", "true"] {
        assert_eq!(incremented(wrong, "", 1), Err(IncrementError::NotAnInteger), "{wrong}");
    }
    assert_eq!(incremented("9223372036854775807", "", 1), Err(IncrementError::Overflow { before: i64::MAX }));
    assert_eq!(incremented("-2", "", i64::MIN), Err(IncrementError::Overflow { before: -2 }));
    assert_eq!(incremented("{\"a\":", "/a", 1), Err(IncrementError::Malformed));
}

#[test]
fn pointers_are_read_as_their_rfc_says() {
    let steps = |text: &str| text.parse::<Pointer>().map(|pointer| pointer.steps().to_vec());
    assert_eq!(steps(""), Ok(vec![]));
    assert_eq!(steps("/"), Ok(vec![String::new()]));
    assert_eq!(steps("/a~1b/~0~01//m n"), Ok(["a/b", "~~1", "", "m n"].map(str::to_owned).to_vec()));
    for wrong in ["a", "/~", "/~2", "/a~", &"/a".repeat(129), &format!("/{}", "a".repeat(1024))] {
        assert!(steps(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn a_pointer_is_text_outside() {
    let pointer: Pointer = serde_json::from_str("\"/a~1b/0\"").unwrap();
    assert_eq!(serde_json::to_string(&pointer).unwrap(), "\"/a~1b/0\"");
    let error = serde_json::from_str::<Pointer>("\"a\"").unwrap_err().to_string();
    assert!(error.contains("\"a\" is not a JSON Pointer: it begins with a slash"), "{error}");
    assert!(serde_json::from_str::<Pointer>("7").is_err());
}

fn documents() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-3i64..3).prop_map(Value::from),
        "[a-c\"\\\\é\u{1F600}\n]{0,4}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map("[a-d]", inner, 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// RFC 7396, section 2, on trees.
fn merge_trees(target: Option<Value>, patch: &Value) -> Value {
    let Value::Object(patch) = patch else { return patch.clone() };
    let mut target = match target {
        Some(Value::Object(target)) => target,
        _ => serde_json::Map::new(),
    };
    for (name, value) in patch {
        if value.is_null() {
            target.remove(name);
        } else {
            let before = target.remove(name);
            target.insert(name.clone(), merge_trees(before, value));
        }
    }
    Value::Object(target)
}

proptest! {
    #[test]
    fn merging_bytes_is_merging_trees(target in documents(), patch in documents(), is_pretty: bool) {
        let text = if is_pretty { serde_json::to_string_pretty(&target) } else { serde_json::to_string(&target) };
        let patched = merged(Some(&text.unwrap()), &patch.to_string());
        prop_assert_eq!(check(patched.as_bytes()), Ok(()));
        let patched: Value = serde_json::from_str(&patched).unwrap();
        prop_assert_eq!(patched, merge_trees(Some(target), &patch));
        let alone: Value = serde_json::from_str(&merged(None, &patch.to_string())).unwrap();
        prop_assert_eq!(alone, merge_trees(None, &patch));
    }

    #[test]
    fn what_is_accepted_is_json_for_others_too(text in "[\\[\\]{}:,\"a1\\\\u0 .e-]{0,12}") {
        if check(text.as_bytes()).is_ok() {
            prop_assert!(serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok(), "{}", text);
        } else if let Ok(tree) = serde_json::from_str::<Value>(&text) {
            prop_assert!(text.matches("\"").count() >= 4, "only names that stand twice: {} {:?}", text, tree);
        }
    }

    #[test]
    fn pointers_are_made_of_their_steps(steps in proptest::collection::vec("[a/~0 é]{0,3}", 0..4)) {
        let pointer = Pointer::of_steps(steps.iter().map(String::as_str)).unwrap();
        prop_assert_eq!(pointer.steps(), &steps[..]);
        prop_assert_eq!(pointer.as_str().parse(), Ok(pointer.clone()));
    }

    #[test]
    fn strings_are_unescaped_as_others_do(text in any::<String>()) {
        let raw = serde_json::to_string(&text).unwrap();
        prop_assert_eq!(check(raw.as_bytes()), Ok(()));
        prop_assert_eq!(unescape(&raw[1..raw.len() - 1]).unwrap(), text);
    }
}
