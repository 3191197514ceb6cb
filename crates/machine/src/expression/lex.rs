//! The words of an expression.

use super::ParseError;

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    Name(String),
    Int(u64),
    Uint(u64),
    Double(f64),
    Text(String),
    /// An operator or a bracket.
    Sign(&'static str),
    End,
}

/// Longer ones first.
const SIGNS: [&str; 26] = [
    "&&", "||", "==", "!=", "<=", ">=", "<", ">", "+", "-", "*", "/", "%", "!", "?", ":", ".", ",", "(", ")",
    "[", "]", "{", "}", "=", "`",
];

/// The words with their places, the last of them [`Token::End`].
pub(super) fn tokens(source: &str) -> Result<Vec<(usize, Token)>, ParseError> {
    let mut lexer = Lexer { source, at: 0 };
    let mut tokens = Vec::new();
    loop {
        lexer.skip_space();
        let at = lexer.at;
        let token = lexer.next()?;
        let is_end = token == Token::End;
        tokens.push((at, token));
        if is_end {
            return Ok(tokens);
        }
    }
}

struct Lexer<'a> {
    source: &'a str,
    at: usize,
}

pub(super) fn error(at: usize, reason: impl Into<String>) -> ParseError {
    ParseError { at, reason: reason.into() }
}

impl Lexer<'_> {
    fn rest(&self) -> &str {
        &self.source[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn skip_space(&mut self) {
        loop {
            let rest = self.rest();
            if rest.starts_with("//") {
                self.at += rest.find('\n').unwrap_or(rest.len());
            } else if rest.starts_with([' ', '\t', '\n', '\r', '\u{c}']) {
                self.at += 1;
            } else {
                return;
            }
        }
    }

    fn next(&mut self) -> Result<Token, ParseError> {
        let Some(first) = self.peek() else { return Ok(Token::End) };
        let is_number = first.is_ascii_digit()
            || first == '.' && self.rest()[1..].starts_with(|c: char| c.is_ascii_digit());
        if is_number {
            return self.number();
        }
        if first.is_ascii_alphabetic() || first == '_' {
            return self.name_or_text();
        }
        if first == '"' || first == '\'' {
            return self.text(false).map(Token::Text);
        }
        match SIGNS.into_iter().find(|sign| self.rest().starts_with(sign)) {
            Some("`") => Err(error(self.at, "names in backticks are not supported: write [\"name\"]")),
            Some(sign) => {
                self.at += sign.len();
                Ok(Token::Sign(sign))
            }
            None => Err(error(self.at, format!("there is no operator {first:?}"))),
        }
    }

    fn name_or_text(&mut self) -> Result<Token, ParseError> {
        let rest = self.rest();
        let length = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(rest.len());
        let name = rest[..length].to_owned();
        let is_prefix = rest[length..].starts_with(['"', '\'']);
        match name.to_ascii_lowercase().as_str() {
            "r" if is_prefix => {
                self.at += length;
                self.text(true).map(Token::Text)
            }
            "b" | "br" | "rb" if is_prefix => {
                Err(error(self.at, "literals of bytes are not supported: JSON has none"))
            }
            _ => {
                self.at += length;
                Ok(Token::Name(name))
            }
        }
    }

    fn number(&mut self) -> Result<Token, ParseError> {
        let (start, rest) = (self.at, self.rest());
        let digits = |text: &str| text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (length, radix) = match rest.strip_prefix("0x").or_else(|| rest.strip_prefix("0X")) {
            Some(hex) => (2 + hex.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(hex.len()), 16),
            None => (digits(rest), 10),
        };
        let mut end = length;
        let mut is_double = false;
        if radix == 10 {
            let fraction = rest[end..].strip_prefix('.').map_or(0, digits);
            if fraction > 0 {
                is_double = true;
                end += 1 + fraction;
            }
            if let Some(exponent) = rest[end..].strip_prefix(['e', 'E']) {
                let sign = usize::from(exponent.starts_with(['+', '-']));
                let exponent = digits(&exponent[sign..]);
                if exponent > 0 {
                    is_double = true;
                    end += 1 + sign + exponent;
                }
            }
        }
        let text = &rest[..end];
        let is_unsigned = !is_double && rest[end..].starts_with(['u', 'U']);
        let taken = end + usize::from(is_unsigned);
        if rest[taken..].starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_') {
            return Err(error(
                start,
                "a number ends where a name begins: put a space or an operator between",
            ));
        }
        let token = if is_double {
            let number: f64 = text.parse().map_err(|_| error(start, "this is not a number"))?;
            number.is_finite().then_some(Token::Double(number))
        } else {
            let digits = if radix == 16 { &text[2..] } else { text };
            let number = u64::from_str_radix(digits, radix).ok();
            number.map(if is_unsigned { Token::Uint } else { Token::Int })
        };
        self.at += taken;
        token.ok_or_else(|| error(start, "the number is out of range"))
    }

    fn text(&mut self, is_raw: bool) -> Result<String, ParseError> {
        let start = self.at;
        let quote = ["\"\"\"", "'''", "\"", "'"].into_iter().find(|quote| self.rest().starts_with(quote));
        let quote = quote.expect("a text begins with a quote");
        self.at += quote.len();
        let mut text = String::new();
        loop {
            if self.rest().starts_with(quote) {
                self.at += quote.len();
                return Ok(text);
            }
            match self.peek() {
                None => return Err(error(start, "the text has no end: close the quotes")),
                Some('\n' | '\r') if quote.len() == 1 => {
                    return Err(error(self.at, "a line ends within quotes: write \\n"));
                }
                Some('\\') if !is_raw => text.push(self.escape()?),
                Some(c) => {
                    text.push(c);
                    self.at += c.len_utf8();
                }
            }
        }
    }

    fn escape(&mut self) -> Result<char, ParseError> {
        let start = self.at;
        let wrong = || error(start, "there is no such escape: write \\\\ for a backslash");
        let kind = self.rest()[1..].chars().next().ok_or_else(wrong)?;
        self.at += 1 + kind.len_utf8();
        let (length, radix) = match kind {
            'a' => return Ok('\u{7}'),
            'b' => return Ok('\u{8}'),
            'f' => return Ok('\u{c}'),
            'n' => return Ok('\n'),
            'r' => return Ok('\r'),
            't' => return Ok('\t'),
            'v' => return Ok('\u{b}'),
            '\\' | '?' | '"' | '\'' | '`' => return Ok(kind),
            'x' | 'X' => (2, 16),
            'u' => (4, 16),
            'U' => (8, 16),
            '0'..='3' => {
                self.at -= 1;
                (3, 8)
            }
            _ => return Err(wrong()),
        };
        let digits = self.rest().get(..length).ok_or_else(wrong)?;
        let is_whole = digits.chars().all(|c| c.is_digit(radix));
        let number = u32::from_str_radix(digits, radix).ok().filter(|_| is_whole);
        let found = number.and_then(char::from_u32).ok_or_else(wrong)?;
        self.at += length;
        Ok(found)
    }
}
