//! Texts with parts of a request in them, for paths, locations, headers and bodies: `/v2/{rest}` and `${{ request.host }}`.
//!
//! `{name}` is a part of the path by its name in the route's pattern, as it stands in the path: it is encoded already, and may hold slashes if it is the rest.
//! `${{ expression }}` is data from anywhere: in a path or a location everything in it is encoded but unreserved characters, so that it is never a separator; in a
//! header, what is not ASCII; in a body, what means something there. In a body, whose braces are mostly its own, `{name}` is text. An expression knows the names of [`NAMES`], and each part of the path, decoded, as `params.name`.

use std::borrow::Cow;

use http::HeaderValue;
use mainstay_machine::expression::{self, Answer, Formula, Given, ParseError, Subject};
use serde_json::Value;

use super::config::{Match, Pattern};
use super::seen::{NAMES, Seen};
use super::{Found, When};
use crate::path;

mod host;

/// A text with parts of a request in it, parsed for one route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    place: Place,
    parts: Box<[Part]>,
}

/// Where a template's text goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The path of the request that is sent on; without query.
    Path,
    /// A `Location`: a path or a URL, with or without query. The host is what the template says: it is text, ends with text such as `.example.com`, or is the request's own.
    Location,
    /// The value of any other header.
    Header,
    /// A body.
    Body(Escape),
}

/// How data is written into a body, so that it stays data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Escape {
    /// As it is, where nothing in it can mean anything.
    Plain,
    /// As what stands between the quotes of a text in JSON (RFC 8259, section 7).
    Json,
    /// With character references for `&`, `<`, `>` and quotes, as text and quoted attributes of HTML and XML take it.
    Markup,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(Box<str>),
    /// A part of the path, by its place among the route's names.
    Param(usize),
    Expression(Formula),
}

/// A text that is no template for a route.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// The route's pattern has no such name.
    #[error("there is no {{{name}}} in the path of the route: {there_is}")]
    Name {
        /// The name.
        name: String,
        /// Those there are, as a sentence.
        there_is: String,
    },
    /// A brace stands alone.
    #[error(
        "the brace at byte {at} belongs to nothing: a part of the path is {{name}}, an expression is ${{{{ expression }}}}, and a brace itself is ${{{{ '{{' }}}}"
    )]
    Brace {
        /// Its place, counted from 0.
        at: usize,
    },
    /// An expression is wrong.
    #[error("in the expression after byte {at}: {error}")]
    Expression {
        /// Where it begins, counted from 0.
        at: usize,
        /// What is wrong with it.
        error: ParseError,
    },
    /// The text between the parts does not belong where it goes.
    #[error("{0}")]
    Text(String),
}

/// A text that cannot be made for a request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    /// An expression has no result.
    #[error("`{expression}`: {error}")]
    Failed {
        /// The expression.
        expression: String,
        /// Why.
        error: expression::Error,
    },
    /// An expression is null.
    #[error("`{expression}` is null: guard it by `?`, as in `a == null ? '' : a`")]
    Null {
        /// The expression.
        expression: String,
    },
    /// The path that was made is no path that is sent on.
    #[error("the path that was made: {0}")]
    Path(#[from] path::Error),
    /// A segment that was made is `.` or `..`.
    #[error("the path that was made has a segment \".\" or \"..\"")]
    Dots,
    /// A location that was made leads to another host than its template says.
    #[error("the location that was made begins with \"//\", which leads to another host")]
    Host,
    /// The value that was made holds a control character.
    #[error("the value that was made for a header holds a control character")]
    Control,
}

impl Template {
    /// The longest template, in bytes.
    pub const BYTES_MAX: usize = 8192;

    /// The longest template of a body, in bytes.
    pub const BODY_BYTES_MAX: usize = 64 << 10;

    /// Parses a template for a route. Errors: [`TemplateError`], also for names that the route's path does not have.
    pub fn parse(text: &str, route: &Match, place: Place) -> Result<Self, TemplateError> {
        check_length(text.len(), place)?;
        let template = Self { place, parts: parse(text, route, place)?.into() };
        template.check().map_err(TemplateError::Text)?;
        Ok(template)
    }

    /// A document as a body, of which each text, but no name of a member, is a template. Errors: [`TemplateError`].
    pub fn json(document: &Value, route: &Match) -> Result<Self, TemplateError> {
        let mut parts = Vec::new();
        push_document(&mut parts, document, route)?;
        let len = |part: &Part| if let Part::Text(text) = part { text.len() } else { 0 };
        check_length(parts.iter().map(len).sum(), Place::Body(Escape::Json))?;
        Ok(Self { place: Place::Body(Escape::Json), parts: parts.into() })
    }

    /// What it makes of every request; none if that depends on the request.
    pub fn constant(&self) -> Option<&str> {
        match &*self.parts {
            [] => Some(""),
            [Part::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// What the text between the parts has to be, checked on the template with a letter for each part.
    fn check(&self) -> Result<(), String> {
        let text: String =
            self.parts.iter().map(|part| if let Part::Text(text) = part { text } else { "x" }).collect();
        let path =
            match self.place {
                Place::Header if text.bytes().all(|byte| byte == b'\t' || (b' '..=b'~').contains(&byte)) => {
                    return Ok(());
                }
                Place::Header => {
                    return Err("it goes into a header: write visible ASCII characters only".to_owned());
                }
                Place::Location if text.bytes().all(|byte| byte.is_ascii_graphic()) => {
                    return host::check(&self.parts);
                }
                Place::Location => return Err(
                    "it is a location: write it percent-encoded, in visible ASCII characters without spaces"
                        .to_owned(),
                ),
                Place::Body(_) => return Ok(()),
                Place::Path => text,
            };
        if path.contains(['?', '#']) {
            return Err("it is a path: leave the query and what follows it out".to_owned());
        }
        match path::normalise(&path, &path::Config::default()) {
            Ok(normal) if normal == path => Ok(()),
            Ok(normal) => Err(format!(
                "it is not in the normal form of paths: write it as {normal:?} is written, with x for each part"
            )),
            Err(error) => Err(error.to_string()),
        }
    }

    /// The path for a request, in normal form by the configuration that its own path was read with. The template is one for [`Place::Path`], of the route that was
    /// found. Errors: [`RenderError`].
    pub fn render_path(
        &self,
        request: &Seen<'_>,
        found: &Found<'_, '_>,
        config: &path::Config,
    ) -> Result<String, RenderError> {
        let path = self.render(request, found)?;
        // Taken away they would take a segment of the template with them.
        if path.split('/').any(|segment| matches!(segment, "." | "..")) {
            return Err(RenderError::Dots);
        }
        Ok(path::normalise(&path, config)?.into_owned())
    }

    /// The value for a header, [`Place::Location`] being one. The template is of the route that was found. Errors: [`RenderError`].
    pub fn render_header(
        &self,
        request: &Seen<'_>,
        found: &Found<'_, '_>,
    ) -> Result<HeaderValue, RenderError> {
        let value = self.render(request, found)?;
        let says_host = matches!(self.parts.first(), Some(Part::Text(text)) if text.starts_with("//"));
        if self.place == Place::Location && (value.starts_with("//") && !says_host || has_empty_host(&value))
        {
            return Err(RenderError::Host);
        }
        HeaderValue::try_from(value).map_err(|_| RenderError::Control)
    }

    /// The body for a request. The template is one for [`Place::Body`], of the route that was found. Errors: [`RenderError`].
    pub fn render_body(&self, request: &Seen<'_>, found: &Found<'_, '_>) -> Result<String, RenderError> {
        self.render(request, found)
    }

    fn render(&self, request: &Seen<'_>, found: &Found<'_, '_>) -> Result<String, RenderError> {
        let subject = Matched { request, found };
        let mut out = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Param(place) => out.push_str(found.value(*place)),
                Part::Expression(formula) => {
                    let text = text(formula, &subject)?;
                    match self.place {
                        Place::Path | Place::Location => path::push_data(&mut out, &text),
                        Place::Header => push_header(&mut out, &text),
                        Place::Body(escape) => push_body(&mut out, &text, escape),
                    }
                }
            }
        }
        Ok(out)
    }
}

/// Whether a location names no host behind its scheme, so that a browser takes the next part of it for one.
fn has_empty_host(location: &str) -> bool {
    let authority = location.strip_prefix("//").or_else(|| location.split_once("://").map(|(_, rest)| rest));
    authority.is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?', '#', '\\', ':']))
}

fn text<'a>(formula: &'a Formula, subject: &'a Matched<'_, '_>) -> Result<Cow<'a, str>, RenderError> {
    let answer = formula.answer(subject, &mut { When::STEPS_MAX });
    let expression = || formula.source().to_owned();
    let answer = answer.map_err(|error| RenderError::Failed { expression: expression(), error })?;
    Answer::into_text(answer).ok_or_else(|| RenderError::Null { expression: expression() })
}

/// What is not ASCII is encoded; control characters stay, to be found.
fn push_header(out: &mut String, text: &str) {
    for char in text.chars() {
        if char.is_ascii() {
            out.push(char);
        } else {
            char.encode_utf8(&mut [0; 4]).bytes().for_each(|byte| path::push_encoded(out, byte));
        }
    }
}

fn push_body(out: &mut String, text: &str, escape: Escape) {
    match escape {
        Escape::Plain => out.push_str(text),
        Escape::Json => out.push_str(&json_text(text)),
        Escape::Markup => {
            for char in text.chars() {
                match char {
                    '&' => out.push_str("&amp;"),
                    '<' => out.push_str("&lt;"),
                    '>' => out.push_str("&gt;"),
                    '"' => out.push_str("&quot;"),
                    '\'' => out.push_str("&#39;"),
                    char => out.push(char),
                }
            }
        }
    }
}

/// A text as it stands in JSON, without its quotes.
fn json_text(text: &str) -> String {
    let quoted = Value::from(text).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}

fn check_length(bytes: usize, place: Place) -> Result<(), TemplateError> {
    let bytes_max = match place {
        Place::Body(_) => Template::BODY_BYTES_MAX,
        Place::Path | Place::Location | Place::Header => Template::BYTES_MAX,
    };
    if bytes > bytes_max {
        let reason = format!("it has {bytes} bytes, and at most {bytes_max} are allowed");
        return Err(TemplateError::Text(reason));
    }
    Ok(())
}

/// Appends a document as JSON, with what its texts are templates of.
fn push_document(parts: &mut Vec<Part>, document: &Value, route: &Match) -> Result<(), TemplateError> {
    match document {
        Value::Array(items) => {
            for (place, item) in items.iter().enumerate() {
                push_text(parts, if place == 0 { "[" } else { "," });
                push_document(parts, item, route)?;
            }
            push_text(parts, if items.is_empty() { "[]" } else { "]" });
        }
        Value::Object(members) => {
            for (place, (name, member)) in members.iter().enumerate() {
                let separator = if place == 0 { "{" } else { "," };
                push_text(parts, &format!("{separator}\"{}\":", json_text(name)));
                push_document(parts, member, route)?;
            }
            push_text(parts, if members.is_empty() { "{}" } else { "}" });
        }
        Value::String(text) => {
            push_text(parts, "\"");
            for part in parse(text, route, Place::Body(Escape::Json))? {
                match part {
                    Part::Text(text) => push_text(parts, &json_text(&text)),
                    other => parts.push(other),
                }
            }
            push_text(parts, "\"");
        }
        other => push_text(parts, &other.to_string()),
    }
    Ok(())
}

fn push_text(parts: &mut Vec<Part>, text: &str) {
    match parts.last_mut() {
        Some(Part::Text(last)) => *last = format!("{last}{text}").into(),
        _ => parts.push(Part::Text(text.into())),
    }
}

fn parse(text: &str, route: &Match, place: Place) -> Result<Vec<Part>, TemplateError> {
    let params: Vec<&str> = route.path.iter().flat_map(Pattern::params).collect();
    let mut names: Vec<Cow<'_, str>> = NAMES.iter().map(|name| Cow::Borrowed(*name)).collect();
    names.extend(params.iter().map(|name| Cow::Owned(format!("params.{name}"))));
    let names: Vec<&str> = names.iter().map(|name| &**name).collect();
    let (mut parts, mut at) = (Vec::new(), 0);
    let next = |at: usize| match place {
        Place::Body(_) => text[at..].find("${{").map(|found| at + found + 1),
        Place::Path | Place::Location | Place::Header => text[at..].find(['{', '}']).map(|found| at + found),
    };
    while let Some(brace) = next(at) {
        let is_expression = text[at..brace].ends_with('$') && text[brace..].starts_with("{{");
        let plain = &text[at..brace - usize::from(is_expression)];
        if !plain.is_empty() {
            parts.push(Part::Text(plain.into()));
        }
        if is_expression {
            let (formula, len) = expression(&text[brace + 2..], &names).map_err(|error| {
                error.map_or(TemplateError::Brace { at: brace }, |error| TemplateError::Expression {
                    at: brace + 2,
                    error,
                })
            })?;
            parts.push(Part::Expression(formula));
            at = brace + 2 + len + 2;
            continue;
        }
        let inner = text[brace..].strip_prefix('{').and_then(|inner| inner.split_once('}'));
        let (name, _) = inner.ok_or(TemplateError::Brace { at: brace })?;
        let place = params.iter().position(|param| *param == name).ok_or_else(|| unknown(name, &params))?;
        parts.push(Part::Param(place));
        at = brace + name.len() + 2;
    }
    if at < text.len() {
        parts.push(Part::Text(text[at..].into()));
    }
    Ok(parts)
}

fn unknown(name: &str, params: &[&str]) -> TemplateError {
    let there_is = match params {
        [] => "it has no names".to_owned(),
        params => format!(
            "it has {}",
            params.iter().map(|param| format!("{{{param}}}")).collect::<Vec<_>>().join(", ")
        ),
    };
    TemplateError::Name { name: name.to_owned(), there_is }
}

/// The expression at the front and its length: up to the first `}}` that does not belong to it. Errors: that of the shortest; none if there is no `}}`.
fn expression(text: &str, names: &[&str]) -> Result<(Formula, usize), Option<ParseError>> {
    let mut first = None;
    // Braces of a map may stand before those of the end, so `}}}` has two places where it may begin.
    let ends = text.as_bytes().windows(2).enumerate().filter(|(_, bytes)| bytes == b"}}").map(|(at, _)| at);
    for end in ends.take_while(|end| *end <= expression::Expression::BYTES_MAX) {
        match Formula::parse(text[..end].trim(), names) {
            Ok(formula) => return Ok((formula, end)),
            Err(error) => first = first.or(Some(error)),
        }
    }
    Err(first)
}

/// A request with the route that it takes.
struct Matched<'a, 'p> {
    request: &'a Seen<'p>,
    found: &'a Found<'a, 'p>,
}

impl Subject for Matched<'_, '_> {
    fn given(&self, place: usize) -> Given<'_> {
        match place.checked_sub(NAMES.len()) {
            None => self.request.given(place),
            Some(param) => Given::Text(match path::decode(self.found.value(param)) {
                Cow::Borrowed(_) => self.found.value(param).into(),
                Cow::Owned(bytes) => String::from_utf8_lossy(&bytes).into_owned().into(),
            }),
        }
    }
}
