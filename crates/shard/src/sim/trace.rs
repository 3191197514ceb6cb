//! What happened in a run, as one number and as its last lines.

use std::collections::VecDeque;
use std::fmt::Write;

use xxhash_rust::xxh3::Xxh3;

/// So many lines are told when a run fails.
const LINES_MAX: usize = 300;

#[derive(Default)]
pub(super) struct Trace {
    hash: Xxh3,
    lines: VecDeque<Line>,
}

struct Line {
    step: u64,
    node: usize,
    what: &'static str,
    numbers: [u64; 2],
}

impl Trace {
    pub(super) fn note(&mut self, step: u64, node: usize, what: &'static str, numbers: [u64; 2]) {
        self.hash.update(what.as_bytes());
        for number in [step, node as u64, numbers[0], numbers[1]] {
            self.hash.update(&number.to_le_bytes());
        }
        if self.lines.len() == LINES_MAX {
            self.lines.pop_front();
        }
        self.lines.push_back(Line { step, node, what, numbers });
    }

    /// The same for the same run.
    pub(super) fn digest(&self) -> u64 {
        self.hash.digest()
    }

    pub(super) fn lines(&self) -> String {
        self.lines.iter().fold(String::new(), |mut text, Line { step, node, what, numbers: [a, b] }| {
            let _ = writeln!(text, "step {step}: node {node}: {what} {a} {b}");
            text
        })
    }
}
