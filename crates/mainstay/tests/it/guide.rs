//! What the guides show of a node, over HTTP and by commands, is what it does.

use std::path::{Path, PathBuf};

use mainstay_base::time::Timestamp;

use crate::docs::{Block, blocks_of, words};
use crate::support::{Answer, Node, run};

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

/// A block `http`: a request, and from the line with nothing but its status on, the answer.
fn exchange(block: &str) -> Exchange {
    let is_status = |line: &&str| line.len() == 3 && line.bytes().all(|byte| byte.is_ascii_digit());
    let lines: Vec<_> = block.lines().collect();
    let answer = lines.iter().position(is_status).expect("a block shows a status");
    Exchange { request: message(&lines[..answer]), answer: message(&lines[answer..]) }
}

fn send(node: &Node, request: &Message) -> Answer {
    let (method, path) = request.first.split_once(' ').expect("a method and a path");
    let headers: Vec<_> =
        request.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    node.connect().request(method, path, &headers, &request.body)
}

impl Exchange {
    /// Checks that this is what the node answers.
    fn check(&self, node: &Node) {
        let Self { request, answer: shown } = self;
        let answer = send(node, request);
        assert_eq!(answer.status.to_string(), shown.first, "{}: {answer:?}", request.first);
        for (name, value) in &shown.headers {
            assert_eq!(answer.header(name), Some(value.as_str()), "{}: {name}", request.first);
        }
        if !shown.body.is_empty() {
            assert_eq!(answer.body.trim_end(), shown.body, "{}", request.first);
        }
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

#[test]
fn the_guides_show_what_is_answered() {
    shows_what_is_answered("docs/guide/commits.md", "examples/items.yaml", 6);
    shows_what_is_answered("docs/guide/queries.md", "examples/queries.yaml", 8);
    shows_what_is_answered("docs/guide/changes.md", "examples/changes.yaml", 5);
}

#[track_caller]
fn shows_what_is_answered(guide: &str, example: &str, count_min: usize) {
    let node = Node::start(&std::fs::read_to_string(root().join(example)).expect("a file"));
    let blocks = blocks_of(&root().join(guide));
    let exchanges: Vec<_> = blocks.iter().filter(|it| it.info == "http").collect();
    assert!(exchanges.len() >= count_min, "the pattern still finds exchanges");
    exchanges.iter().for_each(|block| exchange(&block.text).check(&node));
}

/// Blocks `yaml write=...` are written into a folder, the first of which is a node's configuration; `console node` are
/// commands in that folder, `http` exchanges with the node.
#[test]
fn the_guides_by_commands_show_what_happens() {
    shows_what_happens("docs/guide/collections.md", 10);
    shows_what_happens("docs/guide/schemas.md", 4);
    shows_what_happens("docs/gateway/operating.md", 4);
}

#[track_caller]
fn shows_what_happens(guide: &str, count_min: usize) {
    let blocks = blocks_of(&root().join(guide));
    let written = |block: &Block| block.info.strip_prefix("yaml write=").map(str::to_owned);
    let (first, blocks) = blocks.split_first().expect("the page has blocks");
    assert_eq!(written(first).as_deref(), Some("mainstay.yaml"));
    let node = Node::start(&first.text).serving();
    let mut checked = 0;
    for block in blocks {
        match (written(block), block.info.as_str()) {
            (Some(name), _) => std::fs::write(node.folder().join(name), &block.text).expect("a file"),
            (None, "http") => exchange(&block.text).check(&node),
            (None, "console node") => {
                for (command, shown) in block.sessions() {
                    let (_, printed) = run(node.folder(), &words(&command));
                    let printed = printed.replace(&node.api.to_string(), "127.0.0.1:7070");
                    assert_eq!(timeless(&printed), timeless(&shown), "{}: {command}", block.place);
                    checked += 1;
                }
            }
            (None, info) => panic!("{}: nothing is known of blocks `{info}`", block.place),
        }
    }
    assert!(checked >= count_min, "the pattern still finds commands");
}

/// The text with all times alike.
fn timeless(text: &str) -> String {
    let words = text.split_inclusive(char::is_whitespace).map(|word| {
        let time = word.trim_matches(|it: char| !it.is_ascii_alphanumeric());
        if time.parse::<Timestamp>().is_ok() { word.replace(time, "TIME") } else { word.to_owned() }
    });
    words.collect()
}
