//! Writing to the person or program that called.
//!
//! A result that could not be written is a failure of the command, except into a closed pipe (`mainstay ... |
//! head`): whoever closed it has read enough.

use std::io::{self, IsTerminal, Write};

use serde::Serialize;

use crate::config::Findings;

/// Writes text to stdout, and out of this process.
pub fn text(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    unless_closed(out.write_all(text.as_bytes()).and_then(|()| out.flush()))
}

/// Writes a document to stdout as indented JSON.
pub fn json(document: &impl Serialize) -> io::Result<()> {
    let mut written = serde_json::to_string_pretty(document).expect("an output is plain data");
    written.push('\n');
    text(&written)
}

/// The outcome of writing to stdout, in which a closed pipe is none of our failures.
pub fn unless_closed(outcome: io::Result<()>) -> io::Result<()> {
    match outcome {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        outcome => outcome,
    }
}

/// Writes a line to stderr.
pub fn note(line: &str) {
    let mut out = anstream::AutoStream::auto(io::stderr());
    // There is nowhere else to say that stderr is closed.
    let _ = writeln!(out, "{line}");
}

/// Shows what was found in a configuration, on stderr.
pub fn findings(findings: &Findings) {
    // There is nowhere else to say that stderr is closed.
    let _ = io::stderr().lock().write_all(rendered(findings).as_bytes());
}

/// What was found in a configuration as it looks on stderr.
pub fn rendered(findings: &Findings) -> String {
    findings.render(anstream::AutoStream::choice(&io::stderr()) != anstream::ColorChoice::Never)
}

/// Whether a person is likely to read stdout.
pub fn to_person() -> bool {
    io::stdout().is_terminal()
}
