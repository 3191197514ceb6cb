//! One header: a name, a colon and a value, in one line.

use super::byte;
use super::limits::Underscores;
use super::names;
use super::reason::{Reason, Refusal};

/// A header as it stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field<'a> {
    pub(super) name: &'a [u8],
    /// All after the colon, without control bytes but HTAB.
    pub(super) value: &'a [u8],
}

impl<'a> Field<'a> {
    /// A line of a head or of trailers, in which `is_first` is the first. What is shown of one that is refused is its name at most.
    #[inline]
    pub(super) fn read(line: &'a [u8], is_first: bool, underscores: Underscores) -> Result<Self, Refusal> {
        let plain = byte::run(line, byte::PLAIN);
        let has_underscore = line.get(plain) == Some(&b'_');
        let end = if has_underscore { byte::run(line, byte::TOKEN) } else { plain };
        let (name, rest) = line.split_at(end);
        let [b':', value @ ..] = rest else { return Err(no_name(name, rest, is_first)) };
        if name.is_empty() {
            return Err(Reason::NameEmpty.here());
        }
        if has_underscore {
            check_underscore(name, underscores)?;
        }
        if byte::has_control(value) {
            return Err(control(name, value));
        }
        Ok(Self { name, value })
    }

    /// The value without the spaces around it. HTAB is left: headers that say where a request ends or goes are refused for it.
    #[inline]
    pub(super) fn word(&self) -> &'a [u8] {
        let mut value = self.value;
        while let [b' ', rest @ ..] | [rest @ .., b' '] = value {
            value = rest;
        }
        value
    }
}

/// Why what stands before the colon is no name.
#[cold]
fn no_name(name: &[u8], rest: &[u8], is_first: bool) -> Refusal {
    match rest.first() {
        None => Reason::HeaderWithoutColon.at(name),
        Some(b'\r') => Reason::BareCr.at(name),
        Some(b' ' | b'\t') if !name.is_empty() => Reason::NameWhitespace.at(name),
        Some(b' ' | b'\t') if is_first => Reason::LeadingWhitespace.here(),
        Some(b' ' | b'\t') => Reason::Fold.here(),
        Some(other) => Reason::NameByte.at(&[*other]),
    }
}

/// Why there is a control byte in a value, by the first of them.
#[cold]
fn control(name: &[u8], value: &[u8]) -> Refusal {
    match value.iter().find(|byte| byte::is_control(**byte)) {
        Some(b'\r') => Reason::BareCr.at(name),
        _ => Reason::ControlByte.at(name),
    }
}

/// Whether a name that is a token may be a header's.
pub(super) fn check_name(name: &[u8], underscores: Underscores) -> Result<(), Refusal> {
    if name.contains(&b'_') { check_underscore(name, underscores) } else { Ok(()) }
}

#[cold]
fn check_underscore(name: &[u8], underscores: Underscores) -> Result<(), Refusal> {
    match underscores {
        Underscores::Pass => Ok(()),
        Underscores::RefuseColliding if !names::is_relied_on(name) => Ok(()),
        Underscores::RefuseColliding | Underscores::Refuse => Err(Reason::NameUnderscore.at(name)),
    }
}
