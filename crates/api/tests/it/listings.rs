//! Listing the items of a collection, page by page.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::world::{JSON, World};

const ITEMS: &str = "/v1/collections/orders/items";

async fn filled() -> World {
    let world = World::new();
    for user in 0..7 {
        for order in 0..5 {
            world.put(&format!("{ITEMS}/u{user}/o{order}"), "{\"n\": 1.0}").await.is(201);
        }
    }
    world
}

/// Every page, by its `next`.
async fn pages(world: &World, query: &str) -> Vec<Vec<String>> {
    let mut pages = Vec::new();
    let mut path = format!("{ITEMS}?{query}");
    loop {
        let page = world.get(&path).await.is(200).json();
        let keys =
            page["items"].as_array().unwrap().iter().map(|item| item["key"].as_str().unwrap().to_owned());
        pages.push(keys.collect());
        let Some(next) = page.get("next") else { return pages };
        path = format!("{ITEMS}?{query}&cursor={}", next.as_str().unwrap());
    }
}

#[tokio::test]
async fn a_listing_holds_key_version_and_value() {
    let world = World::new();
    let value = r#"{ "a": 1e400 }"#;
    world.put(&format!("{ITEMS}/u7/a"), value).await.is(201);
    world.call("PUT", &format!("{ITEMS}/u7/b"), &[("content-type", "image/png")], vec![0, 255]).await.is(201);
    world.call("PUT", &format!("{ITEMS}/u7/c"), &[("content-type", "a/b+json")], "[]").await.is(201);
    let answer = world.get(&format!("{ITEMS}?prefix=u7/")).await;
    let expected = format!(
        "{{\"items\":[{{\"key\":\"u7/a\",\"version\":\"1-1\",\"value\":{value}}},\
         {{\"key\":\"u7/b\",\"version\":\"1-2\",\"content_type\":\"image/png\",\"value_base64\":\"AP8=\"}},\
         {{\"key\":\"u7/c\",\"version\":\"1-3\",\"content_type\":\"a/b+json\",\"value\":[]}}]}}\n"
    );
    assert_eq!(answer.is(200).text(), expected);
    assert_eq!(answer.header("mainstay-position"), Some("1.3.3"));
    assert_eq!(world.get(&format!("{ITEMS}?prefix=u8")).await.json(), json!({ "items": [] }));
}

#[tokio::test]
async fn pages_show_everything_once() {
    let world = filled().await;
    let all: BTreeSet<String> = (0..7).flat_map(|u| (0..5).map(move |o| format!("u{u}/o{o}"))).collect();
    for limit in [1, 2, 3, 5, 34, 35, 36, 1000] {
        let pages = pages(&world, &format!("limit={limit}")).await;
        assert!(pages.iter().all(|page| page.len() <= limit), "{pages:?}");
        assert!(pages.len() <= 35_usize.div_ceil(limit) + 1, "{limit}: {pages:?}");
        let keys: Vec<_> = pages.concat();
        assert_eq!(keys.len(), 35, "{limit}");
        assert_eq!(keys.into_iter().collect::<BTreeSet<_>>(), all);
    }
}

#[tokio::test]
async fn a_prefix_with_a_slash_looks_into_one_partition_only() {
    let world = filled().await;
    assert_eq!(
        pages(&world, "prefix=u3/&limit=2").await.concat(),
        ["u3/o0", "u3/o1", "u3/o2", "u3/o3", "u3/o4"]
    );
    assert_eq!(world.shards.last_list().partition.unwrap().as_str(), "u3");
    assert_eq!(pages(&world, "prefix=u3%2Fo1").await.concat(), ["u3/o1"]);
    assert_eq!(pages(&world, "prefix=u").await.concat().len(), 35);
    assert_eq!(world.shards.last_list().partition, None);
    world.get("/v1/collections/whole/items?prefix=u3/").await.is(200);
    assert_eq!(world.shards.last_list().partition, None, "whole keys share no partition");
    for prefix in ["/", "//a", "../"] {
        let answer = world.get(&format!("{ITEMS}?prefix={prefix}")).await;
        assert_eq!(answer.is(200).json(), json!({ "items": [] }), "no key begins so");
    }
}

#[tokio::test]
async fn a_page_of_large_items_ends_early() {
    let world = World::new();
    let large = format!("\"{}\"", "x".repeat(900_000));
    for key in 0..7 {
        world.call("PUT", &format!("{ITEMS}/u7/{key}"), &[JSON], large.clone()).await.is(201);
    }
    let pages = pages(&world, "").await;
    assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), [4, 3]);
    for key in 4..7 {
        world.call("DELETE", &format!("{ITEMS}/u7/{key}"), &[], "").await.is(204);
    }
    let exactly = self::pages(&world, "").await;
    assert_eq!(exactly.iter().map(Vec::len).collect::<Vec<_>>(), [4], "nothing is left for a second page");
}

#[tokio::test]
async fn wrong_parameters_are_named() {
    let world = World::new();
    for (query, status, parameter) in [
        ("limit=0", 422, "limit"),
        ("limit=1001", 422, "limit"),
        ("limit=", 422, "limit"),
        ("limit=-1", 422, "limit"),
        ("limit=ten", 422, "limit"),
        ("limit", 422, "limit"),
        ("cursor=", 422, "cursor"),
        ("cursor=AAAA", 422, "cursor"),
        ("cursor=%F0%9F%8C%8A", 422, "cursor"),
        ("cursor=AQ8", 422, "cursor"),
        ("cursor=ARAAdTc", 422, "cursor"),
        ("cursor=AQAAdTc=", 422, "cursor"),
        ("cursor=BAAAdTc", 422, "cursor"),
        ("colour=red", 422, "colour"),
        ("limit=1&limit=1", 422, "limit"),
        ("prefix=%FF", 400, ""),
        ("prefix=%", 400, ""),
    ] {
        let code = if status == 422 { "invalid" } else { "malformed" };
        let problem = world.get(&format!("{ITEMS}?{query}")).await.problem(status, code);
        let found = problem.get("parameter").and_then(Value::as_str).unwrap_or_default();
        assert_eq!(found, parameter, "{query}");
    }
    // The one that is nearest to those above and right.
    world.get(&format!("{ITEMS}?cursor=AQAAdTc&prefix=a+b&&")).await.is(200);
    assert_eq!(world.shards.last_list().prefix, "a b");
}
