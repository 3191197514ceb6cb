//! What a request's target names: the collection and the key in its path, the parameters in its query.

use std::borrow::Cow;

use axum::http::Uri;

use mainstay_base::error::{Classify, Code};
use mainstay_base::id::Name;
use mainstay_base::key::Key;
use mainstay_base::problem::Problem;
use mainstay_machine::command::ItemName;

const COLLECTION: &str = "the collection";
const BEFORE_COLLECTION: &str = "/v1/collections/";
const BEFORE_HOLD: &str = "/holds/";
const BEFORE_KEY: &str = "/items/";

/// The collection of a path below `/v1/collections/`. Errors: [`Code::Invalid`] when it is not a name.
pub(crate) fn collection(uri: &Uri) -> Result<Name, Problem> {
    named(below(uri).split('/').next().unwrap_or_default(), COLLECTION)
}

/// The item of a path `/v1/collections/{collection}/items/{key}`.
///
/// The key's slashes stand as they are; what else a path does not allow is percent-encoded (RFC 3986, section 2.1). A
/// slash may be encoded too, as generated clients do, and means the same, since no segment of a key can hold one.
///
/// Errors: [`Code::Malformed`] when it cannot be decoded, [`Code::Invalid`] when it is not a name or not a key.
pub(crate) fn item(uri: &Uri) -> Result<ItemName, Problem> {
    let (collection, key) = below(uri).split_once(BEFORE_KEY).unwrap_or_default();
    Ok(ItemName { collection: named(collection, COLLECTION)?, key: key_of(key)? })
}

/// The hold and the item of a path `/v1/collections/{collection}/holds/{hold}/items/{key}`. Errors as those of [`item`].
pub(crate) fn held(uri: &Uri) -> Result<(Name, ItemName), Problem> {
    let (collection, held) = below(uri).split_once(BEFORE_HOLD).unwrap_or_default();
    let (hold, key) = held.split_once(BEFORE_KEY).unwrap_or_default();
    Ok((named(hold, "the hold")?, ItemName { collection: named(collection, COLLECTION)?, key: key_of(key)? }))
}

fn below(uri: &Uri) -> &str {
    uri.path().strip_prefix(BEFORE_COLLECTION).unwrap_or_default()
}

/// The name that a segment of a path is; `what` says of what. Errors: [`Code::Malformed`] when it cannot be decoded, [`Code::Invalid`] when it is not a name.
pub fn named(encoded: &str, what: &str) -> Result<Name, Problem> {
    let name = decoded(encoded, false, what)?;
    name.parse()
        .map_err(|error: mainstay_base::id::NameError| Problem::new(error.code(), format!("{what} {error}")))
}

fn key_of(encoded: &str) -> Result<Key, Problem> {
    decoded(encoded, false, "the key")?.parse().map_err(|error| Problem::of(&error))
}

/// The parameters of a query, each of which may stand once.
#[derive(Debug)]
pub struct Query<'u>(Vec<(Cow<'u, str>, Cow<'u, str>)>);

impl<'u> Query<'u> {
    /// Reads the query of a resource that has these parameters.
    ///
    /// Errors: [`Code::Malformed`] when it cannot be decoded, [`Code::Invalid`] for a parameter that the resource does not
    /// have or that stands twice.
    pub fn read(uri: &'u Uri, known: &[&str]) -> Result<Self, Problem> {
        let mut read: Vec<(Cow<'_, str>, Cow<'_, str>)> = Vec::new();
        for pair in uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = decoded(name, true, "the query")?;
            let refuse = |why: String| Problem::new(Code::Invalid, why).fact("parameter", &*name);
            if !known.contains(&&*name) {
                let has = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
                return Err(refuse(format!("there is no parameter {name:?} here; there are: {has}")));
            }
            if read.iter().any(|(earlier, _)| *earlier == name) {
                return Err(refuse(format!("the parameter {name:?} stands more than once: send it once")));
            }
            let value = decoded(value, true, "the query")?;
            read.push((name, value));
        }
        Ok(Self(read))
    }

    /// The value of a parameter, if it is there.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(found, _)| found == name).map(|(_, value)| &**value)
    }
}

/// How many there are to be on a page. Errors: [`Code::Invalid`] when it is no number from 1 to `max`.
pub fn limit(text: Option<&str>, default: usize, max: usize) -> Result<usize, Problem> {
    let Some(text) = text else { return Ok(default) };
    let limit = text.parse().ok().filter(|limit| (1..=max).contains(limit));
    limit.ok_or_else(|| {
        let detail = format!("the limit must be a whole number from 1 to {max}");
        Problem::new(Code::Invalid, detail).fact("parameter", "limit").fact("max", max)
    })
}

/// A parameter that is `true` or `false`, and `false` when it is not there. Errors: [`Code::Invalid`].
pub fn flag(query: &Query<'_>, name: &str) -> Result<bool, Problem> {
    match query.get(name) {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(_) => {
            let detail = format!("the parameter {name:?} must be `true` or `false`");
            Err(Problem::new(Code::Invalid, detail).fact("parameter", name))
        }
    }
}

/// Undoes percent-encoding, and in a query also that of spaces as `+`. Errors: [`Code::Malformed`].
pub fn decoded<'u>(encoded: &'u str, is_query: bool, what: &str) -> Result<Cow<'u, str>, Problem> {
    let has_plus = is_query && encoded.contains('+');
    if !has_plus && !encoded.contains('%') {
        return Ok(Cow::Borrowed(encoded));
    }
    let mut bytes = Vec::with_capacity(encoded.len());
    let mut rest = encoded.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        bytes.push(match first {
            b'%' => {
                let (byte, after) = escaped(rest).ok_or_else(|| {
                    let detail =
                        format!("{what} has a `%` without two hexadecimal digits after it: write it `%25`");
                    Problem::new(Code::Malformed, detail)
                })?;
                rest = after;
                byte
            }
            b'+' if is_query => b' ',
            other => *other,
        });
    }
    let text = String::from_utf8(bytes);
    text.map(Cow::Owned).map_err(|_| Problem::new(Code::Malformed, format!("{what} is not UTF-8: encode it")))
}

fn escaped(rest: &[u8]) -> Option<(u8, &[u8])> {
    let (digits, rest) = rest.split_at_checked(2)?;
    let digit = |at: usize| char::from(digits[at]).to_digit(16).and_then(|it| u8::try_from(it).ok());
    Some((digit(0)? << 4 | digit(1)?, rest))
}
