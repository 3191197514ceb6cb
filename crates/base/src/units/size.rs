//! A number of bytes, written with its unit.

use std::borrow::Cow;
use std::fmt::{self, Display, Formatter};
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::parse::{ParseError, Scale};
use crate::text::{self, Text};

/// A number of bytes.
///
/// Text: a number with one of the units `B`, `KiB MiB GiB TiB` (powers of 1024) or `kB MB GB TB` (powers of
/// 1000), with a fraction if it comes to whole bytes (`"64KiB"`, `"1.5MiB"`, `"4096B"`). The unit and its
/// case are always required, also for zero.
///
/// `Display` writes the shortest exact text of one number, at least one and with at most three decimals, and
/// one unit, and the larger unit of two equally short texts: 65536 bytes are `64KiB`, 64000 are `64kB`. The
/// text reads back as the same value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Size(u64);

impl Size {
    /// No bytes.
    pub const ZERO: Self = Self(0);

    /// A number of bytes.
    pub const fn from_bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    /// A number of KiB. Panics when they are 2^64 bytes or more.
    pub const fn from_kib(kib: u64) -> Self {
        Self(kib.checked_mul(1 << 10).expect("a size fits in 64 bits"))
    }

    /// A number of MiB. Panics when they are 2^64 bytes or more.
    pub const fn from_mib(mib: u64) -> Self {
        Self(mib.checked_mul(1 << 20).expect("a size fits in 64 bits"))
    }

    /// The size in bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }
}

impl Display for Size {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.pad(&SCALE.shortest(self.0.into()))
    }
}

impl FromStr for Size {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        SCALE
            .parse(text)
            .map(|bytes| Self(u64::try_from(bytes).expect("the scale's largest value is u64::MAX")))
    }
}

impl Text for Size {
    const EXPECTED: &'static str = "a size as text with its unit, such as \"64KiB\"";
}

impl Serialize for Size {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        text::deserialize(from)
    }
}

impl JsonSchema for Size {
    fn schema_name() -> Cow<'static, str> {
        "Size".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "title": "Size",
            "description": "A number of bytes with its unit (B, KiB, MiB, GiB, TiB, kB, MB, GB, TB).",
            "type": "string",
            "pattern": "^[0-9]+(?:\\.[0-9]+)?(?:B|KiB|MiB|GiB|TiB|kB|MB|GB|TB)$",
            "examples": ["64KiB", "1.5MiB", "4096B"],
        })
    }
}

static SCALE: Scale = Scale {
    noun: "size",
    expected: "a number with its unit (B, KiB, MiB, GiB, TiB, kB, MB, GB, TB), such as \"64KiB\"",
    units: &[
        ("TiB", 1 << 40),
        ("TB", 1_000_000_000_000),
        ("GiB", 1 << 30),
        ("GB", 1_000_000_000),
        ("MiB", 1 << 20),
        ("MB", 1_000_000),
        ("KiB", 1 << 10),
        ("kB", 1_000),
        ("B", 1),
    ],
    aliases: &[
        ("byte", &["B"]),
        ("bytes", &["B"]),
        ("k", &["KiB", "kB"]),
        ("kb", &["KiB"]),
        ("m", &["MiB", "MB"]),
        ("mb", &["MiB"]),
        ("g", &["GiB", "GB"]),
        ("gb", &["GiB"]),
        ("t", &["TiB", "TB"]),
        ("tb", &["TiB"]),
    ],
    zero: "B",
    compound: false,
    max: u64::MAX as u128,
};

#[cfg(test)]
mod tests;
