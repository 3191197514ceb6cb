//! Verdicts that are known, and that no verdict is too kind.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn schema(text: &str) -> Schema {
    Schema::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn goes(old: &str, new: &str, compatibility: Compatibility) -> Result<(), Incompatible> {
    compatible(&schema(old), &schema(new), compatibility)
}

/// Each: the last version, the new one, whether it is backward compatible, whether it is forward compatible.
#[track_caller]
fn verdicts(cases: &[(&str, &str, bool, bool)]) {
    for (old, new, is_backward, is_forward) in cases {
        let backward = goes(old, new, Compatibility::Backward);
        let forward = goes(old, new, Compatibility::Forward);
        assert_eq!(backward.is_ok(), *is_backward, "backward, {old} to {new}: {backward:?}");
        assert_eq!(forward.is_ok(), *is_forward, "forward, {old} to {new}: {forward:?}");
        let is_full = goes(old, new, Compatibility::Full).is_ok();
        assert_eq!(is_full, *is_backward && *is_forward, "{old} to {new}");
        assert_eq!(goes(old, new, Compatibility::None), Ok(()));
    }
}

#[test]
fn types_and_values() {
    verdicts(&[
        ("true", "{}", true, true),
        ("true", "false", false, true),
        ("{}", r#"{"type":"string"}"#, false, true),
        (r#"{"type":"string"}"#, r#"{"type":["string","null"]}"#, true, false),
        (r#"{"type":"integer"}"#, r#"{"type":"number"}"#, true, false),
        (r#"{"type":["integer","string"]}"#, r#"{"type":["string","number"]}"#, true, false),
        (r#"{"type":"string"}"#, r#"{"type":"integer"}"#, false, false),
        (r#"{"type":"string"}"#, r#"{"type":"string","title":"A","description":"B"}"#, true, true),
        (r#"{"type":"string"}"#, r#"{"type":"string","format":"date"}"#, true, true),
        (r#"{"enum":["a","b"]}"#, r#"{"enum":["a","b","c"]}"#, true, false),
        (r#"{"const":1}"#, r#"{"enum":[1.0,2]}"#, true, false),
        (r#"{"const":"a"}"#, r#"{"const":"b"}"#, false, false),
        (r#"{"enum":["a","b"]}"#, r#"{"type":"string"}"#, true, false),
        (r#"{"enum":["a",1]}"#, r#"{"type":"string"}"#, false, false),
        (r#"{"type":"boolean"}"#, r#"{"enum":[true,false]}"#, true, true),
        (r#"{"type":"boolean"}"#, r#"{"enum":[true]}"#, false, true),
        (r#"{"type":["boolean","null"]}"#, r#"{"enum":[true,false,null,1]}"#, true, false),
        (r#"{"enum":["a",1],"type":"string"}"#, r#"{"const":"a"}"#, true, true),
        (r#"{"const":{"a":[1]}}"#, r#"{"enum":[{"a":[1.0]}]}"#, true, true),
    ]);
}

#[test]
fn numbers_and_strings() {
    verdicts(&[
        (r#"{"minimum":1}"#, r#"{"minimum":0}"#, true, false),
        (r#"{"minimum":1}"#, "{}", true, false),
        (r#"{"minimum":0}"#, r#"{"exclusiveMinimum":0}"#, false, true),
        (r#"{"exclusiveMaximum":5}"#, r#"{"maximum":5}"#, true, false),
        (r#"{"type":"integer","exclusiveMinimum":0}"#, r#"{"type":"integer","minimum":1}"#, true, true),
        (r#"{"exclusiveMinimum":0}"#, r#"{"minimum":1}"#, false, true),
        (r#"{"minimum":9007199254740993}"#, r#"{"minimum":9007199254740992.0}"#, true, false),
        (r#"{"type":"string"}"#, r#"{"type":"string","minimum":5}"#, true, true),
        (r#"{"enum":[3,5]}"#, r#"{"enum":[3,5],"minimum":3}"#, true, true),
        (r#"{"enum":[3,5]}"#, r#"{"type":"integer","minimum":4}"#, false, false),
        (r#"{"multipleOf":4}"#, r#"{"multipleOf":2}"#, true, false),
        (r#"{"multipleOf":4}"#, r#"{"multipleOf":3}"#, false, false),
        (r#"{"multipleOf":0.5}"#, r#"{"multipleOf":0.5}"#, true, true),
        (r#"{"multipleOf":0.5}"#, r#"{"multipleOf":0.25}"#, false, false),
        (r#"{"type":"integer"}"#, r#"{"type":"integer","multipleOf":1}"#, true, true),
        (r#"{"minLength":2}"#, r#"{"minLength":1}"#, true, false),
        (r#"{"maxLength":2}"#, r#"{"maxLength":3.0}"#, true, false),
        ("{}", r#"{"minLength":0}"#, true, true),
        (r#"{"enum":["ab","é"]}"#, r#"{"type":"string","maxLength":2}"#, true, false),
        (r#"{"pattern":"^a"}"#, r#"{"pattern":"^a"}"#, true, true),
        (r#"{"pattern":"^a"}"#, r#"{"pattern":"^[a]"}"#, false, false),
        (r#"{"pattern":"^a"}"#, "{}", true, false),
        (r#"{"type":"integer"}"#, r#"{"type":"integer","pattern":"^a"}"#, true, true),
    ]);
}

#[test]
fn objects_and_their_members() {
    const CLOSED: &str =
        r#"{"type":"object","properties":{"a":{"type":"string"}},"additionalProperties":false}"#;
    verdicts(&[
        ("{}", r#"{"required":["a"]}"#, false, true),
        (r#"{"required":["a","b"]}"#, r#"{"required":["a"]}"#, true, false),
        (
            CLOSED,
            r#"{"type":"object","properties":{"a":{"type":"string"},"b":{"type":"integer"}},"additionalProperties":false}"#,
            true,
            false,
        ),
        (CLOSED, r#"{"type":"object","properties":{"a":{"type":"string"}}}"#, true, false),
        (CLOSED, r#"{"type":"object","properties":{"a":{}},"additionalProperties":false}"#, true, false),
        (CLOSED, r#"{"type":"object","additionalProperties":false}"#, false, true),
        (CLOSED, r#"{"type":"object","additionalProperties":{"type":"string"}}"#, true, false),
        (r#"{"properties":{"a":{"type":"string"}}}"#, "{}", true, false),
        ("{}", r#"{"properties":{"a":true}}"#, true, true),
        (
            r#"{"additionalProperties":{"type":"integer"}}"#,
            r#"{"properties":{"a":{"type":"number"}},"additionalProperties":{"type":"integer"}}"#,
            true,
            false,
        ),
        (
            r#"{"additionalProperties":{"type":"integer"}}"#,
            r#"{"additionalProperties":{"type":"number"}}"#,
            true,
            false,
        ),
        (
            r#"{"patternProperties":{"^a":{"type":"integer"}}}"#,
            r#"{"patternProperties":{"^a":{"type":"number"}}}"#,
            true,
            false,
        ),
        (
            r#"{"patternProperties":{"^a":{}},"additionalProperties":false}"#,
            r#"{"patternProperties":{"^a":{}},"additionalProperties":{"type":"null"}}"#,
            true,
            false,
        ),
        (
            r#"{"patternProperties":{"^a":{}},"additionalProperties":false}"#,
            r#"{"additionalProperties":false}"#,
            false,
            true,
        ),
        (r#"{"minProperties":2}"#, r#"{"minProperties":1}"#, true, false),
        (r#"{"required":["a","b"]}"#, r#"{"required":["a","b"],"minProperties":2}"#, true, true),
        (r#"{"propertyNames":{"maxLength":2}}"#, r#"{"propertyNames":{"maxLength":3}}"#, true, false),
        (r#"{"dependentRequired":{"a":["b","c"]}}"#, r#"{"dependentRequired":{"a":["b"]}}"#, true, false),
        (r#"{"required":["b"]}"#, r#"{"required":["b"],"dependentRequired":{"a":["b"]}}"#, true, true),
        (
            r#"{"dependentSchemas":{"a":{"required":["b","c"]}}}"#,
            r#"{"dependentSchemas":{"a":{"required":["b"]}}}"#,
            true,
            false,
        ),
        (r#"{"type":"object"}"#, r#"{"type":"object","unevaluatedProperties":false}"#, false, true),
        (
            r#"{"title":"A","unevaluatedProperties":false}"#,
            r#"{"title":"A","unevaluatedProperties":false,"$defs":{}}"#,
            false,
            false,
        ),
        (r#"{"properties":{"a":false}}"#, r#"{"properties":{"a":{"type":"string"}}}"#, true, false),
    ]);
}

#[test]
fn arrays() {
    verdicts(&[
        (r#"{"items":{"type":"integer"}}"#, r#"{"items":{"type":"number"}}"#, true, false),
        (r#"{"maxItems":2}"#, r#"{"maxItems":3}"#, true, false),
        (r#"{"uniqueItems":true}"#, r#"{"uniqueItems":false}"#, true, false),
        (r#"{"maxItems":1}"#, r#"{"maxItems":1,"uniqueItems":true}"#, true, true),
        (r#"{"items":{"type":"integer"}}"#, r#"{"prefixItems":[{"type":"number"}]}"#, true, false),
        (
            r#"{"prefixItems":[{"type":"integer"},{"type":"string"}],"items":false}"#,
            r#"{"items":{"type":["string","number"]}}"#,
            true,
            false,
        ),
        (
            r#"{"prefixItems":[{"type":"string"}],"items":false}"#,
            r#"{"prefixItems":[{"type":"string"},{"type":"null"}],"items":false}"#,
            true,
            false,
        ),
        (r#"{"maxItems":1}"#, r#"{"maxItems":1,"prefixItems":[true,{"type":"null"}]}"#, true, true),
        (r#"{"contains":{"const":1}}"#, r#"{"contains":{"const":1}}"#, true, true),
        (r#"{"contains":{"const":1}}"#, r#"{"contains":{"const":1},"minContains":2}"#, false, false),
        (r#"{"contains":{"const":1}}"#, "{}", true, false),
    ]);
}

#[test]
fn references_and_alternatives() {
    const TREE: &str = r##"{"$ref":"#/$defs/n","$defs":{"n":{"type":"object","properties":{"l":{"$ref":"#/$defs/n"},"v":{"type":"integer"}},"additionalProperties":false}}}"##;
    let wider = TREE.replace("integer", "number");
    verdicts(&[
        (TREE, &TREE.replace("$defs", "definitions"), true, true),
        (TREE, &wider, true, false),
        (
            r##"{"items":{"$ref":"#"}}"##,
            r##"{"type":["array","null","string"],"items":{"$ref":"#"}}"##,
            false,
            true,
        ),
        (
            r##"{"$ref":"#a","$defs":{"x":{"$anchor":"a","type":"string"}}}"##,
            r#"{"type":"string"}"#,
            true,
            true,
        ),
        (r#"{"anyOf":[{"type":"string"},{"type":"null"}]}"#, r#"{"type":["string","null"]}"#, true, true),
        (
            r#"{"anyOf":[{"type":"string"},{"type":"null"}]}"#,
            r#"{"anyOf":[{"type":"null"},{"type":"integer"},{"type":"string"}]}"#,
            true,
            false,
        ),
        (
            r#"{"oneOf":[{"type":"string"},{"type":"null"}]}"#,
            r#"{"oneOf":[{"type":"string"},{"type":"null"},{"type":"array"}]}"#,
            true,
            false,
        ),
        (
            r#"{"oneOf":[{"type":"string"}]}"#,
            r#"{"oneOf":[{"type":"string"},{"maxLength":2}]}"#,
            false,
            false,
        ),
        (
            r#"{"oneOf":[{"required":["k"],"type":"object","properties":{"k":{"const":1}}}]}"#,
            r#"{"oneOf":[{"required":["k"],"type":"object","properties":{"k":{"const":1}}},{"required":["k"],"type":"object","properties":{"k":{"const":2}}}]}"#,
            true,
            false,
        ),
        (r#"{"allOf":[{"minimum":1},{"maximum":5}]}"#, r#"{"minimum":0,"maximum":5}"#, true, false),
        (r#"{"minimum":2}"#, r#"{"allOf":[{"minimum":1},{"minimum":0}]}"#, true, false),
        (r#"{"enum":["a",1]}"#, r#"{"anyOf":[{"type":"string"},{"type":"integer"}]}"#, true, false),
        (r#"{"not":{"minimum":3}}"#, r#"{"not":{"minimum":3},"title":"A"}"#, true, true),
        (r#"{"type":"string"}"#, r#"{"not":{"type":"integer"}}"#, true, false),
        (r#"{"not":{"minimum":3}}"#, r#"{"not":{"minimum":4}}"#, false, false),
        (
            r#"{"if":{"minimum":3},"then":{"maximum":5}}"#,
            r#"{"if":{"minimum":3},"then":{"maximum":5},"title":"A"}"#,
            true,
            true,
        ),
        (r#"{"maximum":4}"#, r#"{"if":{"minimum":3},"then":{"maximum":5}}"#, true, false),
        (r#"{"x-unknown":1}"#, r#"{"x-unknown":2}"#, true, true),
    ]);
}

#[test]
fn findings_say_what_changed_where_and_who_is_hurt() {
    let open = r#"{"type":"object","properties":{"total":{"type":"integer","maximum":9}}}"#;
    let new = r#"{"type":"object","required":["total"],"properties":{"total":{"type":"integer","maximum":8},"a~/b":{"type":"null"}}}"#;
    let texts = |compatibility| {
        goes(open, new, compatibility)
            .unwrap_err()
            .findings
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
    };
    let mut backward = texts(Compatibility::Backward);
    backward.sort();
    assert_eq!(
        backward,
        [
            "/properties/a~0~1b: has a schema now, and documents written before may have anything there: the version before did not say what it is, nor additionalProperties: false",
            "/properties/total/maximum: maximum became 8, which is narrower, and documents written before may go beyond it",
            "/properties/total: became required, and documents written before may lack it",
        ]
    );
    let swapped = goes(new, open, Compatibility::Forward).unwrap_err();
    assert!(swapped.findings.iter().all(|finding| finding.direction == Direction::Forward));
    let swapped: Vec<String> = swapped.findings.iter().map(ToString::to_string).collect();
    assert!(
        swapped.contains(
            &"/properties/total: is no longer required, and readers of the version before need it".to_owned()
        ),
        "{swapped:?}"
    );
    let names: Vec<String> = (0..50).map(|number| format!("\"n{number}\"")).collect();
    let many = goes("{}", &format!("{{\"required\":[{}]}}", names.join(",")), Compatibility::Backward);
    let many = many.unwrap_err();
    assert_eq!(
        (many.findings.len(), many.more),
        (Incompatible::FINDINGS_MAX, 50 - Incompatible::FINDINGS_MAX)
    );
    assert!(many.to_string().ends_with("; and 18 more"));
}

#[test]
fn what_takes_too_many_comparisons_is_refused() {
    let level = |level: usize, leaf: &str| {
        format!(
            r##""s{level}":{{"anyOf":[{{"properties":{{"a":{leaf}}}}},{{"properties":{{"b":{leaf}}}}},{{"required":["c{level}"]}}]}}"##
        )
    };
    let chain = |leaf: &str| {
        let levels: Vec<String> = (0..60)
            .map(|number| match number {
                59 => level(number, leaf),
                _ => level(number, &format!(r##"{{"$ref":"#/$defs/s{}"}}"##, number + 1)),
            })
            .collect();
        format!(r##"{{"$ref":"#/$defs/s0","$defs":{{{}}}}}"##, levels.join(","))
    };
    let (old, new) = (chain(r#"{"type":"integer"}"#), chain(r#"{"type":"string"}"#));
    assert!(goes(&old, &new, Compatibility::Full).is_err());
    assert!(goes(&old, &old, Compatibility::Full).is_ok());
}

fn schemas() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(json!(true)),
        Just(json!(false)),
        prop::sample::subsequence(
            vec!["null", "boolean", "integer", "number", "string", "array", "object"],
            1..4
        )
        .prop_map(|types| json!({ "type": types })),
        prop::collection::vec(values(), 1..4).prop_map(|values| json!({ "enum": values })),
        values().prop_map(|value| json!({ "const": value })),
        ("minimum|maximum|exclusiveMinimum|exclusiveMaximum", -2i64..4)
            .prop_map(|(keyword, limit)| json!({ keyword: limit })),
        ("(min|max)(Length|Items|Properties)", 0u64..3)
            .prop_map(|(keyword, limit)| json!({ keyword: limit })),
        (1i64..5).prop_map(|of| json!({ "multipleOf": of })),
        "\\^[ab]".prop_map(|pattern| json!({ "pattern": pattern })),
        prop::sample::subsequence(vec!["a", "b", "c"], 1..3).prop_map(|names| json!({ "required": names })),
        ("[ab]", "[abc]").prop_map(|(name, other)| json!({"dependentRequired": {name: [other]}})),
        Just(json!({"uniqueItems": true})),
        Just(json!({"$ref": "#"})),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        let named = prop::collection::btree_map("[abc]", inner.clone(), 1..3);
        let list = prop::collection::vec(inner.clone(), 1..4);
        let single = ["additionalProperties", "additionalProperties", "items", "contains", "propertyNames", "not", "if", "then", "else"];
        prop_oneof![
            8 => prop::collection::vec(inner.clone(), 2..5).prop_map(merged),
            3 => named.clone().prop_map(|named| json!({ "properties": named })),
            1 => named.prop_map(|named| json!({ "dependentSchemas": named })),
            1 => ("\\^[ab]", inner.clone()).prop_map(|(name, one)| json!({"patternProperties": {name: one}})),
            2 => (prop::sample::select(vec!["allOf", "anyOf", "oneOf", "prefixItems"]), list)
                .prop_map(|(keyword, list)| json!({ keyword: list })),
            3 => (prop::sample::select(single.to_vec()), inner).prop_map(|(keyword, one)| json!({ keyword: one })),
        ]
    })
}

/// The keywords of several schemas in one.
fn merged(schemas: Vec<Value>) -> Value {
    let keywords = schemas.into_iter().filter_map(|schema| match schema {
        Value::Object(keywords) => Some(keywords),
        _ => None,
    });
    Value::Object(keywords.flatten().collect())
}

fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-3i64..5).prop_map(Value::from),
        prop::sample::select(vec![0.5, 1.0, 2.5, -1.5]).prop_map(Value::from),
        "[ab]{0,3}".prop_map(Value::from),
    ];
    leaf.prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[abc]", inner, 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// A schema with one change: at the value that is this far into it, a keyword or an element goes, a number moves, or
/// something else stands there.
fn mutated(schema: &Value, left: &mut usize, choice: u8, fresh: &Value) -> Value {
    let is_here = *left == 0;
    *left = left.wrapping_sub(1);
    match schema {
        Value::Number(number) if is_here && number.is_i64() => {
            json!((number.as_i64().unwrap() + i64::from(choice % 2) * 2 - 1).max(0))
        }
        Value::Object(members) if is_here && choice.is_multiple_of(2) && !members.is_empty() => {
            let gone = usize::from(choice / 2) % members.len();
            let kept = members.iter().enumerate().filter(|(place, _)| *place != gone);
            Value::Object(kept.map(|(_, (name, value))| (name.clone(), value.clone())).collect())
        }
        Value::Array(elements) if is_here => elements[1.min(elements.len())..].iter().cloned().collect(),
        Value::Object(_) if is_here => merged(vec![schema.clone(), fresh.clone()]),
        Value::Bool(_) if is_here => fresh.clone(),
        Value::Object(members) => {
            let member =
                |(name, value): (&String, &Value)| (name.clone(), mutated(value, left, choice, fresh));
            Value::Object(members.iter().map(member).collect())
        }
        Value::Array(elements) => {
            elements.iter().map(|element| mutated(element, left, choice, fresh)).collect()
        }
        _ => schema.clone(),
    }
}

/// Documents that tell small schemas apart.
fn universe() -> Vec<Value> {
    let scalars = json!([null, true, false, -1, 0, 0.5, 1, 1.5, 2, 3, 4, "", "a", "ab", "b", "abc"]);
    let scalars = scalars.as_array().unwrap();
    let few = [json!(0), json!(0.5), json!(2), json!("a"), json!({}), json!([1])];
    let mut all: Vec<Value> = scalars.clone();
    all.extend([json!([]), json!([0, 1, 2]), json!({"a": {"a": 1}}), json!([[0.5]]), json!({"d": 1})]);
    all.extend(scalars.iter().map(|one| json!([one])));
    all.extend(scalars.iter().map(|one| json!({"a": one})));
    for one in &few {
        all.extend(few.iter().map(|other| json!([one, other])));
        all.extend(few.iter().map(|other| json!({"a": one, "b": other})));
        all.extend([json!({"b": one}), json!({"c": one}), json!({"a": 1, "b": "a", "c": one})]);
    }
    all
}

proptest! {
    #[test]
    fn what_is_accepted_holds_for_every_document(
        old in schemas(),
        fresh in schemas(),
        mut place in 0usize..12,
        choice: u8,
        documents in prop::collection::vec(values(), 16),
    ) {
        let new = mutated(&old, &mut place, choice, &fresh);
        let (Ok(old), Ok(new)) = (Schema::parse(&old.to_string()), Schema::parse(&new.to_string())) else {
            return Ok(());
        };
        for (narrow, wide, compatibility) in
            [(&old, &new, Compatibility::Backward), (&new, &old, Compatibility::Forward)]
        {
            if compatible(&old, &new, compatibility).is_err() {
                continue;
            }
            for document in documents.iter().chain(&universe()) {
                let document = document.to_string();
                if narrow.check(document.as_bytes()).is_ok() {
                    let checked = wide.check(document.as_bytes());
                    prop_assert!(checked.is_ok(), "{document} under {wide:?}, not under {narrow:?}: {checked:?}");
                }
            }
        }
    }
}
