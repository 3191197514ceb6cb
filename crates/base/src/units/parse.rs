//! Numbers with units: one reader and one writer for durations and sizes.
//!
//! A [`Scale`] lists the units of a quantity; everything is exact integer arithmetic in its smallest unit.

use std::fmt::{self, Formatter};

use thiserror::Error;

use crate::error::{Classify, Code};
use crate::text::shown;

/// A text that is not a duration or not a size.
///
/// The message names the text, what is wrong with it, the expected form with an example and, where the
/// intention can be guessed, what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{} is not a {noun}: {reason}; write {expected}{}", shown(.text), HintText(.hint))]
pub struct ParseError {
    text: String,
    noun: &'static str,
    expected: &'static str,
    reason: Reason,
    hint: Vec<String>,
}

impl Classify for ParseError {
    fn code(&self) -> Code {
        Code::Invalid
    }
}

/// The units of one quantity.
pub(super) struct Scale {
    /// What the quantity is called in an error.
    pub(super) noun: &'static str,
    /// The expected form with an example.
    pub(super) expected: &'static str,
    /// Each unit and its worth in the smallest unit, largest first; of equal texts, the earlier is canonical.
    pub(super) units: &'static [(&'static str, u128)],
    /// What people write instead of a unit (in lower case), and the units they may have meant.
    pub(super) aliases: &'static [(&'static str, &'static [&'static str])],
    /// The unit of zero.
    pub(super) zero: &'static str,
    /// Whether whole numbers in descending units may be joined, as in `1h30m`.
    pub(super) compound: bool,
    /// The largest value, in the smallest unit.
    pub(super) max: u128,
}

#[derive(Debug, Clone, PartialEq, Eq, Error)]
enum Reason {
    #[error("it is empty")]
    Empty,
    #[error("it has no number before {}", shown(.0))]
    NoNumber(String),
    #[error("it has no unit")]
    NoUnit,
    #[error("the unit {} is unknown", shown(.0))]
    UnknownUnit(String),
    #[error("its units must descend and each may appear once")]
    Order,
    #[error("a fraction may only stand alone, with one unit")]
    MixedFraction,
    #[error("it has more than one number")]
    Compound,
    #[error("it is not a whole number of the smallest unit")]
    Inexact,
    #[error("it is too large")]
    TooLarge,
}

struct HintText<'a>(&'a [String]);

impl fmt::Display for HintText<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (place, hint) in self.0.iter().enumerate() {
            write!(f, "{} {hint:?}", if place == 0 { "; did you mean" } else { " or" })?;
        }
        if self.0.is_empty() { Ok(()) } else { f.write_str("?") }
    }
}

impl Scale {
    /// Reads `text` as a value in the smallest unit.
    pub(super) fn parse(&self, text: &str) -> Result<u128, ParseError> {
        self.read(text).map_err(|reason| ParseError {
            text: text.to_owned(),
            noun: self.noun,
            expected: self.expected,
            reason,
            hint: self.hints(text),
        })
    }

    /// Writes `value` as one number with one unit: the shortest exact text with at most three decimals and a
    /// number of at least one.
    pub(super) fn shortest(&self, value: u128) -> String {
        if value == 0 {
            return format!("0{}", self.zero);
        }
        let texts = self.units.iter().filter_map(|&(unit, worth)| {
            let (whole, rest) = (value / worth, value % worth);
            let thousandths = rest * 1000 / worth;
            let exact = (rest * 1000).is_multiple_of(worth);
            (exact && whole > 0).then(|| match thousandths {
                0 => format!("{whole}{unit}"),
                _ => format!("{whole}.{}{unit}", format!("{thousandths:03}").trim_end_matches('0')),
            })
        });
        texts.min_by_key(String::len).expect("the smallest unit is worth one, so it is always exact")
    }

    fn read(&self, text: &str) -> Result<u128, Reason> {
        if text.is_empty() {
            return Err(Reason::Empty);
        }
        let (mut rest, mut total, mut last_rank) = (text, 0_u128, None);
        while !rest.is_empty() {
            let part = Part::split(rest)?;
            let rank = self.units.iter().position(|(unit, _)| *unit == part.unit);
            let Some(rank) = rank else { return Err(Reason::UnknownUnit(part.unit.to_owned())) };
            let alone = part.rest.is_empty() && last_rank.is_none();
            if !alone && !self.compound {
                return Err(Reason::Compound);
            }
            if last_rank.is_some_and(|last| last >= rank) {
                return Err(Reason::Order);
            }
            if !alone && !part.fraction.is_empty() {
                return Err(Reason::MixedFraction);
            }
            total = total.checked_add(part.worth(self.units[rank].1)?).ok_or(Reason::TooLarge)?;
            (rest, last_rank) = (part.rest, Some(rank));
        }
        if total > self.max { Err(Reason::TooLarge) } else { Ok(total) }
    }

    /// What the writer may have meant: the same number without spaces and with a unit that exists.
    fn hints(&self, text: &str) -> Vec<String> {
        let lower: String =
            text.chars().filter(|c| !c.is_whitespace()).flat_map(char::to_lowercase).collect();
        let Some(unit_start) = lower.find(|c: char| !c.is_ascii_digit() && c != '.') else {
            return Vec::new();
        };
        let (number, unit) = lower.split_at(unit_start);
        let aliases = self.aliases.iter().filter(|(alias, _)| *alias == unit).flat_map(|(_, meant)| *meant);
        let same_letters =
            self.units.iter().map(|(name, _)| name).filter(|name| name.eq_ignore_ascii_case(unit));
        let mut hints = Vec::new();
        for hint in same_letters.chain(aliases).map(|unit| format!("{number}{unit}")) {
            if !hints.contains(&hint) && self.read(&hint).is_ok() {
                hints.push(hint);
            }
        }
        hints
    }
}

/// The first number and unit of a text, and what follows them.
struct Part<'a> {
    whole: &'a str,
    fraction: &'a str,
    unit: &'a str,
    rest: &'a str,
}

impl<'a> Part<'a> {
    fn split(text: &'a str) -> Result<Self, Reason> {
        let no_number = || Reason::NoNumber(text.to_owned());
        let (whole, after_whole) = split_digits(text);
        let (fraction, after_number) = match after_whole.strip_prefix('.') {
            Some(after_point) => split_digits(after_point),
            None => ("", after_whole),
        };
        let dangling_point = fraction.is_empty() && after_number.len() != after_whole.len();
        if whole.is_empty() || dangling_point {
            return Err(no_number());
        }
        let unit_end = after_number.find(|c: char| c.is_ascii_digit()).unwrap_or(after_number.len());
        let (unit, rest) = after_number.split_at(unit_end);
        if unit.is_empty() { Err(Reason::NoUnit) } else { Ok(Self { whole, fraction, unit, rest }) }
    }

    /// The part's value in the smallest unit, exactly.
    fn worth(&self, unit: u128) -> Result<u128, Reason> {
        /// 10^18 times the largest unit still fits in 128 bits.
        const FRACTION_DIGITS_MAX: usize = 18;
        let whole: u128 = self.whole.parse().map_err(|_| Reason::TooLarge)?;
        let whole = whole.checked_mul(unit).ok_or(Reason::TooLarge)?;
        let digits = self.fraction.trim_end_matches('0');
        if digits.is_empty() {
            return Ok(whole);
        }
        if digits.len() > FRACTION_DIGITS_MAX {
            return Err(Reason::Inexact);
        }
        let numerator = digits.parse::<u128>().expect("at most 18 decimal digits") * unit;
        let denominator = digits.bytes().fold(1_u128, |power, _| power * 10);
        if !numerator.is_multiple_of(denominator) {
            return Err(Reason::Inexact);
        }
        whole.checked_add(numerator / denominator).ok_or(Reason::TooLarge)
    }
}

fn split_digits(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()))
}
