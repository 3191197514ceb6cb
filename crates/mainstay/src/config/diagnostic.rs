//! What is wrong with a configuration, and how it is shown.
//!
//! A [`Diagnostic`] names the place, the offending text, what was expected and, where there is one, the
//! nearest known name. The same diagnostic is printed for people and written as JSON for programs. The text
//! of a secret never leaves this module: places marked secret are masked before anything is rendered.

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
use serde::Serialize;

use super::source::{Kind, Origin, Sources};

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
    /// The text at `origin` is a secret: it is masked wherever it would be shown.
    pub secret: bool,
}

impl Diagnostic {
    /// An error at `origin` about the key `path`.
    pub fn error(origin: Origin, path: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            path: path.into(),
            message: message.into(),
            expected: None,
            nearest: None,
            help: None,
            origin,
            related: None,
            secret: false,
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

    /// Masks the text at the origin.
    pub fn secret(self) -> Self {
        Self { secret: true, ..self }
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
    /// The offending text, cut to 80 characters; absent for secrets and where there is none.
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

    /// For programs.
    pub fn records(&self) -> Vec<Record> {
        self.diagnostics.iter().map(|it| self.record(it)).collect()
    }

    /// For people: every diagnostic with the line it concerns, and nothing for none.
    pub fn render(&self, colour: bool) -> String {
        let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
        let mut out = String::new();
        for diagnostic in &self.diagnostics {
            out.push_str(&renderer.render(&self.groups(diagnostic)));
            out.push_str("\n\n");
        }
        out
    }

    /// One line each, for logs: `mainstay.yaml:3:7: unknown key ...; did you mean ...?`.
    pub fn lines(&self) -> Vec<String> {
        self.diagnostics
            .iter()
            .map(|it| {
                let mut line = format!("{}: {}", self.sources.place(it.origin), it.message);
                for advice in Self::advice(it) {
                    line.push_str("; ");
                    line.push_str(&advice);
                }
                line
            })
            .collect()
    }

    fn record(&self, it: &Diagnostic) -> Record {
        let source = self.sources.of(it.origin);
        let place = (source.kind == Kind::File).then(|| self.sources.line_column(it.origin));
        let text = self.sources.text(it.origin);
        Record {
            severity: it.severity,
            source: source.name.clone(),
            line: place.map(|(line, _)| line),
            column: place.map(|(_, column)| column),
            path: it.path.clone(),
            text: (!it.secret && !text.is_empty()).then(|| text.chars().take(80).collect()),
            message: it.message.clone(),
            expected: it.expected.clone(),
            nearest: it.nearest.clone(),
            help: it.help.clone(),
        }
    }

    fn groups<'a>(&'a self, it: &'a Diagnostic) -> Vec<annotate_snippets::Group<'a>> {
        let level = match it.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let title =
            if it.path.is_empty() { it.message.clone() } else { format!("{}: {}", it.path, it.message) };
        let source = self.sources.of(it.origin);
        let title = level.primary_title(title);
        let mut group = if source.text.is_empty() {
            title.element(annotate_snippets::Origin::path(source.name.as_str()))
        } else {
            title.element(self.snippet(it))
        };
        for advice in Self::advice(it).into_iter().skip(usize::from(it.expected.is_some())) {
            group = group.element(Level::HELP.message(advice));
        }
        vec![group]
    }

    fn snippet<'a>(&'a self, it: &'a Diagnostic) -> Snippet<'a, annotate_snippets::Annotation<'a>> {
        let source = self.sources.of(it.origin);
        let text = if it.secret { mask(&source.text, it.origin) } else { source.text.clone() };
        let label = it.expected.as_ref().map(|what| format!("expected {what}"));
        let mut snippet = Snippet::source(text)
            .path(source.name.as_str())
            .annotation(AnnotationKind::Primary.span(first_line(&source.text, it.origin)).label(label));
        if source.kind != Kind::File {
            snippet = snippet.line_numbering(false);
        }
        if let Some((origin, what)) = &it.related {
            let span = first_line(&source.text, *origin);
            snippet = snippet.annotation(AnnotationKind::Context.span(span).label(what.as_str()));
        }
        snippet
    }

    /// "expected ...", "did you mean ...?" and the help, in that order, each only if known.
    fn advice(it: &Diagnostic) -> Vec<String> {
        let expected = it.expected.as_ref().map(|what| format!("expected {what}"));
        let nearest = it.nearest.as_ref().map(|name| format!("did you mean `{name}`?"));
        [expected, nearest, it.help.clone()].into_iter().flatten().collect()
    }
}

/// The part of a place on its first line: a caret under one line helps, a bracket over a block does not.
fn first_line(text: &str, origin: Origin) -> std::ops::Range<usize> {
    let range = origin.range();
    let line = text[range.clone()].lines().next().unwrap_or_default().trim_end();
    range.start..range.start + line.len()
}

fn mask(text: &str, origin: Origin) -> String {
    let range = origin.range();
    let stars = "*".repeat(range.len());
    format!("{}{stars}{}", &text[..range.start], &text[range.end..])
}
