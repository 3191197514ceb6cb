//! Where configuration text came from, how to point into it, and what of it may be shown.
//!
//! Every value of the effective configuration carries an [`Origin`]: a source and a byte range in its text.
//! Line and column are derived only when something is printed. Bytes that are hidden are masked by every
//! accessor but [`Sources::raw`], which is for reading the configuration and never for showing it.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// A longer line is not shown; the place in it is.
const LINE_BYTES_MAX: usize = 1_000;
/// Places further apart are shown as two excerpts.
const LINES_MAX: usize = 20;

/// What kind of text a source is; it decides how a place in it is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The built-in defaults. Has no text a user could edit.
    Default,
    /// A YAML file.
    File,
    /// One environment variable, its text being `NAME=value`.
    Environment,
    /// One `--set` argument, its text being `a.b=value`.
    Argument,
}

/// One piece of configuration text.
pub struct Source {
    /// What kind of text it is.
    pub kind: Kind,
    /// How a person knows it: the path as given, the variable's name, or `--set`.
    pub name: String,
    /// The directory that relative paths in this source start from.
    pub base: PathBuf,
    text: String,
    /// Where the value of an assignment begins. Who errs in the key is not shown the value.
    value_at: Option<usize>,
    /// Where each line begins.
    lines: Vec<usize>,
    /// Sorted, apart from each other.
    hidden: Vec<Range<usize>>,
}

impl Source {
    /// The source of `text`, all of which may be shown.
    pub fn new(kind: Kind, name: impl Into<String>, text: impl Into<String>, base: &Path) -> Self {
        let text = text.into();
        let lines = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { kind, name: name.into(), base: base.into(), text, value_at: None, lines, hidden: Vec::new() }
    }

    /// The same as an assignment whose value begins at byte `at`, behind an equals sign.
    pub fn assigning(self, at: usize) -> Self {
        Self { value_at: Some(at), ..self }
    }

    /// Whether there is no text to point into.
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// The number, from 0, of the line that holds the byte at `at`.
    fn line(&self, at: usize) -> usize {
        self.lines.partition_point(|start| *start <= at) - 1
    }

    /// The hidden ranges that touch `range`.
    fn hidden_in(&self, range: &Range<usize>) -> impl Iterator<Item = &Range<usize>> {
        let first = self.hidden.partition_point(|it| it.end <= range.start);
        self.hidden[first..].iter().take_while(|it| it.start < range.end)
    }

    /// The text at `range`, what is hidden as asterisks. Places in it stay where they are.
    fn masked(&self, range: Range<usize>) -> String {
        let mut out = String::with_capacity(range.len());
        let mut at = range.start;
        for hidden in self.hidden_in(&range) {
            let (start, end) = (hidden.start.max(at), hidden.end.min(range.end));
            out.push_str(&self.text[at..start]);
            let stars = self.text[start..end].bytes().map(|byte| if byte == b'\n' { '\n' } else { '*' });
            out.extend(stars);
            at = end;
        }
        out.push_str(&self.text[at..range.end]);
        out
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Source({:?} {})", self.kind, self.name)
    }
}

/// A place: a byte range in the text of one source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin {
    source: usize,
    start: usize,
    end: usize,
}

impl Origin {
    /// The built-in defaults.
    pub const DEFAULT: Self = Self { source: 0, start: 0, end: 0 };

    /// The byte range within the source's text.
    pub fn range(self) -> Range<usize> {
        self.start..self.end
    }

    /// The smallest place that covers both; both must lie in one source.
    pub fn to(self, other: Self) -> Self {
        assert_eq!(self.source, other.source, "a place lies in one source");
        Self { source: self.source, start: self.start.min(other.start), end: self.end.max(other.end) }
    }
}

/// Whole lines of a source around one or two places.
pub struct Excerpt {
    /// The lines, what is hidden as asterisks.
    pub text: String,
    /// The number of the first line, from 1.
    pub line: usize,
    /// Where the lines begin in the source.
    pub start: usize,
}

/// All sources of one load, in the order of their layers.
#[derive(Debug)]
pub struct Sources {
    /// `list[0]` is the built-in defaults.
    list: Vec<Source>,
}

impl Sources {
    /// Only the defaults, whose relative paths start from `base`.
    pub fn new(base: &Path) -> Self {
        Self { list: vec![Source::new(Kind::Default, "default", "", base)] }
    }

    /// Adds a source and returns its number for [`Sources::origin`].
    pub fn add(&mut self, source: Source) -> usize {
        self.list.push(source);
        self.list.len() - 1
    }

    /// Hides bytes of source number `source` wherever it is shown.
    pub fn hide(&mut self, source: usize, mut ranges: Vec<Range<usize>>) {
        let source = &mut self.list[source];
        ranges.append(&mut source.hidden);
        ranges.retain(|it| !it.is_empty());
        ranges.sort_by_key(|it| (it.start, it.end));
        for range in ranges {
            let start = source.text.floor_char_boundary(range.start);
            let end = source.text.ceil_char_boundary(range.end.min(source.text.len()));
            match source.hidden.last_mut() {
                Some(last) if start <= last.end => last.end = last.end.max(end),
                _ => source.hidden.push(start..end),
            }
        }
    }

    /// Whether any of the text at `origin` is hidden.
    pub fn hides(&self, origin: Origin) -> bool {
        self.of(origin).hidden_in(&origin.range()).next().is_some()
    }

    /// A place in source number `source`. The range is cut to the text and to whole characters.
    pub fn origin(&self, source: usize, range: Range<usize>) -> Origin {
        let text = &self.list[source].text;
        let start = text.floor_char_boundary(range.start.min(text.len()));
        let end = text.ceil_char_boundary(range.end.clamp(start, text.len()));
        Origin { source, start, end }
    }

    /// The source that holds `origin`.
    pub fn of(&self, origin: Origin) -> &Source {
        &self.list[origin.source]
    }

    /// The text at `origin` as it may be shown.
    pub fn text(&self, origin: Origin) -> String {
        self.of(origin).masked(origin.range())
    }

    /// The text at `origin` as it is: to be read, never to be shown.
    pub fn raw(&self, origin: Origin) -> &str {
        &self.of(origin).text[origin.range()]
    }

    /// The lines that hold the starts of both places; nothing if these lie too far apart or are too long.
    pub fn excerpt(&self, one: Origin, other: Origin) -> Option<Excerpt> {
        let both = one.to(other);
        let source = self.of(one);
        let (first, last) = (source.line(both.start), source.line(one.start.max(other.start)));
        if source.is_empty() || last - first >= LINES_MAX {
            return None;
        }
        let start = source.lines[first];
        let end = source.lines.get(last + 1).map_or(source.text.len(), |next| next - 1);
        let end = source.value_at.filter(|value| both.end < *value).map_or(end, |value| value - 1);
        let text = source.masked(start..end);
        let fits = text.lines().all(|line| line.len() <= LINE_BYTES_MAX);
        fits.then_some(Excerpt { text, line: first + 1, start })
    }

    /// Line and column of the start, both counted from 1, columns in characters.
    pub fn line_column(&self, origin: Origin) -> (usize, usize) {
        let source = self.of(origin);
        let line = source.line(origin.start);
        (line + 1, source.text[source.lines[line]..origin.start].chars().count() + 1)
    }

    /// The file, or what stands for it, and the line, from 1, if it has lines.
    pub fn file_line(&self, origin: Origin) -> (String, Option<u32>) {
        let source = self.of(origin);
        let line = (source.kind == Kind::File).then(|| self.line_column(origin).0);
        (source.name.clone(), line.and_then(|line| u32::try_from(line).ok()))
    }

    /// The place as a person would write it: `mainstay.yaml:3:7`, a variable's name, `--set`, `default`.
    pub fn place(&self, origin: Origin) -> String {
        let source = self.of(origin);
        match source.kind {
            Kind::File => {
                let (line, column) = self.line_column(origin);
                format!("{}:{line}:{column}", source.name)
            }
            Kind::Default | Kind::Environment | Kind::Argument => source.name.clone(),
        }
    }
}
