//! Conditions in CEL.

use std::fmt::{self, Display, Formatter};

use mainstay_machine::expression::{Error, Formula, ParseError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::seen::{NAMES, Seen};

/// A condition in CEL over what is seen of a request, such as `request.method == 'GET' && !('x-user' in request.headers)`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub struct When(Formula);

impl When {
    /// What one evaluation may cost at most, in the steps of expressions: twenty operators on a cookie of 4 KiB take 150, and a thousand end before other requests
    /// notice.
    pub const STEPS_MAX: u64 = 1_000;

    /// The condition as it was written.
    pub fn source(&self) -> &str {
        self.0.source()
    }

    /// Whether it holds. Errors: it has no result for this request.
    pub fn holds(&self, request: &Seen<'_>) -> Result<bool, Error> {
        self.0.holds(request, &mut { Self::STEPS_MAX })
    }
}

impl TryFrom<String> for When {
    type Error = ParseError;

    fn try_from(source: String) -> Result<Self, ParseError> {
        Formula::parse(&source, &NAMES).map(Self)
    }
}

impl From<When> for String {
    fn from(when: When) -> Self {
        when.source().to_owned()
    }
}

impl Display for When {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(self.source())
    }
}
