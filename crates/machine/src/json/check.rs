//! The grammar of RFC 8259, to the letter, and what is refused beyond it.

use std::borrow::Cow;

use super::{DEPTH_MAX, Error, unescape};

/// Checks that the bytes are one JSON text with nothing but white space around it. Errors: [`Error`].
///
/// Cost: one pass; it allocates for the names of open objects only.
pub fn check(bytes: &[u8]) -> Result<(), Error> {
    let text = str::from_utf8(bytes).map_err(|error| Error::Encoding { at: error.valid_up_to() })?;
    let mut check = Check { text, bytes, at: 0, names: Vec::new() };
    check.space();
    check.value(0)?;
    check.space();
    if check.at == bytes.len() { Ok(()) } else { Err(check.expected("the end")) }
}

struct Check<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    /// The names of all open objects, those of the innermost last.
    names: Vec<Cow<'a, str>>,
}

impl<'a> Check<'a> {
    fn expected(&self, expected: &'static str) -> Error {
        Error::Syntax { at: self.at, expected }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    fn value(&mut self, depth: usize) -> Result<(), Error> {
        match self.peek() {
            Some(b'{' | b'[') if depth == DEPTH_MAX => Err(Error::TooDeep { at: self.at }),
            Some(b'{') => self.object(depth + 1),
            Some(b'[') => self.array(depth + 1),
            Some(b'"') => self.string().map(drop),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.word("true"),
            Some(b'f') => self.word("false"),
            Some(b'n') => self.word("null"),
            _ => Err(self.expected("a value")),
        }
    }

    fn word(&mut self, word: &'static str) -> Result<(), Error> {
        if !self.bytes[self.at..].starts_with(word.as_bytes()) {
            return Err(self.expected("true, false or null"));
        }
        self.at += word.len();
        Ok(())
    }

    fn array(&mut self, depth: usize) -> Result<(), Error> {
        self.at += 1;
        self.space();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(());
        }
        loop {
            self.value(depth)?;
            self.space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => break,
                _ => return Err(self.expected("a comma or the end of the array")),
            }
            self.space();
        }
        self.at += 1;
        Ok(())
    }

    fn object(&mut self, depth: usize) -> Result<(), Error> {
        let outer = self.names.len();
        self.at += 1;
        self.space();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(());
        }
        loop {
            if self.peek() != Some(b'"') {
                return Err(self.expected("a name in quotes"));
            }
            let name = self.string()?;
            self.names.push(name);
            self.space();
            if self.peek() != Some(b':') {
                return Err(self.expected("a colon"));
            }
            self.at += 1;
            self.space();
            self.value(depth)?;
            self.space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => break,
                _ => return Err(self.expected("a comma or the end of the object")),
            }
            self.space();
        }
        self.at += 1;
        self.check_names(outer)?;
        self.names.truncate(outer);
        Ok(())
    }

    /// Checks that no two names from this place on are the same.
    fn check_names(&mut self, from: usize) -> Result<(), Error> {
        const COMPARED_WITH_EACH_OTHER_MAX: usize = 8;
        let names = &mut self.names[from..];
        let double = if names.len() <= COMPARED_WITH_EACH_OTHER_MAX {
            (1..names.len()).find(|place| names[..*place].contains(&names[*place]))
        } else {
            names.sort_unstable();
            (1..names.len()).find(|place| names[place - 1] == names[*place])
        };
        match double {
            Some(place) => Err(Error::Duplicate { name: names[place].to_string(), at: self.at }),
            None => Ok(()),
        }
    }

    fn string(&mut self) -> Result<Cow<'a, str>, Error> {
        self.at += 1;
        let start = self.at;
        let mut is_escaped = false;
        loop {
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') => {
                    is_escaped = true;
                    self.escape()?;
                }
                Some(0..0x20) => return Err(self.expected("no control character in a string: escape it")),
                Some(_) => self.at += 1,
                None => return Err(self.expected("the end of the string")),
            }
        }
        let raw = &self.text[start..self.at];
        self.at += 1;
        Ok(if is_escaped { unescape(raw).expect("its escapes were checked") } else { Cow::Borrowed(raw) })
    }

    fn escape(&mut self) -> Result<(), Error> {
        let start = self.at;
        self.at += 2;
        match self.bytes.get(start + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(()),
            Some(b'u') => match self.unit()? {
                0xd800..0xdc00 => {
                    let has_low = self.bytes[self.at..].starts_with(b"\\u");
                    self.at += 2;
                    if has_low && (0xdc00..0xe000).contains(&self.unit()?) {
                        Ok(())
                    } else {
                        Err(Error::Surrogate { at: start })
                    }
                }
                0xdc00..0xe000 => Err(Error::Surrogate { at: start }),
                _ => Ok(()),
            },
            _ => {
                self.at = start;
                Err(self.expected("an escape that JSON has"))
            }
        }
    }

    fn unit(&mut self) -> Result<u16, Error> {
        let mut unit = 0;
        for _ in 0..4 {
            let digit = self.peek().and_then(|byte| char::from(byte).to_digit(16));
            let digit = digit.ok_or_else(|| self.expected("four hexadecimal digits"))?;
            unit = unit << 4 | u16::try_from(digit).expect("a digit is below 16");
            self.at += 1;
        }
        Ok(unit)
    }

    fn number(&mut self) -> Result<(), Error> {
        self.at += usize::from(self.peek() == Some(b'-'));
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            self.at += usize::from(matches!(self.peek(), Some(b'+' | b'-')));
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), Error> {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        if self.at > start { Ok(()) } else { Err(self.expected("a digit")) }
    }
}
