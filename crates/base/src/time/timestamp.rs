//! Wall time.

use std::borrow::Cow;
use std::fmt::{self, Display, Formatter};
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

use crate::error::{Classify, Code};
use crate::text::{self, Text, shown};
use crate::units::Duration;

/// A wall time: whole microseconds since 1970-01-01T00:00:00Z, up to [`Timestamp::MAX`], without leap seconds.
///
/// Text: RFC 3339. It is written in UTC with as many digits of the second as needed
/// (`2026-11-23T20:05:00Z`, `2026-11-23T20:05:00.25Z`) and read with any offset; digits beyond the
/// microsecond are cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(u64);

/// A text that is not a [`Timestamp`].
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{} is not a time: {reason}; write RFC 3339, such as \"2026-11-23T20:05:00Z\"", shown(.text))]
pub struct ParseError {
    text: String,
    reason: &'static str,
}

impl Timestamp {
    /// 1970-01-01T00:00:00Z.
    pub const EPOCH: Self = Self(0);
    /// 9999-12-30T22:00:00Z, close to the last time that RFC 3339 can write at every offset.
    pub const MAX: Self = Self(253_402_207_200_000_000);

    /// The time this many microseconds after the epoch. Panics beyond [`Timestamp::MAX`]: for times of our own
    /// making; what was read is checked by [`Timestamp::checked_from_micros`].
    pub const fn from_micros(micros: u64) -> Self {
        assert!(micros <= Self::MAX.0, "a time is before the year 10000");
        Self(micros)
    }

    /// The time this many microseconds after the epoch; none beyond [`Timestamp::MAX`].
    pub const fn checked_from_micros(micros: u64) -> Option<Self> {
        if micros <= Self::MAX.0 { Some(Self(micros)) } else { None }
    }

    /// Whole microseconds since the epoch.
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// This long later, in whole microseconds rounded down; none beyond [`Timestamp::MAX`].
    pub fn checked_add(self, duration: Duration) -> Option<Self> {
        let micros = u64::try_from(duration.as_std().as_micros()).ok()?;
        self.0.checked_add(micros).filter(|sum| *sum <= Self::MAX.0).map(Self)
    }

    /// This long earlier, in whole microseconds rounded down; none before the epoch.
    pub fn checked_sub(self, duration: Duration) -> Option<Self> {
        let micros = u64::try_from(duration.as_std().as_micros()).ok()?;
        self.0.checked_sub(micros).map(Self)
    }

    /// How long after `earlier` this is; none when it is before it.
    pub fn since(self, earlier: Self) -> Option<Duration> {
        self.0.checked_sub(earlier.0).map(Duration::from_micros)
    }
}

impl Display for Timestamp {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let micros = i64::try_from(self.0).expect("MAX is below 2^63");
        let time = jiff::Timestamp::from_microsecond(micros).expect("MAX is within jiff's range");
        f.pad(&time.to_string())
    }
}

impl FromStr for Timestamp {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let refuse = |reason| ParseError { text: text.to_owned(), reason };
        if !has_rfc3339_shape(text) {
            return Err(refuse("it does not have the form of one, with its offset"));
        }
        let time: jiff::Timestamp = text.parse().map_err(|_| refuse("a field of it is out of range"))?;
        // Rounding towards zero would lift the last microsecond before the epoch into range.
        if time < jiff::Timestamp::UNIX_EPOCH {
            return Err(refuse("it is before 1970"));
        }
        let micros = u64::try_from(time.as_microsecond()).expect("not before the epoch");
        if micros > Self::MAX.0 { Err(refuse("it is too late")) } else { Ok(Self(micros)) }
    }
}

/// Whether the text is laid out as RFC 3339, section 5.6, has it. The values are checked by jiff, which alone
/// would also take ISO 8601's other forms.
fn has_rfc3339_shape(text: &str) -> bool {
    const DATE_TIME: &[u8] = b"0000-00-00T00:00:00";
    let fits = |text: &[u8], shape: &[u8]| {
        text.len() == shape.len()
            && text.iter().zip(shape).all(|(byte, place)| match place {
                b'0' => byte.is_ascii_digit(),
                _ => byte.eq_ignore_ascii_case(place),
            })
    };
    let Some((date_time, rest)) = text.as_bytes().split_at_checked(DATE_TIME.len()) else { return false };
    let offset = match rest.strip_prefix(b".") {
        Some(fraction) => {
            let digits = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
            if !(1..=9).contains(&digits) {
                return false;
            }
            &fraction[digits..]
        }
        None => rest,
    };
    fits(date_time, DATE_TIME)
        && [b"Z".as_slice(), b"+00:00", b"-00:00"].iter().any(|shape| fits(offset, shape))
}

impl Classify for ParseError {
    fn code(&self) -> Code {
        Code::Invalid
    }
}

impl Text for Timestamp {
    const EXPECTED: &'static str = "a time as RFC 3339 text, such as \"2026-11-23T20:05:00Z\"";
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        text::deserialize(from)
    }
}

impl JsonSchema for Timestamp {
    fn schema_name() -> Cow<'static, str> {
        "Timestamp".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "title": "Timestamp",
            "description": "A time as RFC 3339 has it, to the microsecond.",
            "type": "string",
            "format": "date-time",
            "examples": ["2026-11-23T20:05:00Z"],
        })
    }
}

#[cfg(test)]
mod tests;
