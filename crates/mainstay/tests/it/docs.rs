//! What the documents show is what happens: files they quote exist as quoted, commands print what is printed.

use std::path::{Path, PathBuf};

use crate::support::run;

/// A fenced block: what follows the backticks, and its lines.
pub struct Block {
    pub info: String,
    pub text: String,
    pub place: String,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn pages() -> Vec<PathBuf> {
    let mut pages = vec![root().join("README.md")];
    let mut folders = vec![root().join("docs")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|it| it == "md") {
                pages.push(path);
            }
        }
    }
    pages
}

fn blocks() -> Vec<Block> {
    pages().iter().flat_map(|page| blocks_of(page)).collect()
}

/// The blocks of a page, in order.
pub fn blocks_of(page: &Path) -> Vec<Block> {
    let mut blocks = Vec::new();
    let text = std::fs::read_to_string(page).expect("a page");
    let mut open: Option<Block> = None;
    for (number, line) in text.lines().enumerate() {
        match (&mut open, line.strip_prefix("```")) {
            (None, Some(info)) => {
                let place = format!("{}:{}", page.display(), number + 1);
                open = Some(Block { info: info.to_owned(), text: String::new(), place });
            }
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (Some(block), None) => block.text.push_str(&format!("{line}\n")),
            (None, None) => {}
        }
    }
    blocks
}

impl Block {
    /// The commands of a console, each with what is shown of its output. A command goes on behind a backslash.
    pub fn sessions(&self) -> Vec<(String, String)> {
        let mut sessions: Vec<(String, String)> = Vec::new();
        for line in self.text.lines() {
            match (line.strip_prefix("$ "), sessions.last_mut()) {
                (Some(command), _) => sessions.push((command.to_owned(), String::new())),
                (None, Some((command, _))) if command.ends_with('\\') => {
                    command.pop();
                    command.push_str(line.trim_start());
                }
                (None, Some((_, shown))) => shown.push_str(&format!("{line}\n")),
                (None, None) => panic!("{}: a console block begins with a command", self.place),
            }
        }
        sessions
    }
}

#[test]
fn quoted_files_are_quoted_exactly() {
    let mut quoted = 0;
    for block in blocks() {
        let Some(file) = block.info.split(' ').find_map(|it| it.strip_prefix("file=")) else { continue };
        let text = std::fs::read_to_string(root().join(file)).unwrap_or_default();
        assert_eq!(block.text, text, "{}: {file}", block.place);
        quoted += 1;
    }
    assert!(quoted >= 2, "the pattern still finds quotes");
}

#[test]
fn commands_print_what_the_documents_show() {
    let mut run = 0;
    for block in blocks().into_iter().filter(|it| it.info == "console") {
        for (command, shown) in block.sessions() {
            assert_eq!(output(&command), shown, "{}: {command}", block.place);
            run += 1;
        }
    }
    assert!(run >= 2, "the pattern still finds commands");
}

/// What `mainstay ...` prints on both streams, from the root of the repository.
fn output(command: &str) -> String {
    let (_, printed) = run(&root(), &words(command));
    printed
}

/// The arguments of a command that a page shows.
pub fn words(command: &str) -> Vec<&str> {
    let mut words = command.split(' ');
    assert_eq!(words.next(), Some("mainstay"), "only mainstay is run: {command}");
    words.collect()
}

#[test]
fn every_example_is_valid() {
    let mut checked = 0;
    let mut folders = vec![root().join("examples")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            // Beside configurations there are the programs that they run.
            if path.extension().is_none_or(|it| it != "yaml") {
                continue;
            }
            let path = path.to_string_lossy().into_owned();
            let valid = format!("the configuration is valid ({path})\n");
            assert_eq!(output(&format!("mainstay check {path}")), valid);
            checked += 1;
        }
    }
    assert!(checked >= 3, "the examples are found");
}
