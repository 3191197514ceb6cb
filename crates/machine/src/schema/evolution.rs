//! Documents of an earlier version, as the latest version has them: members renamed, and those that are missing with their
//! defaults.
//!
//! Nothing is decoded: what is not renamed and not new stays byte for byte. To do it twice is to do it once, for which the
//! pointers of renames keep apart from each other and what one change makes possible is done as well.

use std::borrow::Cow;
use std::collections::BTreeMap;

use mainstay_base::error::{Classify, Code};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::defaults::{Defaults, Member};
use crate::json::{Cursor, DEPTH_MAX, Malformed, Pointer, PointerError};

/// What becomes of documents of earlier versions when they are read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Evolution {
    /// Whether a missing member is given the `default` that the schema has for it under `properties`, in every object that is
    /// there. By default it is: whoever writes a default means it.
    pub defaults: bool,
    /// The members that had another name or place: the new one, then the old one, as JSON Pointers, such as
    /// `/full_name: /name`. They lead through objects; none may be at or below another.
    #[schemars(with = "BTreeMap<String, String>")]
    pub renames: Renames,
}

/// The members that had another name or place, at most [`Renames::MAX`].
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "BTreeMap<String, String>", into = "BTreeMap<String, String>")]
pub struct Renames(Vec<Rename>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Rename {
    new: Pointer,
    old: Pointer,
}

/// Renames that cannot be done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EvolutionError {
    /// A name or place is not a pointer.
    #[error(transparent)]
    Pointer(#[from] PointerError),
    /// The pointer names the whole document.
    #[error(
        "a rename needs members, and the empty pointer is the whole document: name a member, as in \"/name\""
    )]
    Whole,
    /// Two pointers are about the same member, or about one in the other.
    #[error(
        "the renames have {one:?} and {other:?}, of which one is at or in the other: rename in two versions"
    )]
    Overlap {
        /// One pointer.
        one: String,
        /// The other.
        other: String,
    },
    /// There are too many.
    #[error(
        "there are {count} renames, and at most {} are allowed: rename in several versions",
        Renames::MAX
    )]
    TooMany {
        /// How many there are.
        count: usize,
    },
}

impl Default for Evolution {
    fn default() -> Self {
        Self { defaults: true, renames: Renames::default() }
    }
}

impl Renames {
    /// The most renames.
    pub const MAX: usize = 64;

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The new and the old place of each, as the names that lead there.
    pub(super) fn pairs(&self) -> impl Iterator<Item = (&[String], &[String])> {
        self.0.iter().map(|rename| (rename.new.steps(), rename.old.steps()))
    }

    /// Those that others do not have.
    pub(crate) fn beyond(&self, others: &Self) -> Self {
        Self(self.0.iter().filter(|rename| !others.0.contains(rename)).cloned().collect())
    }

    /// Those that give back the old names.
    pub(super) fn reversed(&self) -> Self {
        let reversed = self.0.iter().map(|Rename { new, old }| Rename { new: old.clone(), old: new.clone() });
        Self(reversed.collect())
    }

    /// Whether a value that these names lead to can be renamed, or be in what is.
    pub(super) fn touch(&self, names: &[String]) -> bool {
        let overlaps =
            |pointer: &Pointer| pointer.steps().starts_with(names) || names.starts_with(pointer.steps());
        self.0.iter().any(|rename| overlaps(&rename.new) || overlaps(&rename.old))
    }
}

impl TryFrom<BTreeMap<String, String>> for Renames {
    type Error = EvolutionError;

    fn try_from(renames: BTreeMap<String, String>) -> Result<Self, EvolutionError> {
        if renames.len() > Self::MAX {
            return Err(EvolutionError::TooMany { count: renames.len() });
        }
        let parse = |(new, old): (String, String)| Ok(Rename { new: new.parse()?, old: old.parse()? });
        let renames = renames.into_iter().map(parse).collect::<Result<Vec<_>, PointerError>>()?;
        check_apart(&renames)?;
        Ok(Self(renames))
    }
}

impl From<Renames> for BTreeMap<String, String> {
    fn from(renames: Renames) -> Self {
        let pairs = renames.0.into_iter();
        pairs.map(|rename| (rename.new.as_str().to_owned(), rename.old.as_str().to_owned())).collect()
    }
}

fn check_apart(renames: &[Rename]) -> Result<(), EvolutionError> {
    let pointers: Vec<&Pointer> = renames.iter().flat_map(|rename| [&rename.new, &rename.old]).collect();
    for (place, one) in pointers.iter().enumerate() {
        if one.steps().is_empty() {
            return Err(EvolutionError::Whole);
        }
        let overlaps = |other: &&&Pointer| {
            one.steps().starts_with(other.steps()) || other.steps().starts_with(one.steps())
        };
        if let Some(other) = pointers[..place].iter().find(overlaps) {
            let (one, other) = (one.as_str().to_owned(), other.as_str().to_owned());
            return Err(EvolutionError::Overlap { one, other });
        }
    }
    Ok(())
}

impl Classify for EvolutionError {
    fn code(&self) -> Code {
        Code::Invalid
    }
}

/// The text with its members renamed, and those that are missing with their defaults.
///
/// A member is renamed when it is there, the new one is not, and the object of the new one is. It is last in its object then,
/// unless that stays the same. Missing members with defaults follow. What would be nested more than
/// [`DEPTH_MAX`] deep is left as it is. To do it twice is to do it once. The text must have been checked; so is the result. Cost: a
/// few passes for each rename that happens, otherwise one for each rename and one for the defaults.
pub(super) fn raise<'d>(
    document: &'d str,
    renames: &Renames,
    defaults: &Defaults,
) -> Result<Cow<'d, str>, Malformed> {
    let mut text = Cow::Borrowed(document);
    // A rename happens once, since a new member never goes; so there is an end.
    loop {
        let mut is_changed = false;
        for rename in &renames.0 {
            if let Some(renamed) = rename.apply(&text)? {
                text = Cow::Owned(renamed);
                is_changed = true;
            }
        }
        if let Some(filled) = fill(&text, defaults, 0)? {
            text = Cow::Owned(filled);
            is_changed = true;
        }
        if !is_changed {
            return Ok(text);
        }
    }
}

/// An object in a text.
pub(super) struct Object<'a> {
    pub(super) members: Vec<Span<'a>>,
    /// Where its closing bracket is.
    close: usize,
}

/// A member in a text.
pub(super) struct Span<'a> {
    pub(super) name: Cow<'a, str>,
    /// Where the name begins and ends, with its quotes.
    pub(super) name_at: usize,
    name_end: usize,
    pub(super) value: &'a str,
    pub(super) value_at: usize,
    pub(super) value_end: usize,
}

impl<'a> Object<'a> {
    /// The object that the steps lead to, through objects only.
    pub(super) fn find(text: &'a str, steps: &[String]) -> Result<Option<Self>, Malformed> {
        let mut cursor = Cursor::new(text);
        for step in steps {
            if cursor.peek() != Some(b'{') || !move_to(&mut cursor, step)? {
                return Ok(None);
            }
        }
        if cursor.peek() == Some(b'{') { Self::read(cursor).map(Some) } else { Ok(None) }
    }

    fn read(mut cursor: Cursor<'a>) -> Result<Self, Malformed> {
        let mut members = Vec::new();
        cursor.enter();
        while cursor.more(members.is_empty())? {
            let name_at = cursor.at();
            let name = cursor.name()?;
            let value_at = cursor.at();
            let value = cursor.value()?;
            members.push(Span {
                name: name.text,
                name_at,
                name_end: name_at + name.raw.len(),
                value,
                value_at,
                value_end: cursor.at(),
            });
        }
        Ok(Self { members, close: cursor.at() - 1 })
    }

    fn place(&self, name: &str) -> Option<usize> {
        self.members.iter().position(|member| member.name == name)
    }
}

/// Moves into an object to a member's value; whether there is one.
fn move_to(cursor: &mut Cursor<'_>, wanted: &str) -> Result<bool, Malformed> {
    let mut is_first = true;
    cursor.enter();
    while cursor.more(is_first)? {
        is_first = false;
        if cursor.name()?.text == wanted {
            return Ok(true);
        }
        cursor.value()?;
    }
    Ok(false)
}

impl Rename {
    /// The text with the member renamed; none when it stays as it is.
    fn apply(&self, text: &str) -> Result<Option<String>, Malformed> {
        let (old, old_parent) = split(&self.old);
        let (new, new_parent) = split(&self.new);
        let Some(from) = Object::find(text, old_parent)? else { return Ok(None) };
        let Some(place) = from.place(old) else { return Ok(None) };
        let Some(to) = Object::find(text, new_parent)? else { return Ok(None) };
        if to.place(new).is_some() {
            return Ok(None);
        }
        let member = &from.members[place];
        let name = quoted(new);
        if old_parent == new_parent {
            return Ok(Some([&text[..member.name_at], &name, &text[member.name_end..]].concat()));
        }
        if depth(member.value) + self.new.steps().len() > DEPTH_MAX {
            return Ok(None);
        }
        let (start, end) = from.extent(place);
        let cut = [&text[..start], &text[end..]].concat();
        let to = Object::find(&cut, new_parent)?.ok_or(Malformed)?;
        let comma = if to.members.is_empty() { "" } else { "," };
        let value = &text[member.value_at..member.value_end];
        Ok(Some([&cut[..to.close], comma, &name, ":", value, &cut[to.close..]].concat()))
    }
}

impl Object<'_> {
    /// What goes when a member does, with the comma that goes with it.
    fn extent(&self, place: usize) -> (usize, usize) {
        let member = &self.members[place];
        match (self.members.get(place + 1), place.checked_sub(1)) {
            (Some(next), _) => (member.name_at, next.name_at),
            (None, Some(before)) => (self.members[before].value_end, member.value_end),
            (None, None) => (member.name_at, member.value_end),
        }
    }
}

fn split(pointer: &Pointer) -> (&String, &[String]) {
    pointer.steps().split_last().expect("renames have pointers to members")
}

fn quoted(name: &str) -> String {
    serde_json::to_string(name).expect("text is JSON")
}

/// How deep arrays and objects are nested in a value.
fn depth(raw: &str) -> usize {
    let (mut depth, mut deepest) = (0usize, 0);
    let (mut is_text, mut is_escaped) = (false, false);
    for byte in raw.bytes() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'"' => is_text = !is_text,
            b'{' | b'[' if !is_text => depth += 1,
            b'}' | b']' if !is_text => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

/// The text with the members that it lacks, `above` objects down in its document; none when it lacks none.
pub(super) fn fill(text: &str, defaults: &Defaults, above: usize) -> Result<Option<String>, Malformed> {
    let mut additions = Vec::new();
    find_missing(&mut Cursor::new(text), defaults, above, &mut additions)?;
    if additions.is_empty() {
        return Ok(None);
    }
    let mut filled =
        String::with_capacity(text.len() + additions.iter().map(|(_, new)| new.len()).sum::<usize>());
    let mut copied = 0;
    for (at, addition) in &additions {
        filled.push_str(&text[copied..*at]);
        filled.push_str(addition);
        copied = *at;
    }
    filled.push_str(&text[copied..]);
    Ok(Some(filled))
}

/// Moves over a value, and notes what is to be added to it and where, in the order of the places.
fn find_missing(
    cursor: &mut Cursor<'_>,
    defaults: &Defaults,
    above: usize,
    additions: &mut Vec<(usize, String)>,
) -> Result<(), Malformed> {
    if defaults.is_empty() || cursor.peek() != Some(b'{') {
        return cursor.value().map(drop);
    }
    let mut missing: BTreeMap<&str, &Member> =
        defaults.members.iter().map(|(name, member)| (name.as_str(), member)).collect();
    let mut is_empty = true;
    cursor.enter();
    while cursor.more(is_empty)? {
        is_empty = false;
        let name = cursor.name()?.text;
        match missing.remove(name.as_ref()) {
            Some(member) => find_missing(cursor, &member.below, above + 1, additions)?,
            None => drop(cursor.value()?),
        }
    }
    let mut addition = String::new();
    for (name, member) in missing {
        let Some(raw) = &member.raw else { continue };
        let filled = fill(raw, &member.below, above + 1)?;
        let value = filled.as_deref().unwrap_or(raw);
        if above + 1 + depth(value) > DEPTH_MAX {
            continue;
        }
        let comma = if is_empty { "" } else { "," };
        is_empty = false;
        addition.extend([comma, &quoted(name), ":", value]);
    }
    if !addition.is_empty() {
        additions.push((cursor.at() - 1, addition));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
