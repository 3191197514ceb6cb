//! The grammar of expressions, and the tree that it makes.
//!
//! Names are resolved here, so that evaluation finds no unknown ones, and every nesting is counted, so that neither
//! parsing nor evaluation nor dropping a tree can exhaust the stack.

use std::borrow::Cow;

use super::lex::{Token, error, tokens};
use super::{Expression, ParseError};

#[derive(Debug)]
pub(super) struct Node {
    pub(super) kind: Kind,
    /// How deep the tree is from here.
    depth: usize,
}

#[derive(Debug)]
pub(super) enum Kind {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    Text(String),
    /// A name's value, by its place among the names that there are.
    Given(usize),
    /// A variable of a macro, counted from the outermost.
    Local(usize),
    Field {
        of: Box<Node>,
        name: String,
    },
    Has {
        of: Box<Node>,
        name: String,
    },
    Index(Box<Node>, Box<Node>),
    Not(Box<Node>),
    Negate(Box<Node>),
    And(Vec<Node>),
    Or(Vec<Node>),
    Choose(Box<[Node; 3]>),
    Binary(Binary, Box<[Node; 2]>),
    List(Vec<Node>),
    Map(Vec<(Node, Node)>),
    Call(Function, Vec<Node>),
    Each {
        each: Each,
        over: Box<Node>,
        bodies: Vec<Node>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Binary {
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    In,
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Function {
    Size,
    Contains,
    StartsWith,
    EndsWith,
    Int,
    Uint,
    Double,
    Text,
    Dyn,
}

/// A macro over the elements of a list or the keys of a map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Each {
    All,
    Exists,
    ExistsOne,
    Filter,
    Map,
}

const RELATIONS: [(&str, Binary); 6] = [
    ("==", Binary::Equal),
    ("!=", Binary::Unequal),
    ("<=", Binary::LessOrEqual),
    ("<", Binary::Less),
    (">=", Binary::GreaterOrEqual),
    (">", Binary::Greater),
];
const SUMS: [(&str, Binary); 2] = [("+", Binary::Add), ("-", Binary::Subtract)];
const PRODUCTS: [(&str, Binary); 3] =
    [("*", Binary::Multiply), ("/", Binary::Divide), ("%", Binary::Remainder)];

const RESERVED: [&str; 18] = [
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
    "in",
];

/// Parses an expression over names, each a word or several with dots between them; none is the beginning of another.
pub(super) fn parse(source: &str, names: &[&str]) -> Result<Node, ParseError> {
    if source.len() > Expression::BYTES_MAX {
        let reason =
            format!("it has {} bytes, and at most {} are allowed", source.len(), Expression::BYTES_MAX);
        return Err(error(Expression::BYTES_MAX, reason));
    }
    let mut parser = Parser { names, tokens: tokens(source)?, next: 0, open: 0, locals: Vec::new() };
    let root = parser.expression()?;
    match parser.peek() {
        Token::End => Ok(root),
        found => Err(parser.error(format!("the expression ends before {}", shown(found)))),
    }
}

struct Parser<'n> {
    names: &'n [&'n str],
    tokens: Vec<(usize, Token)>,
    next: usize,
    /// How many expressions are open.
    open: usize,
    /// The variables of the macros around.
    locals: Vec<String>,
}

fn listed(names: &[&str]) -> String {
    match names {
        [] => "are no names".to_owned(),
        [name] => format!("is {name}"),
        [names @ .., last] => format!("are {} and {last}", names.join(", ")),
    }
}

fn shown(token: &Token) -> String {
    match token {
        Token::Name(name) => format!("{name:?}"),
        Token::Int(_) | Token::Uint(_) | Token::Double(_) => "a number".to_owned(),
        Token::Text(_) => "a text".to_owned(),
        Token::Sign(sign) => format!("{sign:?}"),
        Token::End => "the end".to_owned(),
    }
}

impl Parser<'_> {
    fn peek(&self) -> &Token {
        &self.tokens[self.next].1
    }

    fn at(&self) -> usize {
        self.tokens[self.next].0
    }

    fn error(&self, reason: impl Into<String>) -> ParseError {
        error(self.at(), reason)
    }

    fn take(&mut self, wanted: &str) -> bool {
        let is_there = matches!(self.peek(), Token::Sign(sign) if *sign == wanted);
        self.next += usize::from(is_there);
        is_there
    }

    fn take_one<T: Copy>(&mut self, of: &[(&str, T)]) -> Option<T> {
        of.iter().find(|(sign, _)| self.take(sign)).map(|(_, found)| *found)
    }

    fn expect(&mut self, wanted: &str) -> Result<(), ParseError> {
        if self.take(wanted) {
            return Ok(());
        }
        Err(self.error(format!("expected {wanted:?}, found {}", shown(self.peek()))))
    }

    fn node(&self, kind: Kind, below: usize) -> Result<Node, ParseError> {
        let depth = below + 1;
        if depth > Expression::DEPTH_MAX { Err(self.too_deep()) } else { Ok(Node { kind, depth }) }
    }

    fn too_deep(&self) -> ParseError {
        self.error(format!("it is nested more than {} deep: make it flatter", Expression::DEPTH_MAX))
    }

    fn expression(&mut self) -> Result<Node, ParseError> {
        self.open += 1;
        if self.open > Expression::DEPTH_MAX {
            return Err(self.too_deep());
        }
        let condition = self.either()?;
        let node = if self.take("?") {
            let then = self.either()?;
            self.expect(":")?;
            let otherwise = self.expression()?;
            let parts = [condition, then, otherwise];
            let depth = deepest(&parts);
            self.node(Kind::Choose(Box::new(parts)), depth)?
        } else {
            condition
        };
        self.open -= 1;
        Ok(node)
    }

    fn either(&mut self) -> Result<Node, ParseError> {
        let mut terms = vec![self.both()?];
        while self.take("||") {
            terms.push(self.both()?);
        }
        self.joined(terms, Kind::Or)
    }

    fn both(&mut self) -> Result<Node, ParseError> {
        let mut terms = vec![self.relation()?];
        while self.take("&&") {
            terms.push(self.relation()?);
        }
        self.joined(terms, Kind::And)
    }

    fn joined(&self, mut terms: Vec<Node>, kind: fn(Vec<Node>) -> Kind) -> Result<Node, ParseError> {
        if terms.len() == 1 {
            return Ok(terms.remove(0));
        }
        let depth = deepest(&terms);
        self.node(kind(terms), depth)
    }

    fn binary(&self, binary: Binary, left: Node, right: Node) -> Result<Node, ParseError> {
        let parts = [left, right];
        let depth = deepest(&parts);
        self.node(Kind::Binary(binary, Box::new(parts)), depth)
    }

    fn relation(&mut self) -> Result<Node, ParseError> {
        let mut left = self.sum()?;
        loop {
            let relation = if matches!(self.peek(), Token::Name(name) if name == "in") {
                self.next += 1;
                Binary::In
            } else if let Some(relation) = self.take_one(&RELATIONS) {
                relation
            } else {
                return Ok(left);
            };
            let right = self.sum()?;
            left = self.binary(relation, left, right)?;
        }
    }

    fn sum(&mut self) -> Result<Node, ParseError> {
        let mut left = self.product()?;
        while let Some(sign) = self.take_one(&SUMS) {
            let right = self.product()?;
            left = self.binary(sign, left, right)?;
        }
        Ok(left)
    }

    fn product(&mut self) -> Result<Node, ParseError> {
        let mut left = self.unary()?;
        while let Some(sign) = self.take_one(&PRODUCTS) {
            let right = self.unary()?;
            left = self.binary(sign, left, right)?;
        }
        Ok(left)
    }

    fn unary(&mut self) -> Result<Node, ParseError> {
        for sign in ["!", "-"] {
            let mut count = 0;
            while self.take(sign) {
                count += 1;
            }
            if count > Expression::DEPTH_MAX {
                return Err(self.too_deep());
            }
            if count == 0 {
                continue;
            }
            let mut node = self.member(sign == "-")?;
            if sign == "-" && std::mem::take(&mut node.1) {
                count -= 1;
            }
            let mut node = node.0;
            for _ in 0..count {
                let depth = node.depth;
                let below = Box::new(node);
                node = self.node(if sign == "!" { Kind::Not(below) } else { Kind::Negate(below) }, depth)?;
            }
            return Ok(node);
        }
        self.member(false).map(|(node, _)| node)
    }

    /// A primary with what follows it; after a minus, which a number takes as its sign if it can. Says whether it did.
    fn member(&mut self, is_negative: bool) -> Result<(Node, bool), ParseError> {
        let (mut node, is_taken) = match *self.peek() {
            Token::Int(number) => {
                let signed =
                    if is_negative { 0i64.checked_sub_unsigned(number) } else { i64::try_from(number).ok() };
                let signed = signed.ok_or_else(|| self.error("the number is out of range"))?;
                self.next += 1;
                (self.node(Kind::Int(signed), 0)?, is_negative)
            }
            _ => (self.primary()?, false),
        };
        loop {
            let depth = node.depth;
            if self.take(".") {
                let at = self.at();
                let name = self.field_name()?;
                node = if self.take("(") {
                    self.method(at, node, &name)?
                } else {
                    self.node(Kind::Field { of: Box::new(node), name }, depth)?
                };
            } else if self.take("[") {
                let index = self.expression()?;
                self.expect("]")?;
                let depth = depth.max(index.depth);
                node = self.node(Kind::Index(Box::new(node), Box::new(index)), depth)?;
            } else if matches!(self.peek(), Token::Sign("{")) {
                return Err(self.error("messages are not supported: a map is written { } without a name"));
            } else {
                return Ok((node, is_taken));
            }
        }
    }

    fn field_name(&mut self) -> Result<String, ParseError> {
        match self.peek() {
            Token::Name(name) if name != "in" => {
                let name = name.clone();
                self.next += 1;
                Ok(name)
            }
            found => Err(self.error(format!("expected a name after the dot, found {}", shown(found)))),
        }
    }

    fn primary(&mut self) -> Result<Node, ParseError> {
        let at = self.at();
        let token = self.peek().clone();
        self.next += usize::from(token != Token::End);
        let kind = match token {
            Token::Int(_) => return Err(error(at, "the number is out of range")),
            Token::Uint(number) => Kind::Uint(number),
            Token::Double(number) => Kind::Double(number),
            Token::Text(text) => Kind::Text(text),
            Token::Name(name) if self.take("(") => return self.call(at, &name),
            Token::Name(name) => self.name(at, &name)?,
            Token::Sign("(") => {
                let inner = self.expression()?;
                self.expect(")")?;
                return Ok(inner);
            }
            Token::Sign("[") => {
                let elements = self.list("]")?;
                let depth = deepest(&elements);
                return self.node(Kind::List(elements), depth);
            }
            Token::Sign("{") => return self.map(),
            found => return Err(error(at, format!("expected a value, found {}", shown(&found)))),
        };
        self.node(kind, 0)
    }

    fn name(&mut self, at: usize, name: &str) -> Result<Kind, ParseError> {
        if let Some(place) = self.locals.iter().rposition(|local| local == name) {
            return Ok(Kind::Local(place));
        }
        match name {
            "true" => Ok(Kind::Bool(true)),
            "false" => Ok(Kind::Bool(false)),
            "null" => Ok(Kind::Null),
            _ => self.given(at, name),
        }
    }

    /// A name that there is, with the words after it that belong to it.
    fn given(&mut self, at: usize, first: &str) -> Result<Kind, ParseError> {
        let mut name = Cow::Borrowed(first);
        loop {
            if let Some(place) = self.names.iter().position(|known| *known == name) {
                return Ok(Kind::Given(place));
            }
            let goes_on = |known: &&str| known.strip_prefix(&*name).is_some_and(|rest| rest.starts_with('.'));
            if !self.names.iter().any(goes_on) || !self.take(".") {
                return Err(error(at, format!("there is no {name:?}: there {}", listed(self.names))));
            }
            name = format!("{name}.{}", self.field_name()?).into();
        }
    }

    /// Expressions up to a bracket, which is taken too.
    fn list(&mut self, close: &'static str) -> Result<Vec<Node>, ParseError> {
        let mut elements = Vec::new();
        while !self.take(close) {
            elements.push(self.expression()?);
            if !self.take(",") {
                self.expect(close)?;
                break;
            }
        }
        Ok(elements)
    }

    fn map(&mut self) -> Result<Node, ParseError> {
        let (mut entries, mut depth) = (Vec::new(), 0);
        while !self.take("}") {
            let key = self.expression()?;
            self.expect(":")?;
            let value = self.expression()?;
            depth = depth.max(key.depth).max(value.depth);
            entries.push((key, value));
            if !self.take(",") {
                self.expect("}")?;
                break;
            }
        }
        self.node(Kind::Map(entries), depth)
    }

    /// A call without a target, after its bracket.
    fn call(&mut self, at: usize, name: &str) -> Result<Node, ParseError> {
        if name == "has" {
            let argument = self.expression()?;
            self.expect(")")?;
            let depth = argument.depth;
            let Kind::Field { of, name } = argument.kind else {
                return Err(error(at, "has() takes a field, as in has(value.name)"));
            };
            return self.node(Kind::Has { of, name }, depth);
        }
        let arguments = self.list(")")?;
        let function = match name {
            "size" => Function::Size,
            "int" => Function::Int,
            "uint" => Function::Uint,
            "double" => Function::Double,
            "string" => Function::Text,
            "dyn" => Function::Dyn,
            _ => return Err(no_function(at, name)),
        };
        self.function(at, name, function, arguments)
    }

    /// A call on a target, after its bracket.
    fn method(&mut self, at: usize, target: Node, name: &str) -> Result<Node, ParseError> {
        let each = match name {
            "all" => Each::All,
            "exists" => Each::Exists,
            "exists_one" | "existsOne" => Each::ExistsOne,
            "filter" => Each::Filter,
            "map" => Each::Map,
            _ => return self.plain_method(at, target, name),
        };
        let variable = match self.peek() {
            Token::Name(variable) if !RESERVED.contains(&variable.as_str()) => variable.clone(),
            _ => return Err(self.error(format!("{name}() takes the name of a variable first"))),
        };
        self.next += 1;
        self.expect(",")?;
        self.locals.push(variable);
        let bodies = self.list(")")?;
        self.locals.pop();
        let is_right = bodies.len() == 1 || each == Each::Map && bodies.len() == 2;
        if !is_right {
            return Err(error(at, format!("{name}() takes a variable and an expression")));
        }
        let depth = deepest(&bodies).max(target.depth);
        self.node(Kind::Each { each, over: Box::new(target), bodies }, depth)
    }

    fn plain_method(&mut self, at: usize, target: Node, name: &str) -> Result<Node, ParseError> {
        let mut arguments = vec![target];
        arguments.extend(self.list(")")?);
        let function = match name {
            "size" => Function::Size,
            "contains" => Function::Contains,
            "startsWith" => Function::StartsWith,
            "endsWith" => Function::EndsWith,
            _ => return Err(no_function(at, name)),
        };
        self.function(at, name, function, arguments)
    }

    fn function(
        &self,
        at: usize,
        name: &str,
        function: Function,
        arguments: Vec<Node>,
    ) -> Result<Node, ParseError> {
        let wanted = match function {
            Function::Contains | Function::StartsWith | Function::EndsWith => 2,
            _ => 1,
        };
        if arguments.len() != wanted {
            return Err(error(at, format!("{name}() takes one argument")));
        }
        let depth = deepest(&arguments);
        self.node(Kind::Call(function, arguments), depth)
    }
}

fn no_function(at: usize, name: &str) -> ParseError {
    let why = match name {
        "matches" => "regular expressions are not supported: use contains, startsWith or endsWith",
        "timestamp" | "duration" => "times and durations are not supported",
        "bytes" => "bytes are not supported: JSON has none",
        "type" => "types are not values here",
        _ => "see the documentation for the functions there are",
    };
    error(at, format!("there is no function {name:?}: {why}"))
}

fn deepest(nodes: &[Node]) -> usize {
    nodes.iter().map(|node| node.depth).max().unwrap_or(0)
}
