//! Names of methods and headers.

use std::fmt::{self, Display, Formatter};

use http::{HeaderName, Method};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A method, in upper case, such as `GET`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub struct MethodName(Method);

/// The name of a header, such as `x-user`. Upper case is the same as lower case.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub struct FieldName(Box<str>);

/// A text that is not a name of HTTP.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WordError {
    /// It is no method.
    #[error("{0:?} is not a method: write one in upper case, such as GET")]
    Method(String),
    /// It is a method that takes no path.
    #[error("CONNECT asks for no path, and no route takes it: leave it out")]
    Connect,
    /// It is no name of a header.
    #[error("{0:?} is not the name of a header: write letters, digits and dashes, such as x-user")]
    Field(String),
}

impl MethodName {
    /// The method.
    pub fn method(&self) -> &Method {
        &self.0
    }
}

impl FieldName {
    /// The name in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for MethodName {
    type Error = WordError;

    fn try_from(text: String) -> Result<Self, WordError> {
        match Method::from_bytes(text.as_bytes()) {
            Ok(Method::CONNECT) => Err(WordError::Connect),
            Ok(method) if !text.bytes().any(|byte| byte.is_ascii_lowercase()) => Ok(Self(method)),
            _ => Err(WordError::Method(text)),
        }
    }
}

impl TryFrom<String> for FieldName {
    type Error = WordError;

    fn try_from(text: String) -> Result<Self, WordError> {
        match HeaderName::from_bytes(text.as_bytes()) {
            Ok(name) => Ok(Self(name.as_str().into())),
            Err(_) => Err(WordError::Field(text)),
        }
    }
}

impl From<MethodName> for String {
    fn from(name: MethodName) -> Self {
        name.0.as_str().to_owned()
    }
}

impl From<FieldName> for String {
    fn from(name: FieldName) -> Self {
        name.0.into()
    }
}

impl Display for MethodName {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str())
    }
}

impl Display for FieldName {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
