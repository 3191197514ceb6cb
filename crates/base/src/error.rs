//! What can go wrong, as a closed list: each code's title, HTTP number, fault and default retry.
//!
//! Errors of every room classify themselves by [`Classify`]. The table is the only place that relates a code
//! to a number; the API and the gateway both read it, so that the same failure has the same face everywhere.

use std::fmt::{self, Display, Formatter};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::units::Duration;

/// An error that says what it is, whose fault it is and whether a repetition is safe.
pub trait Classify {
    /// What went wrong.
    fn code(&self) -> Code;

    /// Whose fault it is: the code's own unless the error knows better.
    fn fault(&self) -> Fault {
        self.code().fault()
    }

    /// Whether the same request may be sent again: the code's own unless the error knows better.
    fn retry(&self) -> Retry {
        self.code().retry()
    }
}

/// An error that there never is, as of services that always answer.
impl Classify for std::convert::Infallible {
    fn code(&self) -> Code {
        match *self {}
    }
}

/// What went wrong. A closed list: every problem that Mainstay answers carries one of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// The request could not be read: bad syntax or framing.
    Malformed,
    /// Who is calling is not known.
    Unauthenticated,
    /// The caller may not do this.
    Forbidden,
    /// There is nothing by this name.
    NotFound,
    /// The resource exists but does not have this method.
    MethodNotAllowed,
    /// None of the forms that the caller accepts can be made.
    NotAcceptable,
    /// The request did not arrive completely in time.
    RequestTimeout,
    /// The request contradicts the present state.
    Conflict,
    /// The definition belongs to the configuration file and can only be changed there.
    OwnedByFile,
    /// An earlier request with the same idempotency key is still running.
    InFlight,
    /// What was asked for existed, and is no longer kept.
    Gone,
    /// A condition of the request does not hold.
    ConditionFailed,
    /// The body is larger than the limit.
    TooLarge,
    /// The request's target is longer than the limit.
    UriTooLong,
    /// The body's content type is not one that the resource takes.
    UnsupportedMediaType,
    /// The request was sent to a host that this listener does not serve.
    Misdirected,
    /// The request can be read, but a value in it is not allowed.
    Invalid,
    /// An operation belongs to another partition than its commit.
    PartitionMismatch,
    /// The idempotency key was used before, with another request.
    IdempotencyMismatch,
    /// Another holder has the lock.
    Locked,
    /// The request must carry a condition.
    PreconditionRequired,
    /// The caller sent more than its rate allows.
    RateLimited,
    /// The header section is larger than the limit.
    HeadersTooLarge,
    /// A defect in Mainstay.
    Internal,
    /// The upstream failed or gave an answer that cannot be passed on.
    BadGateway,
    /// What is needed cannot be reached now.
    Unavailable,
    /// Refused without being begun, to keep the rest of the work healthy.
    Overloaded,
    /// The time allowed for the request ran out.
    Deadline,
    /// The change may or may not have been made.
    OutcomeUnknown,
    /// The disk, or the space kept for this, is full.
    StorageFull,
    /// The tenant's quota of storage is used up.
    QuotaExceeded,
    /// The request has passed here too often: it is sent round in a ring.
    LoopDetected,
}

/// Who can mend it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// Whoever sent the request.
    Caller,
    /// Mainstay, or the machine that it runs on.
    Us,
    /// A service, engine or node that Mainstay talks to.
    Peer,
}

/// Whether the same request may be sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Retry {
    /// It would fail in the same way: something has to change first.
    Never,
    /// At any time: nothing was done.
    Safe,
    /// Only with the idempotency key that it was first sent with: it may have been done.
    WithIdempotencyKey,
    /// Nothing was done; it is of use only after this long.
    After(Duration),
}

impl Code {
    /// Every code, in the order of HTTP numbers.
    pub const ALL: [Self; 32] = [
        Self::Malformed,
        Self::Unauthenticated,
        Self::Forbidden,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::NotAcceptable,
        Self::RequestTimeout,
        Self::Conflict,
        Self::OwnedByFile,
        Self::InFlight,
        Self::Gone,
        Self::ConditionFailed,
        Self::TooLarge,
        Self::UriTooLong,
        Self::UnsupportedMediaType,
        Self::Misdirected,
        Self::Invalid,
        Self::PartitionMismatch,
        Self::IdempotencyMismatch,
        Self::Locked,
        Self::PreconditionRequired,
        Self::RateLimited,
        Self::HeadersTooLarge,
        Self::Internal,
        Self::BadGateway,
        Self::Unavailable,
        Self::Overloaded,
        Self::Deadline,
        Self::OutcomeUnknown,
        Self::StorageFull,
        Self::QuotaExceeded,
        Self::LoopDetected,
    ];

    /// The code as it is written on the wire: snake case.
    pub const fn as_str(self) -> &'static str {
        self.row().0
    }

    /// The HTTP status code that answers with this code carry.
    pub const fn status(self) -> u16 {
        self.row().1
    }

    /// One line for people, the same for every problem of this code.
    pub const fn title(self) -> &'static str {
        self.row().2
    }

    /// Whose fault it is unless the error knows better.
    pub const fn fault(self) -> Fault {
        self.row().3
    }

    /// Whether the same request may be sent again unless the error knows better.
    pub const fn retry(self) -> Retry {
        self.row().4
    }

    /// The one table: wire word, HTTP status, title, fault, retry.
    #[rustfmt::skip]
    const fn row(self) -> (&'static str, u16, &'static str, Fault, Retry) {
        use Fault::{Caller, Peer, Us};
        use Retry::{Never, Safe, WithIdempotencyKey};
        const SOON: Retry = Retry::After(Duration::from_secs(1));
        match self {
            Self::Malformed => ("malformed", 400, "The request cannot be read", Caller, Never),
            Self::Unauthenticated => ("unauthenticated", 401, "The caller is not known", Caller, Never),
            Self::Forbidden => ("forbidden", 403, "The caller may not do this", Caller, Never),
            Self::NotFound => ("not_found", 404, "There is nothing by this name", Caller, Never),
            Self::MethodNotAllowed => ("method_not_allowed", 405, "The resource does not have this method", Caller, Never),
            Self::NotAcceptable => ("not_acceptable", 406, "No accepted form can be made", Caller, Never),
            Self::RequestTimeout => ("request_timeout", 408, "The request did not arrive in time", Caller, Safe),
            Self::Conflict => ("conflict", 409, "The request contradicts the present state", Caller, Never),
            Self::OwnedByFile => ("owned_by_file", 409, "The configuration file owns this", Caller, Never),
            Self::InFlight => ("in_flight", 409, "The same request is still running", Caller, SOON),
            Self::Gone => ("gone", 410, "It is no longer kept", Caller, Never),
            Self::ConditionFailed => ("condition_failed", 412, "A condition does not hold", Caller, Never),
            Self::TooLarge => ("too_large", 413, "The body is too large", Caller, Never),
            Self::UriTooLong => ("uri_too_long", 414, "The request's target is too long", Caller, Never),
            Self::UnsupportedMediaType => ("unsupported_media_type", 415, "The content type is not supported", Caller, Never),
            Self::Misdirected => ("misdirected", 421, "This listener does not serve that host", Caller, Never),
            Self::Invalid => ("invalid", 422, "A value is not allowed", Caller, Never),
            Self::PartitionMismatch => ("partition_mismatch", 422, "An operation belongs to another partition", Caller, Never),
            Self::IdempotencyMismatch => ("idempotency_mismatch", 422, "The idempotency key belongs to another request", Caller, Never),
            Self::Locked => ("locked", 423, "Another holder has the lock", Caller, SOON),
            Self::PreconditionRequired => ("precondition_required", 428, "The request must carry a condition", Caller, Never),
            Self::RateLimited => ("rate_limited", 429, "The caller sent too many requests", Caller, SOON),
            Self::HeadersTooLarge => ("headers_too_large", 431, "The header section is too large", Caller, Never),
            Self::Internal => ("internal", 500, "A defect in Mainstay", Us, WithIdempotencyKey),
            Self::BadGateway => ("bad_gateway", 502, "The upstream gave no usable answer", Peer, WithIdempotencyKey),
            Self::Unavailable => ("unavailable", 503, "What is needed cannot be reached now", Us, SOON),
            Self::Overloaded => ("overloaded", 503, "There is too much work", Us, SOON),
            Self::Deadline => ("deadline", 504, "The time allowed ran out", Us, WithIdempotencyKey),
            Self::OutcomeUnknown => ("outcome_unknown", 504, "The change may or may not have been made", Us, WithIdempotencyKey),
            Self::StorageFull => ("storage_full", 507, "The storage is full", Us, Never),
            Self::QuotaExceeded => ("quota_exceeded", 507, "The quota is used up", Caller, Never),
            Self::LoopDetected => ("loop_detected", 508, "The request goes round in a ring", Us, Never),
        }
    }
}

impl Display for Code {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Retry {
    /// The retry as it is written on the wire, without its delay.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Never => "never",
            Self::Safe => "safe",
            Self::WithIdempotencyKey => "with_idempotency_key",
            Self::After(_) => "after",
        }
    }

    /// How long to wait first; none unless it is [`Retry::After`].
    pub const fn after(self) -> Option<Duration> {
        match self {
            Self::After(delay) => Some(delay),
            Self::Never | Self::Safe | Self::WithIdempotencyKey => None,
        }
    }
}

impl Display for Retry {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests;
