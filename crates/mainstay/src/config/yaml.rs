//! YAML text to a [`Node`] tree with places.
//!
//! Scalars follow YAML 1.2's core schema (chapter 10.3): `no`, `on` and `0777` are text or numbers as
//! written, never surprises. Aliases are expanded within a budget. What configuration does not need is refused
//! by name: tags, merge keys, several documents, keys that are not scalars.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, Span};

use super::diagnostic::Diagnostic;
use super::source::{Origin, Sources};
use super::tree::{Entry, Node, Value};

/// Values in one document after expanding aliases, long text counted as several: a bound on "billion laughs".
const COST_MAX: usize = 100_000;
/// Text of this length costs as much as another value.
const TEXT_BYTES: usize = 256;
/// Nesting of one document.
const DEPTH_MAX: usize = 64;

/// What was read.
#[derive(Debug, Default)]
pub struct Parsed {
    /// The document; nothing if there is none, and nothing after a syntax error.
    pub node: Option<Node>,
    /// The text could not be read to its end.
    pub broken: bool,
    /// Values left out because their key was there already, with the place of the first such key.
    pub duplicates: Vec<(Origin, Node)>,
    /// Values left out because their key was refused.
    pub refused: Vec<Node>,
    /// Everything that is wrong with it.
    pub diagnostics: Vec<Diagnostic>,
}

/// Parses source number `source` from byte `from` on.
pub fn parse(sources: &Sources, source: usize, from: usize) -> Parsed {
    let text = sources.raw(sources.origin(source, from..usize::MAX));
    let mut reader = Reader {
        parser: Parser::new_from_str(text),
        sources,
        source,
        offsets: text.char_indices().map(|(at, _)| from + at).chain([from + text.len()]).collect(),
        anchors: HashMap::new(),
        open: Vec::new(),
        cost: 0,
        out: Parsed::default(),
    };
    match reader.document() {
        Ok(node) => reader.out.node = node,
        Err(fatal) => {
            reader.out.diagnostics.push(*fatal);
            reader.out.broken = true;
        }
    }
    reader.out
}

struct Reader<'a> {
    parser: Parser<'a, saphyr_parser::StrInput<'a>>,
    sources: &'a Sources,
    source: usize,
    /// Byte offset of each character; the parser counts characters.
    offsets: Vec<usize>,
    anchors: HashMap<usize, Anchored>,
    /// Where the lists and mappings begin that have not ended yet.
    open: Vec<Origin>,
    cost: usize,
    out: Parsed,
}

/// What an alias stands for.
struct Anchored {
    node: Node,
    cost: usize,
    /// Levels below the node itself.
    height: usize,
}

/// What ends the reading: a single diagnostic.
type Fatal = Box<Diagnostic>;

impl<'a> Reader<'a> {
    fn document(&mut self) -> Result<Option<Node>, Fatal> {
        let mut root = None;
        loop {
            let (event, span) = self.next()?;
            match event {
                Event::StreamEnd => return Ok(root),
                Event::DocumentStart(_) if root.is_some() => {
                    let message = "a second YAML document begins here";
                    let it = Diagnostic::error(self.origin(span), "", message);
                    let help = "keep one document in each file; use layers for environments";
                    return Err(Box::new(it.help(help)));
                }
                Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd | Event::Nothing => {}
                event => root = Some(self.node(event, span, 0)?),
            }
        }
    }

    fn node(&mut self, event: Event<'a>, span: Span, depth: usize) -> Result<Node, Fatal> {
        let origin = self.origin(span);
        shallow(depth, origin)?;
        let (node, anchor) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                self.refuse_tag(tag.is_some(), origin);
                (Node { value: scalar(&text, style), origin }, anchor)
            }
            Event::SequenceStart(anchor, tag) => {
                self.refuse_tag(tag.is_some(), origin);
                (self.sequence(origin, depth)?, anchor)
            }
            Event::MappingStart(anchor, tag) => {
                self.refuse_tag(tag.is_some(), origin);
                (self.mapping(origin, depth)?, anchor)
            }
            Event::Alias(anchor) => {
                let Some(anchored) = self.anchors.get(&anchor) else {
                    return Err(Box::new(Diagnostic::error(origin, "", "an alias inside its own anchor")));
                };
                let (cost, height) = (anchored.cost, anchored.height);
                shallow(depth + height, origin)?;
                self.pay(cost, origin)?;
                return Ok(self.anchors[&anchor].node.clone());
            }
            _ => (Node { value: Value::Null, origin }, 0),
        };
        self.pay(1, origin)?;
        if anchor != 0 {
            // The copy that is kept costs like an alias, so that anchors within anchors stay within the bound.
            let (cost, height) = measure(&node);
            self.pay(cost, origin)?;
            self.anchors.insert(anchor, Anchored { node: node.clone(), cost, height });
        }
        Ok(node)
    }

    fn sequence(&mut self, start: Origin, depth: usize) -> Result<Node, Fatal> {
        let mut items = Vec::new();
        self.open.push(start);
        loop {
            let (event, span) = self.next()?;
            if event == Event::SequenceEnd {
                self.open.pop();
                let origin = self.container(start, span);
                return Ok(Node { value: Value::List(items), origin });
            }
            items.push(self.node(event, span, depth + 1)?);
        }
    }

    fn mapping(&mut self, start: Origin, depth: usize) -> Result<Node, Fatal> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut seen: HashMap<String, Origin> = HashMap::new();
        self.open.push(start);
        loop {
            let (event, span) = self.next()?;
            if event == Event::MappingEnd {
                self.open.pop();
                let origin = self.container(start, span);
                return Ok(Node { value: Value::Map(entries), origin });
            }
            let key_origin = self.origin(span);
            let key = self.key(event, span, depth)?;
            let (event, span) = self.next()?;
            let node = self.node(event, span, depth + 1)?;
            let Some(key) = key else {
                self.out.refused.push(node);
                continue;
            };
            if let Some(first) = seen.get(&key) {
                let it = Diagnostic::error(key_origin, &key, "this key is written twice")
                    .related(*first, "first written here")
                    .help("keep one of them; the second never replaces the first silently");
                self.out.diagnostics.push(it);
                self.out.duplicates.push((*first, node));
                continue;
            }
            seen.insert(key.clone(), key_origin);
            entries.push(Entry { key, key_origin, node });
        }
    }

    /// The key as text, or nothing when it was refused; its value is then skipped.
    fn key(&mut self, event: Event<'a>, span: Span, depth: usize) -> Result<Option<String>, Fatal> {
        let origin = self.origin(span);
        let plain = matches!(&event, Event::Scalar(_, ScalarStyle::Plain, ..));
        let text = match &event {
            Event::Scalar(text, ..) => Some(text.to_string()),
            _ => None,
        };
        self.node(event, span, depth + 1)?;
        let refusal = match text {
            Some(text) if plain && text == "<<" => {
                Diagnostic::error(origin, "", "merge keys are not supported")
                    .help("write the values out, or use an alias for a whole section: `key: *anchor`")
            }
            Some(text) if text.is_empty() => Diagnostic::error(origin, "", "this key is empty"),
            Some(text) => return Ok(Some(text)),
            None => Diagnostic::error(origin, "", "a key must be plain text, not a list or a mapping"),
        };
        self.out.diagnostics.push(refusal);
        Ok(None)
    }

    fn next(&mut self) -> Result<(Event<'a>, Span), Fatal> {
        match self.parser.next_event() {
            Some(Ok(it)) => Ok(it),
            None => Ok((Event::StreamEnd, Span::default())),
            Some(Err(error)) => Err(Box::new(self.syntax_error(&error))),
        }
    }

    fn syntax_error(&self, error: &saphyr_parser::ScanError) -> Diagnostic {
        let at = self.offset(error.marker().index());
        let origin = self.sources.origin(self.source, at..at + 1);
        let it = Diagnostic::error(origin, "", format!("not valid YAML: {}", error.info()));
        if self.sources.raw(origin) == "\t" || error.info().contains("tab") {
            return it.help("indent with spaces; YAML does not allow tabs");
        }
        let bracket = self.open.iter().rev().find(|it| ["[", "{"].contains(&self.sources.raw(**it)));
        match bracket {
            Some(bracket) => it.related(*bracket, "this bracket is still open"),
            None => it,
        }
    }

    fn refuse_tag(&mut self, tagged: bool, origin: Origin) {
        if tagged {
            let it = Diagnostic::error(origin, "", "YAML tags are not supported");
            self.out.diagnostics.push(it.help("remove the `!tag`; quote a value to make it text"));
        }
    }

    fn pay(&mut self, cost: usize, origin: Origin) -> Result<(), Fatal> {
        self.cost += cost;
        if self.cost <= COST_MAX {
            return Ok(());
        }
        let message = format!("more than {COST_MAX} values after expanding aliases");
        Err(Box::new(Diagnostic::error(origin, "", message)))
    }

    /// From the start event to the end event; a block's end event lies behind trailing blank lines, which do
    /// not belong to it.
    fn container(&self, start: Origin, end: Span) -> Origin {
        let whole = start.to(self.origin(end));
        let trimmed = self.sources.raw(whole).trim_end().len();
        let range = whole.range();
        self.sources.origin(self.source, range.start..range.start + trimmed)
    }

    fn origin(&self, span: Span) -> Origin {
        let (start, end) = (self.offset(span.start.index()), self.offset(span.end.index()));
        self.sources.origin(self.source, start..end.max(start))
    }

    fn offset(&self, character: usize) -> usize {
        self.offsets[character.min(self.offsets.len() - 1)]
    }
}

fn shallow(depth: usize, origin: Origin) -> Result<(), Fatal> {
    if depth <= DEPTH_MAX {
        return Ok(());
    }
    Err(Box::new(Diagnostic::error(origin, "", format!("nested deeper than {DEPTH_MAX} levels"))))
}

/// What a copy of the node costs, and how many levels lie below it.
fn measure(node: &Node) -> (usize, usize) {
    let inner = |nodes: &mut dyn Iterator<Item = &Node>| {
        nodes.map(measure).fold((1, 0), |(cost, height), it| (cost + it.0, height.max(it.1 + 1)))
    };
    match &node.value {
        Value::List(items) => inner(&mut items.iter()),
        Value::Map(entries) => {
            let (cost, height) = inner(&mut entries.iter().map(|entry| &entry.node));
            (cost + entries.iter().map(|entry| entry.key.len() / TEXT_BYTES).sum::<usize>(), height)
        }
        Value::String(text) => (1 + text.len() / TEXT_BYTES, 0),
        Value::Null | Value::Bool(_) | Value::Number(_) => (1, 0),
    }
}

/// Resolves one scalar by the core schema.
fn scalar(text: &str, style: ScalarStyle) -> Value {
    if style != ScalarStyle::Plain {
        return Value::String(text.into());
    }
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        _ => number(text).map_or_else(|| Value::String(text.into()), Value::Number),
    }
}

fn number(text: &str) -> Option<serde_json::Number> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let radix = |prefix, radix| {
        digits.strip_prefix(prefix).and_then(|rest: &str| u64::from_str_radix(rest, radix).ok())
    };
    if digits == text
        && let Some(it) = radix("0x", 16).or_else(|| radix("0o", 8))
    {
        return Some(it.into());
    }
    if !digits.starts_with(|first: char| first.is_ascii_digit() || first == '.')
        || !digits.bytes().all(|byte| byte.is_ascii_digit() || b".eE+-".contains(&byte))
    {
        return None;
    }
    let plain = text.strip_prefix('+').unwrap_or(text);
    if let Ok(it) = plain.parse::<i64>() {
        return Some(it.into());
    }
    if let Ok(it) = plain.parse::<u64>() {
        return Some(it.into());
    }
    let float: f64 = plain.parse().ok()?;
    if float.fract() == 0.0 && float.abs() <= EXACT_MAX {
        // Exact by the check: `1e3` and `100.0` are whole numbers to whoever writes them.
        return Some((float as i64).into());
    }
    serde_json::Number::from_f64(float)
}

/// Up to here every whole number is a float and the other way round.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;

#[cfg(test)]
mod tests;
