//! A place in a JSON text that was checked before, which moves over whole values.
//!
//! Being checked, the text needs no grammar here: a value ends where its brackets close. Bytes that are not JSON after all,
//! those of a damaged row, end in [`Malformed`] and never in a panic.

use std::borrow::Cow;

use super::unescape;

/// The text is not JSON, although it was checked when it was stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed;

/// A place in a text.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

/// The name of a member, as it is written and as it is meant.
pub(crate) struct Name<'a> {
    /// With its quotes.
    pub(crate) raw: &'a str,
    pub(crate) text: Cow<'a, str>,
}

impl<'a> Cursor<'a> {
    /// The first value of a text.
    pub(crate) fn new(text: &'a str) -> Self {
        let mut cursor = Self { text, at: 0 };
        cursor.space();
        cursor
    }

    /// How many bytes are before it.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// The next byte.
    pub(crate) fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    /// Moves over the next byte, which opens an array or an object.
    pub(crate) fn enter(&mut self) {
        self.at += 1;
    }

    /// Moves to the next element or name; not the first time, but each time after it, over the comma before. Moves over
    /// the bracket when there is none.
    pub(crate) fn more(&mut self, is_first: bool) -> Result<bool, Malformed> {
        self.space();
        match self.peek() {
            Some(b']' | b'}') => {
                self.at += 1;
                Ok(false)
            }
            Some(b',') if !is_first => {
                self.at += 1;
                self.space();
                Ok(true)
            }
            Some(_) if is_first => Ok(true),
            _ => Err(Malformed),
        }
    }

    /// Moves over a name and its colon, to the member's value.
    pub(crate) fn name(&mut self) -> Result<Name<'a>, Malformed> {
        let start = self.at;
        self.string()?;
        let raw = self.text.get(start..self.at).ok_or(Malformed)?;
        let inner = raw.get(1..raw.len() - 1).ok_or(Malformed)?;
        self.space();
        if self.peek() != Some(b':') {
            return Err(Malformed);
        }
        self.at += 1;
        self.space();
        Ok(Name { raw, text: unescape(inner)? })
    }

    /// Moves into an object to the value of a member; whether there is one. If there is none, over the object.
    pub(crate) fn enter_member(&mut self, wanted: &str) -> Result<bool, Malformed> {
        let mut is_first = true;
        self.enter();
        while self.more(is_first)? {
            is_first = false;
            if self.name()?.text == wanted {
                return Ok(true);
            }
            self.value()?;
        }
        Ok(false)
    }

    /// Moves into an array to the element that a step of a pointer names; whether there is one.
    pub(crate) fn enter_element(&mut self, step: &str) -> Result<bool, Malformed> {
        // Only the form that RFC 6901 has: no sign, no leading zero.
        let Some(wanted) = step.parse::<usize>().ok().filter(|number| number.to_string() == step) else {
            return Ok(false);
        };
        let mut place = 0;
        self.enter();
        while self.more(place == 0)? {
            if place == wanted {
                return Ok(true);
            }
            self.value()?;
            place += 1;
        }
        Ok(false)
    }

    /// Moves over a value, and returns it without the space around it.
    pub(crate) fn value(&mut self) -> Result<&'a str, Malformed> {
        let start = self.at;
        let mut open = 0usize;
        loop {
            match self.peek().ok_or(Malformed)? {
                b'"' => self.string()?,
                b'{' | b'[' => {
                    open += 1;
                    self.at += 1;
                }
                b'}' | b']' => {
                    open = open.checked_sub(1).ok_or(Malformed)?;
                    self.at += 1;
                }
                b',' | b':' | b' ' | b'\t' | b'\n' | b'\r' if open > 0 => self.at += 1,
                _ => self.word()?,
            }
            if open == 0 {
                return self.text.get(start..self.at).ok_or(Malformed);
            }
        }
    }

    fn string(&mut self) -> Result<(), Malformed> {
        if self.peek() != Some(b'"') {
            return Err(Malformed);
        }
        self.at += 1;
        loop {
            match self.peek().ok_or(Malformed)? {
                b'"' => break,
                b'\\' => self.at += 2,
                _ => self.at += 1,
            }
        }
        self.at += 1;
        Ok(())
    }

    fn word(&mut self) -> Result<(), Malformed> {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte)) {
            self.at += 1;
        }
        if self.at > start { Ok(()) } else { Err(Malformed) }
    }
}
