//! The query of a request as forms write it: `name=value` with `&` between them, `+` for a space, and `%XX`.
//!
//! Nothing is decoded but what is compared, and a `%` without digits is one. Source: the parser of `application/x-www-form-urlencoded` in
//! <https://url.spec.whatwg.org/#urlencoded-parsing>.

use std::borrow::Cow;
use std::fmt::{self, Debug, Formatter};

use mainstay_machine::expression::{Given, Members};

use super::Text;
use crate::path;

/// The query of a request, without its `?`; none is one without parameters.
#[derive(Clone, Copy, Default)]
pub struct Query<'r>(pub Option<&'r str>);

impl<'r> Query<'r> {
    /// The parameters as they are written, those of no text left out.
    fn pairs(self) -> impl Iterator<Item = (&'r str, &'r str)> {
        let parts = self.0.unwrap_or_default().split('&').filter(|part| !part.is_empty());
        parts.map(|part| part.split_once('=').unwrap_or((part, "")))
    }

    fn raw_values(self, name: &str) -> impl Iterator<Item = &'r str> {
        self.pairs().filter(move |(raw, _)| relation(raw, name) == Text::Same).map(|(_, value)| value)
    }

    pub(in super::super) fn is_there(self, name: &str) -> bool {
        self.raw_values(name).next().is_some()
    }

    /// How the parameter's values relate to a text: the value that has least to do with it tells.
    pub(in super::super) fn relation(self, name: &str, text: &str) -> Text {
        let mut worst = Text::Same;
        for value in self.raw_values(name) {
            match relation(value, text) {
                Text::Same => {}
                Text::Longer => worst = Text::Longer,
                Text::Other => return Text::Other,
            }
        }
        worst
    }

    /// The values of a parameter, decoded, with the Unicode replacement character where they are no text.
    pub(in super::super) fn values(self, name: &str) -> impl Iterator<Item = Cow<'r, str>> {
        self.raw_values(name).map(decode)
    }
}

/// The bytes that a raw text stands for.
fn bytes(raw: &str) -> impl Iterator<Item = u8> {
    let (bytes, mut at) = (raw.as_bytes(), 0);
    std::iter::from_fn(move || {
        let byte = *bytes.get(at)?;
        at += 1;
        match byte {
            b'+' => Some(b' '),
            b'%' => Some(path::hex(&bytes[at..]).inspect(|_| at += 2).unwrap_or(b'%')),
            byte => Some(byte),
        }
    })
}

fn relation(raw: &str, text: &str) -> Text {
    let mut bytes = bytes(raw);
    for wanted in text.bytes() {
        if bytes.next() != Some(wanted) {
            return Text::Other;
        }
    }
    if bytes.next().is_none() { Text::Same } else { Text::Longer }
}

fn decode(raw: &str) -> Cow<'_, str> {
    if !raw.contains(['%', '+']) {
        return Cow::Borrowed(raw);
    }
    let decoded: Vec<u8> = bytes(raw).collect();
    Cow::Owned(String::from_utf8_lossy(&decoded).into_owned())
}

impl Members for Query<'_> {
    fn member(&self, key: &str) -> Option<Given<'_>> {
        self.values(key).next().map(Given::Text)
    }

    fn names(&self) -> Box<dyn Iterator<Item = Cow<'_, str>> + '_> {
        let mut names: Vec<_> = self.pairs().map(|(name, _)| decode(name)).collect();
        names.sort_unstable();
        names.dedup();
        Box::new(names.into_iter())
    }

    fn bytes(&self) -> usize {
        self.0.map_or(0, str::len)
    }
}

/// How long it is: what it holds may be secret.
impl Debug for Query<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Query").field(&self.bytes()).finish()
    }
}
