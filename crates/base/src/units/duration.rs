//! A length of time, written with its unit.

use std::borrow::Cow;
use std::fmt::{self, Display, Formatter};
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::parse::{ParseError, Scale};
use crate::text::{self, Text};

/// A length of time in whole nanoseconds, from zero up.
///
/// Text: a number with one of the units `ns us ms s m h d`, with a fraction if need be (`"250ms"`, `"1.5s"`,
/// `"30d"`), or whole numbers in descending units (`"1h30m"`). The unit is always required, also for zero.
/// A day is 24 hours.
///
/// `Display` writes the shortest exact text of one number, at least one and with at most three decimals, and
/// one unit, and the larger unit of two equally short texts: 1500 ms is `1.5s`, 90 s is `90s`, 24 h is `1d`.
/// The text reads back as the same value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Duration(std::time::Duration);

impl Duration {
    /// No time at all.
    pub const ZERO: Self = Self(std::time::Duration::ZERO);
    /// The longest duration: 2^64 seconds less one nanosecond.
    pub const MAX: Self = Self(std::time::Duration::MAX);

    /// A number of nanoseconds.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(std::time::Duration::from_nanos(nanos))
    }

    /// A number of microseconds.
    pub const fn from_micros(micros: u64) -> Self {
        Self(std::time::Duration::from_micros(micros))
    }

    /// A number of milliseconds.
    pub const fn from_millis(millis: u64) -> Self {
        Self(std::time::Duration::from_millis(millis))
    }

    /// A number of seconds.
    pub const fn from_secs(secs: u64) -> Self {
        Self(std::time::Duration::from_secs(secs))
    }

    /// The next whole number of milliseconds that is not shorter: for whoever is told how long to wait.
    pub fn up_to_millis(self) -> Self {
        let millis = self.0.as_nanos().div_ceil(1_000_000);
        u64::try_from(millis).map_or(self, Self::from_millis)
    }

    /// The standard library's form of the same length.
    pub const fn as_std(self) -> std::time::Duration {
        self.0
    }

    /// The length in nanoseconds, or the most that fit, which are 584 years.
    pub fn as_nanos(self) -> u64 {
        u64::try_from(self.0.as_nanos()).unwrap_or(u64::MAX)
    }

    /// The length in whole milliseconds, rounded down, or the most that fit.
    pub fn as_millis(self) -> u64 {
        u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX)
    }

    /// So many times as long, or the longest.
    #[must_use]
    pub const fn saturating_mul(self, by: u32) -> Self {
        Self(self.0.saturating_mul(by))
    }

    /// The length in seconds, rounded up, as protocols want it that only know whole seconds.
    pub const fn as_secs_up(self) -> u64 {
        self.0.as_secs().saturating_add((self.0.subsec_nanos() > 0) as u64)
    }

    /// Whether this is no time at all.
    pub const fn is_zero(self) -> bool {
        self.0.is_zero()
    }
}

impl From<std::time::Duration> for Duration {
    fn from(std: std::time::Duration) -> Self {
        Self(std)
    }
}

impl From<Duration> for std::time::Duration {
    fn from(duration: Duration) -> Self {
        duration.0
    }
}

impl Display for Duration {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.pad(&SCALE.shortest(self.0.as_nanos()))
    }
}

/// As gRPC writes how long a caller waits (`grpc-timeout`, gRPC over HTTP/2): at most 8 digits and a unit.
impl Duration {
    /// What is expected there, for people.
    pub const GRPC_EXPECTED: &str =
        "at most 8 digits and a unit of `H`, `M`, `S`, `m`, `u` or `n`, such as `250m`";

    /// The duration that `text` is; none if it is none.
    pub fn from_grpc(text: &str) -> Option<Self> {
        const DIGITS_MAX: usize = 8;
        let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
        let has_form =
            (1..=DIGITS_MAX).contains(&digits.len()) && digits.bytes().all(|it| it.is_ascii_digit());
        let number: u64 = has_form.then(|| digits.parse().ok()).flatten()?;
        Some(match unit {
            "H" => Self::from_secs(number * 60 * 60),
            "M" => Self::from_secs(number * 60),
            "S" => Self::from_secs(number),
            "m" => Self::from_millis(number),
            "u" => Self::from_micros(number),
            "n" => Self::from_nanos(number),
            _ => return None,
        })
    }
}

impl FromStr for Duration {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let nanos = SCALE.parse(text)?;
        let secs =
            u64::try_from(nanos / NANOS_PER_SEC).expect("the scale's largest value has a u64 of seconds");
        let subsec = u32::try_from(nanos % NANOS_PER_SEC).expect("less than 10^9");
        Ok(Self(std::time::Duration::new(secs, subsec)))
    }
}

impl Text for Duration {
    const EXPECTED: &'static str = "a duration as text with its unit, such as \"250ms\"";
}

impl Serialize for Duration {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        text::deserialize(from)
    }
}

impl JsonSchema for Duration {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "title": "Duration",
            "description": "A length of time with its unit (ns, us, ms, s, m, h, d), \
                            or whole numbers in descending units.",
            "type": "string",
            "minLength": 2,
            "pattern": "^(?:[0-9]+(?:\\.[0-9]+)?(?:ns|us|ms|s|m|h|d)|\
                        (?:[0-9]+d)?(?:[0-9]+h)?(?:[0-9]+m)?(?:[0-9]+s)?\
                        (?:[0-9]+ms)?(?:[0-9]+us)?(?:[0-9]+ns)?)$",
            "examples": ["250ms", "1.5s", "1h30m", "30d"],
        })
    }
}

const NANOS_PER_SEC: u128 = 1_000_000_000;

static SCALE: Scale = Scale {
    noun: "duration",
    expected: "a number with its unit (ns, us, ms, s, m, h, d), such as \"250ms\"",
    units: &[
        ("d", 86_400 * NANOS_PER_SEC),
        ("h", 3_600 * NANOS_PER_SEC),
        ("m", 60 * NANOS_PER_SEC),
        ("s", NANOS_PER_SEC),
        ("ms", 1_000_000),
        ("us", 1_000),
        ("ns", 1),
    ],
    aliases: &[
        ("day", &["d"]),
        ("days", &["d"]),
        ("hr", &["h"]),
        ("hrs", &["h"]),
        ("hour", &["h"]),
        ("hours", &["h"]),
        ("min", &["m"]),
        ("mins", &["m"]),
        ("minute", &["m"]),
        ("minutes", &["m"]),
        ("sec", &["s"]),
        ("secs", &["s"]),
        ("second", &["s"]),
        ("seconds", &["s"]),
        ("msec", &["ms"]),
        ("msecs", &["ms"]),
        ("millis", &["ms"]),
        ("millisecond", &["ms"]),
        ("milliseconds", &["ms"]),
        ("usec", &["us"]),
        ("µs", &["us"]), // U+00B5 micro sign
        ("μs", &["us"]), // U+03BC Greek mu
        ("micros", &["us"]),
        ("microseconds", &["us"]),
        ("nanos", &["ns"]),
        ("nanoseconds", &["ns"]),
    ],
    zero: "s",
    compound: true,
    max: u64::MAX as u128 * NANOS_PER_SEC + (NANOS_PER_SEC - 1),
};

#[cfg(test)]
mod tests;
