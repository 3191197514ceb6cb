//! Keys: what requests have in common or not, in CEL.

use std::borrow::Cow;
use std::fmt::{self, Display, Formatter};

use mainstay_machine::expression::{Answer, Formula, ParseError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::When;
use super::seen::{NAMES, Seen};

/// An expression in CEL over what is seen of a request, whose value is a text or a number: `client.network`, `request.headers['x-user']`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub struct KeyBy(Formula);

impl KeyBy {
    /// What the client's host has of addresses.
    pub fn client_network() -> Self {
        Self::try_from("client.network".to_owned()).expect("it is an expression")
    }

    /// The key of a request as text; none where the expression has no value for it.
    pub fn of<'a>(&'a self, request: &'a Seen<'_>) -> Option<Cow<'a, str>> {
        self.0.answer(request, &mut { When::STEPS_MAX }).ok().and_then(Answer::into_text)
    }
}

impl TryFrom<String> for KeyBy {
    type Error = ParseError;

    fn try_from(source: String) -> Result<Self, ParseError> {
        Formula::parse(&source, &NAMES).map(Self)
    }
}

impl From<KeyBy> for String {
    fn from(key: KeyBy) -> Self {
        key.0.source().to_owned()
    }
}

impl Display for KeyBy {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.source())
    }
}
