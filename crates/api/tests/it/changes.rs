//! Following the changes of a collection: pages, streams, and what is refused.

use axum::body::Body;
use axum::http::{Request, Response};
use http_body_util::BodyExt;
use mainstay_base::units::Duration;
use mainstay_machine::Collection;
use mainstay_machine::collection::Feed;
use mainstay_machine::shards::Error;
use serde_json::{Value, json};

use crate::world::{JSON, World};

const CHANGES: &str = "/v1/collections/orders/changes";
const STREAM: (&str, &str) = ("accept", "text/event-stream");

async fn put(world: &World, key: &str, value: &'static str) {
    let answer = world.put(&format!("/v1/collections/orders/items/{key}"), value).await;
    assert!(answer.status < 300, "{answer:?}");
}

async fn delete(world: &World, key: &str) {
    world.call("DELETE", &format!("/v1/collections/orders/items/{key}"), &[], "").await.is(204);
}

async fn events(world: &World, query: &str) -> Vec<Value> {
    let page = world.get(&format!("{CHANGES}?wait=0s&{query}")).await.is(200).json();
    page["events"].as_array().unwrap().clone()
}

/// The next chunk of a stream; none at its end.
async fn chunk(response: &mut Response<Body>) -> Option<String> {
    let frame = response.body_mut().frame().await?.unwrap();
    Some(String::from_utf8(frame.into_data().unwrap().to_vec()).unwrap())
}

/// The lines of an event.
fn fields(event: &str) -> (String, String, Value) {
    let mut lines = event.trim_end().lines();
    let mut field = |name: &str| lines.next().unwrap().strip_prefix(name).unwrap().to_owned();
    let (kind, id, data) = (field("event: "), field("id: "), field("data: "));
    assert_eq!(lines.next(), None, "{event}");
    (kind, id, serde_json::from_str(&data).unwrap())
}

#[tokio::test(start_paused = true)]
async fn a_page_has_what_changed_and_where_to_go_on() {
    let world = World::new();
    put(&world, "u7/a", "{ \"n\": 1 }").await;
    let image = [("content-type", "image/png")];
    world.call("PUT", "/v1/collections/orders/items/u7/b", &image, vec![0, 255]).await.is(201);
    delete(&world, "u7/a").await;
    let answer = world.get(&format!("{CHANGES}?after=0")).await;
    let expected = "{\"events\":[\
        {\"id\":\"1.3.1.0\",\"collection\":\"orders\",\"key\":\"u7/a\",\"version\":\"1-1\",\"kind\":\"put\",\"value\":{ \"n\": 1 }},\
        {\"id\":\"1.3.2.0\",\"collection\":\"orders\",\"key\":\"u7/b\",\"version\":\"1-2\",\"kind\":\"put\",\"content_type\":\"image/png\",\"value_base64\":\"AP8=\"},\
        {\"id\":\"1.3.3.0\",\"collection\":\"orders\",\"key\":\"u7/a\",\"version\":\"1-3\",\"kind\":\"deleted\"}],\"next\":\"1.3.3\"}\n";
    assert_eq!(answer.is(200).text(), expected);
    assert_eq!(answer.header("mainstay-position"), Some("1.3.3"));
    let first = world.get(&format!("{CHANGES}?after=0&limit=1&values=none")).await.is(200).json();
    assert_eq!((&first["next"], &first["events"][0].get("value")), (&json!("1.3.1.0"), &None));
    assert_eq!(events(&world, "after=1.3.2.0").await.len(), 1);
    assert_eq!(events(&world, "after=1.3.2").await.len(), 1, "a position is as good");
    assert_eq!(events(&world, "after=0&prefix=u7/b").await.len(), 1);
    assert_eq!(events(&world, "").await.len(), 0, "without a place it begins now");
    let session = [("mainstay-consistency", "session"), ("mainstay-position", "1.3.3.0")];
    let read = world.call("GET", "/v1/collections/orders/items/u7/b", &session, "").await;
    assert_eq!(read.is(200).header("mainstay-consistency"), Some("session"), "an event's id is a position");
}

#[tokio::test(start_paused = true)]
async fn the_parameters_become_what_is_followed() {
    let world = World::new();
    let _ = events(&world, "").await;
    let default = world.shards.last_follow();
    assert_eq!((default.limit, default.partition, default.filter), (100, None, None));
    let _ = events(&world, "prefix=u7/x&filter=value.n+%3E+1&after=1.3.1&limit=7").await;
    let follow = world.shards.last_follow();
    let partition = follow.partition.as_ref().expect("only one shard is followed");
    assert_eq!(partition.as_str(), "u7");
    assert_eq!((follow.prefix.as_str(), follow.limit, follow.wait), ("u7/x", 7, Duration::ZERO));
    assert_eq!(follow.filter.unwrap().source(), "value.n > 1");
    assert_eq!(follow.after.unwrap().to_string(), "1.3.1");
    let last = [("last-event-id", "1.3.2.1")];
    world.call("GET", &format!("{CHANGES}?after=0&wait=0s"), &last, "").await.is(200);
    let follow = world.shards.last_follow();
    assert_eq!(follow.after.unwrap().to_string(), "1.3.2.1", "a browser's header counts first");
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_followed_is_refused() {
    let world = World::new();
    let get = async |query: &str| world.get(&format!("{CHANGES}?{query}")).await;
    for (query, parameter) in [
        ("after=1.2", "after"),
        ("after=1.3.1.01", "after"),
        ("filter=1+%2B", "filter"),
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("wait=30", "wait"),
        ("values=old", "values"),
        ("values=both", "values"),
        ("cursor=1", "cursor"),
    ] {
        assert_eq!(get(query).await.problem(422, "invalid")["parameter"], parameter, "{query}");
    }
    for parameter in ["limit=1", "wait=1s"] {
        let answer = world.call("GET", &format!("{CHANGES}?{parameter}"), &[STREAM], "").await;
        answer.problem(422, "invalid");
    }
    world.call("GET", CHANGES, &[("last-event-id", "x")], "").await.problem(400, "malformed");
    world.get("/v1/collections/nope/changes").await.problem(404, "not_found");
    world.shards.fail(Error::Trimmed { reason: "the log begins at 7".to_owned() });
    let gone = get("after=0").await.problem(410, "gone");
    assert!(gone["detail"].as_str().unwrap().contains("read the collection"), "{gone}");
    world.shards.fail(Error::Trimmed { reason: "the log begins at 7".to_owned() });
    world.call("GET", CHANGES, &[STREAM], "").await.problem(410, "gone");
    assert_eq!(world.streams.counts().open, 0);
}

#[tokio::test(start_paused = true)]
async fn old_values_are_told_if_they_are_kept() {
    let world = World::new();
    let kept = Collection { changes: Feed { old_values: true }, ..Collection::default() };
    world.shards.declare([("orders".parse().unwrap(), kept)]);
    put(&world, "u7/a", "1").await;
    put(&world, "u7/a", "2").await;
    delete(&world, "u7/a").await;
    let both = events(&world, "after=0&values=both").await;
    assert_eq!(both[0].get("before"), None);
    assert_eq!(both[1]["before"], json!({ "version": "1-1", "value": 1 }));
    assert_eq!(both[2]["before"], json!({ "version": "1-2", "value": 2 }));
    assert_eq!(events(&world, "after=0").await[1].get("before"), None);
    let ones = events(&world, "after=0&filter=value+%3D%3D+2").await;
    assert_eq!(ones.len(), 2, "what is put and what is deleted: {ones:?}");
}

#[tokio::test(start_paused = true)]
async fn a_page_waits_for_an_event_or_for_its_time() {
    let world = World::new();
    let begun = tokio::time::Instant::now();
    let none = world.get(&format!("{CHANGES}?wait=7s")).await.is(200).json();
    assert_eq!((&none["events"], &none["next"]), (&json!([]), &json!("1.3.0")));
    assert_eq!(begun.elapsed().as_secs(), 7);
    let long = format!("{CHANGES}?wait=60s");
    let (page, ()) = tokio::join!(world.get(&long), async {
        tokio::task::yield_now().await;
        put(&world, "u7/a", "1").await;
    });
    assert_eq!(page.is(200).json()["events"].as_array().unwrap().len(), 1);
    let (page, ()) = tokio::join!(world.get(&long), async {
        tokio::task::yield_now().await;
        world.streams.close();
    });
    assert_eq!(page.is(200).json()["next"], "1.3.1", "a node that stops lets go");
    assert_eq!(begun.elapsed().as_secs(), 7);
}

#[tokio::test(start_paused = true)]
async fn a_stream_tells_events_and_gives_signs_of_life() {
    let world = World::new();
    put(&world, "u7/a", "{\r\n\"n\": 1}").await;
    let mut stream = world.open(CHANGES, &[STREAM, ("last-event-id", "0")]).await;
    assert_eq!(
        (stream.status().as_u16(), &stream.headers()["content-type"]),
        (200, &"text/event-stream".parse().unwrap())
    );
    let (kind, id, data) = fields(&chunk(&mut stream).await.unwrap());
    assert_eq!((kind.as_str(), id.as_str(), &data["value"]), ("put", "1.3.1.0", &json!({ "n": 1 })));
    assert_eq!(data["id"], "1.3.1.0");
    let begun = tokio::time::Instant::now();
    let heartbeat = chunk(&mut stream).await.unwrap();
    assert_eq!(heartbeat, "event: heartbeat\nid: 1.3.1\ndata: {}\n\n");
    assert_eq!(begun.elapsed().as_secs(), 15);
    let (told, ()) = tokio::join!(chunk(&mut stream), async {
        tokio::task::yield_now().await;
        let both = r#"{"partition": "u7", "do": [{"put": {"collection": "orders", "key": "u7/b", "value": 1}},
            {"put": {"collection": "carts", "key": "u7/b", "value": 1}}, {"delete": {"collection": "orders", "key": "u7/a"}}]}"#;
        world.commit(both).await.is(200);
    });
    let told: Vec<_> = told.unwrap().split_terminator("\n\n").map(fields).collect();
    let told: Vec<_> = told
        .iter()
        .map(|(kind, id, data)| (kind.as_str(), id.as_str(), data["key"].as_str().unwrap()))
        .collect();
    assert_eq!(told, [("put", "1.3.2.0", "u7/b"), ("deleted", "1.3.2.2", "u7/a")]);
    assert_eq!((world.streams.counts().open, world.streams.counts().events), (1, 3));
    world.streams.close();
    assert_eq!(chunk(&mut stream).await, None, "a node that stops ends it");
    drop(stream);
    assert_eq!(world.streams.counts().open, 0);
    world.call("GET", CHANGES, &[STREAM], "").await.problem(503, "unavailable");
}

#[tokio::test(start_paused = true)]
async fn a_stream_outlives_what_passes_and_ends_with_what_does_not() {
    let world = World::new();
    let mut stream = world.open(CHANGES, &[STREAM]).await;
    assert_eq!(fields(&chunk(&mut stream).await.unwrap()).0, "heartbeat", "where it begins");
    world.shards.fail(Error::Unavailable { reason: "no owner".to_owned() });
    assert_eq!(fields(&chunk(&mut stream).await.unwrap()).0, "heartbeat");
    put(&world, "u7/a", "1").await;
    assert_eq!(fields(&chunk(&mut stream).await.unwrap()).0, "put");
    world.shards.fail(Error::Trimmed { reason: "the log begins at 7".to_owned() });
    let (kind, id, data) = fields(&chunk(&mut stream).await.unwrap());
    assert_eq!((kind.as_str(), id.as_str(), &data["code"]), ("gone", "1.3.1", &json!("gone")));
    assert_eq!(chunk(&mut stream).await, None);
    assert_eq!(world.streams.counts().gone, 1);
}

#[tokio::test(start_paused = true)]
async fn who_takes_nothing_is_let_go() {
    let world = World::new();
    let mut stream = world.open(CHANGES, &[STREAM]).await;
    chunk(&mut stream).await.unwrap();
    put(&world, "u7/a", "1").await;
    world.clock.advance(Duration::from_secs(29));
    assert_eq!(fields(&chunk(&mut stream).await.unwrap()).0, "put");
    put(&world, "u7/a", "2").await;
    world.clock.advance(Duration::from_secs(30));
    assert_eq!(chunk(&mut stream).await, None, "nothing was made for it meanwhile");
    assert_eq!(world.streams.counts().stalled, 1);
}

#[tokio::test(start_paused = true)]
async fn so_many_streams_and_no_more() {
    let world = World::new();
    world.set(|settings| settings.streams.open_max = 2);
    let one = world.open(CHANGES, &[STREAM]).await;
    let _two = world.open(CHANGES, &[STREAM]).await;
    let refused = world.call("GET", CHANGES, &[STREAM], "").await.problem(503, "overloaded");
    assert_eq!(refused["limit"], 2);
    drop(one);
    assert_eq!(world.open(CHANGES, &[STREAM, JSON]).await.status(), 200);
}

#[tokio::test(start_paused = true)]
async fn either_form_can_be_asked_for() {
    let world = World::new();
    for (accept, expected) in [
        ("*/*", "application/json"),
        ("application/json", "application/json"),
        ("text/html, Text/Event-Stream;q=0.9", "text/event-stream"),
    ] {
        let request =
            Request::get(format!("{CHANGES}{}", if expected.contains("json") { "?wait=0s" } else { "" }));
        let response = world.raw(request.header("accept", accept).body(Body::empty()).unwrap()).await;
        assert_eq!(response.headers()["content-type"], expected, "{accept}");
    }
}
