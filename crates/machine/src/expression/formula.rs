//! Expressions over names that another room gives, and what they are told.
//!
//! A name is looked up when the expression is parsed, so that a misspelt one is found then, and its value is asked for when evaluation comes to it and each
//! time that it does: what no expression looks at is never made.

use std::borrow::Cow;
use std::fmt::{self, Debug, Display, Formatter};
use std::sync::Arc;

use super::value::{Text, Value};
use super::{Error, ParseError, evaluate, parse};

/// An expression over names that a room gives, parsed. Cloning is cheap. It has the limits of an [`Expression`](super::Expression).
#[derive(Clone)]
pub struct Formula {
    source: Arc<str>,
    root: Arc<parse::Node>,
}

/// What a formula is about.
pub trait Subject {
    /// The value of the name at a place among those that the formula was parsed with. Asked for again each time that evaluation comes to the name.
    fn given(&self, place: usize) -> Given<'_>;
}

/// The value of a name.
#[derive(Debug, Clone)]
pub enum Given<'a> {
    /// `null`, for what there is not.
    Null,
    /// A `bool`.
    Bool(bool),
    /// A `string`.
    Text(Cow<'a, str>),
    /// The value of a JSON text, which must have been checked.
    Json(&'a str),
    /// A map with texts as keys.
    Members(&'a dyn Members),
}

/// A map whose entries are looked for when they are asked for.
pub trait Members: Debug {
    /// The value for a key; none if it has none.
    fn member(&self, key: &str) -> Option<Given<'_>>;

    /// The keys, each once, in an order that is the same each time. Evaluation pays a step for each 8 of [`Members::bytes`] before it asks.
    fn names(&self) -> Box<dyn Iterator<Item = Cow<'_, str>> + '_>;

    /// How many bytes are read to find a key, at most: evaluation pays for them. 0 if that does not depend on how much there is.
    fn bytes(&self) -> usize;
}

/// The result of a formula, other than a list or a map.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer<'a> {
    /// `null`
    Null,
    /// `bool`
    Bool(bool),
    /// `int`
    Int(i64),
    /// `uint`
    Uint(u64),
    /// `double`
    Double(f64),
    /// `string`
    Text(Cow<'a, str>),
}

impl Formula {
    /// Parses an expression. A name is a word, or several with dots between them, such as `request.path`, and none is the beginning of another. Errors: [`ParseError`];
    /// that of an unknown name lists those that there are.
    pub fn parse(source: &str, names: &[&str]) -> Result<Self, ParseError> {
        Ok(Self { source: source.into(), root: Arc::new(parse::parse(source, names)?) })
    }

    /// The expression as it was written.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Whether the expression holds. Takes steps as [`Expression::holds`](super::Expression::holds) does. Errors: [`Error`].
    pub fn holds<S: Subject + ?Sized>(&self, subject: &S, steps: &mut u64) -> Result<bool, Error> {
        evaluate::holds(&self.root, subject, steps)
    }

    /// The expression's value; a text that it was given is borrowed. Takes steps as [`Expression::holds`](super::Expression::holds) does. Errors: [`Error`].
    pub fn answer<'a, S: Subject + ?Sized>(
        &'a self,
        subject: &'a S,
        steps: &mut u64,
    ) -> Result<Answer<'a>, Error> {
        match evaluate::value(&self.root, subject, steps)? {
            Value::Null => Ok(Answer::Null),
            Value::Bool(value) => Ok(Answer::Bool(value)),
            Value::Int(value) => Ok(Answer::Int(value)),
            Value::Uint(value) => Ok(Answer::Uint(value)),
            Value::Double(value) => Ok(Answer::Double(value)),
            Value::Text(Text::Borrowed(text)) => Ok(Answer::Text(Cow::Borrowed(text))),
            Value::Text(Text::Shared(text)) => Ok(Answer::Text(Cow::Owned((*text).to_owned()))),
            other => Err(Error::NotScalar { found: other.kind() }),
        }
    }
}

impl<'a> Answer<'a> {
    /// The answer as `string()` writes it; none for `null`.
    pub fn into_text(self) -> Option<Cow<'a, str>> {
        match self {
            Self::Null => None,
            Self::Text(text) => Some(text),
            other => Some(Cow::Owned(other.to_string())),
        }
    }
}

impl Display for Answer<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(value) => Display::fmt(value, f),
            Self::Int(value) => Display::fmt(value, f),
            Self::Uint(value) => Display::fmt(value, f),
            Self::Double(value) => Display::fmt(value, f),
            Self::Text(text) => f.write_str(text),
        }
    }
}

impl Debug for Formula {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Formula").field(&self.source).finish()
    }
}

/// As written: over the same names, what is written alike means the same.
impl PartialEq for Formula {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl Eq for Formula {}

#[cfg(test)]
mod tests;
