//! The values that expressions work with. What comes from JSON stays bytes until it is looked at.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::rc::Rc;

use super::evaluate::Steps;
use super::{Error, Given, Members};
use crate::json::{Cursor, Malformed, unescape};

#[derive(Debug, Clone)]
pub(super) enum Value<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    Text(Text<'a>),
    List(Rc<Vec<Value<'a>>>),
    Map(Rc<Vec<(Value<'a>, Value<'a>)>>),
    /// A JSON array.
    Array(&'a str),
    /// A JSON object.
    Object(&'a str),
    /// A map that a room has.
    Members(&'a dyn Members),
}

#[derive(Debug, Clone)]
pub(super) enum Text<'a> {
    Borrowed(&'a str),
    Shared(Rc<str>),
}

impl Text<'_> {
    pub(super) fn as_str(&self) -> &str {
        match self {
            Text::Borrowed(text) => text,
            Text::Shared(text) => text,
        }
    }
}

impl From<String> for Value<'_> {
    fn from(text: String) -> Self {
        Self::Text(Text::Shared(text.into()))
    }
}

fn damaged(_: Malformed) -> Error {
    Error::Failed("the item's value is not JSON".to_owned())
}

impl<'a> From<Cow<'a, str>> for Value<'a> {
    fn from(text: Cow<'a, str>) -> Self {
        match text {
            Cow::Borrowed(text) => Self::Text(Text::Borrowed(text)),
            Cow::Owned(text) => text.into(),
        }
    }
}

impl<'a> Value<'a> {
    /// The value that a room gave.
    // Where the room is known, what it gives is taken apart where it is made, and none of it is left.
    #[inline(always)]
    pub(super) fn of_given(given: Given<'a>, steps: &mut Steps<'_>) -> Result<Self, Error> {
        match given {
            Given::Null => Ok(Self::Null),
            Given::Bool(value) => Ok(Self::Bool(value)),
            Given::Text(text) => Ok(text.into()),
            Given::Json(text) => Self::of_json(trimmed(text), steps),
            Given::Members(members) => Ok(Self::Members(members)),
        }
    }

    /// The value that a JSON text stands for.
    pub(super) fn of_json(raw: &'a str, steps: &mut Steps<'_>) -> Result<Self, Error> {
        match raw.as_bytes().first() {
            Some(b'{') => Ok(Self::Object(raw)),
            Some(b'[') => Ok(Self::Array(raw)),
            Some(b'"') => {
                steps.take_bytes(raw.len())?;
                let inner = raw.get(1..raw.len() - 1).ok_or_else(|| damaged(Malformed))?;
                unescape(inner).map_err(damaged).map(Self::from)
            }
            Some(b't') => Ok(Self::Bool(true)),
            Some(b'f') => Ok(Self::Bool(false)),
            Some(b'n') => Ok(Self::Null),
            _ => number(raw, steps),
        }
    }

    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Uint(_) => "uint",
            Self::Double(_) => "double",
            Self::Text(_) => "string",
            Self::List(_) | Self::Array(_) => "list",
            Self::Map(_) | Self::Object(_) | Self::Members(_) => "map",
        }
    }

    /// Whether two values are equal: numbers by what they are worth, values of different kinds never.
    pub(super) fn equals(&self, other: &Self, steps: &mut Steps<'_>) -> Result<bool, Error> {
        steps.take(1)?;
        match (self, other) {
            (Self::Null, Self::Null) => Ok(true),
            (Self::Bool(one), Self::Bool(other)) => Ok(one == other),
            (Self::Text(one), Self::Text(other)) => {
                let (one, other) = (one.as_str(), other.as_str());
                steps.take_bytes(one.len().min(other.len()))?;
                Ok(one == other)
            }
            (Self::List(_) | Self::Array(_), Self::List(_) | Self::Array(_)) => {
                self.equals_list(other, steps)
            }
            (
                Self::Map(_) | Self::Object(_) | Self::Members(_),
                Self::Map(_) | Self::Object(_) | Self::Members(_),
            ) => self.equals_map(other, steps),
            _ => Ok(compare_numbers(self, other) == Some(Ordering::Equal)),
        }
    }

    fn equals_list(&self, other: &Self, steps: &mut Steps<'_>) -> Result<bool, Error> {
        let (mut one, mut other) = (self.elements(steps)?, other.elements(steps)?);
        loop {
            match (one.next(steps)?, other.next(steps)?) {
                (Some(left), Some(right)) if left.equals(&right, steps)? => {}
                (None, None) => return Ok(true),
                _ => return Ok(false),
            }
        }
    }

    fn equals_map(&self, other: &Self, steps: &mut Steps<'_>) -> Result<bool, Error> {
        if self.size(steps)? != other.size(steps)? {
            return Ok(false);
        }
        let mut keys = self.elements(steps)?;
        while let Some(key) = keys.next(steps)? {
            let (Some(left), Some(right)) = (self.member(&key, steps)?, other.member(&key, steps)?) else {
                return Ok(false);
            };
            if !left.equals(&right, steps)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// How many characters, elements or entries there are; none for other kinds.
    pub(super) fn size(&self, steps: &mut Steps<'_>) -> Result<Option<usize>, Error> {
        match self {
            Self::Text(text) => {
                steps.take_bytes(text.as_str().len())?;
                Ok(Some(text.as_str().chars().count()))
            }
            Self::List(list) => Ok(Some(list.len())),
            Self::Map(map) => Ok(Some(map.len())),
            Self::Array(_) | Self::Object(_) | Self::Members(_) => {
                let mut elements = self.elements(steps)?;
                let mut count = 0;
                while elements.skip(steps)? {
                    count += 1;
                }
                Ok(Some(count))
            }
            _ => Ok(None),
        }
    }

    /// The value of a map for a key; none if it has none. The value is a map.
    pub(super) fn member(&self, key: &Self, steps: &mut Steps<'_>) -> Result<Option<Self>, Error> {
        match (self, key) {
            (Self::Map(map), _) => {
                for (found, value) in map.iter() {
                    if found.equals(key, steps)? {
                        return Ok(Some(value.clone()));
                    }
                }
                Ok(None)
            }
            (Self::Members(members), Self::Text(name)) => {
                steps.take_bytes(members.bytes())?;
                members.member(name.as_str()).map(|given| Self::of_given(given, steps)).transpose()
            }
            (Self::Object(raw), Self::Text(name)) => {
                let raw = member(raw, name.as_str(), steps)?;
                raw.map(|raw| Self::of_json(raw, steps)).transpose()
            }
            _ => Ok(None),
        }
    }

    /// The element of a list at a place; none if it has none.
    pub(super) fn element(&self, place: u64, steps: &mut Steps<'_>) -> Result<Option<Self>, Error> {
        if let Self::List(list) = self {
            return Ok(usize::try_from(place).ok().and_then(|place| list.get(place).cloned()));
        }
        let mut elements = self.elements(steps)?;
        for _ in 0..place {
            if !elements.skip(steps)? {
                return Ok(None);
            }
        }
        elements.next(steps)
    }

    /// The elements of a list, or the keys of a map.
    pub(super) fn elements(&self, steps: &mut Steps<'_>) -> Result<Elements<'a>, Error> {
        match self {
            Self::List(list) => Ok(Elements::List(Rc::clone(list), 0)),
            Self::Map(map) => Ok(Elements::Map(Rc::clone(map), 0)),
            Self::Array(raw) | Self::Object(raw) => {
                let mut cursor = Cursor::new(raw);
                let is_object = cursor.peek() == Some(b'{');
                cursor.enter();
                Ok(Elements::Json { cursor, is_object, is_first: true })
            }
            Self::Members(members) => {
                // All keys are found at once, which costs more than to find one.
                steps.take((members.bytes() / 8) as u64)?;
                Ok(Elements::Names(members.names()))
            }
            _ => Err(Error::Failed(format!("{} has no elements: a list or a map has", self.kind()))),
        }
    }
}

/// Goes through a list, or the keys of a map.
pub(super) enum Elements<'a> {
    List(Rc<Vec<Value<'a>>>, usize),
    Map(Rc<Vec<(Value<'a>, Value<'a>)>>, usize),
    Names(Box<dyn Iterator<Item = Cow<'a, str>> + 'a>),
    Json { cursor: Cursor<'a>, is_object: bool, is_first: bool },
}

impl<'a> Elements<'a> {
    pub(super) fn next(&mut self, steps: &mut Steps<'_>) -> Result<Option<Value<'a>>, Error> {
        steps.take(1)?;
        match self {
            Self::List(list, place) => {
                *place += 1;
                Ok(list.get(*place - 1).cloned())
            }
            Self::Map(map, place) => {
                *place += 1;
                Ok(map.get(*place - 1).map(|(key, _)| key.clone()))
            }
            Self::Names(names) => match names.next() {
                Some(name) => {
                    steps.take_bytes(name.len())?;
                    Ok(Some(name.into()))
                }
                None => Ok(None),
            },
            Self::Json { cursor, is_object, is_first } => {
                let start = cursor.at();
                if !cursor.more(std::mem::take(is_first)).map_err(damaged)? {
                    return Ok(None);
                }
                let value = if *is_object {
                    let name = cursor.name().map_err(damaged)?;
                    cursor.value().map_err(damaged)?;
                    Value::of_json(name.raw, steps)?
                } else {
                    Value::of_json(cursor.value().map_err(damaged)?, steps)?
                };
                steps.take_bytes(cursor.at() - start)?;
                Ok(Some(value))
            }
        }
    }

    /// Moves on without looking; false at the end.
    fn skip(&mut self, steps: &mut Steps<'_>) -> Result<bool, Error> {
        let Self::Json { cursor, is_object, is_first } = self else {
            return Ok(self.next(steps)?.is_some());
        };
        let start = cursor.at();
        let is_there = cursor.more(std::mem::take(is_first)).map_err(damaged)?;
        if is_there {
            if *is_object {
                cursor.name().map_err(damaged)?;
            }
            cursor.value().map_err(damaged)?;
        }
        steps.take(1)?;
        steps.take_bytes(cursor.at() - start)?;
        Ok(is_there)
    }
}

/// A JSON text without the space around it, of which there is seldom any.
fn trimmed(text: &str) -> &str {
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
    match text.as_bytes() {
        [first, .., last] if !is_space(first) && !is_space(last) => text,
        _ => text.trim_matches([' ', '\t', '\n', '\r']),
    }
}

/// The value of a member of a JSON object.
pub(super) fn member<'a>(
    object: &'a str,
    wanted: &str,
    steps: &mut Steps<'_>,
) -> Result<Option<&'a str>, Error> {
    let mut cursor = Cursor::new(object);
    let is_there = cursor.enter_member(wanted).map_err(damaged)?;
    let found = is_there.then(|| cursor.value()).transpose().map_err(damaged)?;
    steps.take_bytes(cursor.at())?;
    Ok(found)
}

fn number<'a>(raw: &str, steps: &mut Steps<'_>) -> Result<Value<'a>, Error> {
    steps.take_bytes(raw.len())?;
    if let Ok(int) = raw.parse() {
        return Ok(Value::Int(int));
    }
    if let Ok(uint) = raw.parse() {
        return Ok(Value::Uint(uint));
    }
    match raw.parse::<f64>() {
        Ok(double) if double.is_finite() => Ok(Value::Double(double)),
        _ => Err(Error::Failed("a number is out of the range of double".to_owned())),
    }
}

/// The order of two numbers by what they are worth, whatever their kinds; none for NaN and for what is no number.
pub(super) fn compare_numbers(one: &Value<'_>, other: &Value<'_>) -> Option<Ordering> {
    enum Number {
        Whole(i128),
        Double(f64),
    }
    let number = |value: &Value<'_>| match value {
        Value::Int(int) => Some(Number::Whole((*int).into())),
        Value::Uint(uint) => Some(Number::Whole((*uint).into())),
        Value::Double(double) => Some(Number::Double(*double)),
        _ => None,
    };
    match (number(one)?, number(other)?) {
        (Number::Whole(one), Number::Whole(other)) => Some(one.cmp(&other)),
        (Number::Double(one), Number::Double(other)) => one.partial_cmp(&other),
        (Number::Whole(one), Number::Double(other)) => compare_mixed(one, other),
        (Number::Double(one), Number::Whole(other)) => compare_mixed(other, one).map(Ordering::reverse),
    }
}

fn compare_mixed(whole: i128, double: f64) -> Option<Ordering> {
    if double.is_nan() {
        return None;
    }
    // Beyond 128 bits the conversion stops at the ends of the range, which all whole numbers here are within.
    let floor = double.floor();
    Some(whole.cmp(&(floor as i128)).then(if double > floor { Ordering::Less } else { Ordering::Equal }))
}
