//! What the outside contributes to a configuration.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

/// What a configuration is loaded from. Holds everything that the outside contributes, so that a load is a
/// function of this and of the files it names.
#[derive(Clone, Default)]
pub struct Request {
    /// The file; `None` reads `mainstay.yaml` if there is one.
    pub file: Option<PathBuf>,
    /// The environment; `None` leaves it to `MAINSTAY_ENV`.
    pub env: Option<String>,
    /// `a.b=value` assignments, in order.
    pub sets: Vec<String>,
    /// The process's environment variables, names and values as the system has them.
    pub variables: Vec<(OsString, OsString)>,
    /// The directory that relative paths start from; files keep their own.
    pub directory: PathBuf,
}

/// What an environment variable holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Variable<'a> {
    /// There is none of this name.
    NotSet,
    /// The empty text.
    Empty,
    /// Bytes that are no text.
    NotText,
    /// Text of at least one character.
    Text(&'a str),
}

impl Request {
    /// A request for `file` with this process's environment and working directory.
    pub fn from_process(file: Option<PathBuf>, env: Option<String>, sets: Vec<String>) -> Self {
        let mut variables: Vec<_> = std::env::vars_os().collect();
        // One order whatever the system's, so that the same variables always mean the same.
        variables.sort();
        Self { file, env, sets, variables, directory: PathBuf::from(".") }
    }

    /// The environment variable `name`.
    pub fn variable(&self, name: &str) -> Variable<'_> {
        match self.variables.iter().find(|(key, _)| key == name).map(|(_, value)| value.to_str()) {
            None => Variable::NotSet,
            Some(None) => Variable::NotText,
            Some(Some("")) => Variable::Empty,
            Some(Some(text)) => Variable::Text(text),
        }
    }
}

/// Without values, any of which may be a secret.
impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Request");
        shown.field("file", &self.file).field("env", &self.env).field("directory", &self.directory);
        shown.finish_non_exhaustive()
    }
}
