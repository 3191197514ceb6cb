//! What is compressed, what is decompressed, and how long bodies may be, as it is configured.

use std::num::NonZeroU32;

use mainstay_base::units::Size;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::media::MediaRange;

/// A content coding (RFC 9110, section 8.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Coding {
    /// Zstandard (RFC 8878), with windows of at most 8 MiB (RFC 9659).
    Zstd,
    /// Brotli (RFC 7932).
    Br,
    /// DEFLATE in the format of gzip (RFC 1952).
    Gzip,
}

impl Coding {
    /// Every one, in the order in which the gateway prefers them by default.
    pub const ALL: [Self; 3] = [Self::Zstd, Self::Br, Self::Gzip];

    /// Its name in headers and configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Zstd => "zstd",
            Self::Br => "br",
            Self::Gzip => "gzip",
        }
    }

    /// The one of this name in any case; `x-gzip` is `gzip` (RFC 9110, section 8.4.1.3).
    pub fn named(name: &str) -> Option<Self> {
        if name.eq_ignore_ascii_case("x-gzip") {
            return Some(Self::Gzip);
        }
        Self::ALL.into_iter().find(|coding| name.eq_ignore_ascii_case(coding.as_str()))
    }
}

/// Which answers are compressed, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Compression {
    /// The codings that are made, the preferred one first: of those that a client likes as well as each other, the first is taken. By default `zstd`, `br`, `gzip`: zstd takes a
    /// third of the time of br for the same size, and br is smaller than gzip where texts are short.
    pub codings: Vec<Coding>,
    /// Answers of a known length below this are sent as they are, up to `1GiB`. By default 1KiB: what fits into one packet is not there sooner when it is smaller.
    pub min: Size,
    /// The types that are compressed, up to 64: `type/subtype`, `type/*`, or `type/*+suffix`. No wildcard takes `text/event-stream`: each open stream would hold an encoder; name it
    /// to have it compressed. By default texts, JSON, XML, scripts, WebAssembly, fonts that are not compressed in themselves, and SVG.
    pub types: Vec<MediaRange>,
    /// How much work is put into it.
    pub level: Levels,
}

/// How much work each coding puts into being small. The figures are of 1 MiB of JSON and of prose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Levels {
    /// Of `gzip`, from 1 to 9. By default 4: 5 takes an eighth longer and more for 3% less, and 3 saves a tenth of the time for 8% more of JSON.
    pub gzip: u32,
    /// Of `br`, from 0 to 7: above it an encoder takes more than 12 MiB. By default 4: 5 takes about twice as long for 6% less of prose and no less of JSON, and 3 is 6% more of JSON.
    pub br: u32,
    /// Of `zstd`, from 1 to 9: above it an encoder takes more than 12 MiB. By default 3: 5 takes twice as long for 3% to 6% less, and 2 is 4% more of prose.
    pub zstd: u32,
}

/// Which bodies of requests are decompressed before they are sent on. Other codings than zstd, br and gzip are refused, and so are several on top of each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Decompression {
    /// The most bytes that come out, from `1KiB` to `1TiB`; more is answered 413. By default 10MiB: a little more than a body may have that is not compressed.
    pub max: Size,
    /// How many bytes may come out for each that went in, from 2 to 100,000, once more than 64KiB came out; more is answered 413. By default 100: documents come to 5 to 20, and
    /// what is made to be large comes to 1,000 with gzip and to far more with the others.
    pub ratio_max: NonZeroU32,
}

/// How long a body may be, as it comes from the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct BodyLimit {
    /// The most bytes of a request's body, up to `1TiB`; more is answered 413. 8MiB where `body` says nothing else: documents and pictures fit, and one client cannot fill a service's memory. Without `body`
    /// there is no limit: bodies are passed on as they come, and services have limits of their own.
    pub max: Size,
}

impl Compression {
    /// The most types.
    pub const TYPES_MAX: usize = 64;

    /// What the types cannot state. Errors: what is wrong and what to do.
    pub fn check(&self) -> Result<(), String> {
        if self.codings.is_empty() {
            return Err("has no `codings`: name one, or set `compression: false`".to_owned());
        }
        for (place, coding) in self.codings.iter().enumerate() {
            if self.codings[..place].contains(coding) {
                return Err(format!("names `{}` twice in `codings`: leave one out", coding.as_str()));
            }
        }
        let most = Size::from_mib(1 << 10);
        if self.min > most {
            return Err(format!("has a `min` of {}: make it at most {most}", self.min));
        }
        if self.types.is_empty() {
            return Err("has no `types`: name one, or set `compression: false`".to_owned());
        }
        if self.types.len() > Self::TYPES_MAX {
            return Err(format!(
                "has {} `types`, and there are at most {}: use `type/*`",
                self.types.len(),
                Self::TYPES_MAX
            ));
        }
        let Levels { gzip, br, zstd } = self.level;
        for (name, level, least, most) in [("gzip", gzip, 1, 9), ("br", br, 0, 7), ("zstd", zstd, 1, 9)] {
            if level < least || level > most {
                return Err(format!("has a `level` of {level} for {name}: make it from {least} to {most}"));
            }
        }
        Ok(())
    }
}

impl Decompression {
    /// What the types cannot state. Errors: what is wrong and what to do.
    pub fn check(&self) -> Result<(), String> {
        let (least, most) = (Size::from_kib(1), BodyLimit::MOST);
        if self.max < least || self.max > most {
            return Err(format!("has a `max` of {}: make it from {least} to {most}", self.max));
        }
        let ratio = self.ratio_max.get();
        if !(2..=100_000).contains(&ratio) {
            return Err(format!("has a `ratio_max` of {ratio}: make it from 2 to 100,000"));
        }
        Ok(())
    }
}

impl BodyLimit {
    pub(crate) const MOST: Size = Size::from_mib(1 << 20);

    /// What the types cannot state. Errors: what is wrong and what to do.
    pub fn check(&self) -> Result<(), String> {
        if self.max > Self::MOST {
            return Err(format!("has a `max` of {}: make it at most {}", self.max, Self::MOST));
        }
        Ok(())
    }
}

impl Default for Compression {
    fn default() -> Self {
        Self {
            codings: Coding::ALL.to_vec(),
            min: Size::from_kib(1),
            types: MediaRange::compressible(),
            level: Levels::default(),
        }
    }
}

impl Default for Levels {
    fn default() -> Self {
        Self { gzip: 4, br: 4, zstd: 3 }
    }
}

impl Default for Decompression {
    fn default() -> Self {
        Self { max: Size::from_mib(10), ratio_max: NonZeroU32::new(100).expect("it is above zero") }
    }
}

impl Default for BodyLimit {
    fn default() -> Self {
        Self { max: Size::from_mib(8) }
    }
}
