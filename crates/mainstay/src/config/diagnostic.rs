//! What is wrong with a configuration, and how it is shown.
//!
//! A [`Diagnostic`] names the place, the offending text, what was expected and, where there is one, the
//! nearest known name. The same diagnostic is printed for people and written as JSON for programs. Text comes
//! from [`Sources`], which masks what must not be shown; what the words of a diagnostic quote is bounded here.

use annotate_snippets::{Annotation, AnnotationKind, Element, Group, Level, Renderer, Snippet};
use serde::Serialize;

use super::source::{Excerpt, Kind, Origin, Sources};

/// More mistakes than this are counted, not shown.
pub const SHOWN_MAX: usize = 100;
/// Messages quote what was written, which may be long.
const MESSAGE_CHARS_MAX: usize = 500;
const PATH_CHARS_MAX: usize = 200;
const TEXT_CHARS_MAX: usize = 80;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// The configuration cannot be used.
    Error,
    /// It can be used, and is probably not what was meant.
    Warning,
}

/// One mistake.
#[derive(Debug, Clone, PartialEq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// The key concerned, as in `--set`; empty for the whole file.
    pub path: String,
    /// What is wrong, in one line.
    pub message: String,
    /// What was expected, completing the sentence "expected ...".
    pub expected: Option<String>,
    /// The known name nearest to the one written.
    pub nearest: Option<String>,
    /// What to do about it.
    pub help: Option<String>,
    /// Where it is.
    pub origin: Origin,
    /// A second place that explains the first.
    pub related: Option<(Origin, String)>,
}

impl Diagnostic {
    /// An error at `origin` about the key `path`.
    pub fn error(origin: Origin, path: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            path: cut(path.into(), PATH_CHARS_MAX),
            message: cut(message.into(), MESSAGE_CHARS_MAX),
            expected: None,
            nearest: None,
            help: None,
            origin,
            related: None,
        }
    }

    /// The same as a warning.
    pub fn warning(self) -> Self {
        Self { severity: Severity::Warning, ..self }
    }

    /// Completes "expected ...".
    pub fn expected(self, what: impl Into<String>) -> Self {
        Self { expected: Some(what.into()), ..self }
    }

    /// The nearest known name, if there is one.
    pub fn nearest(self, name: Option<String>) -> Self {
        Self { nearest: name, ..self }
    }

    /// What to do about it.
    pub fn help(self, what: impl Into<String>) -> Self {
        Self { help: Some(what.into()), ..self }
    }

    /// A second place that explains the first.
    pub fn related(self, origin: Origin, what: impl Into<String>) -> Self {
        Self { related: Some((origin, what.into())), ..self }
    }
}

/// The wire form of a [`Diagnostic`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Record {
    /// `error` or `warning`.
    pub severity: Severity,
    /// The file, variable or argument.
    pub source: String,
    /// Line from 1; absent outside files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// Column from 1, in characters; absent outside files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<usize>,
    /// The key concerned.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub path: String,
    /// The offending text, cut to 80 characters; absent where any of it is hidden and where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// What is wrong.
    pub message: String,
    /// What was expected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected: Option<String>,
    /// The nearest known name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nearest: Option<String>,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
}

/// What a load found, together with the texts it points into.
#[derive(Debug)]
pub struct Findings {
    sources: Sources,
    diagnostics: Vec<Diagnostic>,
}

impl Findings {
    /// The diagnostics in the order of their places, each once.
    pub fn new(sources: Sources, diagnostics: Vec<Diagnostic>) -> Self {
        let mut findings = Self { sources, diagnostics: Vec::new() };
        findings.add(diagnostics);
        findings
    }

    /// Adds more.
    pub fn add(&mut self, more: Vec<Diagnostic>) {
        self.diagnostics.extend(more);
        self.diagnostics.sort_by(|a, b| (a.origin, &a.path).cmp(&(b.origin, &b.path)));
        self.diagnostics.dedup_by(|a, b| a.origin == b.origin && a.path == b.path && a.message == b.message);
    }

    /// The texts the diagnostics point into.
    pub fn sources(&self) -> &Sources {
        &self.sources
    }

    /// How many are errors.
    pub fn errors(&self) -> usize {
        self.diagnostics.iter().filter(|it| it.severity == Severity::Error).count()
    }

    /// How many are warnings.
    pub fn warnings(&self) -> usize {
        self.diagnostics.len() - self.errors()
    }

    /// How many are counted but neither rendered nor recorded.
    pub fn omitted(&self) -> usize {
        self.diagnostics.len().saturating_sub(SHOWN_MAX)
    }

    /// What is shown: in the order of places, but no error is left out for a warning.
    fn shown(&self) -> Vec<&Diagnostic> {
        let of = |severity| self.diagnostics.iter().filter(move |it| it.severity == severity);
        if self.omitted() == 0 {
            return self.diagnostics.iter().collect();
        }
        of(Severity::Error).chain(of(Severity::Warning)).take(SHOWN_MAX).collect()
    }

    /// For programs; the first [`SHOWN_MAX`].
    pub fn records(&self) -> Vec<Record> {
        self.shown().into_iter().map(|it| self.record(it)).collect()
    }

    /// For people: every diagnostic with the line it concerns, and nothing for none.
    pub fn render(&self, colour: bool) -> String {
        let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
        let mut out = String::new();
        for diagnostic in self.shown() {
            out.push_str(&renderer.render(&[self.group(diagnostic)]));
            out.push_str("\n\n");
        }
        if let Some(more) = self.more() {
            out.push_str(&format!("{more}\n\n"));
        }
        out
    }

    /// One line each, for logs: `mainstay.yaml:3:7: unknown key ...; did you mean ...?`.
    pub fn lines(&self) -> Vec<String> {
        let line = |it: &Diagnostic| {
            let mut line = format!("{}: {}", self.sources.place(it.origin), it.message);
            for advice in Self::advice(it) {
                line.push_str("; ");
                line.push_str(&advice);
            }
            line
        };
        self.shown().into_iter().map(line).chain(self.more()).collect()
    }

    fn more(&self) -> Option<String> {
        (self.omitted() > 0).then(|| format!("and {} more", self.omitted()))
    }

    fn record(&self, it: &Diagnostic) -> Record {
        let source = self.sources.of(it.origin);
        let place = (source.kind == Kind::File).then(|| self.sources.line_column(it.origin));
        let text = (!self.sources.hides(it.origin)).then(|| self.sources.raw(it.origin));
        Record {
            severity: it.severity,
            source: source.name.clone(),
            line: place.map(|(line, _)| line),
            column: place.map(|(_, column)| column),
            path: it.path.clone(),
            text: text.filter(|it| !it.is_empty()).map(|it| cut(it.to_owned(), TEXT_CHARS_MAX)),
            message: it.message.clone(),
            expected: it.expected.clone(),
            nearest: it.nearest.clone(),
            help: it.help.clone(),
        }
    }

    fn group<'a>(&'a self, it: &'a Diagnostic) -> Group<'a> {
        let level = match it.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let title =
            if it.path.is_empty() { it.message.clone() } else { format!("{}: {}", it.path, it.message) };
        let expected = it.expected.as_ref().map(|what| format!("expected {what}"));
        let primary = Mark { origin: it.origin, kind: AnnotationKind::Primary, label: expected };
        let related = it.related.as_ref().map(|(origin, what)| Mark {
            origin: *origin,
            kind: AnnotationKind::Context,
            label: Some(what.clone()),
        });
        let together = related.as_ref().and_then(|related| self.snippet(&[&primary, related]));
        let labelled = self.snippet(&[&primary]).is_some();
        let elements = match together {
            Some(snippet) => vec![snippet.into()],
            None => std::iter::once(&primary).chain(&related).map(|mark| self.element(mark)).collect(),
        };
        let group = level.primary_title(title).elements(elements);
        // What was expected is the label of the place, if that is shown.
        let advice = Self::advice(it).into_iter().skip(usize::from(labelled && it.expected.is_some()));
        group.elements(advice.map(|advice| Level::HELP.message(advice)))
    }

    /// The lines with a place marked, or the place alone.
    fn element<'a>(&'a self, mark: &Mark) -> Element<'a> {
        if let Some(snippet) = self.snippet(&[mark]) {
            return snippet.into();
        }
        let source = self.sources.of(mark.origin);
        let place = annotate_snippets::Origin::path(source.name.as_str());
        if source.kind != Kind::File || source.is_empty() {
            return place.into();
        }
        let (line, column) = self.sources.line_column(mark.origin);
        place.line(line).char_column(column).into()
    }

    /// The lines of all marks, which lie in one source; nothing if they cannot be shown together.
    fn snippet<'a>(&'a self, marks: &[&Mark]) -> Option<Snippet<'a, Annotation<'a>>> {
        let (first, last) = (marks.first()?.origin, marks.last()?.origin);
        let source = self.sources.of(first);
        let excerpt = self.sources.excerpt(first, last)?;
        let mut snippet = Snippet::source(excerpt.text.clone())
            .path(source.name.as_str())
            .line_start(excerpt.line)
            .line_numbering(source.kind == Kind::File);
        for mark in marks {
            let span = first_line(&excerpt, mark.origin);
            snippet = snippet.annotation(mark.kind.span(span).label(mark.label.clone()));
        }
        Some(snippet)
    }

    /// "expected ...", "did you mean ...?" and the help, in that order, each only if known.
    fn advice(it: &Diagnostic) -> Vec<String> {
        let expected = it.expected.as_ref().map(|what| format!("expected {what}"));
        let nearest = it.nearest.as_ref().map(|name| format!("did you mean `{name}`?"));
        [expected, nearest, it.help.clone()].into_iter().flatten().collect()
    }
}

/// A place to show.
struct Mark {
    origin: Origin,
    kind: AnnotationKind,
    label: Option<String>,
}

/// The part of a place on its first line: a caret under one line helps, a bracket over a block does not.
fn first_line(excerpt: &Excerpt, origin: Origin) -> std::ops::Range<usize> {
    let range = origin.range();
    let start = range.start - excerpt.start;
    let end = (range.end - excerpt.start).min(excerpt.text.len());
    let line = excerpt.text[start..end].lines().next().unwrap_or_default().trim_end();
    start..start + line.len()
}

fn cut(text: String, chars_max: usize) -> String {
    match text.char_indices().nth(chars_max) {
        Some((at, _)) => format!("{}...", &text[..at]),
        None => text,
    }
}
