//! Values that travel as text: one way into and out of serde for all of them.

use std::fmt::{self, Display, Formatter};
use std::marker::PhantomData;
use std::str::FromStr;

use serde::de::{Deserializer, Error, Visitor};

/// A value whose only wire form is the text that `Display` writes and `FromStr` reads.
pub(crate) trait Text: Display + FromStr<Err: Display> {
    /// What a reader is told to write instead of a number, a list or an object.
    const EXPECTED: &'static str;
}

/// Reads a [`Text`] from a string; every other type is an error that names [`Text::EXPECTED`].
pub(crate) fn deserialize<'de, T: Text, D: Deserializer<'de>>(from: D) -> Result<T, D::Error> {
    from.deserialize_str(TextVisitor(PhantomData))
}

/// The text as an error message shows it: quoted, and cut when long, since it may come from anyone.
pub(crate) fn shown(text: &str) -> String {
    const SHOWN_CHARS_MAX: usize = 80;
    match text.char_indices().nth(SHOWN_CHARS_MAX) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}

struct TextVisitor<T>(PhantomData<T>);

impl<T: Text> Visitor<'_> for TextVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(T::EXPECTED)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }
}
