//! The examples of the guide: its routes, what it says takes what, and what is explained.

use super::*;

const GUIDE: &str = include_str!("../../../../../docs/gateway/routes.md");

/// The blocks with a tag.
fn blocks(tag: &str) -> Vec<&'static str> {
    let opening = format!("```{tag}\n");
    let after = GUIDE.split(&*opening).skip(1);
    after.map(|text| text.split("```").next().expect("a split has a first part")).collect()
}

#[test]
fn the_guide_says_who_takes_what() {
    let table = table(blocks("json")[0]);
    let requests = blocks("text requests");
    let lines: Vec<&str> = requests.iter().flat_map(|block| block.lines()).collect();
    assert!(lines.len() >= 10, "there are examples");
    for line in lines {
        let (request, expected) = line.split_once(" -> ").unwrap();
        let request = request.trim().replace(" -H ", "\n").replace(" --", "\n--");
        assert_eq!(taken(&table, &request), expected, "{line}");
    }
}

#[test]
fn the_guide_shows_what_is_explained() {
    let table = table(blocks("json")[0]);
    for block in blocks("text explained") {
        let (request, expected) = block.split_once('\n').unwrap();
        let request = Request::new(&request.replace(" -H ", "\n").replace(" --", "\n--"));
        assert_eq!(table.explain(&request.seen()).to_string(), expected, "{request:?}");
    }
}

#[test]
fn the_guide_has_every_field_and_name() {
    let schema = schemars::schema_for!(Match).to_value();
    let policy = schemars::schema_for!(path::Config).to_value();
    let fields = [&schema, &policy].map(|schema| schema["properties"].as_object().unwrap().keys());
    for name in fields.into_iter().flatten().map(String::as_str).chain(NAMES) {
        assert!(GUIDE.contains(&format!("`{name}`")), "the guide does not speak of `{name}`");
    }
}
