//! A share of a whole.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::hash::{Hash, Hasher};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::error::{Classify, Code};

/// A share of a whole: a finite number from 0 to 1, both included.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Ratio(
    /// Neither NaN nor -0, so that equal numbers have equal bits and all are ordered.
    f64,
);

impl PartialEq for Ratio {
    fn eq(&self, other: &Self) -> bool {
        self.0.to_bits() == other.0.to_bits()
    }
}

impl Eq for Ratio {}

impl PartialOrd for Ratio {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Ratio {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}

impl Hash for Ratio {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.to_bits().hash(state);
    }
}

/// A number that is no [`Ratio`].
#[derive(Debug, Clone, Copy, PartialEq, Error)]
#[error("{0} is not a ratio: write a number from 0 to 1, such as 0.5")]
pub struct OutOfRange(f64);

impl Ratio {
    /// Nothing of the whole.
    pub const ZERO: Self = Self(0.0);
    /// All of the whole.
    pub const ONE: Self = Self(1.0);

    /// The ratio of this value; an error below 0, above 1 and for NaN.
    pub fn new(value: f64) -> Result<Self, OutOfRange> {
        // Adding zero makes the sign of -0 positive.
        if (0.0..=1.0).contains(&value) { Ok(Self(value + 0.0)) } else { Err(OutOfRange(value)) }
    }

    /// The value, from 0 to 1.
    pub const fn get(self) -> f64 {
        self.0
    }
}

impl TryFrom<f64> for Ratio {
    type Error = OutOfRange;

    fn try_from(value: f64) -> Result<Self, OutOfRange> {
        Self::new(value)
    }
}

impl From<Ratio> for f64 {
    fn from(ratio: Ratio) -> Self {
        ratio.0
    }
}

impl Classify for OutOfRange {
    fn code(&self) -> Code {
        Code::Invalid
    }
}

impl JsonSchema for Ratio {
    fn schema_name() -> Cow<'static, str> {
        "Ratio".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "title": "Ratio",
            "description": "A share of a whole.",
            "type": "number",
            "minimum": 0,
            "maximum": 1,
            "examples": [0.5],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_is_a_finite_number_from_zero_to_one() {
        for good in [0.0, -0.0, 0.5, 1.0] {
            assert_eq!(Ratio::new(good).expect("in range").get(), good);
        }
        assert!(Ratio::new(-0.0).expect("zero").get().is_sign_positive());
        for bad in [-0.1, 1.000_001, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert!(Ratio::new(bad).is_err(), "{bad} was taken as a ratio");
        }
    }

    #[test]
    fn a_ratio_is_a_number_on_the_wire() {
        assert_eq!(serde_json::to_string(&Ratio::new(0.25).expect("in range")).expect("plain"), "0.25");
        assert_eq!(serde_json::from_str::<Ratio>("1").expect("in range"), Ratio::ONE);
        let error = serde_json::from_str::<Ratio>("1.5").expect_err("above one");
        assert!(error.to_string().contains("from 0 to 1"), "{error}");
    }
}
