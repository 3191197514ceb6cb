//! Check expressions: a part of CEL, the Common Expression Language, that always ends and never surprises.
//!
//! An expression is parsed once, before its command is submitted, and evaluated on the item's bytes: only what it looks
//! at is read. Everything that it does is paid for in steps, so a hostile expression costs its commit the steps it
//! has and nobody else anything.
//!
//! Of the language there are: all operators; literals but those of bytes; lists and maps; `has`, `all`,
//! `exists`, `exists_one`, `map`, `filter`; `size`, `contains`, `startsWith`, `endsWith`, `int`, `uint`, `double`,
//! `string`, `dyn`. What is missing is refused by its name when the expression is parsed: regular expressions, times and
//! durations, bytes, types as values, messages, and functions of extensions.
//!
//! Whole numbers in JSON are `int`, or `uint` above its range; all others are `double`.
//!
//! An [`Expression`] is about an item. A room that has other things to tell of gives them names and parses a [`Formula`] over these.
//!
//! Source: <https://github.com/google/cel-spec/blob/master/doc/langdef.md>.

use std::fmt::{self, Debug, Formatter};
use std::sync::Arc;

use mainstay_base::error::{Classify, Code};

use crate::index::Constraint;

mod constraints;
mod evaluate;
mod formula;
mod lex;
mod parse;
mod value;

pub use formula::{Answer, Formula, Given, Members, Subject};

/// An expression over `value`, `version` and `exists`, parsed. Cloning is cheap.
#[derive(Clone)]
pub struct Expression {
    source: Arc<str>,
    root: Arc<parse::Node>,
}

/// What an expression is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Item<'a> {
    /// The item's JSON text as `value`, which must have been checked; none is `null`: there is no item, or it is not JSON.
    pub value: Option<&'a str>,
    /// The item's version as `version`; none is `null`.
    pub version: Option<&'a str>,
    /// Whether the item is there, as `exists`.
    pub exists: bool,
}

impl Item<'_> {
    const NAMES: [&'static str; 3] = ["value", "version", "exists"];

    /// The place of `value` among the names.
    const VALUE: usize = 0;
    const VERSION: usize = 1;
}

impl Subject for Item<'_> {
    #[inline(always)]
    fn given(&self, place: usize) -> Given<'_> {
        match place {
            Self::VALUE => self.value.map_or(Given::Null, Given::Json),
            Self::VERSION => self.version.map_or(Given::Null, |version| Given::Text(version.into())),
            _ => Given::Bool(self.exists),
        }
    }
}

/// A text that is not an expression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the expression is wrong at byte {at}: {reason}")]
pub struct ParseError {
    /// The first byte that is wrong, counted from 0.
    pub at: usize,
    /// What is wrong, and what to write instead.
    pub reason: String,
}

/// An expression without a result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It cannot be evaluated for this item.
    #[error("{0}")]
    Failed(String),
    /// Its result is neither true nor false.
    #[error("its result is {found}, and must be true or false")]
    NotBool {
        /// The type of the result.
        found: &'static str,
    },
    /// Its result is a list or a map.
    #[error("its result is a {found}, and must be a text, a number, true, false or null")]
    NotScalar {
        /// The type of the result.
        found: &'static str,
    },
    /// It takes more steps than there are.
    #[error("it takes more steps than are left")]
    Steps,
}

impl Expression {
    /// The longest expression, in bytes.
    pub const BYTES_MAX: usize = 2048;

    /// How deep an expression may be nested: parentheses, calls, and operators that follow each other.
    pub const DEPTH_MAX: usize = 64;

    /// Parses an expression. Errors: [`ParseError`].
    pub fn parse(source: &str) -> Result<Self, ParseError> {
        Ok(Self { source: source.into(), root: Arc::new(parse::parse(source, &Item::NAMES)?) })
    }

    /// The expression as it was written.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Whether the expression holds for an item. Takes the steps that it needs from `steps`: one for each operator, and one
    /// for each 32 bytes that it reads, compares or joins. Errors: [`Error`].
    pub fn holds(&self, item: &Item<'_>, steps: &mut u64) -> Result<bool, Error> {
        evaluate::holds(&self.root, item, steps)
    }

    /// What holds for fields of every value for which the expression holds, in the order in which it says so. It may say more.
    ///
    /// Found is what is said by the whole expression or by a term of its outermost `&&`: `value.a.b` or `value["a"]["b"]`
    /// compared with a literal by `==`, `<`, `<=`, `>` or `>=`, either way round; `in` a list of literals;
    /// with a literal `in` it; `.startsWith()` a literal; and alone, or behind one `!`, as true or false.
    pub fn constraints(&self) -> Vec<Constraint<'_>> {
        constraints::constraints(&self.root)
    }
}

impl Debug for Expression {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Expression").field(&self.source).finish()
    }
}

impl PartialEq for Expression {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl Eq for Expression {}

impl Classify for ParseError {
    fn code(&self) -> Code {
        Code::Invalid
    }
}

impl Classify for Error {
    fn code(&self) -> Code {
        Code::Invalid
    }
}

#[cfg(test)]
mod tests;
