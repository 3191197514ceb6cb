//! Keys, partitions and what is refused.

use proptest::prelude::*;

use super::*;

fn key(text: &str) -> Key {
    text.parse().expect(text)
}

#[test]
fn keys_are_read_and_written_unchanged() {
    let longest = "é".repeat(256);
    for good in ["a", "u7/items/3", "...", "a/.b/c..", " ", "Ünïcödé/日本/🦀", "a%2Fb", &longest] {
        let key = key(good);
        assert_eq!((key.as_str(), key.to_string().as_str()), (good, good));
        assert_eq!(serde_json::to_value(&key).unwrap(), good);
        assert_eq!(serde_json::from_value::<Key>(good.into()).unwrap(), key);
    }
    assert_eq!(key("u7/items/3").segments().collect::<Vec<_>>(), ["u7", "items", "3"]);
}

#[test]
fn what_a_path_could_not_carry_is_refused_with_its_place() {
    let refusal = |text: &str| text.parse::<Key>().expect_err(text);
    let empty =
        |key: &str, segment| assert_eq!(refusal(key), Error::EmptySegment { key: key.into(), segment });
    let dots = |key: &str, segment| assert_eq!(refusal(key), Error::DotSegment { key: key.into(), segment });
    let control = |key: &str, found, offset| {
        assert_eq!(refusal(key), Error::Control { key: key.into(), found, offset });
    };
    assert_eq!(refusal(""), Error::Empty);
    empty("/", 1);
    empty("/a", 1);
    empty("a/", 2);
    empty("a//b", 2);
    dots(".", 1);
    dots("a/..", 2);
    dots("a/./b", 2);
    control("é\0", '\0', 2);
    control("a\u{7f}", '\u{7f}', 1);
    control("a\u{85}b", '\u{85}', 1);
    let long = "é".repeat(257);
    assert_eq!(refusal(&long), Error::TooLong { key: long.clone(), bytes: 514 });
    assert_eq!(
        refusal("a//b").to_string(),
        "segment 2 of the key \"a//b\" is empty: put single slashes between segments only"
    );
    assert!(refusal(&"x".repeat(100_000)).to_string().len() < 400);
}

#[test]
fn a_partition_is_the_first_segment_or_the_whole_key() {
    let (first, whole) = (PartitionBy::FirstSegment, PartitionBy::WholeKey);
    let deep = key("u7/items/3");
    assert_eq!(first.partition(&deep).as_str(), "u7");
    assert_eq!(whole.partition(&deep).as_str(), "u7/items/3");
    assert_eq!(first.partition(&key("u7")), whole.partition(&key("u7")));
    assert_eq!(first.partition(&deep).into_owned().to_string(), "u7");
    assert_eq!(PartitionBy::default(), first);
    assert_eq!(
        serde_json::to_value([first, whole]).unwrap(),
        serde_json::json!(["first_segment", "whole_key"])
    );
}

#[test]
fn a_partition_is_read_by_its_own_name() {
    let (first, whole) = (PartitionBy::FirstSegment, PartitionBy::WholeKey);
    assert_eq!(first.parse("u7").unwrap(), first.partition(&key("u7/items/3")));
    assert_eq!(whole.parse("u7/x").unwrap(), whole.partition(&key("u7/x")));
    assert_eq!(first.parse("u7/x"), Err(Error::SlashInSegment { partition: "u7/x".into() }));
    assert_eq!(whole.parse("u7/"), Err(Error::EmptySegment { key: "u7/".into(), segment: 2 }));
    assert_eq!(first.parse(""), Err(Error::Empty));
}

proptest! {
    #[test]
    fn a_key_and_its_partition_name_agree(text in "[a-z./é]{0,12}") {
        if let Ok(key) = text.parse::<Key>() {
            for by in [PartitionBy::FirstSegment, PartitionBy::WholeKey] {
                let partition = by.partition(&key);
                prop_assert!(key.as_str().starts_with(partition.as_str()));
                prop_assert_eq!(by.parse(partition.as_str()), Ok(partition.clone()));
            }
        }
    }
}
