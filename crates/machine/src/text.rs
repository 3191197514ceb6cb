//! Text from anyone, as an error message shows it; and numbers as headers of answers have them.

/// The text quoted, and cut when it is long.
pub(crate) fn shown(text: &str) -> String {
    const SHOWN_CHARS_MAX: usize = 80;
    match text.char_indices().nth(SHOWN_CHARS_MAX) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}

/// A short text with numbers in lower-case hexadecimal. Every answer has several, and formatting them one by one costs more than
/// all else about them.
pub(crate) struct Hex {
    bytes: [u8; Hex::BYTES],
    length: usize,
}

impl Default for Hex {
    fn default() -> Self {
        Self { bytes: [0; Self::BYTES], length: 0 }
    }
}

impl Hex {
    /// Three numbers and what is between them.
    const BYTES: usize = 56;

    /// Adds an ASCII character.
    pub(crate) fn push(&mut self, character: u8) {
        debug_assert!(character.is_ascii(), "a text is UTF-8");
        self.bytes[self.length] = character;
        self.length += 1;
    }

    /// Adds a number without leading zeros.
    pub(crate) fn push_number(&mut self, number: u64) {
        let digits = (u64::BITS - number.leading_zeros()).div_ceil(4).max(1);
        for place in (0..digits).rev() {
            let digit = number >> (4 * place) & 0xf;
            self.push(b"0123456789abcdef"[digit as usize]);
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        str::from_utf8(&self.bytes[..self.length]).expect("it has ASCII only")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_the_standard_library_does() {
        for number in [0, 1, 9, 10, 15, 16, 0xff, 0x100, 0x1234_5678_9abc_def0, u64::MAX - 1, u64::MAX] {
            let mut text = Hex::default();
            text.push(b'.');
            text.push_number(number);
            text.push_number(u64::MAX);
            assert_eq!(text.as_str(), format!(".{number:x}{:x}", u64::MAX));
        }
    }
}
