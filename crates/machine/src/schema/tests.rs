//! What is a schema, what a document may be under it, and what checks may cost.

use super::*;

fn schema(text: &str) -> Schema {
    Schema::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[track_caller]
fn refused(text: &str, words: &str) {
    let error = Schema::parse(text).expect_err(text).to_string();
    assert!(error.contains(words), "{text}: {error}");
}

fn violations(text: &str, document: &str) -> Vec<String> {
    match schema(text).check(document.as_bytes()) {
        Ok(()) => Vec::new(),
        Err(invalid) => invalid.violations.iter().map(ToString::to_string).collect(),
    }
}

#[test]
fn what_is_no_schema_is_refused_with_its_place() {
    for (text, words) in [
        ("{", "not taken as JSON"),
        (r#"{"a":1,"a":2}"#, "twice"),
        ("7", "an object, true or false"),
        (r#"{"minimum":1e400}"#, "out of range"),
        (r#"{"$schema":"http://json-schema.org/draft-07/schema#"}"#, "draft-07"),
        (r#"{"$schema":7}"#, "the dialect \"7\""),
        (
            r#"{"items":{"$ref":"https://example.com/a.json"}}"#,
            "\"https://example.com/a.json\" at \"/items\"",
        ),
        (r#"{"$ref":"other.json#/a"}"#, "other.json"),
        (r##"{"$ref":"#/$defs/a"}"##, "leads to no subschema"),
        (r##"{"$ref":"#/enum/0","enum":[{}]}"##, "leads to no subschema"),
        (r##"{"$ref":"#a"}"##, "leads to no subschema"),
        (r#"{"$dynamicRef":"a"}"#, "write $ref"),
        (r#"{"properties":{"a":{"dependencies":{}}}}"#, "write dependentRequired"),
        (r#"{"items":{"$id":"a"}}"#, "wrong at \"/items\""),
        (r#"{"items":{"$anchor":"a"},"not":{"$anchor":"a"}}"#, "another name"),
        (r#"{"properties":{"a":{"type":"text"}}}"#, "\"/properties/a/type\""),
        (r#"{"required":"a"}"#, "must be of type array"),
        (r#"{"items":[]}"#, "wrong at \"/items\""),
        (r#"{"properties":{"a":7}}"#, "\"/properties/a\""),
        (r#"{"properties":{"a":{"pattern":"("}}}"#, "linear time"),
        (r#"{"pattern":"(?=a)b"}"#, "linear time"),
        (r#"{"pattern":"(a)\\1"}"#, "linear time"),
        (r#"{"patternProperties":{"(?!a)b":{}}}"#, "linear time"),
        (r#"{"pattern":"((a{1000}){1000}){1000}"}"#, "linear time"),
        (r##"{"$ref":"#"}"##, "refers to itself"),
        (r##"{"anyOf":[{"$ref":"#/$defs/a"}],"$defs":{"a":{"not":{"$ref":"#"}}}}"##, "refers to itself"),
    ] {
        refused(text, words);
    }
    refused(&format!("{{\"title\":\"{}\"}}", "a".repeat(Schema::BYTES_MAX)), "make it smaller");
    refused(&format!("[{}]", "{},".repeat(9)), "JSON");
}

#[test]
fn what_is_a_schema_is_taken() {
    for text in [
        "true",
        r#"{"$schema":"https://json-schema.org/draft/2020-12/schema","$id":"https://example.com/a"}"#,
        r##"{"properties":{"a":{"$ref":"#"},"b":{"$ref":"#/properties/a"},"c":{"$ref":"#x"}},"$defs":{"a/b c":{"$anchor":"x"}}}"##,
        r##"{"$ref":"#/$defs/a~1b%20c","$defs":{"a/b c":{}}}"##,
        r#"{"x-own":{"$ref":"anything"},"const":{"$ref":"https://example.com"}}"#,
        r#"{"properties":{"$ref":{"type":"string"},"$id":{},"dependencies":{}}}"#,
        r#"{"pattern":"^\\p{L}+\\d$"}"#,
    ] {
        schema(text);
    }
    assert_eq!(schema(r#"{"type":"null","title":"a"}"#), schema(r#"{ "title":"a", "type":"null" }"#));
    assert_ne!(schema(r#"{"type":"null"}"#), schema(r#"{"type":["null"]}"#));
    fn is_shared<T: Clone + Send + Sync>() {}
    is_shared::<Schema>();
}

#[test]
fn violations_name_the_place_and_what_would_be_right() {
    for (schema, document, expected) in [
        (r#"{"type":"object"}"#, "[]", &["the document must be of type object"][..]),
        (r#"{"type":["string","null"]}"#, "1", &["the document must be of type null or string"]),
        (
            r#"{"required":["a"],"properties":{"a/b":{"minimum":3},"c":{"enum":[1,2]}}}"#,
            r#"{"c":3,"a/b":2}"#,
            &["the document lacks the member \"a\"", "/a~1b must be at least 3", "/c must be one of [1,2]"],
        ),
        (
            r#"{"additionalProperties":false}"#,
            r#"{"x":1}"#,
            &["the document has members that are not allowed: none is"],
        ),
        (
            r#"{"properties":{"a":{}},"additionalProperties":false}"#,
            r#"{"x":1,"a":2}"#,
            &["the document has members that are not allowed, 1 in all: \"x\""],
        ),
        (r#"{"items":{"maxLength":1}}"#, r#"["é","ab"]"#, &["/1 must have 1 characters or fewer"]),
        (r#"{"prefixItems":[{"const":1}]}"#, "[1.0]", &[]),
        (r#"{"prefixItems":[false]}"#, "[1.0]", &["/0 is not allowed here"]),
        (
            r#"{"uniqueItems":true}"#,
            r#"[{"a":1,"b":2},{"b":2,"a":1.0}]"#,
            &["the document must not have an element twice"],
        ),
        (r#"{"uniqueItems":true}"#, r#"[1,"1",[1],{"a":1},true,null]"#, &[]),
        (
            r#"{"propertyNames":{"pattern":"^a"}}"#,
            r#"{"b":1}"#,
            &["the document has a member whose name must match the pattern \"^a\""],
        ),
        (
            r#"{"anyOf":[{"type":"null"},{"minimum":5}]}"#,
            "1",
            &["the document must be valid under one of 2 alternatives, and is under none"],
        ),
        (r#"{"format":"date","contentEncoding":"base64"}"#, "\"no\"", &[]),
        (
            r#"{"unevaluatedProperties":false,"allOf":[{"properties":{"a":{}}}]}"#,
            r#"{"a":1,"b":1}"#,
            &["the document has members that are not allowed, 1 in all: \"b\""],
        ),
        (
            r#"{"unevaluatedItems":false,"prefixItems":[{}]}"#,
            "[1,2]",
            &["the document has elements that are not allowed"],
        ),
    ] {
        assert_eq!(violations(schema, document), expected, "{schema} and {document}");
    }
    let found = schema(r#"{"properties":{"a":{"maximum":1}}}"#).check(br#"{"a":2}"#).unwrap_err();
    assert_eq!((found.violations[0].keyword.as_str(), found.more, found.is_complete), ("maximum", 0, true));
    assert_eq!(found.violations[0].schema_pointer, "/properties/a/maximum");
}

#[test]
fn numbers_are_exact_in_64_bits_and_doubles_otherwise() {
    for (text, document, is_valid) in [
        (r#"{"maximum":9007199254740992}"#, "9007199254740993", false),
        (r#"{"const":18446744073709551615}"#, "18446744073709551615", true),
        (r#"{"const":18446744073709551615}"#, "18446744073709551614", false),
        (r#"{"type":"integer"}"#, "123456789012345678901234567890", true),
        (r#"{"const":123456789012345678901234567890}"#, "123456789012345678901234567891", true),
        (r#"{"maximum":18446744073709551615}"#, "123456789012345678901234567890", false),
        (r#"{"type":"integer"}"#, "1.0", true),
        (r#"{"type":"integer"}"#, "1e3", true),
        (r#"{"type":"integer"}"#, "1.5", false),
        (r#"{"type":"integer"}"#, "-0.0", true),
        (r#"{"const":0}"#, "-0", true),
        (r#"{"const":0}"#, "1e-400", true),
        (r#"{"multipleOf":0.1}"#, "0.3", true),
        (r#"{"multipleOf":3}"#, "9007199254740993", true),
        (r#"{"enum":[1,2.5]}"#, "1.0", true),
        (r#"{"enum":[1,2.5]}"#, "2.50", true),
    ] {
        let verdict = schema(text).check(document.as_bytes());
        assert_eq!(verdict.is_ok(), is_valid, "{text} and {document}: {verdict:?}");
    }
    let beyond = schema("true").check(br#"{"a/b":[1,-1e400]}"#).unwrap_err();
    assert!(beyond.to_string().starts_with("/a~1b/1 is a number out of the range"), "{beyond}");
}

#[test]
fn many_violations_are_counted_and_long_ones_cut() {
    let negative = schema(r#"{"items":{"minimum":0}}"#);
    let found = negative.check(format!("[{}-1]", "-1,".repeat(99)).as_bytes()).unwrap_err();
    assert_eq!((found.violations.len(), found.more, found.is_complete), (32, 68, true));
    assert!(found.to_string().ends_with("; and 68 more"));
    let found = negative.check(format!("[{}-1]", "-1,".repeat(99_999)).as_bytes()).unwrap_err();
    assert!(found.violations.len() == 32 && found.more > 1_000 && !found.is_complete, "{found}");
    let options: Vec<String> = (0..1_000).map(|number| number.to_string()).collect();
    let long = violations(&format!("{{\"enum\":[{}]}}", options.join(",")), "-1");
    assert!(long[0].ends_with('…') && long[0].chars().count() < 220, "{long:?}");
    let name = "é".repeat(100_000);
    let long = violations(r#"{"additionalProperties":false}"#, &format!("{{\"{name}\":1}}"));
    assert!(long[0].chars().count() < 220, "{long:?}");
}

#[test]
fn bytes_that_are_not_a_document_are_violations() {
    let deep = "[".repeat(1_000);
    for bad in [&b"{"[..], b"", b"\xff", b"[1,,2]", b"nul", deep.as_bytes()] {
        let _ = schema("true").check(bad);
        assert!(schema("false").check(bad).is_err());
    }
}

/// Alternatives that refer to themselves, over a document as deep as any.
const DOUBLING: [&str; 3] = [
    r##"{"anyOf":[{"properties":{"a":{"$ref":"#"}},"required":["x"]},{"properties":{"a":{"$ref":"#"}},"required":["y"]}]}"##,
    r##"{"oneOf":[{"properties":{"a":{"$ref":"#"}}},{"properties":{"a":{"$ref":"#"}}},{"required":["z"]}]}"##,
    r##"{"allOf":[{"properties":{"a":{"$ref":"#"}}},{"properties":{"a":{"$ref":"#"}}}],"required":["z"],"unevaluatedProperties":false}"##,
];

#[test]
fn a_check_ends_however_the_schema_is_nested() {
    let document = format!("{}1{}", "{\"a\":".repeat(128), "}".repeat(128));
    for text in DOUBLING {
        let verdict = schema(text).check(document.as_bytes());
        assert!(verdict.is_err(), "{text}");
    }
}

/// As many schemas as may be nested for one value, at each level of the deepest document: in the stack of a task's thread.
#[test]
fn a_check_keeps_within_the_stack() {
    let steps: Vec<String> = (0..5)
        .map(|step| format!(r##""s{step}":{{"allOf":[{{"$ref":"#/$defs/s{}"}}]}}"##, step + 1))
        .collect();
    let text = format!(
        r##"{{"$ref":"#/$defs/s0","$defs":{{{},"s5":{{"additionalProperties":{{"$ref":"#/$defs/s0"}},"maximum":0}}}}}}"##,
        steps.join(",")
    );
    let schema = schema(&text);
    let document = format!("{}1{}", "{\"a\":".repeat(128), "}".repeat(128));
    let check = move || schema.check(document.as_bytes()).is_err();
    let thread = std::thread::Builder::new().stack_size(2 << 20).spawn(check).unwrap();
    assert!(thread.join().unwrap());
}
