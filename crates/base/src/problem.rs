//! The problem document that every failed request is answered with (RFC 9457).
//!
//! A problem is a [`Code`], a detail for people and facts for programs; everything else in the document
//! follows from the code. A fact never overwrites a standard member.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::{Classify, Code, Retry};
use crate::id::RequestId;
use crate::units::Duration;

/// An RFC 9457 problem document.
///
/// Members: `type` (`urn:mainstay:problem:<code>`), `title`, `status`, `detail`, `code`, `retry`,
/// `retry_after` (a [`Duration`] as text, such as `"1.5s"`; present exactly when `retry` is `after`),
/// `request_id` when known, and the facts.
///
/// Reading a document takes `type`, `title` and `status` from its code, whatever it says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Document", into = "Document")]
pub struct Problem {
    code: Code,
    detail: String,
    retry: Retry,
    request_id: Option<RequestId>,
    /// Holds none of [`Problem::STANDARD_MEMBERS`].
    facts: BTreeMap<String, Value>,
}

impl Problem {
    /// The media type of the document.
    pub const CONTENT_TYPE: &'static str = "application/problem+json";

    /// The members that no fact may be named after.
    pub const STANDARD_MEMBERS: [&'static str; 9] =
        ["type", "title", "status", "detail", "instance", "code", "retry", "retry_after", "request_id"];

    /// A problem with the code's own retry. The detail names the thing, the limit and what to do.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into(), retry: code.retry(), request_id: None, facts: BTreeMap::new() }
    }

    /// The problem that an error amounts to, with the error's message as its detail.
    pub fn of(error: &(impl Classify + Display)) -> Self {
        Self::new(error.code(), error.to_string()).retry_with(error.retry())
    }

    /// Adds a fact. Panics when the name is a standard member's: that is a defect of the caller.
    #[must_use]
    pub fn fact(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        let name = name.into();
        assert!(
            !Self::STANDARD_MEMBERS.contains(&name.as_str()),
            "a fact would overwrite the member {name:?}"
        );
        self.facts.insert(name, value.into());
        self
    }

    /// Replaces the code's own retry.
    #[must_use]
    pub fn retry_with(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// Names the request that failed, so that the logs can be found.
    #[must_use]
    pub fn request(mut self, id: RequestId) -> Self {
        self.request_id = Some(id);
        self
    }

    /// What went wrong.
    pub fn code(&self) -> Code {
        self.code
    }

    /// The HTTP status code to answer with.
    pub fn status(&self) -> u16 {
        self.code.status()
    }

    /// The explanation for people.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// Whether the same request may be sent again.
    pub fn retry(&self) -> Retry {
        self.retry
    }

    /// The request that failed.
    pub fn request_id(&self) -> Option<RequestId> {
        self.request_id
    }

    /// The facts by name.
    pub fn facts(&self) -> &BTreeMap<String, Value> {
        &self.facts
    }
}

impl Display for Problem {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.detail)
    }
}

impl std::error::Error for Problem {}

impl JsonSchema for Problem {
    fn schema_name() -> Cow<'static, str> {
        "Problem".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        Document::json_schema(generator)
    }
}

/// What went wrong, and whether the same request may be sent again (RFC 9457).
#[derive(Serialize, Deserialize, JsonSchema)]
struct Document {
    /// `urn:mainstay:problem:<code>`
    r#type: String,
    /// One line, the same for every problem of this code.
    title: String,
    /// The HTTP status code.
    status: u16,
    /// What happened here: the thing, the limit and what to do.
    detail: String,
    /// What went wrong.
    code: Code,
    /// Whether the same request may be sent again.
    retry: RetryWord,
    /// How long to wait first; present exactly when `retry` is `after`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    retry_after: Option<Duration>,
    /// The request that failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    request_id: Option<RequestId>,
    /// Facts for programs, such as the limit that was passed.
    #[serde(flatten)]
    facts: BTreeMap<String, Value>,
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum RetryWord {
    Never,
    Safe,
    WithIdempotencyKey,
    After,
}

impl From<Problem> for Document {
    fn from(problem: Problem) -> Self {
        let Problem { code, detail, retry, request_id, facts } = problem;
        let word = match retry {
            Retry::Never => RetryWord::Never,
            Retry::Safe => RetryWord::Safe,
            Retry::WithIdempotencyKey => RetryWord::WithIdempotencyKey,
            Retry::After(_) => RetryWord::After,
        };
        Self {
            r#type: format!("urn:mainstay:problem:{code}"),
            title: code.title().to_owned(),
            status: code.status(),
            detail,
            code,
            retry: word,
            retry_after: retry.after(),
            request_id,
            facts,
        }
    }
}

impl TryFrom<Document> for Problem {
    type Error = &'static str;

    fn try_from(document: Document) -> Result<Self, &'static str> {
        let Document { detail, code, retry, retry_after, request_id, mut facts, .. } = document;
        let retry = match (retry, retry_after) {
            (RetryWord::Never, None) => Retry::Never,
            (RetryWord::Safe, None) => Retry::Safe,
            (RetryWord::WithIdempotencyKey, None) => Retry::WithIdempotencyKey,
            (RetryWord::After, Some(delay)) => Retry::After(delay),
            _ => return Err("`retry_after` must be present exactly when `retry` is `after`"),
        };
        facts.remove("instance");
        Ok(Self { code, detail, retry, request_id, facts })
    }
}

#[cfg(test)]
mod tests;
