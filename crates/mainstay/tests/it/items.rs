//! Items and commits on a real node: what outlives restarts and reloads, and what web pages cannot do.

use std::process::Command;

use mainstay_machine::Position;
use rustix::process::Signal;

use crate::support::{Answer, Node};

const KV: &str = "collections: { kv: {} }\n";
const JSON: (&str, &str) = ("Content-Type", "application/json");
const TEXT: (&str, &str) = ("Content-Type", "text/plain");

fn path(key: &str) -> String {
    format!("/v1/collections/kv/items/{key}")
}

fn send(node: &Node, method: &str, key: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    node.connect().request(method, &path(key), headers, body)
}

fn put(node: &Node, key: &str, value: &str) -> Answer {
    let answer = send(node, "PUT", key, &[TEXT], value);
    assert!(matches!(answer.status, 201 | 204), "{answer:?}");
    answer
}

fn restarted(mut node: Node, config: &str) -> Node {
    node.signal(Signal::TERM);
    node.wait_for("stopped");
    let (status, log, folder) = node.ended();
    assert_eq!(status.code(), Some(0), "{log}");
    Node::start_in(folder, config).serving()
}

fn reloaded(node: &mut Node, config: &str) {
    node.write_config(config);
    node.signal(Signal::HUP);
    node.wait_for("configuration reloaded");
}

#[test]
fn an_item_takes_any_content_type_and_gives_it_back() {
    let node = Node::start(KV).serving();
    for (key, content_type, value) in [
        ("json", "application/json", "{\"a\": 1}"),
        ("form", "application/x-www-form-urlencoded", "a=1"),
        ("parts", "multipart/form-data; boundary=x", "--x--"),
        ("page", "text/html", "<script>alert(1)</script>"),
        ("image", "image/png", "\u{1}\u{2}"),
    ] {
        let headers = [("Content-Type", content_type)];
        assert_eq!(send(&node, "PUT", key, &headers, value).status, 201, "{content_type}");
        let answer = node.get(&path(key));
        assert_eq!((answer.header("content-type"), &*answer.body), (Some(content_type), value));
        let policy = answer.header("content-security-policy");
        assert_eq!(policy, Some("default-src 'none'; sandbox"), "a browser does not run it");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    }
    send(&node, "PUT", "none", &[], "a").problem(415, "unsupported_media_type");
    send(&node, "PUT", "json", &[JSON], "{\"a\": ").problem(400, "malformed");
}

#[test]
fn a_page_of_another_site_changes_no_item() {
    let node = Node::start(KV).serving();
    let version = put(&node, "mine", "untouched").header("etag").map(str::to_owned);
    // What a form can send by itself.
    let commit = r#"{"partition":"mine","do":[{"delete":{"collection":"kv","key":"mine"}}]}"#;
    for form in ["application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/plain"] {
        let headers = [("Content-Type", form)];
        let answer = node.connect().request("POST", "/v1/commits", &headers, commit);
        answer.problem(415, "unsupported_media_type");
        send(&node, "POST", "mine", &headers, "a=1").problem(405, "method_not_allowed");
    }
    node.connect().request("POST", "/v1/commits", &[], commit).problem(415, "unsupported_media_type");
    // What a script could send if the browser let it.
    for sign in [("Origin", "https://evil.example"), ("Origin", "null"), ("Sec-Fetch-Site", "cross-site")] {
        for method in ["PUT", "DELETE", "PATCH", "GET"] {
            send(&node, method, "mine", &[sign, TEXT], "stolen").problem(403, "forbidden");
        }
        node.connect().request("POST", "/v1/commits", &[sign, JSON], commit).problem(403, "forbidden");
    }
    // It asks first, and is not given leave.
    let asked = [("Origin", "https://evil.example"), ("Access-Control-Request-Method", "PUT")];
    let preflight = send(&node, "OPTIONS", "mine", &asked, "");
    assert!(preflight.status >= 400 && preflight.header("access-control-allow-origin").is_none());
    let foreign = [("Host", "evil.example"), TEXT];
    send(&node, "PUT", "mine", &foreign, "stolen").problem(421, "misdirected");
    let answer = node.get(&path("mine"));
    assert_eq!((&*answer.body, answer.header("etag").map(str::to_owned)), ("untouched", version));
}

#[test]
fn versions_make_changes_and_readings_conditional() {
    let node = Node::start(KV).serving();
    let new = [TEXT, ("If-None-Match", "*")];
    let first = send(&node, "PUT", "u/1", &new, "one");
    assert_eq!(first.status, 201);
    let tag = first.header("etag").expect("a version").to_owned();
    send(&node, "PUT", "u/1", &new, "two").problem(412, "condition_failed");
    let is_first = [TEXT, ("If-Match", &*tag)];
    let second = send(&node, "PUT", "u/1", &is_first, "two");
    assert_eq!(second.status, 204);
    assert_ne!(second.header("etag"), Some(&*tag));
    send(&node, "PUT", "u/1", &is_first, "three").problem(412, "condition_failed");
    send(&node, "DELETE", "u/1", &is_first[1..], "").problem(412, "condition_failed");
    let tag = second.header("etag").expect("a version");
    let answer = send(&node, "GET", "u/1", &[("If-None-Match", tag)], "");
    assert_eq!((answer.status, &*answer.body, answer.header("etag")), (304, "", Some(tag)));
    send(&node, "GET", "u/1", &[is_first[1]], "").problem(412, "condition_failed");
    assert_eq!(send(&node, "GET", "u/1", &[("If-Match", tag)], "").body, "two");
    let head = send(&node, "HEAD", "u/1", &[], "");
    assert_eq!(
        (head.status, head.header("content-length"), head.header("etag")),
        (200, Some("3"), Some(tag))
    );
    assert_eq!(send(&node, "DELETE", "u/1", &[("If-Match", tag)], "").status, 204);
    send(&node, "GET", "u/1", &[], "").problem(404, "not_found");
}

#[test]
fn a_listing_goes_page_by_page_through_every_shard() {
    let node = Node::start("{ shards: 8, collections: { kv: {} } }").serving();
    let mut keys: Vec<_> = (0..50).map(|it| format!("user-{}/{it:02}", it % 7)).collect();
    keys.iter().for_each(|key| drop(put(&node, key, key)));
    let page = |query: &str| node.get(&format!("/v1/collections/kv/items?{query}")).json();
    let listed = |prefix: &str, limit: usize| {
        let (mut all, mut pages, mut cursor) = (Vec::new(), 0, String::new());
        loop {
            let page = page(&format!("prefix={prefix}&limit={limit}{cursor}"));
            let items = page["items"].as_array().expect("items");
            assert!(items.len() <= limit);
            all.extend(items.iter().map(|it| it["key"].as_str().expect("a key").to_owned()));
            pages += 1;
            match page["next"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return (all, pages),
            }
        }
    };
    keys.sort();
    for limit in [1, 7, 50, 1000] {
        let (mut all, pages) = listed("", limit);
        all.sort();
        assert!(pages >= 50 / limit, "{limit}");
        assert_eq!(all, keys, "{limit}");
    }
    let of_one: Vec<_> = keys.iter().filter(|key| key.starts_with("user-3/")).cloned().collect();
    assert_eq!(listed("user-3/", 2).0, of_one, "those of one partition are in order");
    assert_eq!(listed("nobody", 2).0, [""; 0]);
    let item = &page("prefix=user-3/&limit=1")["items"][0];
    assert_eq!(item["value_base64"], "dXNlci0zLzAz");
    for wrong in ["limit=0", "limit=1001", "cursor=x", "nonsense=1", "limit=1&limit=2"] {
        node.get(&format!("/v1/collections/kv/items?{wrong}")).problem(422, "invalid");
    }
}

#[test]
fn a_repetition_after_a_restart_is_answered_as_the_first_was() {
    let node = Node::start(KV).serving();
    let add = r#"{"partition":"u","do":[{"increment":{"collection":"kv","key":"u/count","by":5}}]}"#;
    let keyed = [JSON, ("Idempotency-Key", "\"order-17\"")];
    let first = node.connect().request("POST", "/v1/commits", &keyed, add);
    assert_eq!((first.status, first.header("idempotency-replayed")), (200, None));
    let refused_key = [TEXT, ("If-None-Match", "*"), ("Idempotency-Key", "order-18")];
    send(&node, "PUT", "u/count", &refused_key, "x").problem(412, "condition_failed");
    let node = restarted(node, KV);
    let again = node.connect().request("POST", "/v1/commits", &keyed, add);
    assert_eq!((again.status, again.header("idempotency-replayed")), (200, Some("true")));
    assert_eq!(again.json()["results"], first.json()["results"]);
    let refused = send(&node, "PUT", "u/count", &refused_key, "x");
    assert_eq!(refused.header("idempotency-replayed"), Some("true"), "a refusal is an answer too");
    refused.problem(412, "condition_failed");
    let other = add.replace('5', "6");
    let mismatch = node.connect().request("POST", "/v1/commits", &keyed, &other);
    mismatch.problem(422, "idempotency_mismatch");
    assert_eq!(node.get(&path("u/count")).body, "5");
}

#[test]
fn a_position_is_kept_over_restarts_and_what_is_beyond_it_is_waited_for_in_time() {
    let node = Node::start(KV).serving();
    put(&node, "u", "one");
    let position = put(&node, "u", "two").header("mainstay-position").expect("a position").to_owned();
    let node = restarted(node, KV);
    let session = |position: &str, timeout: &str| {
        let headers = [
            ("Mainstay-Consistency", "session"),
            ("Mainstay-Position", position),
            ("Mainstay-Timeout", timeout),
        ];
        send(&node, "GET", "u", &headers, "")
    };
    let answer = session(&position, "30s");
    assert_eq!((answer.status, &*answer.body), (200, "two"));
    let shown: Position = answer.header("mainstay-position").and_then(|it| it.parse().ok()).expect("one");
    let asked: Position = position.parse().expect("a position");
    assert!(asked.places().all(|(shard, place)| shown.get(shard) >= Some(place)), "{shown} after {asked}");
    // Nobody ever writes that much here.
    let (start, _) = position.rsplit_once('.').expect("a place");
    let answer = session(&format!("{start}.ffffff"), "150ms");
    assert!(matches!(answer.status, 503 | 504), "{answer:?}");
    let missing = [("Mainstay-Consistency", "session")];
    send(&node, "GET", "u", &missing, "").problem(400, "malformed");
}

#[test]
fn a_request_without_time_is_not_begun() {
    let node = Node::start(KV).serving();
    for late in [("Mainstay-Timeout", "0s"), ("grpc-timeout", "0m")] {
        let refused = send(&node, "PUT", "u", &[TEXT, late], "late");
        assert_eq!(refused.problem(504, "deadline")["retry"], "safe");
        send(&node, "GET", "u", &[late], "").problem(504, "deadline");
    }
    send(&node, "GET", "u", &[], "").problem(404, "not_found");
    for wrong in ["5", "-1s", "soon"] {
        send(&node, "GET", "u", &[("Mainstay-Timeout", wrong)], "").problem(400, "malformed");
    }
    assert_eq!(send(&node, "PUT", "u", &[TEXT, ("Mainstay-Timeout", "30s")], "in time").status, 201);
}

#[test]
fn collections_come_and_go_with_the_file_and_items_stay() {
    let mut node = Node::start(KV).serving();
    let version = put(&node, "u", "kept").header("etag").expect("a version").to_owned();
    let orders = "/v1/collections/orders/items/u";
    node.connect().request("PUT", orders, &[TEXT], "1").problem(404, "not_found");
    reloaded(&mut node, "collections: { kv: {}, orders: {} }\n");
    assert_eq!(node.connect().request("PUT", orders, &[TEXT], "1").status, 201);

    reloaded(&mut node, "collections: { orders: {} }\n");
    let detail = node.get(&path("u")).problem(404, "not_found")["detail"].to_string();
    assert!(detail.contains("kv"), "{detail}");
    send(&node, "PUT", "u", &[TEXT], "lost").problem(404, "not_found");
    node.get("/v1/collections/kv/items").problem(404, "not_found");
    // Also over a restart.
    let mut node = restarted(node, "collections: { orders: {} }\n");
    reloaded(&mut node, "collections: { orders: {}, kv: {} }\n");
    let answer = node.get(&path("u"));
    assert_eq!((&*answer.body, answer.header("etag")), ("kept", Some(&*version)));
    assert_eq!(node.get(orders).body, "1");

    node.write_config("collections: { orders: {}, kv: { partition_by: whole_key } }\n");
    node.signal(Signal::HUP);
    let line = node.wait_for("configuration not reloaded, the running one stays");
    let reason = line["reason"].as_str().expect("a reason");
    assert!(reason.contains("partition_by") && reason.contains("another collection"), "{reason}");
}

#[test]
fn another_number_of_shards_is_refused_with_what_to_do() {
    let mut node = Node::start("{ shards: 4, collections: { kv: {} } }").serving();
    put(&node, "u", "kept");
    let other = "{ shards: 8, collections: { kv: {} } }";
    node.write_config(other);
    node.signal(Signal::HUP);
    let line = node.wait_for("configuration not reloaded, the running one stays");
    assert!(line["reason"].as_str().expect("a reason").contains("`shards` (4 -> 8)"), "{line}");
    node.signal(Signal::TERM);
    let folder = node.ended().2;
    let mut command: Command = Node::command(folder.path());
    let output = command.output().expect("the binary runs");
    let told = String::from_utf8(output.stderr).expect("UTF-8");
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("`shards` is 8") && told.contains("was made with 4: set it to 4"), "{told}");
    let node = Node::start_in(folder, "{ shards: 4, collections: { kv: {} } }").serving();
    assert_eq!(node.get(&path("u")).body, "kept");
}
