//! What a request's headers ask: by when, how fresh, under which idempotency key, as part of which trace.
//!
//! A header that cannot be read refuses the request, since what it asks would be silently left out. `traceparent` is the
//! exception: whoever cannot read it goes on without (W3C Trace Context, section 3.2.2).

use std::borrow::Cow;
use std::fmt::Display;

use axum::http::{HeaderMap, HeaderName};

use mainstay_base::error::Code;
use mainstay_base::problem::Problem;
use mainstay_base::time::{Clock, Instant};
use mainstay_base::units::Duration;
use mainstay_machine::command::{IdempotencyKey, TraceContext};
use mainstay_machine::position::EventId;
use mainstay_machine::shards::Consistency;

/// The key that makes a request safe to send again (draft-ietf-httpapi-idempotency-key-header).
///
/// A request whose key is that of one still under way waits behind it for its answer, where the draft has a 409.
pub const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// How fresh a reading must be; in answers, how fresh it is.
pub const CONSISTENCY: HeaderName = HeaderName::from_static("mainstay-consistency");
/// The position that a reading must show; in answers, the one that it shows.
pub const POSITION: HeaderName = HeaderName::from_static("mainstay-position");
/// How long the whole request may take.
pub const TIMEOUT: HeaderName = HeaderName::from_static("mainstay-timeout");
/// The same, as gRPC writes it.
pub const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// What a request's headers ask.
#[derive(Debug, Clone, PartialEq)]
pub struct Terms {
    /// When the answer is of no use any more, by the clock; none beyond its range, which never passes.
    pub deadline: Option<Instant>,
    /// How fresh a reading must be.
    pub consistency: Consistency,
    /// The key under which the outcome is kept.
    pub idempotency: Option<IdempotencyKey>,
    /// Where the request stands in a distributed trace.
    pub trace: Option<TraceContext>,
}

impl Terms {
    /// Reads the headers. Errors: [`Code::Malformed`] with the header's name and what is expected.
    ///
    /// A request that says nothing of its time has `timeout`.
    pub fn read(headers: &HeaderMap, clock: &dyn Clock, timeout: Duration) -> Result<Self, Problem> {
        // Most requests have none of these, and are spared six searches.
        if !headers.keys().any(is_of_terms) {
            let deadline = clock.now().checked_add(timeout);
            let consistency = Consistency::Linearizable;
            return Ok(Self { deadline, consistency, idempotency: None, trace: None });
        }
        Ok(Self {
            deadline: clock.now().checked_add(asked_timeout(headers)?.unwrap_or(timeout)),
            consistency: consistency(headers)?,
            idempotency: one(headers, &IDEMPOTENCY_KEY)?.map(idempotency_key).transpose()?,
            trace: one(headers, &TRACEPARENT).ok().flatten().and_then(trace_context),
        })
    }

    /// The time until the deadline; none without one.
    pub fn left(&self, clock: &dyn Clock) -> Option<Duration> {
        self.deadline.map(|deadline| deadline.saturating_since(clock.now()))
    }
}

/// Whether a header is one that is read here.
fn is_of_terms(name: &HeaderName) -> bool {
    let initial = name.as_str().as_bytes().first();
    matches!(initial, Some(b'g' | b'i' | b'm' | b't'))
        && [IDEMPOTENCY_KEY, CONSISTENCY, POSITION, TIMEOUT, GRPC_TIMEOUT, TRACEPARENT].contains(name)
}

/// The problem of a header that cannot be read.
pub(crate) fn wrong(name: &HeaderName, why: impl Display, expected: &str) -> Problem {
    let shown = shown_name(name);
    Problem::new(Code::Malformed, format!("the header `{shown}` {why}: send {expected}"))
        .fact("header", shown)
        .fact("expected", expected)
}

/// The value of a header that may stand once.
pub(crate) fn one<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<Option<&'h str>, Problem> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(wrong(name, "stands more than once", "it once"));
    }
    let text = value.to_str().map_err(|_| wrong(name, "is not visible ASCII", "visible ASCII"))?;
    Ok(Some(text.trim_matches([' ', '\t'])))
}

/// The name as people write it: `Mainstay-Timeout`.
fn shown_name(name: &HeaderName) -> String {
    let name = name.as_str();
    if name == GRPC_TIMEOUT.as_str() {
        return name.to_owned();
    }
    let capital = |word: &str| word[..1].to_ascii_uppercase() + &word[1..];
    name.split('-').map(capital).collect::<Vec<_>>().join("-")
}

fn asked_timeout(headers: &HeaderMap) -> Result<Option<Duration>, Problem> {
    const EXPECTED: &str = "a duration with its unit, such as `250ms`";
    let own = one(headers, &TIMEOUT)?
        .map(|text| text.parse::<Duration>().map_err(|error| wrong(&TIMEOUT, error, EXPECTED)))
        .transpose()?;
    let grpc = one(headers, &GRPC_TIMEOUT)?
        .map(|text| {
            let wrong = || wrong(&GRPC_TIMEOUT, "is no timeout", Duration::GRPC_EXPECTED);
            Duration::from_grpc(text).ok_or_else(wrong)
        })
        .transpose()?;
    Ok(own.into_iter().chain(grpc).min())
}

fn consistency(headers: &HeaderMap) -> Result<Consistency, Problem> {
    const EXPECTED: &str = "`linearizable`, `session`, `bounded=<duration>` or `eventual`";
    const EXPECTED_POSITION: &str =
        "a position as an earlier answer had it in `Mainstay-Position`, or an event's id";
    let position = one(headers, &POSITION)?
        .map(|text| text.parse::<EventId>().map_err(|error| wrong(&POSITION, error, EXPECTED_POSITION)))
        .transpose()?;
    Ok(match one(headers, &CONSISTENCY)? {
        None | Some("linearizable") => Consistency::Linearizable,
        Some("eventual") => Consistency::Eventual,
        Some("session") => {
            let missing = || wrong(&POSITION, "is missing, and `session` needs it", EXPECTED_POSITION);
            Consistency::Session(position.ok_or_else(missing)?.into_position())
        }
        Some(other) => {
            let bound = other.strip_prefix("bounded=").ok_or("is no level of consistency".to_owned());
            let bound =
                bound.and_then(|text| text.parse().map_err(|error| format!("has a wrong bound: {error}")));
            Consistency::Bounded(bound.map_err(|why| wrong(&CONSISTENCY, why, EXPECTED))?)
        }
    })
}

/// The key as a string of structured fields (RFC 9651, section 3.3.3), or without the quotes, as many send it.
fn idempotency_key(text: &str) -> Result<IdempotencyKey, Problem> {
    const EXPECTED: &str = "1 to 255 visible ASCII characters, such as a UUID, in double quotes or without";
    let refuse = |why: &str| wrong(&IDEMPOTENCY_KEY, why, EXPECTED);
    let key: Cow<'_, str> = match text.strip_prefix('"') {
        None if text.contains(['"', ',', ';']) => {
            return Err(refuse("has a quote, a comma or a semicolon outside of quotes"));
        }
        None => text.into(),
        Some(quoted) => unquoted(quoted).ok_or_else(|| refuse("is not one string in double quotes"))?.into(),
    };
    key.parse().map_err(|error| wrong(&IDEMPOTENCY_KEY, format!("has no key: {error}"), EXPECTED))
}

/// What stands before the closing quote, which must be the end.
fn unquoted(quoted: &str) -> Option<String> {
    let mut text = String::with_capacity(quoted.len());
    let mut rest = quoted.chars();
    loop {
        match rest.next()? {
            '"' => return rest.next().is_none().then_some(text),
            '\\' => text.push(rest.next().filter(|escaped| matches!(escaped, '"' | '\\'))?),
            other => text.push(other),
        }
    }
}

/// `version-trace_id-parent_id-flags`; later versions may have more after it (W3C Trace Context, section 3.2).
fn trace_context(text: &str) -> Option<TraceContext> {
    let mut parts = text.split('-');
    let version: [u8; 1] = hex(parts.next()?)?;
    let trace_id: [u8; 16] = hex(parts.next()?)?;
    let span_id: [u8; 8] = hex(parts.next()?)?;
    let [flags] = hex(parts.next()?)?;
    let is_of_form = version != [0xff] && (version != [0] || parts.next().is_none());
    let is_real = trace_id != [0; 16] && span_id != [0; 8];
    (is_of_form && is_real).then_some(TraceContext { trace_id, span_id, flags })
}

/// Bytes in lower-case hexadecimal.
fn hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.as_bytes();
    if digits.len() != 2 * N || !digits.iter().all(|it| matches!(it, b'0'..=b'9' | b'a'..=b'f')) {
        return None;
    }
    let mut bytes = [0; N];
    for (place, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * place..2 * place + 2], 16).ok()?;
    }
    Some(bytes)
}
