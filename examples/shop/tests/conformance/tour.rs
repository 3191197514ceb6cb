//! The tour in README: its commands are typed, on a shop on other ports, and show what the page shows.

use std::path::{Path, PathBuf};
use std::process::Command;

use shop::demo::node::{Node, path_with};

use crate::shop_in;

/// How often a reading is made that does not show yet what the page shows.
const TRIES: usize = 200;

/// A command, and what the page shows of its output.
struct Typed {
    command: String,
    shown: String,
}

/// The commands of all blocks `console shop`, in order.
fn tour(page: &str) -> Vec<Typed> {
    let mut typed: Vec<Typed> = Vec::new();
    let mut is_inside = false;
    for line in page.lines() {
        if line.starts_with("```") {
            is_inside = line == "```console shop";
        } else if let (true, Some(command)) = (is_inside, line.strip_prefix("$ ")) {
            typed.push(Typed { command: command.to_owned(), shown: String::new() });
        } else if let (true, Some(last)) = (is_inside, typed.last_mut()) {
            match last.command.strip_suffix('\\') {
                Some(begun) if last.shown.is_empty() => {
                    last.command = format!("{begun}{}", line.trim_start());
                }
                _ => last.shown.push_str(&format!("{line}\n")),
            }
        }
    }
    typed
}

/// Whether `output` is what is shown, in which `…` stands for anything.
fn fits(shown: &str, output: &str) -> bool {
    let mut parts = shown.trim_end().split('…');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = output.trim_end().strip_prefix(first) else { return false };
    let mut parts = parts.peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.is_empty()
}

/// Types it in a shell, with the ports of this shop and, for `shop` and `pkill`, its program and processes.
fn typed(node: &Node, command: &str) -> String {
    let command = command
        .replace("127.0.0.1:7070", &node.api.to_string())
        .replace("127.0.0.1:8080", &node.public.to_string())
        .replace("127.0.0.1:8081", &node.inside.to_string())
        .replace("shop audit", &format!("shop audit --api http://{}", node.api))
        .replace("pkill ", &format!("pkill --parent {} ", node.pid()));
    let programs = Path::new(env!("CARGO_BIN_EXE_shop")).parent().expect("a program has a folder");
    let output = Command::new("bash")
        .args(["-c", &command])
        .env("PATH", path_with(programs).expect("folders"))
        .output()
        .expect("a shell runs");
    assert!(output.status.success(), "{command}\n{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("it prints text")
}

#[test]
fn the_tour_shows_what_happens() {
    let page = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../README.md");
    let tour = tour(&std::fs::read_to_string(page).expect("README"));
    assert!(tour.len() > 10, "the tour is found: {}", tour.len());
    let folder = tempfile::tempdir().unwrap();
    let node = shop_in(folder.path(), None);
    for Typed { command, shown } in tour {
        let mut output = typed(&node, &command);
        // A reader who looks a moment later sees what is shown; a machine that is busy makes it more than one.
        for _ in 0..TRIES {
            if fits(&shown, &output) || !command.starts_with("curl -s http") {
                break;
            }
            output = typed(&node, &command);
        }
        assert!(fits(&shown, &output), "$ {command}\nis shown as\n{shown}\nand prints\n{output}");
    }
    node.stop().expect("the shop ends in order");
}

#[test]
fn what_is_shown_fits_or_does_not() {
    assert!(fits("{\"a\":…,\"b\":2}\n", "{\"a\":1,\"b\":2}"));
    assert!(fits("", "") && fits("x\n…\ny\n", "x\n1\n2\ny\n"));
    assert!(!fits("{\"a\":…,\"b\":2}", "{\"a\":1,\"b\":3}"));
    assert!(!fits("a", "ab") && !fits("…b", "abc") && !fits("", "x"));
}
