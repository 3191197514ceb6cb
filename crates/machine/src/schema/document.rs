//! A document as the tree that a check goes through, its strings borrowed from the bytes where they can be.

use std::borrow::Cow;
use std::cmp::Ordering;

use serde_json::Value;

use super::Violation;
use crate::json::{Cursor, DEPTH_MAX, Malformed, unescape};

/// A value. Numbers that are equal are the same variant.
#[derive(Debug)]
pub(super) enum Tree<'a> {
    Null,
    Bool(bool),
    Number(Number),
    String(Cow<'a, str>),
    Array(Vec<Tree<'a>>),
    /// Sorted by name.
    Object(Vec<(Cow<'a, str>, Tree<'a>)>),
}

/// A number as it is compared.
#[derive(Debug, Clone, Copy)]
pub(super) enum Number {
    /// Of 64 bits, with or without a sign.
    Whole(i128),
    /// Anything else; finite.
    Double(f64),
}

/// Why a document has no tree.
enum Unreadable {
    Malformed,
    TooDeep,
    /// A number beyond doubles, and the names and places that lead to it, the last first.
    OutOfRange(Vec<String>),
}

impl<'a> Tree<'a> {
    /// The document's tree. Errors: the violation when it is not JSON, too deep, or has a number beyond the range of doubles.
    pub(super) fn read(document: &'a [u8]) -> Result<Self, Violation> {
        let text = str::from_utf8(document).map_err(|_| not_json())?;
        let mut cursor = Cursor::new(text);
        read(&mut cursor, 0).map_err(|error| match error {
            Unreadable::Malformed => not_json(),
            Unreadable::TooDeep => {
                Violation::whole(format!("is nested more than {DEPTH_MAX} deep: make it flatter"))
            }
            Unreadable::OutOfRange(steps) => {
                let pointer = steps.iter().rev().map(|step| format!("/{}", escape(step))).collect();
                Violation::out_of_range(pointer)
            }
        })
    }

    /// Whether it equals a value of the schema; numbers are equal by what they are.
    pub(super) fn is(&self, value: &Value) -> bool {
        match (self, value) {
            (Self::Null, Value::Null) => true,
            (Self::Bool(one), Value::Bool(other)) => one == other,
            (Self::Number(one), Value::Number(other)) => one.cmp(&Number::of(other)).is_eq(),
            (Self::String(one), Value::String(other)) => one == other,
            (Self::Array(one), Value::Array(other)) => {
                one.len() == other.len() && one.iter().zip(other).all(|(one, other)| one.is(other))
            }
            (Self::Object(one), Value::Object(other)) => {
                let has = |(name, one): &(Cow<'_, str>, Tree<'_>)| {
                    other.get(name.as_ref()).is_some_and(|other| one.is(other))
                };
                one.len() == other.len() && one.iter().all(has)
            }
            _ => false,
        }
    }

    /// An order in which values that are equal, and only those, are so.
    pub(super) fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Bool(one), Self::Bool(other)) => one.cmp(other),
            (Self::Number(one), Self::Number(other)) => one.cmp(other),
            (Self::String(one), Self::String(other)) => one.cmp(other),
            (Self::Array(one), Self::Array(other)) => compare(one, other, Self::cmp),
            (Self::Object(one), Self::Object(other)) => {
                compare(one, other, |(name, one), (other_name, other)| {
                    name.cmp(other_name).then_with(|| one.cmp(other))
                })
            }
            _ => self.rank().cmp(&other.rank()),
        }
    }

    fn rank(&self) -> u8 {
        match self {
            Self::Null => 0,
            Self::Bool(_) => 1,
            Self::Number(_) => 2,
            Self::String(_) => 3,
            Self::Array(_) => 4,
            Self::Object(_) => 5,
        }
    }
}

fn compare<T>(one: &[T], other: &[T], cmp: impl Fn(&T, &T) -> Ordering) -> Ordering {
    let differing = one.iter().zip(other).map(|(one, other)| cmp(one, other)).find(|order| order.is_ne());
    differing.unwrap_or_else(|| one.len().cmp(&other.len()))
}

fn not_json() -> Violation {
    Violation::whole("is not JSON: check it before".to_owned())
}

fn read<'a>(cursor: &mut Cursor<'a>, depth: usize) -> Result<Tree<'a>, Unreadable> {
    match cursor.peek() {
        Some(b'{' | b'[') if depth == DEPTH_MAX => Err(Unreadable::TooDeep),
        Some(b'{') => read_object(cursor, depth + 1),
        Some(b'[') => read_array(cursor, depth + 1),
        _ => {
            let raw = cursor.value()?;
            match raw.as_bytes()[0] {
                b'n' => Ok(Tree::Null),
                b't' => Ok(Tree::Bool(true)),
                b'f' => Ok(Tree::Bool(false)),
                b'"' => Ok(Tree::String(unescape(&raw[1..raw.len() - 1])?)),
                _ => Number::read(raw).map(Tree::Number),
            }
        }
    }
}

fn read_object<'a>(cursor: &mut Cursor<'a>, depth: usize) -> Result<Tree<'a>, Unreadable> {
    cursor.enter();
    let mut members = Vec::new();
    while cursor.more(members.is_empty())? {
        let name = cursor.name()?.text;
        let value = read(cursor, depth).map_err(|error| error.below(|| name.to_string()))?;
        members.push((name, value));
    }
    members.sort_by(|(one, _), (other, _)| one.cmp(other));
    Ok(Tree::Object(members))
}

fn read_array<'a>(cursor: &mut Cursor<'a>, depth: usize) -> Result<Tree<'a>, Unreadable> {
    cursor.enter();
    let mut elements = Vec::new();
    while cursor.more(elements.is_empty())? {
        let value = read(cursor, depth).map_err(|error| error.below(|| elements.len().to_string()))?;
        elements.push(value);
    }
    Ok(Tree::Array(elements))
}

impl Unreadable {
    fn below(mut self, step: impl FnOnce() -> String) -> Self {
        if let Self::OutOfRange(steps) = &mut self {
            steps.push(step());
        }
        self
    }
}

impl From<Malformed> for Unreadable {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}

impl Number {
    fn read(raw: &str) -> Result<Self, Unreadable> {
        let whole = raw.parse::<i128>().ok().filter(|whole| is_of_64_bits(*whole));
        if let Some(whole) = whole {
            return Ok(Self::Whole(whole));
        }
        let double: f64 = raw.parse().map_err(|_| Unreadable::Malformed)?;
        if double.is_finite() { Ok(Self::of_double(double)) } else { Err(Unreadable::OutOfRange(Vec::new())) }
    }

    /// A number of the schema.
    pub(super) fn of(number: &serde_json::Number) -> Self {
        match number.as_i128() {
            Some(whole) => Self::Whole(whole),
            None => Self::of_double(number.as_f64().expect("it is no whole number, so it is a double")),
        }
    }

    fn of_double(double: f64) -> Self {
        // What is whole and in range converts exactly.
        let whole = double as i128;
        if double.fract() == 0.0 && is_of_64_bits(whole) { Self::Whole(whole) } else { Self::Double(double) }
    }

    pub(super) fn is_whole(self) -> bool {
        match self {
            Self::Whole(_) => true,
            Self::Double(double) => double.fract() == 0.0,
        }
    }

    pub(super) fn as_double(self) -> f64 {
        match self {
            Self::Whole(whole) => whole as f64,
            Self::Double(double) => double,
        }
    }

    pub(super) fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Whole(one), Self::Whole(other)) => one.cmp(other),
            (Self::Double(one), Self::Double(other)) => one.total_cmp(other),
            (Self::Whole(one), Self::Double(other)) => compare_whole(*one, *other),
            (Self::Double(one), Self::Whole(other)) => compare_whole(*other, *one).reverse(),
        }
    }
}

fn is_of_64_bits(whole: i128) -> bool {
    (i128::from(i64::MIN)..=i128::from(u64::MAX)).contains(&whole)
}

/// A double that is no whole number of 64 bits is never equal to one.
fn compare_whole(whole: i128, double: f64) -> Ordering {
    let below = double.floor() as i128;
    if whole <= below { Ordering::Less } else { Ordering::Greater }
}

/// A name as a step of a JSON Pointer.
pub(super) fn escape(step: &str) -> Cow<'_, str> {
    if step.contains(['~', '/']) {
        Cow::Owned(step.replace('~', "~0").replace('/', "~1"))
    } else {
        Cow::Borrowed(step)
    }
}
