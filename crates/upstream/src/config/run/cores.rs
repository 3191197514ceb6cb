//! Processor time, in cores.

use std::borrow::Cow;
use std::fmt::{self, Display, Formatter};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// How many cores something keeps busy: `0.5` is half of one. From 0.01 to 1024, in thousandths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Cores {
    thousandths: u32,
}

/// A number that is none of [`Cores`].
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error("{0} are not so many cores: write a number from 0.01 to 1024, such as 0.7")]
pub struct OutOfRange(f64);

impl Cores {
    /// As a number.
    pub fn get(self) -> f64 {
        f64::from(self.thousandths) / 1_000.0
    }
}

impl TryFrom<f64> for Cores {
    type Error = OutOfRange;

    fn try_from(cores: f64) -> Result<Self, OutOfRange> {
        if !(0.01..=1_024.0).contains(&cores) {
            return Err(OutOfRange(cores));
        }
        Ok(Self { thousandths: (cores * 1_000.0).round() as u32 })
    }
}

impl From<Cores> for f64 {
    fn from(cores: Cores) -> Self {
        cores.get()
    }
}

impl Display for Cores {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.get().fmt(f)
    }
}

impl JsonSchema for Cores {
    fn schema_name() -> Cow<'static, str> {
        "Cores".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "description": "a number of cores, such as 0.7", "type": "number", "minimum": 0.01, "maximum": 1024 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cores_are_kept_in_thousandths() {
        for (written, kept) in [(0.7, 0.7), (1.5, 1.5), (0.01, 0.01), (1_024.0, 1_024.0), (0.12345, 0.123)] {
            assert_eq!(Cores::try_from(written).map(Cores::get), Ok(kept));
        }
        for wrong in [0.0, -1.0, 0.009, 1_025.0, f64::NAN, f64::INFINITY] {
            assert!(Cores::try_from(wrong).is_err(), "{wrong}");
        }
    }
}
