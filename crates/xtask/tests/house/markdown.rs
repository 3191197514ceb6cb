//! A Markdown page as the rules see it: its code, its links and the anchors that links may point to.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};

use crate::repo::line_of;

#[derive(Debug, Default)]
pub(crate) struct Page {
    pub(crate) code: Vec<Code>,
    pub(crate) links: Vec<Link>,
    /// What `#...` may follow the page's name: made of its headings as the common renderers make them.
    pub(crate) anchors: BTreeSet<String>,
}

/// A code span, or one line of a code block that is read by a shell.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Code {
    pub(crate) line: usize,
    pub(crate) text: String,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) line: usize,
    pub(crate) target: String,
}

pub(crate) fn read(text: &str) -> Page {
    let mut page = Page::default();
    let mut block: Option<String> = None;
    let mut heading: Option<String> = None;
    let mut repeated = BTreeMap::new();
    for (event, Range { start, .. }) in Parser::new_ext(text, Options::ENABLE_TABLES).into_offset_iter() {
        let line = line_of(text, start);
        match event {
            Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(language))) => {
                block = Some(language.into_string());
            }
            Event::Start(Tag::CodeBlock(CodeBlockKind::Indented)) => block = Some(String::new()),
            Event::End(TagEnd::CodeBlock) => block = None,
            Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
            Event::End(TagEnd::Heading(_)) => {
                page.anchors.insert(anchor(&heading.take().unwrap_or_default(), &mut repeated));
            }
            Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                page.links.push(Link { line, target: dest_url.into_string() });
            }
            Event::Code(code) => {
                if let Some(heading) = &mut heading {
                    heading.push_str(&code);
                }
                page.code.push(Code { line, text: code.into_string() });
            }
            Event::Text(words) => match (&block, &mut heading) {
                (Some(language), _) => page.code.extend(commands(language, &words, line)),
                (None, Some(heading)) => heading.push_str(&words),
                (None, None) => {}
            },
            _ => {}
        }
    }
    page
}

/// The lines of a block that a reader would type: all of a script's, and those after a `$` of anything else that is
/// not in another language.
fn commands(language: &str, block: &str, first_line: usize) -> Vec<Code> {
    let language = language.split(' ').next().unwrap_or_default();
    let is_script = matches!(language, "sh" | "bash" | "shell");
    if !is_script && !matches!(language, "" | "text" | "console") {
        return Vec::new();
    }
    let mut commands: Vec<Code> = Vec::new();
    let mut continues = false;
    for (line, text) in (first_line..).zip(block.lines()) {
        let typed = text.trim_start().strip_prefix("$ ").or((is_script || continues).then_some(text.trim()));
        let Some(typed) = typed else { continue };
        let (typed, goes_on) =
            typed.strip_suffix('\\').map_or((typed, false), |typed| (typed.trim_end(), true));
        match commands.last_mut() {
            Some(command) if continues => {
                command.text.push(' ');
                command.text.push_str(typed);
            }
            _ => commands.push(Code { line, text: typed.to_owned() }),
        }
        continues = goes_on;
    }
    commands
}

fn anchor(heading: &str, repeated: &mut BTreeMap<String, usize>) -> String {
    let kept = heading.trim().to_lowercase();
    let kept: String = kept.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c)).collect();
    let anchor = kept.replace(' ', "-");
    let times = repeated.entry(anchor.clone()).and_modify(|times| *times += 1).or_insert(0);
    if *times == 0 { anchor } else { format!("{anchor}-{times}") }
}

#[test]
fn code_links_and_anchors_are_read_with_their_lines() {
    let page = read(
        "# The `up` command, twice\n\nSee `make test` and [the map](../ARCHITECTURE.md#rooms).\n\n```sh\nmake run\n\
         mainstay up \\\n  hello.yaml\n```\n\n```yaml\ndata: ./data\n```\n\n```console\n$ make lint\nprinted\n```\n\n\
         ## Twice\n## Twice\n",
    );
    let code: Vec<(usize, &str)> = page.code.iter().map(|code| (code.line, code.text.as_str())).collect();
    assert_eq!(
        code,
        [(1, "up"), (3, "make test"), (6, "make run"), (7, "mainstay up hello.yaml"), (16, "make lint")]
    );
    assert_eq!(page.links, [Link { line: 3, target: "../ARCHITECTURE.md#rooms".into() }]);
    let anchors: Vec<&str> = page.anchors.iter().map(String::as_str).collect();
    assert_eq!(anchors, ["the-up-command-twice", "twice", "twice-1"]);
}
