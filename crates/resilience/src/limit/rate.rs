//! How many in how much time, as people write it: `50/s`.

use std::borrow::Cow;
use std::fmt::{self, Display, Formatter};
use std::num::NonZeroU32;
use std::str::FromStr;

use mainstay_base::error::{Classify, Code};
use mainstay_base::units::Duration;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

/// How many in how much time: one or more in a second, a minute, an hour or a day.
///
/// Text: a whole number, a slash and one of `s m h d`, such as `50/s`. What is displayed reads back as the same value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rate {
    count: NonZeroU32,
    per: Per,
}

/// The time of a [`Rate`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Per {
    /// `s`.
    Second,
    /// `m`.
    Minute,
    /// `h`.
    Hour,
    /// `d`: 24 hours.
    Day,
}

/// A text that is not a [`Rate`].
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{text:?} is not a rate: {reason}; write a whole number per s, m, h or d, such as \"50/s\"{hint}")]
pub struct ParseError {
    /// Cut when long, since it may come from anyone.
    text: String,
    reason: &'static str,
    hint: String,
}

impl Per {
    const ALL: [Self; 4] = [Self::Second, Self::Minute, Self::Hour, Self::Day];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Second => "s",
            Self::Minute => "m",
            Self::Hour => "h",
            Self::Day => "d",
        }
    }

    /// What people write instead, in lower case.
    const fn aliases(self) -> &'static [&'static str] {
        match self {
            Self::Second => &["s", "sec", "second", "seconds", "1s"],
            Self::Minute => &["m", "min", "minute", "minutes", "1m"],
            Self::Hour => &["h", "hr", "hour", "hours", "1h"],
            Self::Day => &["d", "day", "days", "1d"],
        }
    }

    pub(super) const fn nanos(self) -> u64 {
        const SECOND: u64 = 1_000_000_000;
        match self {
            Self::Second => SECOND,
            Self::Minute => 60 * SECOND,
            Self::Hour => 3_600 * SECOND,
            Self::Day => 86_400 * SECOND,
        }
    }
}

impl Rate {
    /// So many in so much time.
    pub const fn new(count: NonZeroU32, per: Per) -> Self {
        Self { count, per }
    }

    /// How many there are.
    pub const fn count(self) -> NonZeroU32 {
        self.count
    }

    /// In how much time.
    pub const fn per(self) -> Per {
        self.per
    }

    /// The time that they are in.
    pub const fn window(self) -> Duration {
        Duration::from_nanos(self.per.nanos())
    }

    /// Whether it lets no more through in the long run than the other one.
    pub(super) fn is_at_most(self, other: Self) -> bool {
        let of = |rate: Self, per: Per| u128::from(rate.count.get()) * u128::from(per.nanos());
        of(self, other.per) <= of(other, self.per)
    }
}

impl Display for Rate {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}/{}", self.count, self.per.as_str()))
    }
}

impl FromStr for Rate {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let refuse = |reason| ParseError { text: shown(text), reason, hint: hint(text) };
        if text.is_empty() {
            return Err(refuse("it is empty"));
        }
        let (count, per) = text.split_once('/').ok_or_else(|| refuse("it does not say in how much time"))?;
        let is_digits = !count.is_empty() && count.bytes().all(|byte| byte.is_ascii_digit());
        if !is_digits {
            return Err(refuse("what is before the slash is no whole number"));
        }
        let count: u32 = count.parse().map_err(|_| refuse("it is above 4294967295"))?;
        let count = NonZeroU32::new(count).ok_or_else(|| refuse("none at all is no rate"))?;
        let per = Per::ALL.into_iter().find(|unit| unit.as_str() == per);
        Ok(Self::new(count, per.ok_or_else(|| refuse("the time after the slash is unknown"))?))
    }
}

/// What the writer may have meant: the same number without commas and spaces, with a time that there is.
fn hint(text: &str) -> String {
    let plain: String = text.chars().filter(|c| !matches!(c, ' ' | ',' | '_')).collect();
    let plain = plain.to_lowercase().replace("per", "/");
    let meant = plain.split_once('/').and_then(|(count, per)| {
        let count: NonZeroU32 = count.parse().ok()?;
        let per = Per::ALL.into_iter().find(|unit| unit.aliases().contains(&per))?;
        Some(Rate::new(count, per))
    });
    meant.map_or_else(String::new, |rate| format!("; did you mean \"{rate}\"?"))
}

fn shown(text: &str) -> String {
    const SHOWN_CHARS_MAX: usize = 80;
    text.chars().take(SHOWN_CHARS_MAX).collect()
}

impl Classify for ParseError {
    fn code(&self) -> Code {
        Code::Invalid
    }
}

impl Serialize for Rate {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Rate;

            fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
                f.write_str("a rate as text, such as \"50/s\"")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Rate, E> {
                text.parse().map_err(E::custom)
            }
        }
        from.deserialize_str(Text)
    }
}

impl JsonSchema for Rate {
    fn schema_name() -> Cow<'static, str> {
        "Rate".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "title": "Rate",
            "description": "How many in a second (s), a minute (m), an hour (h) or a day (d).",
            "type": "string",
            "pattern": "^0*[1-9][0-9]*/[smhd]$",
            "examples": ["50/s", "10/m", "1000/h", "5/d"],
        })
    }
}
