//! `mainstay collections`, with a node that is up and without one.

use std::path::Path;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::*;

const OF_FILE: &str = "collections: { carts: {} }\n";

#[track_caller]
fn done(node: &Node, arguments: &[&str]) -> String {
    let (code, printed) = run(node.folder(), &[&["collections"], arguments].concat());
    assert_eq!(code, Some(0), "{printed}");
    printed
}

#[track_caller]
fn answered(node: &Node, arguments: &[&str]) -> Value {
    serde_json::from_str(&done(node, &[arguments, &["--output", "json"]].concat())).expect("JSON")
}

#[track_caller]
fn fails(folder: &Path, code: i32, arguments: &[&str], words: &[&str]) {
    let (ended, printed) = run(folder, &[&["collections"], arguments].concat());
    assert_eq!(ended, Some(code), "{printed}");
    for word in words {
        assert!(printed.contains(word), "{word}: {printed}");
    }
}

fn write(node: &Node, name: &str, text: &str) {
    std::fs::write(node.folder().join(name), text).expect("a file");
}

#[test]
fn a_definition_is_put_shown_retired_and_rolled_back() {
    let node = Node::start(OF_FILE).serving();
    write(&node, "books.yaml", "partition_by: whole_key # each by itself\ncontent_type: text/plain\n");
    let put = answered(&node, &["put", "books", "--definition", "books.yaml"]);
    let definition = json!({ "partition_by": "whole_key", "content_type": "text/plain" });
    assert_eq!(
        (&put["definition"], &put["version"], &put["active"]),
        (&definition, &json!("1-2"), &json!("16/16"))
    );
    assert_eq!(answered(&node, &["show", "books"]), put, "as JSON it is what the node answers");
    assert_eq!(put, node.get("/v1/collections/books").json());

    let (code, shown) = run(node.folder(), &["collections", "show", "books"]);
    assert!(code == Some(0) && shown.starts_with("# books: version 1-2 of "), "{shown}");
    write(&node, "shown.yaml", &shown);
    let again = answered(&node, &["put", "books", "--definition", "shown.yaml"]);
    assert_eq!(again, put, "what is shown can be put, and is no change");

    let books =
        |version: &str| format!("the collection books has version {version}, active in 16/16 shards\n");
    let (code, printed) = run_with(
        node.folder(),
        &["collections", "put", "books", "--definition", "-"],
        r#"{"partition_by":"whole_key"}"#,
    );
    assert_eq!((code, printed), (Some(0), books("1-3")));
    assert_eq!(
        done(&node, &["retire", "books"]),
        "the collection books is retired as of version 1-4; its items stay\n"
    );
    fails(node.folder(), 1, &["show", "books"], &["404", "was retired: put its definition"]);
    assert_eq!(done(&node, &["rollback", "books", "--to", "1-2"]), books("1-5"));
    assert_eq!(answered(&node, &["show", "books"])["definition"], definition);

    let history = answered(&node, &["history", "books"]);
    let versions: Vec<_> =
        history["versions"].as_array().expect("versions").iter().map(|it| &it["version"]).collect();
    assert_eq!(versions, ["1-5", "1-4", "1-3", "1-2"]);
    let told = done(&node, &["history", "books"]);
    let lines: Vec<_> =
        told.lines().map(|line| line.trim_start_matches(|it: char| !it.is_whitespace()).trim()).collect();
    assert!(lines[0].ends_with("api (anonymous), served again") && lines[2].ends_with(", retired"), "{told}");
    assert_eq!((lines[1], lines[4]), ("+ content_type: text/plain", "- content_type: text/plain"), "{told}");
}

/// What is shown of the collection once it has this line.
fn shown_with(node: &Node, line: &str) -> String {
    loop {
        let shown = done(node, &["show", "books"]);
        if shown.lines().any(|it| it.starts_with(line)) {
            return shown;
        }
    }
}

#[test]
fn indexes_are_told_with_how_far_they_are() {
    let node = Node::start(OF_FILE).serving();
    let put = |definition: &str, more: &[&str]| {
        write(&node, "books.yaml", definition);
        done(&node, &[&["put", "books", "--definition", "books.yaml"], more].concat())
    };
    put("indexes:\n  by_title: [/title]\n  number: { on: [/number], unique: true }\n", &[]);
    let shown = shown_with(&node, "# index number: ready, ready in 16/16 shards");
    assert!(shown.contains("\nindexes:\n  by_title: [\"/title\"]\n"), "{shown}");
    assert!(put(&shown, &[]).contains("version 1-2"), "what is shown can be put, and is no change");
    let told = put("indexes: { by_title: [/title, /year] }\n", &["--dry-run"]);
    let changed = "\n- indexes.by_title: [\"/title\"]\n+ indexes.by_title: [\"/title\",\"/year\"]\n";
    assert!(told.contains(changed) && told.contains("\n- indexes.number."), "{told}");

    let long = json!({ "text": "x".repeat(2000) }).to_string();
    let json = [("Content-Type", "application/json")];
    let answer = node.connect().request("PUT", "/v1/collections/books/items/b-1", &json, &long);
    assert_eq!(answer.status, 201, "{answer:?}");
    put("indexes: { by_text: [/text] }\n", &[]);
    let shown = shown_with(&node, "# index by_text: invalid, ready in 15/16 shards");
    assert!(shown.contains("items that do not fit: 1, such as \"b-1\": a text at "), "{shown}");
    assert!(put(&shown, &[]).contains("version 1-3"), "{shown}");
}

#[test]
fn a_retired_collection_is_purged_for_good() {
    let node = Node::start(OF_FILE).serving();
    done(&node, &["put", "books"]);
    for key in 0..20 {
        let path = format!("/v1/collections/books/items/u{key}");
        let put = node.connect().request("PUT", &path, &[("content-type", "application/json")], "1");
        assert_eq!(put.status, 201, "{put:?}");
    }
    let served = ["answers 409", "only a retired one is purged"];
    fails(node.folder(), 1, &["purge", "books"], &served);
    done(&node, &["retire", "books"]);
    let told = done(&node, &["purge", "books", "--dry-run"]);
    assert_eq!(told, "nothing was changed; a purge of books would remove 20 items\n");
    assert_eq!(answered(&node, &["purge", "books"])["held"], 0);
    while node.get("/v1/collections/books/purge").json()["state"] != "purged" {}
    let told = done(&node, &["purge", "books"]);
    assert_eq!(told, "the collection books is purged: done in 16/16 shards, 20 items removed\n");
    done(&node, &["put", "books"]);
    assert_eq!(node.get("/v1/collections/books/items").json()["items"], json!([]));
    assert_eq!(node.get("/v1/collections/books/purge").status, 404);
}

#[test]
fn all_collections_are_listed_however_many_there_are() {
    let many: String = (0..1001).map(|number| format!("  c-{number:04}: {{}}\n")).collect();
    let node = Node::start(&format!("shards: 1\nlimits: {{ collections_max: 2000 }}\ncollections:\n{many}"))
        .serving();
    done(&node, &["put", "zebras"]);
    let listed = done(&node, &["list"]);
    let lines: Vec<_> = listed.lines().collect();
    assert_eq!(lines.len(), 1 + 1002, "the head, those of the file and that of the API");
    assert!(lines[1].starts_with("c-0000  1-1      1/1     mainstay.yaml:4     "), "{}", lines[1]);
    assert!(lines[1002].starts_with("zebras  1-2      1/1     api (anonymous)     "), "{}", lines[1002]);
    let document = answered(&node, &["list"]);
    assert_eq!(document["collections"].as_array().map(Vec::len), Some(1002));
}

#[test]
fn a_dry_run_tells_what_would_change_and_changes_nothing() {
    let node = Node::start(OF_FILE).serving();
    let dry = |arguments: &[&str]| done(&node, &[arguments, &["--dry-run"]].concat());
    let new =
        "nothing was changed; the collection books would have version 1-2\n+ partition_by: first_segment\n";
    assert_eq!(dry(&["put", "books"]), new);
    assert_eq!(node.get("/v1/collections/books").status, 404);
    assert_eq!(dry(&["retire", "books"]), "the collection books is not served, and would not be\n");
    done(&node, &["put", "books"]);
    write(&node, "text.yaml", "content_type: text/plain\n");
    let change = ["put", "books", "--definition", "text.yaml"];
    let told =
        "nothing was changed; the collection books would have version 1-3\n+ content_type: text/plain\n";
    assert_eq!(dry(&change), told);
    let document = json!({ "dry_run": true, "changes": true, "version": "1-3" });
    assert_eq!(answered(&node, &[&change[..], &["--dry-run"]].concat()), document);
    let told = "nothing was changed; the collection books would be retired as of version 1-3\n";
    assert_eq!(dry(&["retire", "books"]), told);
    done(&node, &change);
    assert_eq!(dry(&change), "the collection books has version 1-3, and would keep it\n");
    let told =
        "nothing was changed; the collection books would have version 1-4\n- content_type: text/plain\n";
    assert_eq!(dry(&["rollback", "books", "--to", "1-2"]), told);
    fails(node.folder(), 1, &["retire", "carts", "--dry-run"], &["409", "is defined in mainstay.yaml:1"]);
    assert_eq!(node.get("/v1/collections/books").json()["version"], "1-3");
}

#[test]
fn what_the_node_refuses_is_told_in_its_words() {
    let node = Node::start(OF_FILE).serving();
    let refused = |arguments: &[&str], words: &[&str]| fails(node.folder(), 1, arguments, words);
    write(&node, "whole.yaml", "partition_by: whole_key\n");
    write(&node, "text.yaml", "content_type: text/plain\n");
    let owned = ["409", "is defined in mainstay.yaml:1: change it there and reload"];
    refused(&["put", "carts", "--definition", "text.yaml"], &owned);
    refused(&["retire", "carts"], &owned);
    done(&node, &["put", "books"]);
    refused(&["put", "books"], &["412", "is there"]);
    refused(
        &["put", "books", "--definition", "whole.yaml"],
        &["409", "`partition_by: first_segment` for good"],
    );
    refused(
        &["put", "books", "--definition", "text.yaml", "--if-version", "1-9"],
        &["412", "has version 1-2, not 1-9"],
    );
    done(&node, &["put", "books", "--definition", "text.yaml", "--if-version", "1-2"]);
    refused(&["rollback", "books", "--to", "1-9"], &["404", "has no version 1-9 in its history"]);
    for of in ["show", "history", "retire"] {
        refused(&[of, "boks"], &["404", "there is no collection \"boks\""]);
    }
}

#[test]
fn what_is_no_definition_is_shown_with_its_place_and_not_sent() {
    let node = Node::start(OF_FILE).serving();
    let refused = |arguments: &[&str], words: &[&str]| fails(node.folder(), 2, arguments, words);
    for (text, words) in [
        ("partition_by: whole_keys\n", &["given.yaml:1:15", "did you mean `whole_key`?"][..]),
        ("content_tpe: text/plain\n", &["given.yaml:1:1", "unknown key", "did you mean `content_type`?"]),
        ("content_type: plain\n", &["given.yaml:1:15", "is not a content type"]),
        ("- partition_by\n", &["given.yaml:1:1", "this is a list"]),
        ("{ \"partition_by\": \"whole_key\"\n", &["given.yaml:2:1", "not valid YAML"]),
        ("# nothing\n", &["nothing is written here", "write `{}`"]),
    ] {
        write(&node, "given.yaml", text);
        let last = "the definition is not valid, nothing was done";
        refused(&["put", "books", "--definition", "given.yaml"], &[words, &[last]].concat());
    }
    refused(&["put", "books", "--definition", "none.yaml"], &["none.yaml", "cannot be read"]);
    // What ends before it has written anything takes nothing back.
    refused(&["put", "books", "--definition", "-"], &["stdin", "nothing is written here"]);
    refused(&["put", "No Name"], &["No Name"]);
    refused(&["rollback", "books", "--to", "two"], &["is not a version"]);
    refused(&["put", "books", "--if-version", "1-2"], &["--definition"]);
    assert_eq!(node.get("/v1/collections/books").status, 404);
}

#[test]
fn the_token_of_the_configuration_is_sent() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("token"), "correct-horse-battery-staple").expect("a file");
    let node =
        Node::start_in(folder, "{ api: { token: \"${file:token}\" }, collections: { carts: {} } }").serving();
    assert!(done(&node, &["list"]).contains("carts"));
    write(&node, "token", "another-horse-battery-staple");
    fails(node.folder(), 1, &["list"], &["401", "the token is not the one of `api.token`"]);
}

#[test]
fn without_a_node_it_says_what_to_do_and_makes_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let none = ["no node is up on the data directory ./data", "`mainstay up`", "--set data=DIR"];
    fails(folder.path(), 1, &["list"], &none);
    assert!(!folder.path().join("data").exists());
    let node = Node::start(OF_FILE).serving();
    let data = format!("data={}", node.folder().join("data").display());
    let (code, printed) = run(folder.path(), &["collections", "list", "--set", &data]);
    assert!(code == Some(0) && printed.contains("carts"), "{printed}");
    node.signal(Signal::KILL);
    let folder = node.ended().2;
    for arguments in [&["put", "books"][..], &["history", "carts"], &["list"]] {
        fails(folder.path(), 1, arguments, &none);
    }
    fails(
        folder.path(),
        2,
        &["list", "--set", "shards=none"],
        &["the configuration is not valid, nothing was done"],
    );
}

#[test]
fn usage_is_told_and_is_the_same_after_a_crash() {
    let node = Node::start(OF_FILE).serving();
    write(&node, "books.yaml", "indexes: { isbn: { on: [/isbn], unique: true } }\n");
    done(&node, &["put", "books"]);
    // An index of a collection that is there already is built by steps.
    done(&node, &["put", "books", "--definition", "books.yaml"]);
    let json = [("Content-Type", "application/json")];
    for number in 0..12 {
        let path = format!("/v1/collections/books/items/b{number}");
        let answer = node.connect().request("PUT", &path, &json, &format!(r#"{{"isbn":{number}}}"#));
        assert_eq!(answer.status, 201, "{answer:?}");
    }
    let answer = node.connect().request("DELETE", "/v1/collections/books/items/b3", &[], "");
    assert_eq!(answer.status, 204, "{answer:?}");
    let before = answered(&node, &["usage", "books"]);
    let counts = [
        &before["items"]["count"],
        &before["indexes"]["isbn"]["entries"]["count"],
        &before["indexes"]["isbn"]["unique"]["count"],
    ];
    assert_eq!(counts, [&json!(11); 3], "{before}");
    assert_eq!(
        before["written"]["given_bytes"],
        (10 * 2 + 2 * 3) + (10 * 10 + 2 * 11) + 2,
        "keys, values, and a key again"
    );
    assert_eq!(before["hot_keys"]["writes"][0], json!({ "key": "b3", "count": 2, "error_max": 0 }));
    let told = done(&node, &["usage", "books"]);
    assert!(
        told.starts_with("STORED                     COUNT  SIZE\nitems                      11     "),
        "{told}"
    );
    // Beside the traffic, and so a moment later.
    let steps = |text: &str| metric(text, "mainstay_shard_tended_steps_total", &[("task", "index")]);
    while steps(&node.get("/metrics").body) < 1.0 {}

    fails(node.folder(), 1, &["usage", "films"], &["404", "there is no collection \"films\""]);
    done(&node, &["retire", "books"]);
    node.signal(Signal::KILL);
    let (_, _, folder) = node.ended();
    let node = Node::start_in(folder, OF_FILE).serving();
    let after = answered(&node, &["usage", "books"]);
    assert_eq!((&after["items"], &after["indexes"]), (&before["items"], &before["indexes"]));
    assert_eq!(after["written"]["given_bytes"], 0, "what is written is counted since the start");
}
