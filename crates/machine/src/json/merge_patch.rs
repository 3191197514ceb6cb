//! JSON Merge Patch on bytes (RFC 7396).
//!
//! The target is gone through once, whatever the depth. Members that the patch does not name are copied as they stand;
//! of the objects that it reaches into, the space between members goes.

use std::borrow::Cow;

use super::{Cursor, Json, Malformed};

/// The target with the patch merged into it; without a target, what the patch makes of nothing.
///
/// Members keep their order, new ones follow in the patch's. The result is nested no deeper than the deeper of the two, and
/// no longer than both together. None when the target is not JSON. Cost: one pass over each, and a search in the patch for
/// each member of an object that it reaches into.
pub fn merge_patch(target: Option<&[u8]>, patch: &Json) -> Option<Vec<u8>> {
    let target = target.map(str::from_utf8).transpose().ok()?;
    try_merge(target, patch.text()).ok()
}

fn try_merge(target: Option<&str>, text: &str) -> Result<Vec<u8>, Malformed> {
    let patch = Patch::read(&mut Cursor::new(text))?;
    let mut out = Vec::with_capacity(target.map_or(0, str::len) + text.len());
    match (&patch, target.map(Cursor::new)) {
        (Patch::Object(members), Some(mut target)) if target.peek() == Some(b'{') => {
            merge_object(&mut target, members, &mut out)?;
        }
        _ => patch.write_alone(&mut out),
    }
    Ok(out)
}

enum Patch<'a> {
    /// Sorted by name.
    Object(Vec<Member<'a>>),
    /// Anything else, as it is written.
    Value(&'a str),
}

struct Member<'a> {
    /// With its quotes.
    raw_name: &'a str,
    name: Cow<'a, str>,
    /// Its place in the patch.
    place: usize,
    patch: Patch<'a>,
}

impl<'a> Patch<'a> {
    fn read(cursor: &mut Cursor<'a>) -> Result<Self, Malformed> {
        if cursor.peek() != Some(b'{') {
            return cursor.value().map(Self::Value);
        }
        cursor.enter();
        let mut members = Vec::new();
        while cursor.more(members.is_empty())? {
            let name = cursor.name()?;
            let patch = Self::read(cursor)?;
            members.push(Member { raw_name: name.raw, name: name.text, place: members.len(), patch });
        }
        members.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        Ok(Self::Object(members))
    }

    fn is_null(&self) -> bool {
        matches!(self, Self::Value("null"))
    }

    /// Writes what the patch makes of nothing: itself without the members that are null.
    fn write_alone(&self, out: &mut Vec<u8>) {
        match self {
            Self::Value(raw) => out.extend_from_slice(raw.as_bytes()),
            Self::Object(members) => {
                let mut object = Object::open(out);
                write_new(members.iter().collect(), &mut object);
                object.close();
            }
        }
    }
}

/// An object that is being written.
struct Object<'o> {
    out: &'o mut Vec<u8>,
    is_empty: bool,
}

impl<'o> Object<'o> {
    fn open(out: &'o mut Vec<u8>) -> Self {
        out.push(b'{');
        Self { out, is_empty: true }
    }

    /// Begins a member, whose value is to be written to what this returns.
    fn name(&mut self, raw_name: &str) -> &mut Vec<u8> {
        if !self.is_empty {
            self.out.push(b',');
        }
        self.is_empty = false;
        self.out.extend_from_slice(raw_name.as_bytes());
        self.out.push(b':');
        self.out
    }

    fn close(self) {
        self.out.push(b'}');
    }
}

/// Merges the members of a patch into the object that the target stands at.
fn merge_object(target: &mut Cursor<'_>, members: &[Member<'_>], out: &mut Vec<u8>) -> Result<(), Malformed> {
    let mut is_new = vec![true; members.len()];
    let mut object = Object::open(out);
    let mut is_first = true;
    target.enter();
    while target.more(is_first)? {
        is_first = false;
        let name = target.name()?;
        let Ok(place) = members.binary_search_by(|member| member.name.cmp(&name.text)) else {
            let value = target.value()?;
            object.name(name.raw).extend_from_slice(value.as_bytes());
            continue;
        };
        is_new[place] = false;
        match &members[place].patch {
            Patch::Object(below) if target.peek() == Some(b'{') => {
                merge_object(target, below, object.name(name.raw))?;
            }
            patch => {
                target.value()?;
                if !patch.is_null() {
                    patch.write_alone(object.name(name.raw));
                }
            }
        }
    }
    let new = members.iter().zip(is_new).filter_map(|(member, is_new)| is_new.then_some(member));
    write_new(new.collect(), &mut object);
    object.close();
    Ok(())
}

/// Writes the members that the target does not have, in the patch's order.
fn write_new(mut members: Vec<&Member<'_>>, object: &mut Object<'_>) {
    members.sort_unstable_by_key(|member| member.place);
    for member in members.into_iter().filter(|member| !member.patch.is_null()) {
        member.patch.write_alone(object.name(member.raw_name));
    }
}
