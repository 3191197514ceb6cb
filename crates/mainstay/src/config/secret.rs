//! Reading what the references of secrets lead to. No message holds any of it.

use std::path::Path;

use mainstay_base::units::Size;

use super::file;
use super::request::{Request, Variable};
use super::value::Reference;

/// A secret is a line of text or a key; a larger file is a mistake.
const FILE_MAX: Size = Size::from_kib(64);

/// What a secret must be like to be of use.
#[derive(Debug, Clone, Copy)]
pub struct Rule {
    /// A shorter one can be guessed.
    pub chars_min: usize,
    /// Which characters can be sent where it is used.
    pub allowed: fn(char) -> bool,
    /// The same in words, completing "use ...".
    pub allowed_words: &'static str,
}

impl Rule {
    /// A secret that is sent in an HTTP header, as one word.
    pub const fn header(chars_min: usize) -> Self {
        Self {
            chars_min,
            allowed: |it| it.is_ascii_graphic(),
            allowed_words: "visible ASCII characters without spaces",
        }
    }

    /// A secret of many lines that its user checks, such as a private key.
    pub const fn document() -> Self {
        Self { chars_min: 0, allowed: |_| true, allowed_words: "text" }
    }
}

/// The value at a reference without the line breaks at its end, or what is wrong and what to do.
pub fn read(reference: &Reference, request: &Request, rule: Rule) -> Result<String, (String, String)> {
    let value = match reference {
        Reference::Environment(name) => variable(request, name)?,
        Reference::File(path) => from_file(path)?,
    };
    let value = value.trim_end_matches(['\r', '\n']);
    if let Some(at) = value.chars().position(|it| !(rule.allowed)(it)) {
        let message = format!("character {} of the secret at {reference} cannot be sent", at + 1);
        return Err((message, format!("use {}", rule.allowed_words)));
    }
    let (chars, chars_min) = (value.chars().count(), rule.chars_min);
    if chars < chars_min {
        let message =
            format!("the secret at {reference} has {chars} characters, at least {chars_min} are needed");
        return Err((message, "for example: `openssl rand -hex 32`".into()));
    }
    Ok(value.to_owned())
}

fn variable(request: &Request, name: &str) -> Result<String, (String, String)> {
    let problem = match request.variable(name) {
        Variable::Text(text) => return Ok(text.to_owned()),
        Variable::NotSet => "is not set",
        Variable::Empty => "is empty",
        Variable::NotText => "is not UTF-8",
    };
    let help = format!("export {name} for the process that starts Mainstay");
    Err((format!("the variable {name} {problem}"), help))
}

fn from_file(path: &Path) -> Result<String, (String, String)> {
    file::read(path, FILE_MAX).map_err(|problem| {
        let help = match problem {
            file::Problem::Unreadable(_) => {
                "relative paths start from the directory of the configuration file"
            }
            _ => "name a file that holds the secret and nothing else",
        };
        (format!("{} {problem}", path.display()), help.to_owned())
    })
}
