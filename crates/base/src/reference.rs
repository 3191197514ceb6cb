//! What configurations refer to and do not hold: files, and secrets.
//!
//! A [`Secret`] holds a reference; its value appears nowhere but in [`Secret::expose`].

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// A path. A relative one starts from the directory of the file it is written in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilePath(PathBuf);

impl FilePath {
    /// The path as written.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// For the file calls.
    pub fn as_path(&self) -> &Path {
        &self.0
    }
}

impl fmt::Display for FilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.display().fmt(f)
    }
}

impl FromStr for FilePath {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "" => Err("the path is empty".into()),
            text if text.contains('\0') => Err("a path cannot hold a NUL character".into()),
            text => Ok(Self(text.into())),
        }
    }
}

/// Where a secret is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reference {
    /// `${env:NAME}`
    Environment(String),
    /// `${file:PATH}`, relative to the configuration file.
    File(PathBuf),
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Environment(name) => write!(f, "${{env:{name}}}"),
            Self::File(path) => write!(f, "${{file:{}}}", path.display()),
        }
    }
}

impl FromStr for Reference {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let inner = text.strip_prefix("${").and_then(|rest| rest.strip_suffix('}'));
        match inner.and_then(|inner| inner.split_once(':')) {
            Some(("env", name)) if !name.is_empty() && !name.contains(['=', '\0', '}']) => {
                Ok(Self::Environment(name.into()))
            }
            Some(("file", path)) if !path.is_empty() && !path.contains(['\0', '}']) => {
                Ok(Self::File(path.into()))
            }
            _ => Err("a secret is written by reference only, never itself".into()),
        }
    }
}

/// A secret: written as a reference, loaded once, never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    reference: Reference,
    /// `None` until loaded.
    value: Option<Box<str>>,
}

impl Secret {
    /// Where it is kept.
    pub fn reference(&self) -> &Reference {
        &self.reference
    }

    /// Sets the value that was found at the reference.
    pub fn load(&mut self, value: &str) {
        self.value = Some(value.into());
    }

    /// Whether it has its value.
    pub const fn is_loaded(&self) -> bool {
        self.value.is_some()
    }

    /// The value itself. Do not print it.
    ///
    /// # Panics
    /// If the secret was not loaded: a checked configuration has loaded every secret.
    pub fn expose(&self) -> &str {
        self.value.as_deref().expect("a checked configuration has loaded every secret")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.reference.fmt(f)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({})", self.reference)
    }
}

impl FromStr for Secret {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(Self { reference: text.parse()?, value: None })
    }
}

/// Serde as text, and a JSON Schema with a title that the checks of configurations recognise, for a type that displays what it parses from. The schema is a JSON object.
#[macro_export]
macro_rules! as_text {
    ($type:ident, $title:literal, $schema:tt) => {
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                <String as serde::Deserialize>::deserialize(deserializer)?
                    .parse()
                    .map_err(serde::de::Error::custom)
            }
        }

        impl schemars::JsonSchema for $type {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                $title.into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!($schema)
            }
        }
    };
}

as_text!(FilePath, "Path", {
    "type": "string",
    "title": "Path",
    "minLength": 1,
    "examples": ["./data", "/var/lib/mainstay"],
});
as_text!(Secret, "Secret", {
    "type": "string",
    "title": "Secret",
    "pattern": "^\\$\\{(env|file):[^}]+\\}$",
    "examples": ["${env:API_TOKEN}", "${file:secrets/token}"],
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_a_reference_and_prints_as_one() {
        let mut secret: Secret = "${env:TOKEN}".parse().expect("a reference");
        secret.load("hunter2");
        assert_eq!(secret.expose(), "hunter2");
        assert_eq!(format!("{secret} {secret:?}"), "${env:TOKEN} Secret(${env:TOKEN})");
        assert_eq!(serde_json::to_string(&secret).expect("text"), "\"${env:TOKEN}\"");
        for text in ["hunter2", "${env:}", "${vault:x}", "x${env:A}", "${env:A}${env:B}"] {
            let error = text.parse::<Secret>().expect_err(text);
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
