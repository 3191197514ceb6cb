//! Objects whose only member says by its name what they are: `{"put": {...}}`.

use std::fmt::{self, Formatter};
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, Visitor};

use super::Text;
use crate::body::same_schema;

/// What can be one of several kinds.
pub(super) trait Kinds<'de>: Sized {
    /// What it is, as in "a condition".
    const WHAT: &'static str;
    /// The names of its kinds, as in "`version`, `absent` or `check`".
    const NAMES: &'static str;
    /// Names that will be kinds, and are not yet.
    const PLANNED: &'static [&'static str];

    /// Reads the value of the member of this name; none when there is no such kind.
    fn read<A: MapAccess<'de>>(name: &str, map: &mut A) -> Result<Option<Self>, A::Error>;
}

/// An object with one member.
#[derive(Debug)]
pub(super) struct One<T>(pub(super) T);

impl<'de, T: Kinds<'de>> Deserialize<'de> for One<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(OneVisitor(PhantomData)).map(Self)
    }
}

struct OneVisitor<T>(PhantomData<T>);

impl<'de, T: Kinds<'de>> Visitor<'de> for OneVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} as an object with one of {}", T::WHAT, T::NAMES)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<T, A::Error> {
        let (what, names) = (T::WHAT, T::NAMES);
        let Some(Text(name)) = map.next_key()? else {
            return Err(A::Error::custom(format!("{what} needs one of {names}")));
        };
        let Some(kind) = T::read(&name, &mut map)? else {
            map.next_value::<IgnoredAny>()?;
            return Err(A::Error::custom(if T::PLANNED.contains(&&*name) {
                format!("`{name}` is not there yet in this version: {what} can have {names}")
            } else {
                format!("there is no `{name}`: {what} can have {names}")
            }));
        };
        match map.next_key()? {
            None => Ok(kind),
            Some(Text(second)) => Err(A::Error::custom(format!(
                "{what} has one member only: make `{second}` another, or leave it out"
            ))),
        }
    }
}

same_schema!(One);
