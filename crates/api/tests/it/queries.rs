//! Queries over HTTP: filters, orders, indexes, projections, and what they cost.

use serde_json::{Value, json};

use crate::world::*;

const ITEMS: &str = "/v1/collections/books/items";

async fn filled() -> World {
    let world = World::new();
    let definition = r#"{"indexes":{"by_state":["/state","/total"],"by_tag":{"on":["/tags"]},"code":{"on":["/code"],"unique":true}}}"#;
    world.put("/v1/collections/books", definition).await.is(201);
    for number in 0..40 {
        let state = ["new", "paid", "sent"][number % 3];
        let value = format!(
            r#"{{"state":"{state}","total":{},"tags":["t{}"],"code":{number}}}"#,
            number % 10,
            number % 4
        );
        world.call("PUT", &format!("{ITEMS}/u{number}/a"), &[JSON], value).await.is(201);
    }
    world
}

async fn page(world: &World, query: &str) -> Value {
    world.get(&format!("{ITEMS}?{query}")).await.is(200).json()
}

fn count(page: &Value) -> usize {
    page["items"].as_array().unwrap().len()
}

#[tokio::test]
async fn a_filter_goes_through_the_index_that_fits_and_says_so() {
    let world = filled().await;
    let page = page(&world, "filter=value.state%20==%20'new'&explain=true").await;
    let explain = json!({ "index": "by_state", "entries_read": 14, "items_read": 14, "items_returned": 14 });
    assert_eq!((count(&page), &page["explain"]), (14, &explain));
    let other = self::page(&world, "filter=value.total%20%3E%208&explain=true").await;
    assert_eq!((count(&other), other["explain"].get("index")), (4, None));
    assert_eq!(other["explain"]["items_read"], 40);
    assert_eq!(
        self::page(&world, "filter='t1'%20in%20value.tags&index=by_tag").await["items"]
            .as_array()
            .unwrap()
            .len(),
        10
    );
    assert_eq!(
        count(&self::page(&world, "filter=value.none.such%20==%201").await),
        0,
        "what cannot be evaluated is left out"
    );
}

#[tokio::test]
async fn an_order_goes_on_from_page_to_page() {
    let world = filled().await;
    for (order, is_descending) in [("/total", false), ("-/total", true)] {
        let (mut totals, mut cursor, mut pages) = (Vec::new(), String::new(), 0);
        loop {
            let query = format!("filter=value.state%20==%20'paid'&order={order}&limit=4{cursor}");
            let page = page(&world, &query).await;
            pages += 1;
            totals.extend(
                page["items"].as_array().unwrap().iter().map(|item| item["value"]["total"].as_i64().unwrap()),
            );
            let Some(next) = page["next"].as_str() else { break };
            cursor = format!("&cursor={next}");
        }
        let mut expected = totals.clone();
        expected.sort_unstable();
        if is_descending {
            expected.reverse();
        }
        assert_eq!((totals.len(), pages), (13, 4));
        assert_eq!(totals, expected);
    }
}

#[tokio::test]
async fn fields_are_shown_as_they_are_stored() {
    let world = filled().await;
    let page = page(&world, "fields=/total,/tags/0,/none&limit=1").await;
    let item = &page["items"][0];
    assert_eq!(item.get("value"), None);
    assert!(item["fields"]["/total"].is_u64() && item["fields"]["/tags/0"].is_string(), "{item}");
    assert_eq!(item["fields"].get("/none"), None);
}

#[tokio::test]
async fn what_costs_too_much_is_refused_or_goes_on_later() {
    let world = filled().await;
    world.set(|settings| settings.machine.limits.query_reads_max = 10);
    let query = "filter=value.total%20==%203";
    let told = world.get(&format!("{ITEMS}?{query}")).await.problem(422, "invalid");
    assert_eq!(
        (&told["limit"], &told["max"], &told["index_needed"]),
        (&json!("query_reads_max"), &json!(10), &json!(["/total"]))
    );
    let (mut found, mut cursor, mut pages) = (0, String::new(), 0);
    loop {
        let page = page(&world, &format!("{query}&scan=true{cursor}")).await;
        (found, pages) = (found + count(&page), pages + 1);
        let Some(next) = page["next"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!((found, pages), (4, 4));
}

#[tokio::test]
async fn what_cannot_be_asked_is_told_with_its_parameter() {
    let world = filled().await;
    for (query, parameter) in [
        ("filter=value.", "filter"),
        ("order=total", "order"),
        ("order=", "order"),
        ("order=/none", "order"),
        ("fields=", "fields"),
        ("index=By", "index"),
        ("scan=1", "scan"),
        ("explain=", "explain"),
    ] {
        let told = world.get(&format!("{ITEMS}?{query}")).await.problem(422, "invalid");
        assert_eq!(told["parameter"], parameter, "{told}");
    }
    let told = world.get(&format!("{ITEMS}?index=none")).await.problem(422, "invalid");
    assert_eq!(told["index"], "none");
    // A place in an index that there is not.
    world.get(&format!("{ITEMS}?cursor=AgAAAAkK")).await.problem(410, "gone");
}

#[tokio::test]
async fn values_of_a_unique_index_belong_to_one_item_of_a_partition() {
    let world = filled().await;
    let told = world.put("/v1/collections/books/items/u7/b", r#"{"code":7}"#).await.problem(409, "conflict");
    assert_eq!((&told["index"], &told["held_by"]), (&json!("code"), &json!("u7/a")));
    world.put("/v1/collections/books/items/u8/b", r#"{"code":7}"#).await.is(201);
}

#[tokio::test]
async fn a_collection_says_how_far_its_indexes_are_and_what_none_can_be_is_refused() {
    let world = filled().await;
    let shown = world.get("/v1/collections/books").await.is(200).json();
    assert_eq!(shown["indexes"]["by_tag"], json!({ "state": "ready", "ready": "1/1" }));
    assert_eq!(shown["definition"]["indexes"]["by_tag"], json!(["/tags"]));
    assert_eq!(shown["definition"]["indexes"]["code"], json!({ "on": ["/code"], "unique": true }));
    for (body, pointer) in [
        (r#"{"indexes":{"a":[]}}"#, "/indexes/a"),
        (r#"{"indexes":{"a":["x"]}}"#, "/indexes/a"),
        (r#"{"indexes":{"a":["/x","/x"]}}"#, "/indexes/a"),
        (r#"{"indexes":{"A":["/x"]}}"#, "/indexes"),
        (r#"{"indexes":{"a":{"on":["/x"],"uniq":true}}}"#, "/indexes/a"),
    ] {
        let told = world.put("/v1/collections/other", body).await.problem(422, "invalid");
        assert!(told["pointer"].as_str().unwrap().starts_with(pointer), "{told}");
    }
    let many: String = (0..33).map(|number| format!("\"i{number}\":[\"/f{number}\"],")).collect();
    let body = format!("{{\"indexes\":{{{}}}}}", many.trim_end_matches(','));
    let told = world.call("PUT", "/v1/collections/other", &[JSON], body).await.problem(422, "invalid");
    assert!(told["detail"].as_str().unwrap().contains("at most 32 are allowed"), "{told}");
}
