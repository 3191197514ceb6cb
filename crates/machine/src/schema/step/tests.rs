//! Steps forwards and back.

use serde_json::{Value, json};

use super::*;

fn schema(source: &Value) -> Schema {
    Schema::parse(&source.to_string()).unwrap()
}

fn evolution(renames: &Value) -> Evolution {
    serde_json::from_value(json!({ "renames": renames })).unwrap()
}

fn after(steps: &[Step], from: u32, document: &str) -> String {
    String::from_utf8(upgrade(steps, from, document.as_bytes()).into_owned()).unwrap()
}

#[test]
fn what_is_behind_several_versions_takes_several_steps() {
    let steps = [
        Step::up(2, false, &evolution(&json!({"/b": "/a"})), &schema(&json!({}))),
        Step::up(
            3,
            false,
            &evolution(&json!({"/c": "/b"})),
            &schema(&json!({"properties": {"d": {"default": 1}}})),
        ),
    ];
    assert_eq!(after(&steps, 1, r#"{"a":0}"#), r#"{"c":0,"d":1}"#);
    assert_eq!(after(&steps, 2, r#"{"a":0}"#), r#"{"a":0,"d":1}"#);
    assert_eq!(after(&steps, 3, r#"{"a":0}"#), r#"{"a":0}"#);
}

#[test]
fn a_step_back_takes_away_what_was_filled_in_and_gives_names_back() {
    let old = schema(&json!({
        "properties": {"name": {}, "known": {}, "in": {"$ref": "#/$defs/in"}},
        "$defs": {"in": {"properties": {"seen": {}}}},
    }));
    let new = schema(&json!({
        "properties": {
            "full": {}, "known": {"default": 1}, "made": {"default": {"x": 1}, "properties": {"y": {"default": 2}}},
            "in": {"properties": {"seen": {"default": 3}, "new": {"default": 4}}},
        },
    }));
    let up = Step::up(2, false, &evolution(&json!({"/full": "/name"})), &new);
    let back = Step::back(3, &[&up], (&Evolution::default(), Some(&old)));
    for (document, risen, returned) in [
        (
            r#"{"name":"n","in":{}}"#,
            r#"{"full":"n","in":{"new":4,"seen":3},"known":1,"made":{"x":1,"y":2}}"#,
            // What the old schema knows may have been written.
            r#"{"name":"n","in":{"seen":3},"known":1}"#,
        ),
        (
            r#"{"name":"n","known":7,"made":{"x":1,"y":9}}"#,
            r#"{"full":"n","known":7,"made":{"x":1,"y":9}}"#,
            r#"{"name":"n","known":7,"made":{"x":1,"y":9}}"#,
        ),
    ] {
        assert_eq!(after(std::slice::from_ref(&up), 1, document), risen);
        assert_eq!(after(std::slice::from_ref(&back), 2, risen), returned);
        assert_eq!(after(&[up.clone(), back.clone()], 1, document), returned);
    }
    let forth = Step::back(4, &[&back], (&Evolution::default(), Some(&new)));
    assert_eq!(after(&[forth], 3, r#"{"name":"n"}"#), r#"{"full":"n","known":1,"made":{"x":1,"y":2}}"#);
    let free = Step::back(3, &[&up], (&Evolution::default(), None));
    assert_eq!(
        after(&[free], 2, r#"{"full":"n","known":1}"#),
        r#"{"name":"n","known":1}"#,
        "all may be known"
    );
}

#[test]
fn a_step_that_does_nothing_says_so_and_others_say_what_they_touch() {
    let names = |pointer: &str| pointer.split('/').map(str::to_owned).collect::<Vec<_>>();
    assert!(Step::up(2, true, &Evolution::default(), &schema(&json!({"type": "object"}))).is_nothing());
    let defaults = json!({"properties": {"d": {"default": 1}, "in": {"properties": {"e": {"default": 1}}}}});
    let step = Step::up(2, true, &evolution(&json!({"/a/b": "/c"})), &schema(&defaults));
    assert!(!step.is_nothing());
    for (pointer, touches) in [
        ("a", true),
        ("a/b", true),
        ("a/b/x", true),
        ("a/x", false),
        ("c", true),
        ("d", true),
        ("d/x", true),
        ("in", true),
        ("in/e", true),
        ("in/f", false),
        ("x", false),
    ] {
        assert_eq!(step.touches(&names(pointer)), touches, "{pointer}");
    }
}

#[test]
fn steps_are_kept_as_json() {
    let step = Step::up(
        2,
        true,
        &evolution(&json!({"/a": "/b"})),
        &schema(&json!({"properties": {"n": {"default": 1e3}}})),
    );
    let text = serde_json::to_string(&step).unwrap();
    assert_eq!(serde_json::from_str::<Step>(&text).unwrap(), step);
}
