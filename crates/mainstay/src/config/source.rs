//! Where configuration text came from, and how to point into it.
//!
//! Every value of the effective configuration carries an [`Origin`]: a source and a byte range in its text.
//! Line and column are derived only when something is printed.

use std::ops::Range;
use std::path::{Path, PathBuf};

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
#[derive(Debug, Clone)]
pub struct Source {
    /// What kind of text it is.
    pub kind: Kind,
    /// How a person knows it: the path as given, the variable's name, or `--set`.
    pub name: String,
    /// The whole text.
    pub text: String,
    /// The directory that relative paths in this source start from.
    pub base: PathBuf,
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

/// All sources of one load, in the order of their layers.
#[derive(Debug)]
pub struct Sources {
    /// `list[0]` is the built-in defaults.
    list: Vec<Source>,
}

impl Sources {
    /// Only the defaults, whose relative paths start from `base`.
    pub fn new(base: &Path) -> Self {
        let defaults =
            Source { kind: Kind::Default, name: "default".into(), text: String::new(), base: base.into() };
        Self { list: vec![defaults] }
    }

    /// Adds a source and returns its number for [`Sources::origin`].
    pub fn add(&mut self, source: Source) -> usize {
        self.list.push(source);
        self.list.len() - 1
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

    /// The text at `origin`.
    pub fn text(&self, origin: Origin) -> &str {
        &self.of(origin).text[origin.range()]
    }

    /// Line and column of the start, both counted from 1, columns in characters.
    pub fn line_column(&self, origin: Origin) -> (usize, usize) {
        let before = &self.of(origin).text[..origin.start];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
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
