//! Hybrid logical clock: time that never goes back, close to the wall clock, and after everything it has seen.
//!
//! A node stamps what it does by [`HybridClock::tick`] and feeds every stamp that it receives into
//! [`HybridClock::observe`], so that effects are stamped after their causes although wall clocks differ and
//! jump. The clock is plain state: the wall time is an argument.
//!
//! Source: Kulkarni, Demirbas, Madappa, Avva, Leone, "Logical Physical Clocks and Consistent Snapshots in
//! Globally Distributed Databases", 2014. As in the paper's compact form, both parts share one integer.

use std::borrow::Cow;
use std::fmt::{self, Display, Formatter};
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

use crate::error::{Classify, Code, Fault};
use crate::text::{self, Text, shown};
use crate::time::Timestamp;
use crate::units::Duration;

/// A time of the hybrid clock, packed into 64 bits: microseconds since the Unix epoch in the upper 52 (until
/// the year 2112), a logical counter in the lower 12.
///
/// The order of times is the order of the integers. Text: the wall time, `+` and the counter
/// (`2026-11-23T20:05:00.000001Z+3`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct HybridTime(u64);

/// The state of a hybrid clock: the latest time it has issued or observed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HybridClock {
    latest: HybridTime,
}

/// A received time is further ahead of the wall clock than nodes may differ: one of the two clocks is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "the received time {remote} is {ahead} ahead of this node's wall clock at {wall}, \
     and clocks may differ by at most {offset_max}: correct the clock that is wrong"
)]
pub struct ClockAhead {
    /// The received time.
    pub remote: HybridTime,
    /// The wall time that it was compared with.
    pub wall: Timestamp,
    /// How far it is ahead.
    pub ahead: Duration,
    /// How far it may be ahead.
    pub offset_max: Duration,
}

/// A text that is not a [`HybridTime`].
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{} is not a hybrid time: write a time and a counter, such as {EXAMPLE:?}", shown(.0))]
pub struct ParseError(String);

const EXAMPLE: &str = "2026-11-23T20:05:00.000001Z+3";

impl HybridTime {
    /// The largest counter.
    pub const COUNTER_MAX: u16 = (1 << Self::COUNTER_BITS) - 1;
    /// The last wall time that fits: 2112-09-17T23:53:47.370495Z.
    pub const WALL_MAX: Timestamp = Timestamp::from_micros((1 << (u64::BITS - Self::COUNTER_BITS)) - 1);
    const COUNTER_BITS: u32 = 12;

    /// The time with these parts. Panics when the wall time is after [`HybridTime::WALL_MAX`] or the counter
    /// above [`HybridTime::COUNTER_MAX`].
    pub const fn new(wall: Timestamp, counter: u16) -> Self {
        assert!(wall.as_micros() <= Self::WALL_MAX.as_micros(), "a hybrid time is before 2112-09-18");
        assert!(counter <= Self::COUNTER_MAX, "a hybrid time's counter has 12 bits");
        Self((wall.as_micros() << Self::COUNTER_BITS) | counter as u64)
    }

    /// The time packed into this integer.
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// The integer that the time is packed into.
    pub const fn to_bits(self) -> u64 {
        self.0
    }

    /// The part that follows the wall clock.
    pub const fn wall(self) -> Timestamp {
        Timestamp::from_micros(self.0 >> Self::COUNTER_BITS)
    }

    /// The part that counts what happens within one microsecond.
    pub const fn counter(self) -> u16 {
        (self.0 & Self::COUNTER_MAX as u64) as u16
    }

    /// The next time: one more in the counter, which carries into the microseconds when it is full. Panics
    /// after the last time of 2112.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.checked_add(1).expect("hybrid times last until 2112"))
    }
}

impl HybridClock {
    /// A clock that goes on after `latest`, for instance the last time found in a log.
    pub const fn starting_after(latest: HybridTime) -> Self {
        Self { latest }
    }

    /// The latest time that was issued or observed.
    pub const fn latest(&self) -> HybridTime {
        self.latest
    }

    /// Issues a time: after every time issued or observed before, and not before `wall`.
    ///
    /// Panics when the wall clock is past [`HybridTime::WALL_MAX`]: such a time must not get into a log.
    pub fn tick(&mut self, wall: Timestamp) -> HybridTime {
        self.latest = HybridTime::new(wall, 0).max(self.latest.next());
        self.latest
    }

    /// Takes note of a received time, so that every later tick is after it.
    ///
    /// A time more than `offset_max` ahead of `wall` is refused and changes nothing; the peer may send again
    /// when the clocks are right.
    pub fn observe(
        &mut self,
        remote: HybridTime,
        wall: Timestamp,
        offset_max: Duration,
    ) -> Result<(), ClockAhead> {
        match remote.wall().since(wall) {
            Some(ahead) if ahead > offset_max => Err(ClockAhead { remote, wall, ahead, offset_max }),
            _ => {
                self.latest = self.latest.max(remote);
                Ok(())
            }
        }
    }
}

impl Display for HybridTime {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}+{}", self.wall(), self.counter()))
    }
}

impl FromStr for HybridTime {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let parts = || {
            // Only the form that is displayed is read, so that a time has one text.
            let (wall, counter) = text.split_once("Z+")?;
            let wall: Timestamp = format!("{wall}Z").parse().ok()?;
            let counter: u16 = counter.parse().ok()?;
            let fits = wall <= Self::WALL_MAX && counter <= Self::COUNTER_MAX;
            fits.then(|| Self::new(wall, counter)).filter(|time| time.to_string() == text)
        };
        parts().ok_or_else(|| ParseError(text.to_owned()))
    }
}

impl Classify for ParseError {
    fn code(&self) -> Code {
        Code::Invalid
    }
}

impl Classify for ClockAhead {
    fn code(&self) -> Code {
        Code::Unavailable
    }

    fn fault(&self) -> Fault {
        Fault::Peer
    }
}

impl Text for HybridTime {
    const EXPECTED: &'static str = "a hybrid time as text, such as \"2026-11-23T20:05:00.000001Z+3\"";
}

impl Serialize for HybridTime {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for HybridTime {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        text::deserialize(from)
    }
}

impl JsonSchema for HybridTime {
    fn schema_name() -> Cow<'static, str> {
        "HybridTime".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "title": "HybridTime",
            "description": "A wall time, `+` and a counter of what happened within its microsecond.",
            "type": "string",
            "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\\.[0-9]{1,6})?Z\\+[0-9]{1,4}$",
            "examples": [EXAMPLE],
        })
    }
}

#[cfg(test)]
mod tests;
