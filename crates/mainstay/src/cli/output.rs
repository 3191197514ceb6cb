//! Writing to the person or program that called.

use std::io::{IsTerminal, Write};

use serde::Serialize;

use crate::config::Findings;

/// Writes text to stdout. A closed pipe (`mainstay ... | head`) is not an error.
pub fn text(text: &str) {
    let mut out = std::io::stdout().lock();
    // Whoever closed the pipe has read enough.
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Writes a document to stdout as indented JSON.
pub fn json(document: &impl Serialize) {
    let mut written = serde_json::to_string_pretty(document).expect("an output is plain data");
    written.push('\n');
    text(&written);
}

/// Writes a line to stderr.
pub fn note(line: &str) {
    let mut out = anstream::AutoStream::auto(std::io::stderr());
    // There is nowhere else to say that stderr is closed.
    let _ = writeln!(out, "{line}");
}

/// Shows what was found in a configuration, on stderr.
pub fn findings(findings: &Findings) {
    let stderr = std::io::stderr();
    let colours = anstream::AutoStream::choice(&stderr) != anstream::ColorChoice::Never;
    let rendered = findings.render(colours);
    // There is nowhere else to say that stderr is closed.
    let _ = stderr.lock().write_all(rendered.as_bytes());
}

/// Whether a person is likely to read stdout.
pub fn to_person() -> bool {
    std::io::stdout().is_terminal()
}
