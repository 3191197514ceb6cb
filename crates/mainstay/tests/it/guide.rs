//! What the guides show of a node, over HTTP and by commands, is what it does.

use std::path::{Path, PathBuf};
use std::process::Command;

use mainstay_base::time::Timestamp;
use rustix::process::Signal;

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

/// Blocks `... write=FILE` are written into a folder, `console up` starts a node there, or ends the one that runs and starts it again;
/// `console node` are commands in that folder, `http` exchanges with the node. On a page that begins with the node's configuration it
/// runs from then on. In what is printed, `…` stands for anything.
#[test]
fn the_guides_by_commands_show_what_happens() {
    shows_what_happens("docs/guide/collections.md", 10);
    shows_what_happens("docs/guide/schemas.md", 4);
    shows_what_happens("docs/gateway/operating.md", 4);
}

#[test]
fn the_way_in_shows_what_happens() {
    shows_what_happens("docs/guide/getting-started.md", 16);
}

/// Where pages say that a node listens.
const API: &str = "127.0.0.1:7070";
const GATEWAY: &str = "127.0.0.1:8080";

/// How often a command is typed whose output is to be so soon. A program starts for each time, so that this takes a minute or more.
const SOON: u32 = 2000;

#[track_caller]
fn shows_what_happens(guide: &str, count_min: usize) {
    let mut blocks = blocks_of(&root().join(guide));
    let mut node = None;
    if written(blocks.first().expect("the page has blocks")) == Some("mainstay.yaml") {
        node = Some(Node::start(&blocks.remove(0).text).serving());
    }
    let mut checked = 0;
    for block in blocks {
        match (block.info.as_str(), &node) {
            // How the program comes to be there.
            ("sh", None) => {}
            ("console up", _) => {
                assert_eq!(block.text, "$ mainstay up\n", "{}", block.place);
                node = Some(up(node.take()));
            }
            ("console node" | "console node soon", Some(node)) => {
                for session in block.sessions() {
                    shows(node, &block, &session);
                    checked += 1;
                }
            }
            ("http", Some(node)) => exchange(&block.text).check(node),
            (info, Some(node)) => {
                let name = written(&block);
                let name =
                    name.unwrap_or_else(|| panic!("{}: nothing is known of blocks `{info}`", block.place));
                // No test has a port of its own.
                let text = block.text.replace(GATEWAY, "127.0.0.1:0");
                std::fs::write(node.folder().join(name), text).expect("a file");
            }
            (info, None) => panic!("{}: `{info}` comes before there is a node", block.place),
        }
    }
    assert!(checked >= count_min, "the pattern still finds commands");
}

/// The file that a block is.
fn written(block: &Block) -> Option<&str> {
    block.info.split_once(" write=").map(|(_, name)| name)
}

/// A node in an empty folder; or the same node again, whether it still runs or not, with what its folder has by now.
fn up(node: Option<Node>) -> Node {
    let Some(node) = node else { return Node::start("").serving() };
    node.signal(Signal::INT);
    let (_, _, folder) = node.ended();
    let yaml = std::fs::read_to_string(folder.path().join("mainstay.yaml")).expect("it was started with one");
    Node::start_in(folder, &yaml).serving()
}

/// Checks that a command prints what is shown of it, in the end if it is to be so soon.
fn shows(node: &Node, block: &Block, (command, shown): &(String, String)) {
    let shown = timeless(shown);
    let times = if block.info.ends_with(" soon") { SOON } else { 1 };
    let mut printed = String::new();
    for _ in 0..times {
        printed = timeless(&typed(node, command));
        if fits(printed.trim_end(), shown.trim_end()) {
            return;
        }
    }
    panic!("{}: {command}\nprints\n{printed}\nand not\n{shown}", block.place);
}

/// What a command prints that is typed in the node's folder. What is not of `mainstay` is for a shell.
fn typed(node: &Node, command: &str) -> String {
    let gateway = node.ready["gateway"].as_str().expect("it is told").trim_matches(['[', ']']);
    let places = [(API, node.api.to_string()), (GATEWAY, gateway.to_owned())];
    let mut printed = if command.starts_with("mainstay ") {
        run(node.folder(), &words(command)).1
    } else {
        let command = places.iter().fold(command.to_owned(), |it, (shown, real)| it.replace(shown, real));
        shell(node.folder(), &command)
    };
    for (shown, real) in places.iter().filter(|(_, real)| !real.is_empty()) {
        printed = printed.replace(real, shown);
    }
    printed
}

fn shell(folder: &Path, command: &str) -> String {
    let output =
        Command::new("bash").args(["-c", command]).current_dir(folder).output().expect("there is a shell");
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8").replace('\r', "")
}

/// Whether a text is the one that is shown, in which `…` stands for anything.
fn fits(text: &str, shown: &str) -> bool {
    let Some((before, after)) = shown.split_once('…') else { return text == shown };
    let Some(rest) = text.strip_prefix(before) else { return false };
    let mut ends = rest.char_indices().map(|(at, _)| at).chain([rest.len()]);
    ends.any(|at| fits(&rest[at..], after))
}

#[test]
fn what_is_left_out_stands_for_anything() {
    for shown in ["abcabc", "…", "a…c", "abc…", "…abc", "ab…bc", "…b…b…", "abcabc…"] {
        assert!(fits("abcabc", shown), "{shown}");
    }
    for shown in ["abc", "a…b", "…abcd", "abca…cabc", "b…", "…c…c…c"] {
        assert!(!fits("abcabc", shown), "{shown}");
    }
}

/// The text with all times alike.
fn timeless(text: &str) -> String {
    let words = text.split_inclusive(char::is_whitespace).map(|word| {
        let time = word.trim_matches(|it: char| !it.is_ascii_alphanumeric());
        if time.parse::<Timestamp>().is_ok() { word.replace(time, "TIME") } else { word.to_owned() }
    });
    words.collect()
}
