//! What the guides show over HTTP is what a node answers.

use std::path::Path;

use crate::support::{Answer, Node};

/// A request and what is shown of its answer.
struct Exchange {
    request: Message,
    answer: Message,
}

/// A first line, headers and a body.
struct Message {
    first: String,
    headers: Vec<(String, String)>,
    body: String,
}

fn message(lines: &[&str]) -> Message {
    let (first, rest) = lines.split_first().expect("a message has a first line");
    let head = rest.iter().take_while(|line| !line.is_empty());
    let headers: Vec<_> = head
        .map(|line| line.split_once(": ").map(|(name, value)| (name.to_owned(), value.to_owned())))
        .collect();
    let body = rest.get(headers.len() + 1..).unwrap_or_default().join("\n");
    let headers = headers.into_iter().collect::<Option<_>>().expect("headers are names and values");
    Message { first: (*first).to_owned(), headers, body: body.trim_end().to_owned() }
}

/// The blocks `http` of a page: a request, and from the line with nothing but its status on, the answer.
fn exchanges(page: &str) -> Vec<Exchange> {
    let is_status = |line: &&str| line.len() == 3 && line.bytes().all(|byte| byte.is_ascii_digit());
    let blocks = page.split("```http\n").skip(1).map(|rest| rest.split("```").next().unwrap_or_default());
    blocks
        .map(|block| {
            let lines: Vec<_> = block.lines().collect();
            let answer = lines.iter().position(is_status).expect("a block shows a status");
            Exchange { request: message(&lines[..answer]), answer: message(&lines[answer..]) }
        })
        .collect()
}

fn send(node: &Node, request: &Message) -> Answer {
    let (method, path) = request.first.split_once(' ').expect("a method and a path");
    let headers: Vec<_> =
        request.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    node.connect().request(method, path, &headers, &request.body)
}

#[test]
fn the_guides_show_what_is_answered() {
    shows_what_is_answered("docs/guide/commits.md", "examples/items.yaml", 6);
    shows_what_is_answered("docs/guide/queries.md", "examples/queries.yaml", 8);
    shows_what_is_answered("docs/guide/changes.md", "examples/changes.yaml", 5);
}

#[track_caller]
fn shows_what_is_answered(guide: &str, example: &str, count_min: usize) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let read = |file: &str| std::fs::read_to_string(root.join(file)).expect("a file");
    let node = Node::start(&read(example));
    let exchanges = exchanges(&read(guide));
    assert!(exchanges.len() >= count_min, "the pattern still finds exchanges");
    for Exchange { request, answer: shown } in exchanges {
        let answer = send(&node, &request);
        assert_eq!(answer.status.to_string(), shown.first, "{}: {answer:?}", request.first);
        for (name, value) in &shown.headers {
            assert_eq!(answer.header(name), Some(value.as_str()), "{}: {name}", request.first);
        }
        if !shown.body.is_empty() {
            assert_eq!(answer.body.trim_end(), shown.body, "{}", request.first);
        }
    }
}
