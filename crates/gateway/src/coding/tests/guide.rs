//! The examples of the guide, and that it leaves nothing out.

use mainstay_base::switch::Switch;
use serde::Deserialize;

use super::*;

const GUIDE: &str = include_str!("../../../../../docs/gateway/bodies.md");

/// What of a route, or of the gateway's defaults, is of this module.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    compression: Option<Switch<Compression>>,
    decompression: Option<Switch<Decompression>>,
    body: Option<BodyLimit>,
}

#[test]
fn the_examples_are_valid() {
    let blocks = GUIDE.split("```json\n").skip(1).map(|text| text.split("```").next().unwrap());
    let mut count = 0;
    for block in blocks {
        let fields: Fields = serde_json::from_str(block).unwrap_or_else(|error| panic!("{block}: {error}"));
        let checks = [
            fields.compression.as_ref().and_then(Switch::on).map(Compression::check),
            fields.decompression.as_ref().and_then(Switch::on).map(Decompression::check),
            fields.body.as_ref().map(BodyLimit::check),
        ];
        assert!(checks.iter().any(Option::is_some) || block.contains("false"), "{block}");
        for check in checks.into_iter().flatten() {
            assert_eq!(check, Ok(()), "{block}");
        }
        count += 1;
    }
    assert!(count >= 3, "there are examples");
}

#[test]
fn every_field_and_coding_and_default_is_told() {
    let schemas = [
        schemars::schema_for!(Compression).to_value(),
        schemars::schema_for!(Levels).to_value(),
        schemars::schema_for!(Decompression).to_value(),
        schemars::schema_for!(BodyLimit).to_value(),
    ];
    let fields = schemas.iter().flat_map(|schema| schema["properties"].as_object().unwrap().keys().cloned());
    let types = Compression::default().types.into_iter().map(String::from);
    let codings = Coding::ALL.map(|coding| coding.as_str().to_owned());
    for name in fields.chain(types).chain(codings) {
        assert!(GUIDE.contains(&format!("`{name}`")), "the guide does not speak of `{name}`");
    }
}

#[test]
fn every_refusal_is_told_with_its_status() {
    let (max, coding) = (Size::from_mib(1), Coding::Gzip);
    for (refusal, told) in [
        (Refusal::Long { max }, "a body longer than `body.max`"),
        (Refusal::Expanded { max }, "more than `decompression.max` comes out"),
        (Refusal::Ratio { max: 7 }, "more comes out for each byte than `ratio_max`"),
        (Refusal::Unsupported { named: "x".into() }, "another coding, or several"),
        (Refusal::Corrupt { coding }, "what is not what its coding says, by its checksum too"),
        (Refusal::Truncated { coding }, "an end before the coding's"),
        (Refusal::Trailing { coding }, "something after the coding's end"),
        (Refusal::Window, "zstd with a window of more than 8 MiB (RFC 9659)"),
    ] {
        let row = format!("| {told} | {} |", refusal.code().status());
        assert!(GUIDE.contains(&row), "{row}");
        // Nothing but the coding is told of by a header.
        assert_eq!(refusal.accept_encoding().is_some(), refusal.code().status() == 415);
    }
}
