//! Keys in paths: every key can be written there, and is read as it was meant.

use mainstay_base::key::Key;
use mainstay_machine::command::{Operation, Request};
use proptest::prelude::*;

use crate::world::{JSON, World};

/// Writes a key into a path: what RFC 3986 calls unreserved stays, with slashes; the rest is encoded.
fn encode(key: &str, is_slash_encoded: bool) -> String {
    let byte = |byte: u8| match byte {
        b'/' if !is_slash_encoded => "/".to_owned(),
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    key.bytes().map(byte).collect()
}

/// The key that a path names.
fn read(path: &str) -> Key {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let world = World::new();
    let path = format!("/v1/collections/whole/items/{path}");
    runtime.block_on(async { world.call("PUT", &path, &[JSON], "1").await.is(201).status });
    let Request::Commit(commit) = world.shards.last().0.request else { panic!("a commit") };
    let Operation::Put { item, .. } = &commit.operations[0] else { panic!("a put") };
    item.key.clone()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn every_key_is_read_as_it_was_written(
        segments in proptest::collection::vec("[^/\\p{Cc}]{1,12}", 1..5),
        is_slash_encoded: bool,
    ) {
        let Ok(key) = segments.join("/").parse::<Key>() else { return Ok(()) };
        prop_assert_eq!(read(&encode(key.as_str(), is_slash_encoded)), key);
    }
}

#[test]
fn characters_may_stand_as_they_are_or_encoded() {
    for (path, key) in [
        ("a+b", "a+b"),
        ("a%2Bb", "a+b"),
        ("a%20b", "a b"),
        ("a+b%20c", "a+b c"),
        ("a%2fb", "a/b"),
        ("%61", "a"),
        ("a%25b", "a%b"),
        ("a;b=c,d@e:f!", "a;b=c,d@e:f!"),
        ("%F0%9F%8C%8A", "🌊"),
        ("items/items", "items/items"),
    ] {
        assert_eq!(read(path).as_str(), key, "{path}");
    }
    let longest = format!("{}/{}", "k".repeat(255), "é".repeat(128));
    assert_eq!(read(&encode(&longest, false)).as_str(), longest);
}

#[tokio::test]
async fn what_is_no_key_is_refused() {
    let world = World::new();
    let long = "k".repeat(513);
    for (path, status, code) in [
        ("%", 400, "malformed"),
        ("a%2", 400, "malformed"),
        ("a%zz", 400, "malformed"),
        ("a%+1", 400, "malformed"),
        ("%FF", 400, "malformed"),
        ("%C3", 400, "malformed"),
        ("a//b", 422, "invalid"),
        ("a/", 422, "invalid"),
        ("a%2F", 422, "invalid"),
        ("./a", 422, "invalid"),
        ("a/%2E%2e/b", 422, "invalid"),
        ("a%00", 422, "invalid"),
        ("a%C2%85", 422, "invalid"),
        (long.as_str(), 422, "invalid"),
    ] {
        for collection in ["whole", "orders"] {
            let path = format!("/v1/collections/{collection}/items/{path}");
            world.get(&path).await.problem(status, code);
            world.call("PUT", &path, &[JSON], "1").await.problem(status, code);
        }
    }
    assert_eq!(world.shards.submitted(), 0);
}

#[tokio::test]
async fn the_partition_follows_the_rule_of_the_collection() {
    let world = World::new();
    for (collection, partition) in [("orders", "u7"), ("whole", "u7/a")] {
        world.put(&format!("/v1/collections/{collection}/items/u7/a"), "1").await.is(201);
        assert_eq!(world.shards.last().0.partition.as_str(), partition);
        assert_eq!(world.get(&format!("/v1/collections/{collection}/items/u7/a")).await.text(), "1");
    }
}
